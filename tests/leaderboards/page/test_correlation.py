"""The rank correlation of tasks."""

import scipy.stats

from tests.builders.leaderboard_pages import KNN_TOP1, two_tasks, varied_tasks
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


def test_too_few_backbones_are_reported(show: Opener) -> None:
    records = [one for one in two_tasks() if one.backbone_name in ("small", "pixels")]
    opened = show(records, "#view=correlation")
    assert (
        "at least 3 backbones, without baselines, that have values in both; "
        "any two of these 2 share at most 1" in opened.text("#view")
    )
    opened.page.get_by_text("Show the table").click()
    assert opened.names == ["small", "pixels"]
