"""The cards of backbones and datasets."""

from tests.builders.leaderboard_pages import OpenPage, two_tasks, two_tasks_values
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
        "130.9 images/s on cpu",
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


def test_dataset_card_states_splits_and_contaminated_backbones(show: Opener) -> None:
    page = show(two_tasks(), "#view=datasets").page
    page.locator("#view").get_by_role("button", name="textiles").click()
    card = page.locator("#card")
    for fact in ("Contaminates\nlarge", "print-1", "train 1574"):
        assert fact in card.inner_text()
    card.get_by_role("button", name="Close").click()
    assert not card.is_visible()
