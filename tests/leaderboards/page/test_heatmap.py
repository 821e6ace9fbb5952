"""The heat map of z-scores."""

from tests.builders.leaderboard_pages import two_tasks
from tests.leaderboards.page.conftest import Opener


def test_arrow_keys_move_over_the_heat_map(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    heat = opened.page.locator("#heat")
    heat.focus()
    opened.page.keyboard.press("ArrowRight")
    assert heat.get_attribute("aria-label") == (
        "large, knn on textiles, top1 80.0 [78.0–82.0], n = 650, rank 1 of 2, z-score 0.71, "
        "contaminated: pretrained on this dataset"
    )
    assert opened.status == "4 backbones × 4 cells"


def test_pointer_over_a_row_shows_its_tooltip(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    opened.page.locator("#heat").hover(position={"x": 200, "y": 105})
    assert "large" in opened.text("#tip")
