"""Metrics of class-incremental learning, as in PILOT (Sun et al. 2023, arXiv:2309.07117).

A[t] is the accuracy after task t on the test images of all classes seen, every image counting
equally; R[t, j] that on the classes of task j. (RanPAC's code prints the mean of the accuracies of
the tasks in place of A.)
"""

from collections.abc import Iterator

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles
from bob.outcomes import IncrementalResults


def incremental_top1(outcome: IncrementalResults) -> float:
    """Return the mean over tasks of A[t]: the average incremental accuracy.

    Range [0, 1].
    """
    right, count = _sums(outcome)
    return float((right / count).mean())


def last_top1(outcome: IncrementalResults) -> float:
    """Return A[T], the accuracy after the last task.

    Range [0, 1].
    """
    _require_examples(outcome)
    return float(outcome.right[:, -1].mean())


def forgetting(outcome: IncrementalResults) -> float:
    """Return the mean over tasks j < T of max over t ≥ j of R[t, j], minus R[T, j].

    Range [0, 1], lower is better; undefined for a single task. As PILOT's: the maximum includes the
    last task, and the last task is left out of the mean.
    """
    _require_examples(outcome)
    lost = [of_task.mean(0).max() - of_task[:, -1].mean() for of_task in _earlier_tasks(outcome)]
    if not lost:
        raise UndefinedError("forgetting needs test images of a task before the last")
    return float(np.mean(lost))


def _earlier_tasks(outcome: IncrementalResults) -> Iterator[Bools]:
    """Yield for each task j < T with images whether they are right (n, T − j) from then on."""
    for j in range(outcome.right.shape[1] - 1):
        of_task = outcome.right[outcome.task == j, j:]
        if len(of_task):
            yield of_task


def _redrawn_forgetting(
    outcome: IncrementalResults, rng: np.random.Generator, draws: int
) -> Doubles:
    """Return (draws,) values of `forgetting` with the images of each task resampled.

    Images that are right after the same tasks are alike, so that their number is drawn.
    """
    lost = []
    for of_task in _earlier_tasks(outcome):
        kinds, count = np.unique(of_task, axis=0, return_counts=True)
        n = len(of_task)
        accuracy = rng.multinomial(n, count / n, size=draws) @ kinds.astype(np.float64) / n
        lost.append(accuracy.max(1) - accuracy[:, -1])
    return np.mean(lost, axis=0) if lost else np.full(draws, np.nan)


def _require_examples(outcome: IncrementalResults) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


def _seen(outcome: IncrementalResults) -> Bools:
    """Return (N, T) whether the image's class is seen by then."""
    seen: Bools = outcome.task[:, None] <= np.arange(outcome.right.shape[1])
    return seen


def _sums(outcome: IncrementalResults) -> tuple[Doubles, Doubles]:
    """Return right predictions (T,) and images (T,) of the classes seen after each task."""
    _require_examples(outcome)
    seen = _seen(outcome)
    count = seen.sum(0).astype(np.float64)
    if (count == 0).any():
        raise UndefinedError("there are no test images of the first task")
    return (outcome.right & seen).sum(0).astype(np.float64), count


def _incremental_leave_one_out(outcome: IncrementalResults) -> Doubles:
    """Return (N,) `incremental_top1` without each image; NaN where a task has no other image."""
    right, count = _sums(outcome)
    seen = _seen(outcome)
    hits, left = right - (outcome.right & seen), count - seen
    shares: Doubles = np.divide(hits, left, out=np.full(hits.shape, np.nan), where=left > 0)
    return np.asarray(shares.mean(1))


METRICS = (
    Metric(
        incremental_top1,
        IncrementalResults,
        interval="jackknife",
        higher_is_better=True,
        summary="accuracy on the classes seen so far, averaged over tasks",
        leave_one_out=_incremental_leave_one_out,
    ),
    Metric(
        last_top1,
        IncrementalResults,
        interval="wilson",
        higher_is_better=True,
        summary="accuracy on all classes after the last task",
        per_example=lambda outcome: outcome.right[:, -1].astype(np.float64),
    ),
    Metric(
        forgetting,
        IncrementalResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="accuracy on a task's classes at its best minus that after the last task",
        strata=lambda outcome: outcome.task,
        redrawn=_redrawn_forgetting,
        biased=True,
    ),
)
