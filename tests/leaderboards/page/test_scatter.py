"""The scatter plot of quality against cost."""

import itertools

import pytest
from playwright.sync_api import FloatRect

from tests.builders.leaderboard_pages import two_tasks, varied_tasks
from tests.builders.leaderboard_records import facts, failed, record, score, task
from tests.leaderboards.page.conftest import Opener

LARGE = "#plot .point[aria-label^=large] .shape"


def test_scatter_draws_complete_backbones_and_their_front(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost")
    assert opened.page.locator("#plot .point").count() == 3
    assert "Not drawn, without a value in every cell or of unknown cost: 1." in opened.text(
        "#plot-note"
    )
    # small is cheaper, large is better; the baseline is not on the front.
    assert opened.page.locator("#plot .on-front").count() == 2
    assert "90 M parameters\non the Pareto front" in opened.tip(LARGE)
    opened.page.select_option("#cost", "speed")
    assert "131 images/s" in opened.tip(LARGE)


def test_scatter_of_one_cell_draws_intervals_and_opens_cards(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost&task=linear&dataset=elpv")
    assert opened.page.locator("#plot .whisker").count() == 4
    opened.page.locator("#plot .point").first.focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#card").is_visible()


@pytest.mark.parametrize("gap", [False, True], ids=["complete", "with a failed cell"])
def test_single_backbone_is_drawn_by_its_mean_score(show: Opener, gap: bool) -> None:
    """A single backbone has no z-score: the means of 80, 80, 70, 70, and of 80, 70, 70.

    The interval of the mean is that of `test_means_have_error_bars`.
    """
    records = [one for one in two_tasks() if one.backbone_name in ("small", "pixels")]
    log_loss = task("calibrated", metrics=("log_loss",))
    records += [
        one.model_copy(
            update={
                "key": f"{one.key}-calibrated",
                "task": log_loss,
                "scores": (score("log_loss", 0.7),),
            }
        )
        for one in records[::2]
    ]
    if gap:
        first = records[0]
        records[0] = failed("small", dataset=first.dataset, backbone=first.backbone)
    opened = show(records, "#view=cost")
    assert opened.page.locator("#plot .point").count() == 2
    note = opened.text("#plot-note")
    assert "Not drawn" not in note
    assert "Not all 6 cells" in note
    score_line = opened.tip("#plot .point[aria-label^=small] .shape").split("\n")[1]
    assert score_line == ("mean score 73.3" if gap else "mean score 75.0 [73.6–76.4]")


def test_means_have_error_bars(show: Opener) -> None:
    """Of 4 cells with ± 2 points: 4 per dataset, sqrt(4² + 4²) / 4 = 1.41 of the mean."""
    opened = show(two_tasks(), "#view=cost")
    assert opened.page.locator("#plot .whisker").count() == 2  # the baseline is not in the pool
    assert "mean score 85.0 [83.6–86.4]" in opened.tip(LARGE)
    assert "which cover other test images of these datasets" in opened.text("#plot-note")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ((3_370_000, 4_650_000), ["3M", "5M"]),
        ((86_000_000, 86_600_000), ["80M", "90M", "100M"]),
        ((1_000_000, 900_000_000), ["1M", "10M", "100M", "1B"]),
    ],
    ids=["two small ones", "nearly equal", "three decades"],
)
def test_the_axis_of_cost_has_round_ticks(
    show: Opener, params: tuple[int, int], expected: list[str]
) -> None:
    records = [
        record(name, value, backbone=facts(name, params=count))
        for name, value, count in zip("ab", (0.7, 0.8), params, strict=True)
    ]
    page = show(records, "#view=cost").page
    ticks = page.locator("#plot .notch + .tick").all_text_contents()
    assert ticks == expected


def test_families_differ_in_shape(show: Opener) -> None:
    """Supervised, self-supervised, CLIP and baseline are told apart without colours."""
    page = show(two_tasks(), "#view=cost&task=linear&dataset=elpv").page
    shapes = [shape.get_attribute("d") for shape in page.locator("#plot .point .shape").all()]
    assert len(shapes) == len(set(shapes)) == 4


@pytest.mark.parametrize("view", ["cost", "correlation", "curves"])
def test_both_axes_of_every_chart_have_labelled_ticks(show: Opener, view: str) -> None:
    page = show(varied_tasks(), f"#view={view}").page
    charts = page.locator("#view svg.chart").all()
    assert charts
    for chart in charts:
        across = chart.locator(".notch + .tick").count()
        assert across >= 2 and chart.locator(".tick").count() - across >= 2


def test_all_of_few_points_are_named(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost&task=linear&dataset=elpv")
    names = set(opened.page.locator("#plot .label").all_text_contents())
    assert names == {"large", "middle", "small", "pixels (50.0)"}  # below the scale


def test_baselines_below_the_scale_stand_side_by_side_with_their_scores(show: Opener) -> None:
    """Both have no parameters, and would be drawn on one place of the axis."""
    no_params = {"gflops": 0.1, "params": 0}
    records = [
        *(record(name, value) for name, value in (("a", 0.9), ("b", 0.88))),
        *(
            record(name, value, family="baseline", backbone=facts(name, "baseline", **no_params))
            for name, value in (("pixels", 0.3), ("statistics", 0.2))
        ),
    ]
    page = show(records, "#view=cost").page
    names = set(page.locator("#plot .label").all_text_contents())
    assert {"pixels (30.0)", "statistics (20.0)"} <= names
    boxes = [
        page.locator(f"#plot .point[aria-label^='{name}'] .shape").bounding_box()
        for name in ("pixels", "statistics")
    ]
    left, right = sorted(box["x"] for box in boxes if box)
    assert right - left >= 12  # as wide as a mark


@pytest.mark.parametrize("width", [390, 1280])
def test_names_and_numbers_of_a_crowded_chart_cross_no_error_bar(show: Opener, width: int) -> None:
    """Twelve bars in 300 px leave no room for names of 150 px: a key names numbers."""
    names = [f"efficientnet_lite{i}_in1k" for i in range(12)]
    records = [
        record(name, 0.7 + 0.02 * (5 * i % 12), backbone=facts(name, params=(20 + i) * 10**5))
        for i, name in enumerate(names)
    ]
    page = show(records, "#view=cost", viewport={"width": width, "height": 844}).page
    bars, labels = (
        [one.bounding_box() for one in page.locator(f"#plot .{kind}").all()]
        for kind in ("whisker", "label")
    )
    assert len(bars) == len(labels) == 12
    pairs = itertools.combinations(labels, 2)
    assert not any(_overlap(a, b) for a, b in [*pairs, *itertools.product(labels, bars)])
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in labels)
    texts = page.locator("#plot .label").all_text_contents()
    numbered = [text for text in texts if text.isdigit()]
    key = page.locator("#plot .point-key li").all_inner_texts()
    assert sorted(numbered, key=int) == [line.split()[0] for line in key]
    assert sorted({*texts} - {*numbered} | {line.split()[1] for line in key}) == sorted(names)


def _overlap(a: FloatRect | None, b: FloatRect | None) -> bool:
    assert a and b
    return (
        a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] < b["y"] + b["height"]
        and b["y"] < a["y"] + a["height"]
    )
