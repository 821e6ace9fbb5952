"""The scatter plot of quality against cost."""

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


def test_points_have_their_names_on_a_phone_too(show: Opener) -> None:
    """Names of 152 px beside points in the middle of 300 px have a place above or below only."""
    names = [f"efficientnet_lite{i}_in1k" for i in range(4)]
    records = [
        record(name, value, backbone=facts(name, params=params * 10**6))
        for name, value, params in zip(names, (0.8, 0.9, 0.7, 0.75), (3, 4, 5, 6), strict=True)
    ]
    page = show(records, "#view=cost", viewport={"width": 390, "height": 844}).page
    labels = page.locator("#plot .label")
    assert sorted(labels.all_text_contents()) == names
    for label in labels.all():
        box = label.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_a_name_avoids_the_error_bar_of_another_point(show: Opener) -> None:
    """At the right of its point, the name of `middle` would lie on the bar of `right`."""
    points = (("left", 0.7, 1.0), ("the_name_of_the_middle", 0.80, 3.0), ("right", 0.81, 3.3))
    records = [
        record(name, value, backbone=facts(name, params=int(params * 10**6)))
        for name, value, params in points
    ]
    page = show(records, "#view=cost").page
    bars = [bar.bounding_box() for bar in page.locator("#plot .whisker").all()]
    labels = [label.bounding_box() for label in page.locator("#plot .label").all()]
    assert len(bars) == len(labels) == 3
    assert not any(_overlap(a, b) for a in bars for b in labels)


def _overlap(a: FloatRect | None, b: FloatRect | None) -> bool:
    assert a and b
    return (
        a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] < b["y"] + b["height"]
        and b["y"] < a["y"] + a["height"]
    )
