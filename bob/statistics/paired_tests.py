"""Is one backbone better than another on the same examples? Paired tests and intervals of the difference.

All take values (R, N): what each of R backbones got on each of N examples (queries, draws), in the same order, so that a metric is a row's mean.
A test of every pair comes as a matrix (R, R) of two-sided p-values; copies of one backbone have p = 1.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, stdtr, stdtrit

from bob.statistics.aggregate import Floats
from bob.statistics.limits import clip_limits, paired_shares

FLIPS = 9_999
"""Random sign vectors of the permutation test; the smallest p is 1e-4, small enough for Holm over hundreds."""
EXACT = 13
"""Up to this many examples, all 2^N sign vectors are counted instead."""
MANY = 2_000
"""From more examples on, the mean of flipped differences is taken for normal; its variance is known exactly."""
BLOCK = 1_000
"""Sign vectors held at once: 16 MB at MANY examples."""
PairedTest = Literal["mcnemar", "sign_flip", "t", "bootstrap"]


class PairedDifference(NamedTuple):
    """First minus second on the same examples."""

    value: float
    low: float | None
    high: float | None
    """The 95 % interval; None for a single example."""
    p: float
    n: int
    test: PairedTest


def choose_test(values: Floats, draws: bool) -> PairedTest:
    """Which test values (R, N) call for: exact McNemar for right or wrong, Student's t over `draws`, sign flips for any other values."""
    if draws:
        return "t"
    return "mcnemar" if np.isin(values, (0.0, 1.0)).all() else "sign_flip"


def p_values(values: Floats, test: PairedTest, seed: int = 0) -> Floats:
    """(R, R) two-sided p-values of every pair by `test`."""
    if test == "mcnemar":
        return mcnemar(values)
    return t_tests(values) if test == "t" else sign_flips(values, seed)


def compare_paired(a: Floats, b: Floats, draws: bool = False, seed: int = 0) -> PairedDifference:
    """a minus b, both (N,), with its 95 % interval and p-value."""
    values = np.stack([a, b])
    test = choose_test(values, draws)
    low, high = (
        clip_limits(float((a - b).mean()), paired_shares((a > b).sum(), (b > a).sum(), len(a)), -1, 1)
        if test == "mcnemar"
        else mean_limits(a - b)
    )
    return PairedDifference(
        float((a - b).mean()), low, high, float(p_values(values, test, seed)[0, 1]), len(a), test
    )


def mcnemar(right: Floats) -> Floats:
    """Exact McNemar test (1947) of right (R, N), 1 or 0: of the examples that only one of the two has right, each has half by chance.

    Two-sided as twice the smaller tail of Binomial(n, 1/2), at most 1: what scipy's binomtest gives, since the distribution is symmetric.
    """
    counts = right.astype(np.float32)
    both = np.rint((counts @ counts.T).astype(np.float64))
    only = np.diag(both)[:, None] - both
    p: Floats = np.minimum(
        1.0, 2 * bdtr(np.minimum(only, only.T), (only + only.T).astype(np.int64), 0.5)
    )
    return p


def sign_flips(values: Floats, seed: int = 0) -> Floats:
    """Permutation test of the mean difference: were two backbones alike, each example's difference could as well have the other sign.

    p is the share of sign vectors whose mean is at least as far from 0 as the one seen: of all for up to EXACT examples, else of FLIPS random
    ones and the one seen. The same vectors serve every pair, as sums over flipped differences are differences of flipped sums. For more than
    MANY examples the flipped mean is normal with variance sum d² / N².
    """
    n = values.shape[1]
    if n > MANY:
        return _normal_flips(values)
    sums = values.sum(1)
    flipped = np.concatenate([signs @ values.T for signs in _signs(n, seed)])
    out = np.ones((len(values),) * 2)
    for i in range(len(out)):
        seen = np.abs(sums[i] - sums)
        extreme = (np.abs(flipped[:, [i]] - flipped) >= seen - 1e-9 * np.maximum(1, seen)).sum(0)
        out[i] = extreme / len(flipped) if n <= EXACT else (extreme + 1) / (len(flipped) + 1)
    return out


def _signs(n: int, seed: int) -> Iterator[NDArray[Any]]:
    """Vectors of n signs, some at a time: all 2^n for a small n, else FLIPS random ones."""
    if n <= EXACT:
        yield 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, FLIPS, BLOCK):
        yield 1.0 - 2.0 * rng.integers(0, 2, size=(min(BLOCK, FLIPS - start), n), dtype=np.int8)


def _normal_flips(values: Floats) -> Floats:
    gap = values.sum(1)[:, None] - values.sum(1)
    square = (values**2).sum(1)
    spread = np.sqrt(np.maximum(0.0, square[:, None] + square - 2 * values @ values.T))
    return np.where(
        np.abs(gap) > 0, 2 * ndtr(-np.abs(gap) / np.maximum(spread, np.finfo(float).tiny)), 1.0
    )


def t_tests(values: Floats) -> Floats:
    """Paired t-test of every pair, for few draws (seeds, episodes) whose mean is near normal. A single draw decides nothing: p = 1."""
    out = np.ones((len(values),) * 2)
    n = values.shape[1]
    if n < 2:
        return out
    for i in range(len(out)):
        gap = values[i] - values
        mean, error = gap.mean(1), gap.std(1, ddof=1) / np.sqrt(n)
        told = np.abs(mean) > 0
        out[i, told] = 2 * stdtr(
            n - 1, -np.abs(mean[told]) / np.maximum(error[told], np.finfo(float).tiny)
        )
    return out


def mean_limits(gap: Floats) -> tuple[float, float] | tuple[None, None]:
    """Student's t limits of the mean of gap (N,)."""
    if len(gap) < 2:
        return None, None
    mean, reach = (
        float(gap.mean()),
        float(stdtrit(len(gap) - 1, 0.975) * gap.std(ddof=1) / np.sqrt(len(gap))),
    )
    return mean - reach, mean + reach
