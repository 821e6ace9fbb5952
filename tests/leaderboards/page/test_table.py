"""The table: values, sorting, search and filters."""

from playwright.sync_api import expect

from bob.leaderboards.published import read_published
from bob.specs import Pretraining
from tests.builders.leaderboard_pages import OpenPage, two_tasks
from tests.builders.leaderboard_records import dataset, facts, record, score, task
from tests.leaderboards.page.conftest import Opener

ZERO_SHOT = task("zeroshot", metrics=("top1",))


def test_table_has_a_column_per_cell_and_states_gaps(board: OpenPage) -> None:
    assert board.names == ["large", "small", "middle", "pixels"]  # by mean z-score; gaps last
    assert board.heads == [
        "Backbone",
        "Params (M)",
        "Images/s",
        "Mean",
        "Mean z",
        "Mean rank",
        "knn elpv",
        "knn textiles",
        "linear elpv",
        "linear textiles",
    ]
    assert board.cell("large", "Mean") == "85.0"
    assert board.cell("large", "linear elpv") == "90.0 88.0–92.0"
    assert board.cell("middle", "Mean") == "incomplete"
    assert board.cell("middle", "knn textiles") == "failed"
    assert "baseline" in board.cell("pixels", "Backbone")
    assert board.cell("pixels", "Mean rank") == "–"
    assert board.status == "4 of 4 backbones"


def test_baselines_follow_the_backbones_best_first(show: Opener) -> None:
    scores = {"a": 0.9, "b": 0.8, "noise": 0.2, "pixels": 0.4, "colours": 0.3}
    records = [
        record(
            name, value, dataset=dataset(where), family="supervised" if name in "ab" else "baseline"
        )
        for name, value in scores.items()
        for where in ("elpv", "textiles")
    ]
    assert show(records, "#view=table").names == ["a", "b", "pixels", "colours", "noise"]


def test_rows_below_the_backbones_show_what_needs_none(show: Opener) -> None:
    """The majority class and chance, under the scores of each column that has them."""
    known = score("top1", 0.854).model_copy(update={"majority": 0.688, "chance": 0.5})
    records = [
        *(record(name, scores=(known,), dataset=dataset("elpv")) for name in "ab"),
        *(record(name, 0.4, dataset=dataset("textiles")) for name in "ab"),
    ]
    opened = show(records, "#view=table")
    rows = opened.page.locator("#board tfoot tr")
    texts = [row.locator("th, td").all_inner_texts() for row in rows.all()]
    assert [(text[1], *text[-2:]) for text in texts] == [
        ("majority class", "68.8", "–"),
        ("chance", "50.0", "–"),
    ]
    assert len(texts[0]) == 1 + len(opened.heads)
    opened.page.select_option("#show", "z")
    expect(rows).to_have_count(0)


def test_tooltip_states_reason_rank_and_contamination(board: OpenPage) -> None:
    assert "out of memory at batch 1" in board.tip("td.failed")
    tip = board.tip("td.contaminated")
    for text in (
        "contaminated: pretrained on this dataset",
        "n = 650",
        "rank 1 of 2, z-score 0.71",
    ):
        assert text in tip


def test_table_shows_z_scores_and_ranks(board: OpenPage) -> None:
    board.page.select_option("#show", "z")
    # .80, .90 and .89 have mean .86333 and standard deviation (ddof 1) .05508; .03667 / .05508.
    assert board.cell("large", "linear elpv") == "0.67"
    board.page.select_option("#show", "rank")
    names = ("large", "middle", "small", "pixels")
    assert [board.cell(name, "linear elpv") for name in names] == ["1", "2", "3", "–"]


def test_values_are_rounded_once(show: Opener) -> None:
    opened = show([record("a", 0.9305032)], "#view=table")  # rounded to 0.93050 first: 93.0
    assert opened.cell("a", "linear") == "93.1 91.1–95.1"
    opened.open("overview")
    assert "93.1 [91.1–95.1]" in opened.text(".figures")


