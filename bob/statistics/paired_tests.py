"""Paired tests of backbones on the same examples, and intervals of their differences.

All functions take values (R, N) of R backbones on N examples (queries, draws) in the same order, so
that a metric is the mean of a row. A test of all pairs returns a matrix (R, R) of two-sided
p-values; two copies of one backbone have p = 1.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, stdtr

from bob.numerics.arrays import Doubles
from bob.statistics.limits import clip_limits, paired_shares, student
from bob.statistics.rounding import ROUNDING

FLIPS = 9_999
"""Random sign vectors of the permutation test.

The smallest p-value is 1e-4, small enough for Holm over hundreds of comparisons.
"""

EXACT = 13
"""Up to this many examples, all 2^N sign vectors are enumerated instead."""

MANY = 2_000
"""For more examples, the mean of flipped differences is taken as normal, with exact variance."""

BLOCK = 1_000
"""Sign vectors in memory at once: 16 MB at MANY examples."""

CANCELLED = 1e-6
"""Squared distance, relative to the squares that it is a difference of, with digits to spare."""

PairedTest = Literal["mcnemar", "sign_flip", "t", "jackknife", "bootstrap"]
"""The last two are normal tests of values that a jackknife or a bootstrap made."""


class PairedDifference(NamedTuple):
    """The first backbone minus the second on the same N examples."""

    value: float
    low: float | None
    high: float | None
    """The 95 % interval; None for a single example."""
    p: float
    n: int
    test: PairedTest


def choose_test(values: Doubles, draws: bool) -> PairedTest:
    """Return the test that suits values (R, N).

    Student's t for `draws`, the exact McNemar test for zeros and ones, sign flips for other values.
    """
    if draws:
        return "t"
    return "mcnemar" if np.isin(values, (0.0, 1.0)).all() else "sign_flip"


def p_values(values: Doubles, test: PairedTest, seed: int = 0) -> Doubles:
    """Return (R, R) two-sided p-values of all pairs by `test`."""
    if test == "mcnemar":
        return mcnemar(values)
    if test == "t":
        return t_tests(values)
    return sign_flips(values, seed) if test == "sign_flip" else normal_flips(values)


def compare_paired(
    a: Doubles, b: Doubles, test: PairedTest | None = None, p: float | None = None
) -> PairedDifference:
    """Return a minus b, both (N,), with its 95 % interval and its p-value.

    The test is chosen by the values, and the p-value computed, where they are not given.
    """
    values = np.stack([a, b])
    test = test or choose_test(values, draws=False)
    gap = float((a - b).mean())
    low, high = (
        clip_limits(gap, paired_shares((a > b).sum(), (b > a).sum(), len(a)), -1, 1)
        if test == "mcnemar"
        else mean_limits(a - b)
    )
    p = float(p_values(values, test)[0, 1]) if p is None else p
    return PairedDifference(gap, low, high, p, len(a), test)


def pairwise_limits(values: Doubles, test: PairedTest) -> tuple[Doubles, Doubles]:
    """Return the 95 % limits (P,) of the differences of all pairs of values (R, N).

    The pairs (i, j) are those of i < j, row by row, and each difference is i minus j. The limits
    are those of `compare_paired`; NaN for a single example.
    """
    first, second = np.triu_indices(len(values), 1)
    if test != "mcnemar":
        limits = [mean_limits(values[i] - values[j]) for i, j in zip(first, second, strict=True)]
        low, high = np.array(limits, np.float64).reshape(-1, 2).T
        return low, high
    n, right = values.shape[1], values.sum(1)
    both = (values @ values.T)[first, second]
    gap = (right[first] - right[second]) / n
    low, high = paired_shares(right[first] - both, right[second] - both, n)
    return np.clip(low, -1, gap), np.clip(high, gap, 1)


def mcnemar(right: Doubles) -> Doubles:
    """Return (R, R) p-values of the exact McNemar test (1947); right (R, N) is 1 or 0.

    Under the null hypothesis, each example that only one of the two has right is a fair coin flip.
    Two-sided as twice the smaller tail of Binomial(n, 1/2), at most 1, which equals scipy's
    `binomtest` since the distribution is symmetric.
    """
    counts = right.astype(np.float32)
    both = np.rint((counts @ counts.T).astype(np.float64))
    only = np.diag(both)[:, None] - both
    first, second = pairs = np.triu_indices(len(only), 1)  # the tail is slow: once per pair
    fewer, more = only[pairs], only[second, first]
    p = np.ones(only.shape)
    p[pairs] = np.minimum(
        1.0, 2 * bdtr(np.minimum(fewer, more), (fewer + more).astype(np.int64), 0.5)
    )
    p[second, first] = p[pairs]
    return p


def sign_flips(values: Doubles, seed: int = 0) -> Doubles:
    """Return (R, R) p-values of the permutation test of the mean difference.

    If two backbones were alike, the difference on each example could as well have the other sign. p
    is the share of sign vectors whose mean is at least as far from 0 as the observed one: among all
    vectors for up to EXACT examples, otherwise among FLIPS random vectors and the observed one. All
    pairs use the same vectors, since sums over flipped differences are differences of flipped sums.
    For more than MANY examples the flipped mean is normal with variance sum d² / N².
    """
    n = values.shape[1]
    if n > MANY:
        return normal_flips(values)
    sums, rounding = values.sum(1), _rounding_of_sums(values)
    flipped = np.concatenate([signs @ values.T for signs in _signs(n, seed)])
    p = np.ones((len(values),) * 2)
    for i in range(len(p)):
        observed = np.abs(sums[i] - sums)
        extreme = (np.abs(flipped[:, [i]] - flipped) >= observed - rounding[i]).sum(0)
        p[i] = extreme / len(flipped) if n <= EXACT else (extreme + 1) / (len(flipped) + 1)
    return p


def _signs(n: int, seed: int) -> Iterator[NDArray[Any]]:
    """Yield blocks of sign vectors (block, n): all 2^n for a small n, else FLIPS random ones."""
    if n <= EXACT:
        yield 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, FLIPS, BLOCK):
        yield 1.0 - 2.0 * rng.integers(0, 2, size=(min(BLOCK, FLIPS - start), n), dtype=np.int8)


def normal_flips(values: Doubles) -> Doubles:
    """Return (R, R) p-values of normal mean differences, with the variance of `sign_flips`.

    The variance is sum d² / N²: with few examples, no difference is significant.
    """
    gap = np.abs(values.sum(1)[:, None] - values.sum(1))
    spread = np.sqrt(squared_distances(values))
    return np.where(
        gap > _rounding_of_sums(values),
        2 * ndtr(-gap / np.maximum(spread, np.finfo(float).tiny)),
        1.0,
    )


def squared_distances(values: Doubles) -> Doubles:
    """Return (R, R) the sums over examples of the squared differences of values (R, N).

    They are differences of squares, except where these are nearly equal and would cancel.
    """
    products = values @ values.T
    squares = np.diag(products)
    largest = np.maximum(squares[:, None], squares)
    distances = squares[:, None] + squares - 2 * products
    for i, j in np.argwhere(np.triu(distances <= CANCELLED * largest, 1)):
        distances[i, j] = distances[j, i] = np.square(values[i] - values[j]).sum()
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances)


def _rounding_of_sums(values: Doubles) -> Doubles:
    """Return (R, R) the largest difference of two sums over examples that is rounding alone."""
    size = np.abs(values).sum(1)
    return np.asarray(ROUNDING * (size[:, None] + size))


def t_tests(values: Doubles) -> Doubles:
    """Return (R, R) p-values of the paired t-test.

    For few draws (seeds, episodes), whose mean is nearly normal. A single draw gives p = 1.
    """
    p = np.ones((len(values),) * 2)
    n = values.shape[1]
    if n < 2:
        return p
    rounding = _rounding_of_sums(values) / n
    for i in range(len(p)):
        gap = values[i] - values
        mean, error = gap.mean(1), gap.std(1, ddof=1) / np.sqrt(n)
        unequal = np.abs(mean) > rounding[i]
        p[i, unequal] = 2 * stdtr(
            n - 1, -np.abs(mean[unequal]) / np.maximum(error[unequal], np.finfo(float).tiny)
        )
    return p


def mean_limits(gap: Doubles) -> tuple[float, float] | tuple[None, None]:
    """Return Student's t limits of the mean of gap (N,); None for a single value."""
    if len(gap) < 2:
        return None, None
    low, high = student(gap)
    return float(low), float(high)
