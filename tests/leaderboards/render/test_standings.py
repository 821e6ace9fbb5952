"""Bars, lines and savings of a race."""

from dataclasses import replace
from io import StringIO
from typing import cast

from rich.console import Console

from bob.leaderboards.render.standings import (
    interval_bar,
    saved_images,
    saved_seconds,
    seconds_left,
    standings_line,
    standings_table,
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


def test_a_table_of_80_columns_names_its_columns_and_counts_those_that_it_leaves_out() -> None:
    """Three of the 19 do not fit: the last, which are dropped."""
    left = [replace(NEXT, name=f"a backbone with a name that is folded {i}") for i in range(8)]
    dropped = [replace(LAST, name=f"d{i}") for i in range(11)]
    console = Console(width=80, file=StringIO())
    console.print(standings_table([*left, *dropped], 80))
    lines = cast(StringIO, console.file).getvalue().splitlines()
    titles, first, dropped_one, rest = (" ".join(lines[at].split()) for at in (0, 1, -2, -1))
    assert titles == "backbone mean [95 % limits] evidence to drop"
    assert first.startswith("a backbone with a") and first.endswith("━ 70.0 % [60.0–80.0] 25 %")
    assert dropped_one.startswith("d7 ━") and dropped_one.endswith(
        "40.0 % [30.0–50.0] dropped at 30"
    )
    assert rest == "and 3 more all dropped"
    assert max(map(len, lines)) <= 80


def test_what_dropped_backbones_do_not_embed_is_saved() -> None:
    """100 images in full, of which the dropped one saw 30; at 0.5 s each, or of unknown speed."""
    assert saved_images([BEST, NEXT, LAST], 100) == 70
    assert saved_seconds([BEST, LAST], 100, {"last": 0.5, "best": 9.0}) == 35
    assert saved_seconds([BEST, LAST], 100, {}) == 0


def test_the_others_embed_the_rest_at_most() -> None:
    """40 images of 100 are left of the best, at 9 s each; the dropped one embeds no more."""
    assert seconds_left([BEST, NEXT, LAST], 100, {"last": 0.5, "best": 9.0}) == 360
