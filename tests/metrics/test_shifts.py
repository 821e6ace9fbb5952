"""Metrics of shifted test sets, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.metrics.shifts import METRICS, drop, relative_drop, shifted_top1, worst_group
from bob.outcomes import ShiftResults

Y, N = True, False


def test_metrics_by_hand() -> None:
    """Top-1 is 3/4 in distribution, and 1/2 and 1/4 on the shifted sets."""
    outcome = ShiftResults.from_test_sets(
        [np.array([Y, Y, Y, N]), np.array([Y, N]), np.array([Y, N, N, N])]
    )
    assert shifted_top1(outcome) == (1 / 2 + 1 / 4) / 2
    assert drop(outcome) == 3 / 4 - 3 / 8
    assert relative_drop(outcome) == 1 / 2
    assert worst_group(outcome) == 1 / 4


def test_groups_can_be_finer_than_test_sets() -> None:
    outcome = ShiftResults.from_test_sets(
        [np.array([Y, Y, Y, N]), np.array([Y, N])], [np.array([0, 0, 5, 5]), np.array([7, 7])]
    )
    assert worst_group(outcome) == 1 / 2
    finer = ShiftResults(outcome.right, outcome.shift, np.array([0, 0, 0, 1, 2, 2]))
    assert worst_group(finer) == 0


@pytest.mark.parametrize("seed", range(4))
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [(rng.integers(4, size=n), rng.integers(4, size=n)) for n in rng.integers(1, 60, size=4)]
    outcome = ShiftResults.from_test_sets([y == predicted for y, predicted in sets])
    in_distribution, *shifted = (accuracy_score(y, predicted) for y, predicted in sets)
    assert shifted_top1(outcome) == pytest.approx(np.mean(shifted))
    assert drop(outcome) == pytest.approx(in_distribution - np.mean(shifted))
    assert worst_group(outcome) == pytest.approx(min(in_distribution, *shifted))
    order = rng.permutation(len(outcome))
    for metric in METRICS:
        if in_distribution > 0:
            assert metric.function(outcome.take(order)) == pytest.approx(metric.function(outcome))


def test_undefined_metrics_give_the_reason() -> None:
    unshifted = ShiftResults.from_test_sets([np.array([Y, N])])
    only_shifted = ShiftResults.from_test_sets([np.array([], bool), np.array([Y])])
    for metric in (shifted_top1, drop, relative_drop):
        with pytest.raises(UndefinedError, match="there are no shifted test examples"):
            metric(unshifted)
        with pytest.raises(UndefinedError, match="there are no in-distribution test examples"):
            metric(only_shifted)
    with pytest.raises(UndefinedError, match="top-1 in distribution is 0"):
        relative_drop(ShiftResults.from_test_sets([np.array([N]), np.array([Y])]))
    with pytest.raises(UndefinedError, match="there are no test examples"):
        worst_group(ShiftResults.from_test_sets([np.array([], bool)]))


def test_a_drop_can_be_negative_and_its_interval_contains_it() -> None:
    """The standard error of a difference of shares 0.6 and 0.8 of 200 each is
    sqrt((0.24 + 0.16) / 200) = 0.045, so that 1.96 of them are 0.088.
    """
    rng = np.random.default_rng(0)
    outcome = ShiftResults.from_test_sets([rng.random(200) < 0.6, rng.random(200) < 0.8])
    value, low, high, _ = interval("drop", outcome, seed=0)
    assert low is not None and high is not None
    assert value < 0 and low < value < high and (high - low) / 2 == pytest.approx(0.088, abs=0.012)


def test_values_per_image_average_to_the_metric() -> None:
    """Three shifted sets of very different sizes, in mixed order."""
    rng = np.random.default_rng(0)
    shift = rng.permutation(np.repeat([0, 1, 2, 3], [40, 5, 100, 20]))
    outcome = ShiftResults(rng.random(165) < 0.7, shift, shift)
    for name in ("shifted_top1", "drop"):
        metric = metric_named(name)
        assert metric.per_example is not None
        assert metric.per_example(outcome).mean() == pytest.approx(metric.function(outcome))


def test_only_shifted_images_count_for_the_accuracy_on_them() -> None:
    outcome = ShiftResults.from_test_sets([np.ones(4, bool), np.array([True, False, True])])
    per_example = metric_named("shifted_top1").per_example
    assert per_example is not None
    assert per_example(outcome).tolist() == [1, 0, 1]