def test_table_over_many_cells_has_a_column_per_task(show: Opener) -> None:
    datasets = [f"d{d:02d}" for d in range(13)]
    records = [
        record(name, 0.5 + d / 100, dataset=dataset(dataset_name), task=task(task_name))
        for name in "ab"
        for d, dataset_name in enumerate(datasets)
        for task_name in ("knn", "linear")
    ]
    opened = show(records, "#view=table")
    assert opened.heads[-2:] == ["knn", "linear"]
    assert opened.cell("a", "knn") == "56.0"  # the mean of .50, .51, …, .62
    opened.page.select_option("#task", "knn")
    assert opened.heads[-13:] == datasets
    assert "task=knn" in opened.page.url


def test_a_mean_over_contaminated_cells_is_marked(show: Opener) -> None:
    """13 datasets on two tasks have a column per task; `a` was pretrained on one of them."""
    seen = Pretraining(method="ssl", data="web", seen=("d03",))
    records = [
        record(
            name,
            0.5,
            dataset=dataset(f"d{d:02d}"),
            task=task(task_name),
            backbone=facts(name, pretraining=seen if name == "a" else None),
        )
        for name in "ab"
        for d in range(13)
        for task_name in ("knn", "linear")
    ]
    opened = show(records, "#view=table")
    assert opened.page.locator("#board td.contaminated").count() == 2
    assert opened.tip("#board td.contaminated") == "contaminated: pretrained on d03"


def test_headings_sort_and_reverse(board: OpenPage) -> None:
    head = board.page.locator("#board thead th").nth(1)
    board.sort("Params")
    assert board.names == ["pixels", "small", "middle", "large"]
    assert head.get_attribute("aria-sort") == "ascending"
    board.sort("Params")
    assert board.names == ["large", "middle", "small", "pixels"]
    assert head.get_attribute("aria-sort") == "descending"
    assert board.page.locator("[aria-sort]").count() == 1


def test_every_column_of_numbers_sorts(board: OpenPage) -> None:
    """A click sorts a column in one direction, whatever the column; gaps are last."""
    for place, head in enumerate(board.heads[1:], 1):
        button = board.page.locator("#board thead button").nth(place)
        button.click()
        assert board.page.locator("#board thead th[aria-sort]").inner_text() == button.inner_text()
        texts = [board.cell(name, head).split()[0].replace("−", "-") for name in board.names]
        values = [float(text) for text in texts if text[-1].isdigit()]
        assert len(values) >= 2
        assert values in (sorted(values), sorted(values, reverse=True)), head


def test_missing_values_sort_last_in_both_directions(board: OpenPage) -> None:
    head = board.page.locator("#board thead button").nth(board.heads.index("knn textiles"))
    for expected in (
        ["large", "small", "pixels", "middle"],
        ["pixels", "small", "large", "middle"],
    ):
        head.click()
        assert board.names == expected


def test_headings_sort_with_the_keyboard(board: OpenPage) -> None:
    board.page.locator("#board thead button").first.focus()
    board.page.keyboard.press("Enter")
    assert board.names == ["large", "middle", "pixels", "small"]
    board.page.keyboard.press("Enter")  # the focus stays on the button
    assert board.names == ["small", "pixels", "middle", "large"]


def test_search_filters_and_reset(board: OpenPage) -> None:
    page = board.page
    page.fill("#search", "LARGE")
    assert board.names == ["large"]
    page.fill("#search", "nothing like this")
    assert board.names == [] and board.status == "0 of 4 backbones"
    page.fill("#search", "")
    page.locator("#filters summary").click()
    page.locator("#families input[value=baseline]").uncheck()
    assert board.names == ["large", "small", "middle"]
    page.fill("#params", "25")
    assert board.names == ["small", "middle"]
    assert board.text("#filter-count") == "(2 on)"
    page.select_option("#data-seen", "LVD-142M")
    assert board.names == []
    page.get_by_role("button", name="Reset").click()
    page.fill("#speed", "130")
    expect(page.locator("#status")).to_have_text("4 of 4 backbones")  # all at 131 images/s
    page.fill("#speed", "200")
    assert board.names == []
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#status")).to_have_text("4 of 4 backbones")
    assert board.names == ["large", "small", "middle", "pixels"]


