"""Curves over the shots of few-shot."""

from tests.builders.leaderboard_pages import varied_tasks
from tests.leaderboards.page.conftest import Opener


def test_few_shot_has_a_panel_per_head_and_a_curve_per_backbone(show: Opener) -> None:
    page = show(varied_tasks(), "#view=curves").page
    assert page.locator("figure h3").all_inner_texts() == ["ridge", "centroid"]
    ridge = page.locator("figure").first
    assert ridge.locator("polyline").count() == 5
    assert ridge.locator(".dot").count() == 15
    assert ridge.locator(".whisker").count() == 15
    # 0.3 + 0.05 · 4 + 0.1 · 2, in both panels.
    assert page.get_by_label("e, shots 25: 70.0 [68.0–72.0]").count() == 2
