"""Curves over the shots of few-shot."""

from tests.builders.leaderboard_pages import varied_tasks
from tests.builders.leaderboard_records import record, score, task
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


def test_panels_share_their_axes_which_end_where_values_do(show: Opener) -> None:
    """The centroid is 30 points below; no class has 25 images."""
    scores = [score("label_efficiency", 0.5)]
    for head, offset in (("ridge", 0.0), ("centroid", -0.3)):
        for step, shots in enumerate((1, 5, 25)):
            value = None if shots == 25 else 0.6 + 0.1 * step + offset
            name = f"few_shot_top1_{head}_{shots}shot"
            scores.append(score(name, value, facets={"head": head, "shots": shots}))
    few_shot = task("fewshot", metrics=("label_efficiency", "few_shot_top1"))
    page = show([record("a", task=few_shot, scores=scores)], "#view=curves").page
    ticks = [
        figure.locator("text.tick").all_text_contents() for figure in page.locator("figure").all()
    ]
    assert len(ticks) == 2 and ticks[0] == ticks[1]
    assert "30" in ticks[0] and "70" in ticks[0]
    assert ticks[0][-2:] == ["1", "5"]
