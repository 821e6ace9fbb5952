"""Metrics of class-incremental learning by hand, and their leave-one-out values."""

from dataclasses import replace

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.incremental import METRICS, forgetting, incremental_top1, last_top1
from bob.metrics.intervals import interval, resampled
from bob.outcomes import IncrementalResults


def results(seed: int = 0, n: int = 30) -> IncrementalResults:
    rng = np.random.default_rng(seed)
    task = np.arange(n) % 3
    return IncrementalResults((rng.random((n, 3)) < 0.7) & (task[:, None] <= np.arange(3)), task)


def test_metrics_by_hand() -> None:
    """Ten images of each of three tasks. R[·, 1] = .9, .8, .6 and R[·, 2] = –, .7, .75 would give
    F = (.3 + 0) / 2; with ten images R[·, 2] is .7, .8, and R[3, 3] is .5.

    A = .9, (8 + 7) / 20, (6 + 8 + 5) / 30.
    """
    right = np.zeros((30, 3), bool)
    for task, counts in enumerate([(9, 8, 6), (0, 7, 8), (0, 0, 5)]):
        for t, count in enumerate(counts):
            right[10 * task : 10 * task + count, t] = True
    outcome = IncrementalResults(right, np.repeat(np.arange(3), 10))
    assert incremental_top1(outcome) == pytest.approx((0.9 + 0.75 + 19 / 30) / 3)
    assert last_top1(outcome) == pytest.approx(19 / 30)
    assert forgetting(outcome) == pytest.approx(0.15)


def test_leave_one_out_is_the_metric_on_the_other_images() -> None:
    outcome = results()
    expected = [incremental_top1(outcome.take(np.delete(np.arange(30), i))) for i in range(30)]
    leave_one_out = METRICS[0].leave_one_out
    assert leave_one_out is not None
    assert leave_one_out(outcome) == pytest.approx(expected)


def test_intervals_contain_the_value() -> None:
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, results(), 0)
        assert low is not None and high is not None and 0 <= low <= value <= high <= 1


def test_resampled_forgetting_has_the_distribution_of_a_bootstrap_over_images() -> None:
    """Within tasks. 2,000 draws: the standard error of a mean is .022 of the spread, and that of
    the spread 1.6 % of it; 4 of them for each of both.
    """
    outcome, metric = results(n=60), METRICS[2]
    assert metric.redrawn is not None
    drawn = metric.redrawn(outcome, np.random.default_rng(0), 2_000)
    slow = resampled(outcome, replace(metric, redrawn=None), 1, 2_000)
    assert drawn.mean() == pytest.approx(slow.mean(), abs=4 * 2**0.5 * 0.022 * slow.std())
    assert drawn.std() == pytest.approx(slow.std(), rel=4 * 2**0.5 * 0.016)


def test_undefined_without_images() -> None:
    empty = results().take(np.array([], np.int64))
    for metric in METRICS:
        with pytest.raises(UndefinedError, match="no test examples"):
            metric.function(empty)
    late = results().take(np.flatnonzero(results().task == 2))
    with pytest.raises(UndefinedError, match="no test images of the first task"):
        incremental_top1(late)
    with pytest.raises(UndefinedError, match="of a task before the last"):
        forgetting(late)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"right must have shape \(N, T\)"):
        IncrementalResults(np.zeros((3, 2), bool), np.zeros(2, np.int64))
