"""Races that let go of ties: the zone, the capital, protectors, and what may be dropped.

The first protector is the first backbone, the leader of a first block of two examples. Stakes are
shrunk by q / 0.05 examples, q being the mean squared difference so far.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binomtest

from bob.statistics import tie_race
from bob.statistics.races import race_matrix
from bob.statistics.tie_race import TieRace, bounded_stakes, least_significant_lead

FIRST_BLOCK = np.array([[True, False], [True, True]])
"""The mean squared difference is 1/2."""


@pytest.fixture(autouse=True)
def early_protectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tie_race, "LEAST_STAKES", 2)
    monkeypatch.setattr(tie_race, "LEAST_FIRST", 2)
    monkeypatch.setattr(tie_race, "LEAST_ZONE", 2)
    monkeypatch.setattr(tie_race, "PRIOR_GAP", 0.05**0.5)


def capital(differences: Sequence[float], zone: float, least: float = 0.0) -> float:
    """Return the capital against the second of two backbones; the first is better by these."""
    race = TieRace(2, 1e-9, -zone, certified="tie", examples=100)
    race.add(FIRST_BLOCK)
    race.least = least
    for d in differences:
        race.add(np.array([[max(d, 0) + least, max(-d, 0) + least]]))
    return math.exp(race._log_capital[1])


def loop(differences: Sequence[float], zone: float, most: float) -> float:
    """Return the same by a loop; stakes are renewed after every eight examples."""
    product, of_step = 1.0, 0.0
    for n, d in enumerate(differences):
        if n % 8 == 0:
            of_step = min(max(stake([1, 0, *differences[:n]], zone), 0), most)
        product *= 1 + of_step * (d + zone) / (1 - zone)
    return product


def stake(differences: Sequence[float], zone: float) -> float:
    """Return the best stake, of these differences and of examples of a tie with their square."""
    seen = np.array(differences)
    of_seen = seen @ seen / len(seen)
    n = len(seen) + of_seen / 0.05
    mean = seen.sum() / n
    return float((mean + zone) * (1 - zone) / (of_seen + 2 * zone * mean + zone**2))


def test_the_capital_is_that_of_a_loop_over_examples() -> None:
    differences = [1, 1, -1, 0] * 10
    assert capital(differences, 0.2) == pytest.approx(loop(differences, 0.2, 0.99))


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_stakes_are_shrunk_by_fewer_examples_where_values_differ_little(
    monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """The mean squared difference of the first two examples is scale^2 / 2, of which 0.05 is one
    example of the prior.
    """
    monkeypatch.setattr(tie_race, "MOST_STAKED", 10)
    race = TieRace(2, 1e-9, -0.2, certified="tie", examples=100)
    race.add(FIRST_BLOCK * scale)
    race._renew_stakes()
    assert race._stakes[1, 0] == pytest.approx(stake([scale, 0], 0.2))


def test_stakes_may_be_higher_where_no_value_is_low() -> None:
    """Of values of at least 0.3, a difference is -0.7 at least: with a zone of 0.1 the gain is
    -0.6 / 0.9, and 0.99 / (1 - 0.3 / 0.9) of the capital may be staked.
    """
    differences = [0.1] * 30
    assert capital(differences, 0.1, 0.3) == pytest.approx(loop(differences, 0.1, 0.99 * 1.5))
    assert capital(differences, 0.1, 0.0) == pytest.approx(loop(differences, 0.1, 0.99))


@pytest.mark.parametrize("lead", [0.001, 0.02])
def test_bounded_stakes_are_the_best_of_those_that_cannot_lose_more(lead: float) -> None:
    """Small leads leave stakes free; with larger ones the bound holds. By a general optimiser."""
    rng = np.random.default_rng(0)
    gains = lead * rng.random((5, 1, 3)) + 0.1 * rng.standard_normal((5, 400, 3))
    mean, square = gains.mean(1), np.einsum("kni,knj->kij", gains, gains) / 400
    losses = np.array([1.0, 0.9, 0.8])
    stakes = bounded_stakes(mean, square, np.ones((5, 3), bool), losses)
    for own_mean, own_square, own in zip(mean, square, stakes, strict=True):
        best = minimize(
            lambda b, m=own_mean, q=own_square: b @ q @ b / 2 - b @ m,
            np.full(3, 0.1),
            bounds=[(0, None)] * 3,
            constraints={"type": "ineq", "fun": lambda b: 0.99 - b @ losses},
            options={"ftol": 1e-12},
        )
        assert own == pytest.approx(best.x, abs=1e-3)


def test_values_below_the_least_that_was_stated_are_refused() -> None:
    race = TieRace(2, 0.05, certified="tie", examples=100)
    race.least = 0.3
    with pytest.raises(ValueError, match=r"must not fall below 0\.3; got 0\.2"):
        race.add(np.array([[0.2, 0.5]]))


@pytest.mark.parametrize(("zone", "values"), [(0.5, (-1, 0)), (0.25, (-1, -1, 0, 1))])
def test_the_expected_capital_is_one_where_the_lead_is_the_zone(
    zone: float, values: tuple[int, ...]
) -> None:
    """Over all sequences of independent, equally likely values with minus the zone as mean."""
    sequences = itertools.product(values, repeat=3)
    assert np.mean([capital(list(each), zone) for each in sequences]) == pytest.approx(1)


def test_the_expected_capital_is_one_where_the_lead_is_each_zone_that_is_set() -> None:
    """Over all sequences in which the lead is a tenth above or below the zone, equally likely."""
    capitals, zones = [], set()
    for signs in itertools.product((-0.1, 0.1), repeat=8):
        race = TieRace(2, 1e-9, certified="tie", examples=100)
        race.add(np.array([[0.7, 0.5]] * 2))
        for pair in np.reshape(signs, (4, 2)):
            race.add(np.stack([[0.5, 0.5], 0.5 - race.margin + pair], axis=1))
        capitals.append(math.exp(race._log_capital[1]))
        zones.add(race.margin)
    assert np.std(capitals) > 0.1 and len(zones) > 2
    assert np.mean(capitals) == pytest.approx(1)


def test_evidence_is_rarely_large_whoever_is_appointed() -> None:
    """Over all tosses of two coins, by which the first two backbones are right at four examples.

    The third is right at each: it leads both by the zone of 1/2 in the mean, though others are
    appointed first. By Ville's inequality its evidence reaches x with a probability of 1 / x at
    most.
    """
    highest = []
    for tosses in itertools.product((False, True), repeat=8):
        race = TieRace(3, 1e-9, -0.5, certified="tie", examples=100)
        race.add(np.array([[True, False, False], [True, True, False]]))
        for pair in np.array(tosses).reshape(4, 2):
            race.add(np.array([[*pair, True]]))
        highest.append(np.exp(race._highest[2]))
    assert max(highest) > 2
    for x in (1.1, 1.5, 2.0, 3.0):
        assert np.mean(np.array(highest) >= x) <= 1 / x


def test_a_leader_that_is_no_protector_has_to_lead_to_let_go_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without protectors, the expected capital of two tied backbones is one, over all sequences.

    The first leads in a first block, so that something is staked on it. With the first as a
    protector the expected capital is larger.
    """

    def mean_capital() -> float:
        capitals = []
        for signs in itertools.product((-1, 1), repeat=8):
            differences = [0.1 * sign for sign in signs]
            capitals.append(capital(differences, 0.2))
        return float(np.mean(capitals))

    assert mean_capital() > 1.1
    monkeypatch.setattr(tie_race, "LEAST_FIRST", 100)
    assert mean_capital() == pytest.approx(1)


