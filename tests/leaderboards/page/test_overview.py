"""The overview: the best backbone, the significance of its lead, and the best of each cell."""

import pytest

from bob.leaderboards.published import read_published
from tests.builders.leaderboard_pages import (
    OpenPage,
    paired_results,
    two_tasks,
    two_tasks_values,
)
from tests.builders.leaderboard_records import dataset, record, task
from tests.leaderboards.page.conftest import Opener

PUBLISHED = """\
name,d1,d2,d3,d4,d5,d6,d7
a,.9,.8,.7,.9,.8,.7,.9
b,.5,.4,.3,.5,.4,.3,.5
c,.4,.3,.2,.4,.3,.2,.4
"""


def test_overview_names_the_best_backbone_its_scores_and_the_pool(overview: OpenPage) -> None:
    answer = overview.text(".answer")
    assert "large" in overview.text(".winner")
    # (80 + 80 + 90 + 90) / 4, and 10 points more than (70 + 70 + 80 + 80) / 4
    assert "85.0 % on average over 2 tasks on 2 datasets" in answer
    assert (
        "Next is small, 10.0 points behind. Cost: 90 M parameters, 131 images/s on cpu." in answer
    )
    assert "The significance of this lead is unknown" in answer
    assert (
        "Pool: 2 backbones, and 1 baseline for comparison. "
        "Not ranked, because values are missing: middle (failed: knn on textiles)." in answer
    )


def test_overview_explains_z_scores_where_it_shows_one(show: Opener) -> None:
    explanation = "A z-score is the number of standard deviations by which a backbone lies above"
    opened = show(two_tasks())
    assert "z-score" not in opened.text(".answer")  # points behind the best say it better
    opened.page.locator(".help", has_text="?").nth(0).hover()
    assert explanation in opened.text("#tip")
    losses = [
        record(name, value, task=task("calibrated", metrics=("log_loss",)), dataset=dataset(where))
        for name, value in (("a", 0.7), ("b", 0.9))
        for where in ("d1", "d2")
    ]
    assert explanation in show(losses).text(".answer")


def test_title_asks_the_question_and_names_the_data(show: Opener) -> None:
    records, per_example = paired_results()
    opened = show(records, per_example=per_example)
    assert opened.page.title() == opened.text("h1") == "Which backbone for elpv?"
    assert show(two_tasks()).page.title() == "Which backbone? 4 compared on 2 datasets"


def test_standings_state_the_distance_to_the_best(show: Opener) -> None:
    records, per_example = paired_results()
    opened = show(records, per_example=per_example)
    rows = opened.page.locator(".standings tbody tr").all_inner_texts()
    cells = [row.split() for row in rows]
    # 900, 900 and 880 of 1,000 images
    assert [cell[1:4] for cell in cells] == [
        ["best", "90.0", "–"],
        ["copy", "90.0", "0.0"],
        ["below", "88.0", "2.0"],
    ]
    assert "Next is copy, with the same score." in opened.text(".answer")


def test_caption_states_counts_and_days(overview: OpenPage) -> None:
    caption = overview.text("#caption")
    assert "4 backbones · 2 tasks · 2 datasets" in caption
    assert "2026-01-01" in caption


def test_best_of_each_cell_states_score_and_significance(show: Opener) -> None:
    rows = (
        show(two_tasks(), per_example=two_tasks_values).page.locator(".best-row").all_inner_texts()
    )
    assert [" ".join(text.split()) for text in rows] == [
        "knn on elpv large 80.0 [78.0–82.0] tied with middle",
        "knn on textiles large 80.0 [78.0–82.0] clear",
        "linear on elpv large 90.0 [88.0–92.0] tied with middle",
        "linear on textiles large 90.0 [88.0–92.0] tied with middle",
    ]


def test_paired_tests_determine_ties_where_per_image_results_exist(show: Opener) -> None:
    records, per_example = paired_results()
    opened = show(records, per_example=per_example)
    assert (
        "Not settled: 1 other is statistically tied with it on the same test images "
        "(paired tests, Holm over the pool); it may be as good." in opened.text(".answer")
    )
    assert opened.text(".tie-list").split() == ["copy"]
    opened.open("table")
    assert opened.page.locator("#board tr.tied").count() == 2
    opened.page.locator("tr", has_text="below").locator("td[data-cell]").hover()
    tip = opened.text("#tip")
    assert "statistically distinguishable from the best (p < 0.001, Holm)" in tip