def test_input_sizes_are_a_filter_in_order(show: Opener) -> None:
    geometries = {"small": 96, "large": 224, "wide": (256, 128)}
    records = [
        record(name, backbone=facts(name, geometry={"input_px": input_px}))
        for name, input_px in geometries.items()
    ]
    opened = show(records, "#view=table")
    opened.page.locator("#filters summary").click()
    texts = opened.page.locator("#input option").all_inner_texts()
    assert texts == ["any", "96", "224", "256 × 128"]
    opened.page.select_option("#input", "224")
    assert opened.names == ["large"]
    assert "input=224" in opened.page.url
    assert opened.text("#filter-count") == "(1 on)"


def test_licence_filter_hides_other_licences(show: Opener) -> None:
    records = [record("free"), record("other", backbone=facts("other", licence="CC-BY-NC-4.0"))]
    opened = show(records, "#view=table")
    opened.page.locator("#filters summary").click()
    opened.page.select_option("#licence", "CC-BY-NC-4.0")
    assert opened.names == ["other"]


def test_long_table_shows_100_rows_until_asked_for_more(show: Opener) -> None:
    records = [record(f"b{b:03d}", 0.5 + b / 1000) for b in range(130)]
    opened = show(records, "#view=table")
    assert len(opened.names) == 100
    opened.page.get_by_role("button", name="Show 30 more").click()
    assert len(opened.names) == 130


def test_not_applicable_and_published_rows_are_marked_and_not_ranked(show: Opener) -> None:
    measured = [record("a", 0.7), record("b", 0.6), record("b", task=ZERO_SHOT)]
    not_applicable = record(
        "a",
        task=ZERO_SHOT,
        status="not_applicable",
        reason="it has no text tower",
        scores=(),
        details=(),
    )
    published, _ = read_published(
        "backbone,dataset,metric,value,task\nelsewhere,elpv,top1,0.99,linear\n", "paper.csv"
    )
    opened = show([*measured, not_applicable, *published], "#view=table")
    assert opened.cell("a", "zeroshot") == "n/a"
    assert "it has no text tower" in opened.tip("td.not-applicable")
    assert "external" in opened.cell("elsewhere", "Backbone")
    assert opened.cell("elsewhere", "linear") == "99.0"
    note = opened.text("#table-note")
    assert "Excluded, since not applicable to some backbones: zeroshot." in note
    opened.open("overview")
    assert opened.text(".winner") == "a"


def test_a_phone_shows_scores_before_ranks(show: Opener) -> None:
    opened = show(two_tasks(), "#view=table", viewport={"width": 390, "height": 800})
    heads = opened.page.locator("#board thead button:visible").all_inner_texts()
    assert [" ".join(head.split()) for head in heads][:3] == ["Backbone", "Mean", "knn elpv"]
    box = opened.page.locator("#board td[data-cell]").first.bounding_box()
    assert box is not None and box["x"] + box["width"] < 390


def test_of_several_means_the_one_that_orders_is_bold(board: OpenPage) -> None:
    """The first by mean z-score has not always the highest mean score."""
    bold = board.page.locator("#board td.sum.best").all_inner_texts()
    assert bold == [board.cell("large", "Mean z")]


def test_the_only_dataset_is_not_repeated_over_the_columns(show: Opener) -> None:
    records = [record(name, task=task(of_task)) for name in "ab" for of_task in ("knn", "linear")]
    assert show(records, "#view=table").heads[-2:] == ["knn", "linear"]


def test_of_equal_mean_z_scores_the_rows_are_in_the_order_of_the_standings(show: Opener) -> None:
    """Each wins one of two tasks, so that z-scores are 1 and -1: `b` by 20 points, `a` by 1."""
    scores = {"a": (0.71, 0.6), "b": (0.7, 0.8)}
    records = [
        record(name, value, task=task(of_task))
        for name, values in scores.items()
        for of_task, value in zip(("knn", "linear"), values, strict=True)
    ]
    opened = show(records, "#view=table")
    assert opened.names == ["b", "a"]
    opened.open("overview")
    assert opened.page.locator(".standings tbody .name").all_inner_texts() == ["b", "a"]