def test_a_race_without_a_zone_lets_go_of_leads_that_are_not_significant() -> None:
    """Half of 100 examples would be discordant: 32 to 18 is significant, 31 to 19 is not."""
    race = TieRace(2, 0.05, certified="tie", examples=100)
    race.add(FIRST_BLOCK)
    assert race.margin == pytest.approx(-0.14)


def test_where_values_differ_less_and_less_so_does_the_zone_and_the_largest_is_claimed() -> None:
    """Mean squares of 0.04, then 0.01: leads of 1.644854 · 0.2 / 10 and half of that, as each zone
    is set from the examples after the last one.
    """
    race = TieRace(2, 0.05, certified="tie", examples=100)
    race.add(np.array([[0.7, 0.5]] * 2))
    assert race.margin == pytest.approx(-0.03289708)
    race.add(np.array([[0.6, 0.5]] * 2))
    assert race.margin == pytest.approx(-0.01644854)
    assert race.claimed_margin == pytest.approx(-0.03289708)


def test_the_zone_of_right_answers_is_set_once() -> None:
    race = TieRace(2, 0.05, certified="tie", examples=100)
    race.add(FIRST_BLOCK)
    race.add(np.array([[True, True]] * 40))
    assert race.margin == race.claimed_margin == pytest.approx(-0.14)


