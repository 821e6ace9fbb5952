"""How many examples a paired test needs to detect a difference."""

from math import ceil, sqrt

from bob.statistics.limits import Z

Z_POWER = 0.8416212335729143
"""Quantile of the normal distribution at a power of 80 %."""


def discordant_examples_needed(only_a: int, only_b: int, n: int) -> int | None:
    """Return the number of examples at which a paired z-test tells two backbones apart.

    With this number the test has a power of 80 % at the level of 5 %, if the shares of examples
    that only one of the two has right are as observed, `only_a` and `only_b` of `n`. None if these
    are equal. The variance of a difference is (only_a + only_b) / n - d², with d = (only_a -
    only_b) / n (Connor 1987, doi:10.2307/2531961, without its correction of the null variance).
    """
    difference = (only_a - only_b) / n
    if difference == 0:
        return None
    variance = (only_a + only_b) / n - difference**2
    return max(1, ceil((Z + Z_POWER) ** 2 * variance / difference**2))


def examples_needed(low: float, high: float, n: int, difference: float) -> int:
    """Return the number of examples at which a paired z-test detects a difference.

    With this number the test has a power of 80 % at the level of 5 %. `low` and `high` are the
    95 % interval of a mean difference over `n` examples; `difference` is the one to detect, in the
    same unit. Source: n = ((z_0.975 + z_0.8) s / d)², with s the standard deviation of the
    differences.
    """
    deviation = (high - low) / (2 * Z) * sqrt(n)
    return ceil(((Z + Z_POWER) * deviation / abs(difference)) ** 2)
