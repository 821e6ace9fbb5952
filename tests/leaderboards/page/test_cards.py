"""The cards of backbones and datasets."""

from bob.records.data_report import ClassSize, DataReport, SplitReport
from tests.builders.leaderboard_pages import OpenPage, two_tasks, two_tasks_values
from tests.builders.leaderboard_records import score
from tests.leaderboards.page.conftest import Opener


def test_backbone_card_states_provenance_and_failures(board: OpenPage) -> None:
    board.page.get_by_role("button", name="middle", exact=True).first.click()
    card = board.page.locator("#card")
    for fact in (
        "hash-of-middle",
        "crop_pct 0.875",
        "mean 0.5, 0.5, 0.5",
        "float32",
        "Apache-2.0",
        "1,281,167 images",
        "131 images/s on cpu",
        "20 M",
        "failed: out of memory at batch 1",
    ):
        assert fact in card.inner_text()
    board.page.keyboard.press("Escape")
    assert not card.is_visible()


def test_backbone_card_states_details_of_a_cell_on_demand(show: Opener) -> None:
    board = show(two_tasks(), "#view=table", two_tasks_values)
    board.page.get_by_role("button", name="middle", exact=True).first.click()
    row = board.page.locator("#card .results tbody tr", has_text="89.0").first
    row.locator("summary").click()
    row.get_by_text("ece 3.1").wait_for()  # filled in by the toggle event
    text = " ".join(row.inner_text().split())
    for part in (
        "linear elpv 89.0 87.0–91.0 2 of 3 =",
        "ece 3.1",
        "c 0.1",
        "bob-bench show middle-linea",
    ):
        assert part in text


def test_every_number_of_a_card_says_how_it_was_made(board: OpenPage) -> None:
    """Four cells, one of them failed: each has its details, with the key of its record."""
    board.page.get_by_role("button", name="middle", exact=True).first.click()
    rows = board.page.locator("#card .results tbody tr")
    assert rows.count() == 4
    for row in rows.all():
        row.locator("summary").click()
        row.get_by_text("bob-bench show middle-").wait_for()


def test_dataset_card_states_splits_and_contaminated_backbones(show: Opener) -> None:
    page = show(two_tasks(), "#view=datasets").page
    page.locator("#view").get_by_role("button", name="textiles").click()
    card = page.locator("#card")
    for fact in ("Contaminates\nlarge", "print-1", "train 1574"):
        assert fact in card.inner_text()
    card.get_by_role("button", name="Close").click()
    assert not card.is_visible()


def test_dataset_card_reports_what_was_given_behind_a_fold(show: Opener) -> None:
    split = SplitReport(
        images=9,
        classes=2,
        smallest=ClassSize(name="<b>cat</b>", images=4),
        largest=ClassSize(name="dog", images=5),
        duplicates=1,
        traits={"alpha": 3},
    )
    report = DataReport(
        images=9, classes=2, split_source="names of folders", splits={"train": split}
    )
    records = [
        record.model_copy(update={"dataset": record.dataset.model_copy(update={"report": report})})
        for record in two_tasks()
        if record.dataset
    ]
    page = show(records, "#view=datasets").page
    page.locator("#view").get_by_role("button", name="textiles").click()
    fold = page.locator("#card details.report")
    assert not fold.get_by_text("names of folders").is_visible()
    fold.locator("summary").click()
    for fact in (
        "names of folders",
        "9 images; 2 classes of 4 (<b>cat</b>) to 5 (dog); 1 repeated; 3 with an alpha channel",
    ):
        assert fact in fold.inner_text()


def test_cards_state_the_majority_class_and_chance(show: Opener) -> None:
    records = [
        record.model_copy(
            update={
                "scores": tuple(
                    score.model_copy(update={"majority": 0.688, "chance": 0.5})
                    for score in record.scores
                )
            }
        )
        for record in two_tasks()
    ]
    board = show(records, "#view=table", two_tasks_values)
    board.page.get_by_role("button", name="middle", exact=True).first.click()
    row = board.page.locator("#card .results tbody tr", has_text="89.0").first
    row.locator("summary").click()
    row.get_by_text("majority class 68.8 · chance 50.0").wait_for()


def test_cards_list_the_groups_of_a_cell_from_the_worst_on(show: Opener) -> None:
    """Not among the other scores; of another set of images under a heading of their own."""
    of_type = {"attribute": "cell type"}
    groups = (
        score("worst_group_top1_type", 0.58, facets=of_type),
        *(
            score(f"group_top1_type={value}×{label}", top1, facets=facets)
            for value, label, top1 in (("mono", "defect", 0.71), ("poly", "<b>defect</b>", 0.58))
            for facets in [of_type | {"value": value, "class": label}]
        ),
        score("worst_group_top1_night_type", 0.4, facets=of_type | {"set": "night"}),
    )
    records = [
        record.model_copy(update={"scores": (*record.scores, *groups)}) for record in two_tasks()
    ]
    board = show(records, "#view=table", two_tasks_values)
    board.page.get_by_role("button", name="middle", exact=True).first.click()
    row = board.page.locator("#card .results tbody tr", has_text="89.0").first
    row.locator("summary").first.click()
    row.locator("table.groups").wait_for()
    listed = [" ".join(text.split()) for text in row.locator(".groups tbody tr").all_inner_texts()]
    assert listed == ["poly <b>defect</b> 58.0 56.0–60.0", "mono defect 71.0 69.0–73.0"]
    text = " ".join(row.inner_text().split())
    assert "Groups by cell type worst_group_top1 58.0 Value Class" in text
    assert "Groups by cell type, night worst_group_top1 40.0" in text
    assert "Other scores ece 3.1 Groups" in text