@pytest.mark.parametrize("discordant", [5, 20, 50, 51])
def test_the_smallest_significant_lead_is_that_of_a_one_sided_binomial_test(
    discordant: int,
) -> None:
    lead = round(1000 * least_significant_lead(discordant / 1000, 1000, are_answers=True))
    fewer = (discordant - lead) // 2
    assert binomtest(fewer, discordant, alternative="less").pvalue < 0.05
    assert binomtest(fewer + 1, discordant, alternative="less").pvalue >= 0.05


def test_leads_of_other_values_are_compared_with_their_standard_error() -> None:
    """1.644854 standard errors, of the root of 0.04 / 100; copies need 5 examples of 200."""
    assert least_significant_lead(0.04, 100, are_answers=False) == pytest.approx(0.03289708)
    assert least_significant_lead(0.0, 200, are_answers=True) == 5 / 200


def test_protectors_and_the_leader_are_never_dropped() -> None:
    """The first backbone is a protector, and the last leads. The worst comes first."""
    race = TieRace(4, 0.05, -0.1, certified="tie", examples=100)
    race.add(np.array([[True, False, False, False]] * 2))
    race.add(np.array([[False, True, False, True], [False, False, False, True]] * 2))
    race._highest[:] = 10
    assert race._protectors.tolist() == [0] and race.sums.tolist() == [2, 2, 0, 4]
    assert race.progress().tolist() == [0, 1, 1, 1]
    assert [(drop.backbone, drop.rival) for drop in race.rejected()] == [(1, 3), (2, 3)]


def test_a_further_protector_is_a_leader_of_twice_as_many_examples() -> None:
    """Of 12 backbones there are two; the second is the leader after the look at three examples."""
    race = TieRace(12, 1e-9, -0.1, certified="tie", examples=100)
    leads_by_look = ([0, 0], [1, 1, 1], [2, 2, 2])
    appointed = []
    for leaders in leads_by_look:
        race.add(np.eye(12)[leaders])
        appointed.append(race._protectors.tolist())
    assert appointed == [[0], [0, 1], [0, 1]]


def test_of_equal_backbones_one_is_left_and_a_clear_winner_survives() -> None:
    """Ten copies; then one that leads nine copies by 0.25, more than the zone that the race sets.

    With 60 discordant examples of 240, 23 to 37 is significant: a lead of 14 / 240.
    """
    right = np.ones((240, 10), bool)
    looks = range(20, 241, 20)
    assert len(race_matrix(right, looks, 0.05, certified="tie").survivors) == 1
    right[::4, 1:] = False
    result = race_matrix(right, looks, 0.05, certified="tie")
    assert result.survivors == (0,)
    assert {drop.rival for drop in result.drops} == {0}


def test_backbones_that_leave_are_no_protectors_any_more() -> None:
    """The second backbone follows the first as the leader, and beats the third 40 times."""
    race = TieRace(3, 0.05, -0.3, certified="tie", examples=100)
    race.add(np.array([[True, True, False]] * 4))
    race.active[0] = False
    for _ in range(2):
        race.add(np.array([[False, True, False]] * 40))
    assert [(drop.backbone, drop.rival) for drop in race.rejected()] == [(2, 1)]


@pytest.mark.parametrize("values", [{"margin": 0.1}, {"total": 50}])
def test_claims_that_it_cannot_make_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a race that lets go of ties"):
        TieRace(2, 0.05, certified="tie", examples=100, **values)  # type: ignore[arg-type]
