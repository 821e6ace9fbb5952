"""Accuracy by groups of a value and a class: by hand and laws."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.groups import (
    METRICS,
    adjusted_top1,
    gap_by_chance,
    group_gap,
    group_ratio,
    recall_gap,
    worst_group_top1,
)
from bob.metrics.intervals import interval, resampled
from bob.outcomes import GroupResults
from tests.builders import interval_coverage as grids


def results(accuracies: dict[tuple[int, int], tuple[int, int]]) -> GroupResults:
    """Return groups (class, value) with so many right of so many images."""
    right, y, value = [], [], []
    for (c, v), (hits, n) in accuracies.items():
        right += [i < hits for i in range(n)]
        y += [c] * n
        value += [v] * n
    return GroupResults(np.array(right, np.float64), np.array(y), np.array(value))


GROUPS = {(0, 0): (9, 10), (0, 1): (21, 30), (1, 0): (10, 20), (1, 1): (20, 20)}


def test_metrics_by_hand() -> None:
    """Accuracies .9, .7, .5, 1: gaps within classes are .2 and .5."""
    outcome = results(GROUPS)
    assert worst_group_top1(outcome) == 0.5 and group_gap(outcome) == 0.5
    assert group_ratio(outcome) == 0.5
    assert adjusted_top1(outcome) == pytest.approx(0.775)
    assert recall_gap(outcome) == pytest.approx(0.35)


def test_a_constant_attribute_leaves_the_classes() -> None:
    outcome = results({(0, 0): (9, 10), (1, 0): (10, 20)})
    assert worst_group_top1(outcome) == 0.5
    with pytest.raises(UndefinedError, match="no class has two groups"):
        recall_gap(outcome)


def test_perfect_predictions_have_no_gap() -> None:
    outcome = results({(0, 0): (9, 9), (0, 1): (3, 3), (1, 1): (5, 5)})
    assert [metric.function(outcome) for metric in METRICS] == [1, 1, 0, 1, 1, 0, 0]


def test_merging_groups_cannot_lower_the_worst() -> None:
    outcome = results(GROUPS)
    merged = GroupResults(outcome.right, outcome.y, np.zeros(len(outcome), np.int64))
    assert worst_group_top1(merged) >= worst_group_top1(outcome)


def test_a_random_attribute_has_a_gap_and_its_shuffles_have_as_much() -> None:
    gaps, floors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        outcome = GroupResults(
            (rng.random(300) < 0.7) * 1.0, np.zeros(300, np.int64), rng.integers(4, size=300)
        )
        gaps.append(group_gap(outcome))
        floors.append(gap_by_chance(outcome, 60))
    assert np.mean(gaps) > 0.05
    assert np.mean(np.array(gaps) > floors) < 0.2
    assert group_gap(results(GROUPS)) > gap_by_chance(results(GROUPS))


def test_undefined() -> None:
    empty = results(GROUPS).take(np.array([], np.int64))
    for metric in METRICS[1:5]:
        with pytest.raises(UndefinedError, match="no test examples"):
            metric.function(empty)
        with pytest.raises(UndefinedError, match="needs two groups"):
            metric.function(results({(0, 0): (2, 3)}))
    with pytest.raises(UndefinedError, match="no group has a right prediction"):
        group_ratio(results({(0, 0): (0, 3), (1, 0): (0, 3)}))
    with pytest.raises(ValueError, match="right, y and value"):
        GroupResults(np.ones(2), np.zeros(2, np.int64), np.zeros(3, np.int64))


def test_intervals_contain_the_value() -> None:
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, results(GROUPS), 0)
        assert low is not None and high is not None
        assert metric.lowest <= low <= value <= high <= 1


def test_resamples_without_images_have_the_distribution_of_those_with_images() -> None:
    """Also of answers between 0 and 1; 2,000 resamples have a standard error of 2 % of theirs."""
    rng = np.random.default_rng(0)
    outcome = GroupResults(
        rng.integers(4, size=90) / 3, np.repeat([0, 1, 3], 30), np.tile([0, 0, 2], 30)
    )
    for metric in METRICS:
        if metric.redrawn is None:
            continue
        with_images = resampled(outcome, metric, 0, 2000)
        without = metric.redrawn(outcome, np.random.default_rng(1), 2000)
        spread = with_images.std()
        assert abs(without.mean() - with_images.mean()) < 0.12 * spread
        assert without.std() == pytest.approx(spread, rel=0.1)


def test_the_gap_by_chance_is_that_of_shuffled_attributes() -> None:
    """A slow shuffle of the attribute within classes has the same 95th percentile."""
    outcome = results({(0, 0): (9, 12), (0, 1): (5, 18), (2, 0): (10, 20), (2, 1): (13, 25)})
    rng, gaps = np.random.default_rng(1), []
    for _ in range(2000):
        value = outcome.value.copy()
        for c in (0, 2):
            value[outcome.y == c] = rng.permutation(value[outcome.y == c])
        gaps.append(group_gap(GroupResults(outcome.right, outcome.y, value)))
    assert gap_by_chance(outcome, 2000) == pytest.approx(np.quantile(gaps, 0.95), abs=0.02)


def random_groups(n: int, shares: tuple[float, ...], seed: int) -> GroupResults:
    rng = np.random.default_rng(seed)
    right = np.concatenate([(rng.random(n) < share) * 1.0 for share in shares])
    value = np.repeat(np.arange(len(shares)), n)
    return GroupResults(right, np.zeros(len(value), np.int64), value)


@pytest.mark.parametrize("name", ["worst_group_top1", "group_gap", "adjusted_top1", "recall_gap"])
def test_intervals_cover_where_one_group_is_clearly_worst(name: str) -> None:
    """300 trials: standard error 1.3 percentage points."""
    shares = (0.9, 0.75, 0.5)
    large = random_groups(100_000, shares, 0)
    point = grids.metric_point(name, random_groups, (150, shares), large, 300, 100)
    assert 0.91 <= point.coverage <= 0.99
