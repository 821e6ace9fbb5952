"""The rank correlation of tasks."""

import pytest
import scipy.stats

from bob.records.record import Record
from tests.builders.leaderboard_pages import KNN_TOP1, two_tasks, varied_tasks
from tests.builders.leaderboard_records import record, task
from tests.leaderboards.page.conftest import Opener


def test_correlations_agree_with_scipy(show: Opener) -> None:
    page = show(varied_tasks(), "#view=correlation").page
    rho = f"{scipy.stats.spearmanr(range(5), KNN_TOP1).statistic:.2f}"
    label = f"fewshot and knn: Spearman {rho}, 5 backbones"
    assert page.get_by_label(label).inner_text() == rho
    assert page.get_by_label("fewshot and ood: Spearman 1.00, 5 backbones").inner_text() == "1.00"
    page.get_by_label(f"ood and knn: Spearman {rho}, 5 backbones").click()
    caption = page.locator("#pair figcaption").inner_text()
    assert caption == f"knn against ood: Spearman {rho}, 5 backbones"
    assert page.locator("#pair .point").count() == 5


def test_so_few_that_chance_orders_them_alike_is_said(show: Opener) -> None:
    """Two of 4! orders have a correlation of 1 or -1: p = 2 / 24; of five backbones, 2 / 120."""
    names = {one.backbone_name for one in varied_tasks() if one.family != "baseline"}
    for count, is_doubtful in ((4, True), (5, False)):
        kept = sorted(names)[:count]
        records = [one for one in varied_tasks() if one.backbone_name in kept]
        caption = show(records, "#view=correlation").text("#pair figcaption")
        assert f"{count} backbones" in caption
        assert caption.endswith(": too few to tell it from chance") == is_doubtful


def swapped_tasks() -> list[Record]:
    """Seven backbones on two tasks, which order all but the last in swapped pairs."""
    places = dict(zip("abcdefg", (1, 0, 3, 2, 5, 4, 6), strict=True))
    return [
        record(f"vit_{name}", 0.5 + 0.05 * place, task=task(of_task))
        for of_task, order in (("knn", range(7)), ("linear", places.values()))
        for name, place in zip(places, order, strict=True)
    ]


def test_a_correlation_has_an_interval_from_six_backbones_on(show: Opener) -> None:
    """Six ranks differ by 1: rho = 1 - 6 * 6 / (7 * 48) = 0.893.

    atanh(rho) = 1.436, its standard error sqrt((1 + rho^2 / 2) / (7 - 3)) = 0.591;
    tanh(1.436 - 1.96 * 0.591) = 0.27 and tanh(1.436 + 1.96 * 0.591) = 0.99.
    """
    opened = show(swapped_tasks(), "#view=correlation")
    text = "Spearman 0.89 [0.27 to 0.99], 7 backbones"
    assert opened.text("#pair figcaption") == f"linear against knn: {text}"
    assert opened.page.get_by_label(f"knn and linear: {text}").inner_text() == "0.89"
    assert "Fisher" in (opened.page.locator("#view .help").get_attribute("data-tip") or "")


def test_the_same_order_has_no_interval(show: Opener) -> None:
    """Fisher's transformation of 1 is infinite."""
    records = [one for one in swapped_tasks() if one.backbone_name in ("vit_a", "vit_c", "vit_e")]
    caption = show(records, "#view=correlation").text("#pair figcaption")
    assert "Spearman 1.00, 3 backbones" in caption


@pytest.mark.parametrize("width", [390, 1280])
def test_points_of_a_correlation_have_their_names(show: Opener, width: int) -> None:
    viewport = {"width": width, "height": 800}
    opened = show(swapped_tasks(), "#view=correlation", viewport=viewport)
    names = opened.page.locator("#pair text.label").all_text_contents()
    assert sorted(names) == [f"vit_{name}" for name in "abcdefg"]


def test_too_few_backbones_are_reported(show: Opener) -> None:
    records = [one for one in two_tasks() if one.backbone_name in ("small", "pixels")]
    opened = show(records, "#view=correlation")
    assert (
        "at least 3 backbones, without baselines, that have values in both; "
        "any two of these 2 share at most 1" in opened.text("#view")
    )
    opened.page.get_by_text("Show the table").click()
    assert opened.names == ["small", "pixels"]
