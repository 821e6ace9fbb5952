"""Races: stakes, evidence against backbones, closed testing, and what is dropped when."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from bob.statistics import racing
from bob.statistics.races import race_matrix, random_order
from bob.statistics.racing import Race, best_stakes, closed_log_evidence


@pytest.fixture
def frequent_stakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stakes are high, and chosen after every two examples."""
    monkeypatch.setattr(racing, "FIRST_STAKES", 2)
    monkeypatch.setattr(racing, "PRIOR", 30)


def evidence(differences: list[int], margin: float = 0.0, total: int | None = None) -> float:
    """Return the evidence that the first of two backbones is better, example by example."""
    race = Race(2, 1e-9, margin, total)
    for d in differences:
        race.add(np.array([[d == 1, d == -1]]))
    return math.exp(race.log_evidence()[1])


def obvious_evidence(differences: list[float], margin: float, total: int | None) -> float:
    """Return the same by a loop over examples; the stake is mean / mean square, with the prior.

    An example of the prior has the mean square of both directions so far, or 0.15 if that is less.
    """
    capital, stake, renewal = 1.0, 0.0, 8
    for n, d in enumerate(differences):
        seen = np.array(differences[:n])
        bound = margin if total is None else (total * margin - seen.sum()) / (total - n)
        if n == renewal:
            back = margin if total is None else (total * margin + seen.sum()) / (total - n)
            of_pairs = (((seen - bound) ** 2).sum() + ((seen + back) ** 2).sum()) / 2
            prior = min(0.15, (of_pairs + 8 * 0.15) / (n + 8))
            gains = (seen - bound) / (1 + bound)
            square = (gains**2).sum() + 120 * prior / (1 + bound) ** 2
            stake = min(max(gains.sum() / square, 0), 0.95)
            renewal += max(8, n // 8)
        capital *= 1 + stake * (d - bound) / (1 + bound)
    return capital


@pytest.mark.parametrize("margin", [0.0, 0.1, -0.1])
@pytest.mark.parametrize("total", [None, 400])
def test_evidence_is_that_of_a_loop_over_examples(margin: float, total: int | None) -> None:
    rng = np.random.default_rng(4)
    values = rng.random((90, 2)) * [1, 0.4]
    race = Race(2, 1e-9, margin, total)
    race.add(values)
    by_hand = obvious_evidence((values[:, 0] - values[:, 1]).tolist(), margin, total)
    assert math.exp(race.log_evidence()[1]) == pytest.approx(by_hand)
    assert by_hand > 2


def test_values_that_differ_little_allow_higher_stakes() -> None:
    """Differences of at most 0.2, whose mean square is far below 0.15."""
    values = np.random.default_rng(6).random((90, 2)) * 0.2 + [0.1, 0]
    race = Race(2, 1e-9)
    race.add(values)
    by_hand = obvious_evidence((values[:, 0] - values[:, 1]).tolist(), 0.0, None)
    assert math.exp(race.log_evidence()[1]) == pytest.approx(by_hand)
    assert by_hand > 20


def test_after_eight_wins_a_third_of_the_capital_is_staked() -> None:
    """A mean of 8 / 128, a mean square of (8 + 120 · 0.15) / 128: 8 / 26, twice won, once lost."""
    assert evidence([1] * 8) == 1
    assert evidence([1] * 8 + [1, 1, -1]) == pytest.approx((34 / 26) ** 2 * 18 / 26)


def test_stakes_are_the_best_of_their_quadratic() -> None:
    """Three rivals whose gains are correlated; one of them is out, one loses."""
    factor = np.random.default_rng(1).normal(size=(3, 9)) + 1
    square = factor @ factor.T / 9
    mean = np.array([0.4, 0.5, -0.2])
    can_gain = np.array([[True, True, True], [True, False, True]])
    stakes = best_stakes(np.tile(mean, (2, 1)), np.tile(square, (2, 1, 1)), can_gain)
    for found, may in zip(stakes, can_gain, strict=True):
        best = minimize(
            lambda b: b @ square @ b / 2 - mean @ b,
            np.zeros(3),
            bounds=[(0, None if here else 0) for here in may],
        )
        assert found == pytest.approx(best.x, abs=0.01)
        assert found.sum() < 0.95


def test_stakes_are_scaled_down_so_that_no_capital_is_lost() -> None:
    """Both stakes alone would be 2 and 1."""
    stakes = best_stakes(np.array([[2.0, 1.0]]), np.eye(2)[None], np.ones((1, 2), bool))
    assert stakes[0] == pytest.approx([0.95 * 2 / 3, 0.95 / 3])


@pytest.mark.usefixtures("frequent_stakes")
@pytest.mark.parametrize(
    ("margin", "values", "length"),
    [(0.0, (1, -1), 7), (0.5, (1, 0), 7), (0.25, (1, 1, 0, -1), 4), (-0.5, (0, -1), 7)],
)
def test_expected_evidence_is_one_where_the_margin_is_the_truth(
    margin: float, values: tuple[int, ...], length: int
) -> None:
    """Over all sequences of independent, equally likely values with the margin as mean."""
    sequences = itertools.product(values, repeat=length)
    mean = np.mean([evidence(list(each), margin) for each in sequences])
    assert mean == pytest.approx(1)


@pytest.mark.usefixtures("frequent_stakes")
@pytest.mark.parametrize(("margin", "values"), [(0.0, (1, 1, 0, -1, -1)), (0.2, (1, 1, 0, 0, -1))])
def test_expected_evidence_without_replacement_is_one_in_a_random_order(
    margin: float, values: tuple[int, ...]
) -> None:
    """Over all orders of 5 examples with the margin as mean, after 4 of them."""
    orders = list(itertools.permutations(values))
    mean = np.mean([evidence(list(each[:4]), margin, total=5) for each in orders])
    assert mean == pytest.approx(1)


@pytest.mark.usefixtures("frequent_stakes")
def test_a_tie_is_rarely_decided_whenever_one_looks() -> None:
    """Over all 2^9 sequences of discordant examples, looking after each; error 0.4."""
    decided = []
    for signs in itertools.product((True, False), repeat=9):
        race = Race(2, 0.4)
        right = np.stack([signs, np.logical_not(signs)], axis=1)
        decided.append(any(race.look(row[None]) for row in right))
    assert 0 < np.mean(decided) <= 0.4


def test_closed_testing_agrees_with_all_subsets() -> None:
    values = np.random.default_rng(5).normal(2, 3, 6)
    for j in range(6):
        others = [i for i in range(6) if i != j]
        means = [
            np.exp(values[[j, *chosen]]).mean()
            for size in range(6)
            for chosen in itertools.combinations(others, size)
        ]
        assert closed_log_evidence(values)[j] == pytest.approx(np.log(min(means)))


def test_evidence_does_not_depend_on_the_blocks() -> None:
    right = np.random.default_rng(6).random((60, 4)) < [0.7, 0.6, 0.5, 0.4]
    for total in (None, 80):
        by_one, by_block = (Race(4, 1e-9, 0.1, total) for _ in range(2))
        for row in right:
            by_one.look(row[None])
        by_block.look(right[:37])
        by_block.look(right[37:])
        assert by_block.log_evidence() == pytest.approx(by_one.log_evidence())


def test_a_clearly_worse_backbone_is_dropped_and_equal_ones_survive() -> None:
    """Two copies, and one that has nothing right: it loses 2 × 40 discordant examples."""
    right = np.repeat([[True, True, False]], 40, axis=0)
    result = race_matrix(right, [10, 20, 30, 40], 0.05)
    (drop,) = result.drops
    assert result.survivors == (0, 1)
    assert (drop.backbone, drop.rival, drop.value, drop.rival_value) == (2, 0, 0, drop.examples)
    assert result.evaluations == 2 * 40 + drop.examples


def test_where_the_best_alone_is_certified_each_backbone_is_judged_by_its_own_evidence() -> None:
    """Two copies, of evidence 1, and one that has nothing right, of evidence E.

    For every drop, the smallest mean of a set with the third is (1 + 1 + E) / 3, or E where E < 1.
    """
    right = np.repeat([[True, True, False]], 40, axis=0)
    races = [Race(3, 0.05, certified="best"), Race(3, 0.05, certified="drops")]
    for race in races:
        race.add(right)
    log_evidence = races[0].log_evidence()
    assert log_evidence[:2].tolist() == [0, 0] and log_evidence[2] > np.log(20)
    assert races[0].adjusted_log_evidence() == pytest.approx(log_evidence)
    mean = np.log((2 + np.exp(log_evidence[2])) / 3)
    assert races[1].adjusted_log_evidence() == pytest.approx([0, 0, mean])


def test_the_claim_about_the_examples_alone_is_decided_by_the_last_of_them() -> None:
    """60, 60 and 59 of 100 examples right: certain once all are seen, and unknown before."""
    right = np.zeros((100, 3), bool)
    right[:60, :2] = right[1:60, 2] = True
    right = right[random_order(100, 3)]
    assert race_matrix(right, [50, 99], 0.05, total=100).survivors == (0, 1, 2)
    complete = race_matrix(right, [50, 100], 0.05, total=100)
    assert complete.survivors == (0, 1)
    assert race_matrix(right, [100], 0.05).survivors == (0, 1, 2)


def test_a_margin_keeps_what_is_worse_by_less() -> None:
    right = np.ones((400, 2), bool)
    right[::8, 1] = False
    assert race_matrix(right, [400], 0.05).survivors == (0,)
    assert race_matrix(right, [400], 0.05, margin=0.2).survivors == (0, 1)


def test_values_of_dropped_backbones_and_of_absent_ones_are_not_read() -> None:
    rng = np.random.default_rng(7)
    right = rng.random((200, 4)) < [0.9, 0.2, 0.8, 0.7]
    noise = right.copy()
    noise[50:, 1] = rng.random(150) < 0.5
    noise[:, 3] = ~noise[:, 3]
    here = np.array([True, True, True, False])
    races = [Race(4, 0.05, contenders=here) for _ in range(2)]
    for race, values in zip(races, (right, noise), strict=True):
        race.look(values[:50])
        assert [drop.backbone for drop in race.drops] == [1]
        race.look(values[50:])
    assert races[0].log_evidence() == pytest.approx(races[1].log_evidence())


def test_absent_backbones_change_nothing_for_the_others() -> None:
    right = np.repeat([[True, False] + 8 * [False]], 30, axis=0)
    alone, among = Race(2, 0.05), Race(10, 0.05, contenders=np.arange(10) < 2)
    (of_two,), (of_ten,) = alone.look(right[:, :2]), among.look(right)
    assert of_two == of_ten and of_two.backbone == 1


def test_with_an_indifference_zone_one_of_equal_backbones_is_left() -> None:
    """They are never told apart without; with it each is shown not to lead the other by 0.1."""
    right = np.ones((200, 2), bool)
    assert race_matrix(right, [200], 0.05).survivors == (0, 1)
    assert race_matrix(right, [200], 0.05, margin=-0.1).survivors == (0,)


def test_a_lead_as_large_as_the_indifference_zone_is_kept() -> None:
    """The second has an eighth more right, and is one of those that a zone of 0.2 drops."""
    right = np.ones((400, 3), bool)
    right[::8, 1:] = False
    right[1::8, 2] = False
    kept = race_matrix(right, range(20, 401, 20), 0.05, margin=-0.125)
    assert kept.survivors == (0,)
    assert [drop.backbone for drop in kept.drops] == [2, 1]


@pytest.mark.parametrize(
    ("values", "match"), [({"error": 0.0}, "error"), ({"margin": -1}, "margin")]
)
def test_settings_out_of_range_are_refused(values: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Race(**{"count": 2, "error": 0.05, **values})  # type: ignore[arg-type]


def test_more_examples_than_the_total_are_refused() -> None:
    with pytest.raises(ValueError, match="more than the total of 3"):
        Race(2, 0.05, total=3).look(np.ones((4, 2), bool))


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_values_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"values must lie in \[0, 1\]"):
        Race(2, 0.05).look(np.array([[value, 0.5]]))


def test_orders_are_permutations_of_their_seed() -> None:
    assert sorted(random_order(50, 1)) == list(range(50))
    assert random_order(50, 1).tolist() == random_order(50, 1).tolist()
    assert random_order(50, 1).tolist() != random_order(50, 2).tolist()
