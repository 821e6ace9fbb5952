"""Races: evidence of pairs, closed testing, and what is dropped when."""

import itertools
import math

import numpy as np
import pytest

from bob.statistics.racing import STAKES, Race, closed_log_evidence, race_matrix, random_order


def evidence(differences: list[int], margin: float = 0.0, total: int | None = None) -> float:
    """Return the evidence that the first of two backbones is better, example by example."""
    race = Race(2, 1e-9, margin, total)
    for d in differences:
        race.look(np.array([[d == 1, d == -1]]))
    return math.exp(race.log_evidence()[0, 1])


def test_evidence_is_the_mean_capital_of_all_stakes() -> None:
    """Two wins, a tie and a loss without a margin: (1 + b)² (1 - b)."""
    assert evidence([1, 0, 1, -1]) == pytest.approx(np.mean((1 + STAKES) ** 2 * (1 - STAKES)))


def test_with_a_margin_examples_on_which_both_agree_count_against_the_first() -> None:
    """At m = 0.25, a tie multiplies the capital by 1 - 0.2 b, a win by 1 + 0.6 b."""
    by_hand = np.mean((1 + 0.6 * STAKES) * (1 - 0.2 * STAKES))
    assert evidence([1, 0], margin=0.25) == pytest.approx(by_hand)


def test_values_between_0_and_1_are_staked_on_by_their_difference() -> None:
    """Differences of 0.5 and -0.25: (1 + b / 2) (1 - b / 4); a margin of 0.25 takes it off both.

    With it, the capital is multiplied by 1 + 0.2 b and by 1 - 0.4 b.
    """
    values = np.array([[0.75, 0.25], [0.0, 0.25]])
    for margin, by_hand in [
        (0.0, np.mean((1 + STAKES / 2) * (1 - STAKES / 4))),
        (0.25, np.mean((1 + 0.2 * STAKES) * (1 - 0.4 * STAKES))),
    ]:
        race = Race(2, 1e-9, margin)
        race.look(values)
        assert math.exp(race.log_evidence()[0, 1]) == pytest.approx(by_hand)


def test_right_and_wrong_answers_count_the_same_example_by_example() -> None:
    """Values next to 0 and 1 are not counted but multiplied, to nearly the same evidence."""
    right = np.random.default_rng(8).random((50, 3)) < [0.7, 0.6, 0.5]
    counted, multiplied = Race(3, 1e-9, 0.1), Race(3, 1e-9, 0.1)
    counted.add(right)
    multiplied.add(np.clip(right, 1e-12, 1 - 1e-12))
    assert multiplied.log_evidence() == pytest.approx(counted.log_evidence(), abs=1e-6)


def test_the_next_example_without_replacement_is_judged_by_the_mean_of_the_rest() -> None:
    """Of 4 examples with mean 0 the first is a win, so that the rest has mean -1/3.

    A tie is then 1/3 above it, of 2/3 that can be lost: it multiplies by 1 + b / 2.
    """
    by_hand = np.mean((1 + STAKES) * (1 + STAKES / 2))
    assert evidence([1, 0], total=4) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("margin", "values"), [(0.0, (1, -1)), (0.5, (1, 0)), (0.25, (1, 1, 0, -1))]
)
def test_expected_evidence_is_one_where_the_margin_is_the_truth(
    margin: float, values: tuple[int, ...]
) -> None:
    """Over all sequences of 4 independent, equally likely values with the margin as mean."""
    sequences = itertools.product(values, repeat=4)
    mean = np.mean([evidence(list(each), margin) for each in sequences])
    assert mean == pytest.approx(1)


@pytest.mark.parametrize(("margin", "values"), [(0.0, (1, 1, 0, -1, -1)), (0.2, (1, 1, 0, 0, -1))])
def test_expected_evidence_without_replacement_is_one_in_a_random_order(
    margin: float, values: tuple[int, ...]
) -> None:
    """Over all orders of 5 examples with the margin as mean, after 3 of them."""
    orders = list(itertools.permutations(values))
    mean = np.mean([evidence(list(each[:3]), margin, total=5) for each in orders])
    assert mean == pytest.approx(1)


def test_a_tie_is_rarely_decided_whenever_one_looks() -> None:
    """Over all 2^12 sequences of discordant examples, looking after each; error 0.2."""
    signs = 1 - 2 * (np.arange(2**12)[:, None] >> np.arange(12) & 1)
    wins = np.cumsum(signs == 1, axis=1)[..., None]
    n = np.arange(1, 13)[:, None]
    capital = np.mean((1 + STAKES) ** wins * (1 - STAKES) ** (n - wins), axis=2)
    assert np.mean(capital.max(1) >= 1 / 0.2) <= 0.2
    worst = signs[capital.max(1).argmax()]
    assert evidence(worst.tolist()) == pytest.approx(capital[capital.max(1).argmax(), -1])


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


def test_absent_backbones_make_the_others_harder_to_drop() -> None:
    """Their evidence counts as 0, since they may have been left out for what was seen."""
    right = np.repeat([[True, False] + 8 * [False]], 12, axis=0)
    alone, among = Race(2, 0.05), Race(10, 0.05, contenders=np.arange(10) < 2)
    assert [drop.backbone for drop in alone.look(right[:, :2])] == [1]
    assert among.look(right) == []


@pytest.mark.parametrize(
    ("values", "match"), [({"error": 0.0}, "error"), ({"margin": 1}, "margin")]
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