def test_incomplete_backbone_that_is_better_is_named(show: Opener) -> None:
    records = [
        record(name, value, dataset=dataset(f"d{d}"))
        for name, value in (("a", 0.7), ("b", 0.6))
        for d in range(4)
    ]
    better = [record("gap", 0.9, dataset=dataset(f"d{d}")) for d in range(3)]
    answer = show([*records, *better]).text(".answer")
    assert "Incomplete, but better on the cells that both have: gap (3 of 4 cells)." in answer


def test_baseline_above_the_best_backbone_is_named(show: Opener) -> None:
    records = [record("a", 0.6), record("b", 0.5), record("pixels", 0.7, family="baseline")]
    opened = show(records)
    assert opened.text(".winner") == "a"
    assert "Scores no better than a baseline: pixels." in opened.text(".answer")


def test_significance_is_unknown_where_a_task_lacks_per_image_results(show: Opener) -> None:
    """Two tasks on one dataset, of which only one has per-image results."""
    records, per_example = paired_results()
    knn = task("knn", metrics=("top1",))
    others = [
        record(one.backbone_name, one.scores[0].value, task=knn, backbone=one.backbone)
        for one in records
    ]
    opened = show(
        [*records, *others],
        per_example=lambda one: per_example(one) if one.task.name == "linear" else None,
    )
    assert "The significance of this lead is unknown" in opened.text(".answer")
    assert "significantly worse is unknown" in opened.text("#advice")


def test_published_table_alone_is_ranked(show: Opener) -> None:
    records, _ = read_published(PUBLISHED, "paper.csv")
    opened = show(records)
    assert opened.text(".winner") == "a"
    assert "It ranks first in 100 % of resamples" in opened.text(".answer")
    assert "Published numbers" in opened.text("#caption")
    # Single numbers without an interval have no known significance.
    significance = opened.page.locator(".best-row td:last-child").all_inner_texts()
    assert significance == ["unknown"] * 7


def test_no_paragraph_of_the_first_screen_is_squeezed(overview: OpenPage) -> None:
    """Paragraphs of several lines take more than half of the width of what holds them."""
    squeezed = overview.page.evaluate(
        """[...document.querySelectorAll(".answers p")]
          .filter((p) => p.scrollHeight > 60 && p.offsetWidth < p.parentElement.offsetWidth / 2)
          .map((p) => p.textContent)"""
    )
    assert squeezed == []
    assert overview.page.locator(".answers p").count() >= 4


def test_names_of_own_data_are_never_cut_in_the_title_nor_among_the_datasets(show: Opener) -> None:
    """`--data` with conditions names a dataset after all of them."""
    name = "emoji_category_train-vendor-colour_shift-vendor-grey-line-n-ae19a0"
    records = [record(one, 0.8, dataset=dataset(name)) for one in "ab"]
    opened = show(records, "#view=datasets", viewport={"width": 390, "height": 800})
    assert opened.text("h1") == f"Which backbone for {name}?"
    shown = opened.page.locator(".datasets th .name bdi")
    assert shown.evaluate("bdi => bdi.scrollHeight - bdi.clientHeight") <= 0


@pytest.mark.parametrize(("link", "table"), [("", ".bests"), ("#view=datasets", ".datasets")])
def test_the_best_backbones_need_no_scrolling_on_a_phone(
    show: Opener, link: str, table: str
) -> None:
    names = ("vit_base_patch16_224.augreg_in21k", "vit_base_patch32_224.augreg_in21k")
    records = [
        record(name, value, dataset=dataset(where))
        for name, value in zip(names, (0.9, 0.8), strict=True)
        for where in ("diabetic_retinopathy", "imagenet-sketch")
    ]
    page = show(records, link, viewport={"width": 390, "height": 800}).page
    overflow = page.locator(table).evaluate(
        "table => table.parentElement.scrollWidth - table.parentElement.clientWidth"
    )
    assert overflow <= 0
    last = page.locator(f"{table} tbody td:last-child").first
    box = last.bounding_box()
    assert box and box["x"] + box["width"] <= 390 and last.inner_text()


def test_the_columns_of_the_datasets_have_heads_on_a_phone(show: Opener) -> None:
    page = show(two_tasks(), "#view=datasets", viewport={"width": 390, "height": 800}).page
    heads = page.locator(".datasets thead th:visible").all_inner_texts()
    assert heads == ["Dataset", "Classes", "Train", "Test"]


def test_a_page_of_baselines_alone_says_what_to_run(show: Opener) -> None:
    records = [record("pixels", 0.5, task=task(name), family="baseline") for name in ("a", "b")]
    opened = show(records)
    assert "There are only baselines" in opened.text(".answer")
    assert "no backbone to recommend beside baselines" in opened.text(".advice")
