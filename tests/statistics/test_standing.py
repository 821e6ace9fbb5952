"""How backbones stand after the looks of a race."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bob.statistics.racing import Race
from bob.statistics.standing import RaceStanding, RaceStandings


def look(
    race: Race, standings: RaceStandings, values: np.ndarray, images: int
) -> list[RaceStanding]:
    race.look(values)
    return list(standings.after(race, values, images))


def test_standings_are_means_of_what_was_scored_until_a_backbone_was_dropped() -> None:
    """40 examples: the first has all right, the second 30, the third none; then 10 more."""
    race, standings = Race(3, 0.05), RaceStandings(["a", "b", "c"])
    values = np.zeros((40, 3))
    values[:, 0] = values[:30, 1] = 1
    a, b, c = look(race, standings, values, 100)
    assert [each.name for each in (a, b, c)] == ["a", "b", "c"]
    assert [each.mean for each in (a, b, c)] == [1, 0.75, 0]
    assert c.is_dropped and not a.is_dropped and not b.is_dropped
    b, a, same = look(race, standings, np.tile([0.0, 1.0, 1.0], (10, 1)), 130)
    assert (a.mean, b.mean, a.examples, a.images) == (0.8, 0.8, 50, 130)
    assert same == c and c.examples == 40 and c.images == 100


def test_the_interval_of_right_answers_is_wilsons_with_students_t() -> None:
    """Nearly scipy's Wilson interval where there are many examples."""
    race, standings = Race(2, 0.05), RaceStandings(["a", "b"])
    right = np.zeros((1000, 2))
    right[:600] = 1
    a, _ = look(race, standings, right, 1000)
    expected = binomtest(600, 1000).proportion_ci(method="wilson")
    assert (a.low, a.high) == pytest.approx((expected.low, expected.high), abs=1e-3)


def test_progress_is_the_share_of_the_evidence_that_it_takes() -> None:
    """One pair at an error of 0.05: log evidence over log 20, cut to 0 and 1.

    After eight wins of the first, 8 / 26 of the capital against the second is staked and won twice
    (`test_racing`). Nothing is staked against the first; with both in one set, its mean must be
    large, too.
    """
    race, standings = Race(2, 0.05), RaceStandings(["a", "b"])
    first, second = look(race, standings, np.tile([1.0, 0.0], (10, 1)), 10)
    joint = (1 + (34 / 26) ** 2) / 2
    assert second.progress == pytest.approx(np.log(joint) / np.log(20))
    assert first.progress == 0


def test_a_backbone_that_failed_does_not_stand_anywhere() -> None:
    race, standings = Race(2, 0.05), RaceStandings(["a", "b"])
    race.active[1] = False
    values = np.ones((3, 2))
    race.add(values)
    assert [each.name for each in standings.after(race, values, 3)] == ["a"]
