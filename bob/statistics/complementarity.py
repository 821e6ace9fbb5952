"""What two classifiers get right together, from their correctness on the same examples.

Cohen's κ of their correctness is the error consistency of Geirhos et al. 2020 (arXiv:2006.16736);
rescues and the oracle are those of Roth et al. 2024 (arXiv:2310.17653) and Gontijo-Lopes et al.
2022 (arXiv:2110.12899). An oracle that knew which of both to trust gains something over the better
one with nearly every partner, even with a baseline: it bounds what a fusion can gain.
"""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Doubles
from bob.statistics.limits import Z, clip_limits, wilson

Limits = tuple[float, float]


@dataclass(frozen=True)
class Complementarity:
    """The numbers of examples that two classifiers a and b get right."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def oracle_gain(self) -> float:
        """Share right by either, minus that of the better one: min(only a, only b) / n."""
        return min(self.only_a, self.only_b) / self.n

    @property
    def oracle_gain_limits(self) -> Limits:
        """95 % limits (Wilson's), for a better classifier that is known beforehand."""
        limits = _share_limits(min(self.only_a, self.only_b), self.n)
        assert limits is not None  # there is an example
        return limits

    @property
    def one_right(self) -> float:
        """Share of examples that exactly one of both gets right."""
        return (self.only_a + self.only_b) / self.n

    @property
    def one_right_limits(self) -> Limits:
        """95 % limits (Wilson's)."""
        limits = _share_limits(self.only_a + self.only_b, self.n)
        assert limits is not None  # there is an example
        return limits

    @property
    def rescued_by_a(self) -> float | None:
        """Share of b's errors that a gets right; None without errors."""
        wrong = self.only_a + self.neither
        return self.only_a / wrong if wrong else None

    @property
    def rescued_by_a_limits(self) -> Limits | None:
        """95 % limits (Wilson's, over b's errors); None without errors."""
        return _share_limits(self.only_a, self.only_a + self.neither)

    @property
    def rescued_by_b(self) -> float | None:
        """Share of a's errors that b gets right; None without errors."""
        wrong = self.only_b + self.neither
        return self.only_b / wrong if wrong else None

    @property
    def rescued_by_b_limits(self) -> Limits | None:
        """95 % limits (Wilson's, over a's errors); None without errors."""
        return _share_limits(self.only_b, self.only_b + self.neither)

    @property
    def kappa(self) -> float | None:
        """Error consistency: 1 with the same errors, 0 with independent ones.

        None where one of both is right, or wrong, on every example as the other.
        """
        return _kappa(self.both, self.only_a, self.only_b, self.neither)

    @property
    def kappa_limits(self) -> Limits | None:
        """95 % limits by the jackknife over examples.

        None where κ is undefined without one, and where one of both is right, or wrong, on every
        example, so that κ is 0 whatever the other is.
        """
        counts = (self.both, self.only_a, self.only_b, self.neither)
        kappa, n = self.kappa, self.n
        if {self.both + self.only_a, self.both + self.only_b} & {0, n}:
            return None
        values, weights = [], []
        for i, count in enumerate(counts):
            if count:
                fewer = [other - (i == j) for j, other in enumerate(counts)]
                value = _kappa(*fewer) if n > 1 else None
                if value is None:
                    return None
                values.append(value)
                weights.append(count)
        if kappa is None:
            return None
        mean = float(np.average(values, weights=weights))
        squares = sum(w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True))
        reach = Z * float(np.sqrt((n - 1) / n * squares))
        return clip_limits(kappa, (kappa - reach, kappa + reach), -1, 1)


def complementarity(a: Doubles, b: Doubles) -> Complementarity | None:
    """Return the counts of per-example values (N,) of 0 and 1; None where they are others."""
    if len(a) != len(b) or not len(a):
        return None
    if not all(((values == 0) | (values == 1)).all() for values in (a, b)):
        return None
    both = int((a * b).sum())
    only_a, only_b = int(a.sum()) - both, int(b.sum()) - both
    return Complementarity(both, only_a, only_b, len(a) - both - only_a - only_b)


def _share_limits(count: int, n: int) -> Limits | None:
    """Return Wilson's 95 % limits of count / n; None where n is 0."""
    return clip_limits(count / n, wilson(float(count), float(n)), 0, 1) if n else None


def _kappa(both: int, only_a: int, only_b: int, neither: int) -> float | None:
    """Return (observed − expected agreement) / (1 − expected); None where this is 0 / 0."""
    n = both + only_a + only_b + neither
    observed = (both + neither) / n
    a, b = (both + only_a) / n, (both + only_b) / n
    expected = a * b + (1 - a) * (1 - b)
    return None if expected == 1 else (observed - expected) / (1 - expected)
