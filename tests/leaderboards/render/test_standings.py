"""Bars, lines and savings of a race."""

from bob.leaderboards.render.standings import (
    interval_bar,
    saved_images,
    saved_seconds,
    standings_line,
)
from bob.statistics.standing import RaceStanding

BEST = RaceStanding("best", 0.8, 0.7, 0.9, 50, 60, 0.0)
NEXT = RaceStanding("next", 0.7, 0.6, 0.8, 50, 60, 0.25)
LAST = RaceStanding("last", 0.4, 0.3, 0.5, 20, 30, 1.0, is_dropped=True)


def test_a_bar_runs_from_the_lower_to_the_upper_limit() -> None:
    """Ten cells from 0 to 1: 0.7 to 0.9 are the cells 7 to 9, the mean is in 8."""
    assert interval_bar(BEST, 0.0, 1.0, 10) == "       ━█━"
    assert interval_bar(BEST, 0.7, 0.9, 4) == "━━█━"
    assert len(interval_bar(BEST, 0.8, 0.8, 4)) == 4


def test_a_line_names_the_best_and_what_is_nearest_to_being_dropped() -> None:
    assert standings_line([BEST, NEXT, LAST]) == (
        "best so far: best 80.0 % [70.0–90.0], next 70.0 % [60.0–80.0]; nearest to being dropped: "
        "next, with 25 % of the evidence it takes"
    )
    assert standings_line([BEST, LAST]) == "best so far: best 80.0 % [70.0–90.0]"


def test_what_dropped_backbones_do_not_embed_is_saved() -> None:
    """100 images in full, of which the dropped one saw 30; at 0.5 s each, or of unknown speed."""
    assert saved_images([BEST, NEXT, LAST], 100) == 70
    assert saved_seconds([BEST, LAST], 100, {"last": 0.5, "best": 9.0}) == 35
    assert saved_seconds([BEST, LAST], 100, {}) == 0
