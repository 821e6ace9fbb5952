"""Accuracy against the number of classes, in expectation over all orders of the classes.

For a head whose score of a class depends on that class's train images alone, such as the nearest
class mean, classes that are added only join the competition. Of C classes, let r be the number
ranked before the true one. A random subset of K classes that contains the true one has none of the
r with probability

    P(K) = binom(C − 1 − r, K − 1) / binom(C − 1, K − 1),

so that every curve of class-incremental learning is known in expectation over all C! orders,
without draws. Derived here; the quantities are those of Zhou et al. 2023 (arXiv:2303.07338; code:
zhoudw-zdw/RevisitingCIL) and Janson et al. 2022 (arXiv:2210.04428).
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ClassSubsets


def subset_top1(outcome: ClassSubsets) -> float:
    """Return the expected accuracy among K random classes, averaged over the true classes.

    Range [0, 1]; 1 for K = 1, and the mean per-class accuracy for K = C.
    """
    return float(_class_means(outcome, _at_one_size(outcome)).mean())


def expected_incremental_top1(outcome: ClassSubsets) -> float:
    """Return the mean of `subset_top1` over the sizes: the average incremental accuracy.

    Range [0, 1].
    """
    return float(_class_means(outcome, _mean_over_sizes(outcome)).mean())


def expected_forgetting(outcome: ClassSubsets) -> float:
    """Return how much less accurate classes are at the last size than when they were added.

    The mean over sizes but the last of `subset_top1` there minus that at the last. Range [0, 1],
    lower is better; it is the loss by competition alone, since no class mean ever changes.
    """
    return float(_class_means(outcome, _lost(outcome)).mean())


def probability_of_first(rank: Ints, classes: int, size: int) -> Doubles:
    """Return P(size) (N,) for ranks (N,) among `classes`; see the module."""
    from scipy.special import gammaln  # 0.1 s that `list` and `--help` need not pay

    possible = rank <= classes - size
    r = np.where(possible, rank, 0).astype(np.float64)
    log_p = gammaln(classes - r) - gammaln(classes - r - size + 1)
    log_p -= gammaln(classes) - gammaln(classes - size + 1)
    return np.where(possible, np.exp(log_p), 0.0)


def _at_one_size(outcome: ClassSubsets) -> Doubles:
    if len(outcome.sizes) > 1:
        raise UndefinedError(
            f"subset_top1 needs a single number of classes; there are {len(outcome.sizes)}"
        )
    return _by_size(outcome)[:, 0]


def _mean_over_sizes(outcome: ClassSubsets) -> Doubles:
    return np.asarray(_by_size(outcome).mean(1))


def _lost(outcome: ClassSubsets) -> Doubles:
    if len(outcome.sizes) < 2:
        raise UndefinedError("forgetting needs at least two numbers of classes")
    by_size = _by_size(outcome)
    return np.asarray(by_size[:, :-1].mean(1) - by_size[:, -1])


def _by_size(outcome: ClassSubsets) -> Doubles:
    """Return P (N, S) of every image at every size."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    columns = [
        probability_of_first(outcome.rank, outcome.classes, size) for size in outcome.sizes.tolist()
    ]
    return np.stack(columns, axis=1)


def _class_means(outcome: ClassSubsets, values: Doubles) -> Doubles:
    """Return the means (K,) of values (N,) over the images of each class that occurs."""
    count = np.bincount(outcome.y)
    sums = np.bincount(outcome.y, weights=values)
    return sums[count > 0] / count[count > 0]


def _leave_one_out(outcome: ClassSubsets, values: Doubles) -> Doubles:
    """Return (N,) the mean over classes of class means, without each image."""
    count = np.bincount(outcome.y).astype(np.float64)
    sums = np.bincount(outcome.y, weights=values)
    means = np.divide(sums, count, out=np.zeros(len(count)), where=count > 0)
    n, present, y = count[outcome.y], (count > 0).sum(), outcome.y
    left = np.divide(sums[y] - values, n - 1, out=np.zeros(len(y)), where=n > 1)
    total = means.sum() - means[y] + left
    classes = present - (n == 1)
    mean: Doubles = np.divide(total, classes, out=np.full(len(y), np.nan), where=classes > 0)
    return mean


METRICS = (
    Metric(
        expected_incremental_top1,
        ClassSubsets,
        interval="jackknife",
        higher_is_better=True,
        summary="accuracy averaged over growing numbers of classes, expected over their orders",
        leave_one_out=lambda outcome: _leave_one_out(outcome, _mean_over_sizes(outcome)),
    ),
    Metric(
        expected_forgetting,
        ClassSubsets,
        interval="jackknife",
        higher_is_better=False,
        summary="accuracy lost to classes that are added later, expected over their orders",
        leave_one_out=lambda outcome: _leave_one_out(outcome, _lost(outcome)),
    ),
    Metric(
        subset_top1,
        ClassSubsets,
        interval="jackknife",
        higher_is_better=True,
        summary="accuracy among so many classes, expected over their choice",
        leave_one_out=lambda outcome: _leave_one_out(outcome, _at_one_size(outcome)),
    ),
)
