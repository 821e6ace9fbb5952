"""Accuracy against the number of classes: by hand, by drawing orders, and laws."""

from itertools import combinations

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.class_subsets import (
    METRICS,
    expected_forgetting,
    expected_incremental_top1,
    probability_of_first,
    subset_top1,
)
from bob.metrics.classification import mean_per_class
from bob.metrics.intervals import interval
from bob.numerics.arrays import Doubles
from bob.outcomes import ClassPredictions, ClassSubsets

SIZES = np.array([3, 6, 9, 12])


def scores_of(n: int = 60, classes: int = 12) -> tuple[Doubles, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[y], y


def outcome_of(sizes: np.ndarray = SIZES) -> ClassSubsets:
    predictions = ClassPredictions.from_logits(*scores_of())
    return ClassSubsets(predictions.y, predictions.rank, 12, sizes)


def test_probabilities_by_hand() -> None:
    """One better class among 4: of the 3 pairs with the true class one has it, of the 3 triples two
    have it, and all four classes have it.
    """
    rank = np.array([1])
    values = [probability_of_first(rank, 4, size)[0] for size in (1, 2, 3, 4)]
    assert values == pytest.approx([1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_probabilities_are_shares_of_all_subsets(size: int) -> None:
    """Of 6 classes, where the true one is 5 and the better ones are 0 … r − 1."""
    for rank in range(6):
        others = list(combinations(range(5), size - 1))
        expected = np.mean([all(c >= rank for c in subset) for subset in others])
        assert probability_of_first(np.array([rank]), 6, size)[0] == pytest.approx(expected)


def test_curves_are_those_of_random_orders() -> None:
    scores, y = scores_of()
    rng, curves, lost = np.random.default_rng(1), [], []
    for _ in range(4000):
        order = rng.permutation(12)
        place = np.argsort(order)
        accuracy, first, last = [], [], []
        for end in SIZES:
            seen = np.sort(order[:end])
            rows = place[y] < end
            right = seen[scores[rows][:, seen].argmax(1)] == y[rows]
            accuracy.append(right.mean())
        for end in SIZES[:-1]:
            seen = np.sort(order[:end])
            rows = (place[y] >= end - 3) & (place[y] < end)
            first.append((seen[scores[rows][:, seen].argmax(1)] == y[rows]).mean())
            last.append((scores[rows].argmax(1) == y[rows]).mean())
        curves.append(accuracy)
        lost.append(np.mean(first) - np.mean(last))
    outcome = outcome_of()
    closed = [subset_top1(outcome.at(int(size))) for size in SIZES]
    assert closed == pytest.approx(np.mean(curves, 0), abs=0.01)
    assert expected_incremental_top1(outcome) == pytest.approx(np.mean(closed))
    assert expected_forgetting(outcome) == pytest.approx(np.mean(lost), abs=0.01)


def test_ends_of_the_curve_and_its_direction() -> None:
    outcome = outcome_of()
    values = [subset_top1(outcome.at(size)) for size in range(1, 13)]
    assert values[0] == 1
    assert values[-1] == pytest.approx(mean_per_class(ClassPredictions.from_logits(*scores_of())))
    assert (np.diff(values) < 0).all()


def test_random_ranks_have_chance() -> None:
    ranks = ClassSubsets(np.zeros(12, np.int64), np.arange(12), 12, np.array([4]))
    assert subset_top1(ranks) == pytest.approx(1 / 4)


def test_a_class_without_a_score_is_first_only_alone() -> None:
    assert probability_of_first(np.array([5]), 5, 1)[0] == 0
    assert probability_of_first(np.array([4]), 5, 1)[0] == 1


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_leave_one_out_and_intervals(metric) -> None:
    outcome = outcome_of().at(6) if metric.function is subset_top1 else outcome_of()
    outcome = outcome.take(np.arange(20))
    expected = [metric.function(outcome.take(np.delete(np.arange(20), i))) for i in range(20)]
    assert metric.leave_one_out(outcome) == pytest.approx(expected)
    value, low, high, _ = interval(metric.name, outcome, 0)
    assert low is not None and high is not None and low < value < high


def test_undefined_without_images_or_with_other_sizes() -> None:
    empty = outcome_of().take(np.array([], np.int64))
    with pytest.raises(UndefinedError, match="no test examples"):
        expected_incremental_top1(empty)
    with pytest.raises(UndefinedError, match="needs a single number of classes; there are 4"):
        subset_top1(outcome_of())
    with pytest.raises(UndefinedError, match="at least two numbers of classes"):
        expected_forgetting(outcome_of().at(3))


def test_sizes_are_checked() -> None:
    for sizes, message in (([2, 2], "ascend"), ([0], "ascend"), ([13], "at most 12")):
        with pytest.raises(ValueError, match=message):
            outcome_of(np.array(sizes))
    with pytest.raises(ValueError, match="must both have shape"):
        ClassSubsets(np.zeros(2, np.int64), np.zeros(3, np.int64), 4, np.array([1]))
