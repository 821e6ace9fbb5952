"""The power law of the error that the page fits, and its chart."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser

from bob.records.record import Record
from bob.specs import Pretraining
from bob.statistics.scaling import scaling_fit
from tests.builders.contrast import contrast
from tests.builders.leaderboard_records import dataset, facts, record, task
from tests.leaderboards.page.conftest import Evaluate, Opener, evaluating

MIN_CONTRAST_OF_LINES = 3.0
"""WCAG 2, of graphical objects."""
MILLIONS = (16, 32, 64, 128, 256, 512)


@pytest.fixture(scope="module")
def evaluate(browser: Browser) -> Iterator[Evaluate]:
    yield from evaluating(browser, "power_law")


def six_sizes(images: int | None = None) -> list[Record]:
    """Six backbones with the error 2 · (M parameters)^−½ + 0.1, and two errors on another task.

    The second task's scores are no shares.
    """
    pretraining = Pretraining(method="ssl", data="photos", images=images) if images else None
    records = []
    for m in MILLIONS:
        name = f"backbone_{m}m"
        backbone = facts(name, params=m * 10**6, gflops=None, pretraining=pretraining)
        records.append(record(name, 0.9 - 2 * m**-0.5, backbone=backbone))
        log_loss = task("calibrated", metrics=("log_loss",))
        on = dataset("textiles")
        records.append(record(name, 1 / m, task=log_loss, dataset=on, backbone=backbone))
    return records


def test_an_exact_law_is_found(evaluate: Evaluate) -> None:
    """As in test_scaling.py of the statistics: error = 2 x^-0.5 + 0.1."""
    x = [1.0, 2, 4, 8, 16, 32, 64, 128]
    error = [2 * value**-0.5 + 0.1 for value in x]
    fit = evaluate(
        f"(({{law, ...rest}}) => [law.exponent, law.floor, rest])(scalingFit({x}, {error}))"
    )
    assert fit[:2] == pytest.approx([0.5, 0.1], abs=1e-4)
    assert fit[2]["limits"] == pytest.approx([0.5, 0.5], abs=0.01)
    assert fit[2]["predicted"] == pytest.approx(fit[2]["largest"], rel=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_page_and_the_figure_have_the_same_law(evaluate: Evaluate, seed: int) -> None:
    """Limits are those of other resamples."""
    rng = np.random.default_rng(seed)
    x = np.geomspace(3, 900, 12)
    error = 0.8 * x**-0.3 * np.exp(0.08 * rng.normal(size=12)) + 0.05 * seed
    ours = scaling_fit(x, error)
    fit = evaluate(
        "(({law, ...rest}) => ({b: law.exponent, first: law.at(3), ...rest}))"
        f"(scalingFit({x.tolist()}, {error.tolist()}))"
    )
    assert ours is not None
    assert fit["b"] == pytest.approx(ours.law.exponent, abs=2e-3)
    assert fit["first"] == pytest.approx(ours.law(x[:1])[0], rel=1e-3)
    assert fit["predicted"] == pytest.approx(ours.largest_predicted, rel=2e-3)
    spread = ours.exponent_high - ours.exponent_low
    limits = [ours.exponent_low, ours.exponent_high]
    assert fit["limits"] == pytest.approx(limits, abs=0.35 * spread)


@pytest.mark.parametrize(
    ("x", "error"),
    [([1, 2, 4, 8, 16], [0.5] * 5), ([1, 2, 4] * 3, [0.3] * 9), ([1, 2, 4, 8, 16, 0], [0.5] * 6)],
    ids=["five points", "three sizes", "a size of 0"],
)
def test_too_little_to_fit(evaluate: Evaluate, x: list[int], error: list[float]) -> None:
    assert evaluate(f"scalingFit({x}, {error})") is None


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_scores_are_drawn_against_sizes_with_their_law(
    show: Opener, width: int, scheme: str
) -> None:
    """The largest has an error of 2 / sqrt(512) + 0.1 = 0.188, which the other five predict."""
    viewport = {"width": width, "height": 800}
    opened = show(six_sizes(), "#view=scaling", viewport=viewport, color_scheme=scheme)
    page = opened.page
    caption = opened.text("#scaling figcaption")
    for text in (
        "top1, in percent, linear on elpv, against parameters.",
        "Spearman 1.00, 6 backbones.",
        "b = 0.50 [0.50 to 0.50], E = 10.0 %.",
        "The largest, left out: 81.2 % predicted, 81.2 % measured.",
        "Of 2 cells, those whose scores are shares and complete.",
    ):
        assert text in caption
    tip = opened.tip("#scaling .point[aria-label^=backbone_16m] .shape")
    assert tip == "backbone_16m\ntop1 40.0\n16M parameters"
    for _ in ("as opened", "in the other scheme"):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("#scaling .point").count() == 6
        names = page.locator("#scaling text.label")
        key = [line.split()[1] for line in page.locator("#scaling .point-key li").all_inner_texts()]
        texts = {text for text in names.all_text_contents() if not text.isdigit()}
        assert texts | {*key} == {f"backbone_{m}m" for m in MILLIONS}
        for mark in (*names.all(), *page.locator("#scaling .shape").all()):
            box = mark.bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert contrast(page, "#scaling .law", "#scaling", "stroke") >= MIN_CONTRAST_OF_LINES
        page.get_by_role("button", name="Dark").click()


def test_other_sizes_are_chosen_and_few_backbones_have_no_law(show: Opener) -> None:
    """All have the same pretraining images: no correlation and no law."""
    opened = show(six_sizes(1_281_167), "#view=scaling")
    opened.page.select_option("#size", "pretraining_images")
    caption = opened.text("#scaling figcaption")
    assert "against pretraining images. The rank correlation is undefined." in caption
    assert "No power law: it needs six backbones of four sizes" in caption
    opened.page.select_option("#task", "calibrated")
    assert "No backbone shown has scores that are shares" in opened.text("#scaling")


def test_five_sizes_have_no_view(show: Opener) -> None:
    page = show(six_sizes()[2:], "#view=scaling").page
    assert page.locator("#tab-scaling").count() == 0
