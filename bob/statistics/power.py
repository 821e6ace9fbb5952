"""How many examples a paired test needs to detect a difference."""

from math import ceil, sqrt

from bob.statistics.limits import Z

Z_POWER = 0.8416212335729143
"""Quantile of the normal distribution at a power of 80 %."""


def examples_needed(low: float, high: float, n: int, difference: float) -> int:
    """Return the number of examples at which a paired z-test detects a difference.

    With this number the test has a power of 80 % at the level of 5 %. `low` and `high` are the
    95 % interval of a mean difference over `n` examples; `difference` is the one to detect, in the
    same unit. Source: n = ((z_0.975 + z_0.8) s / d)², with s the standard deviation of the
    differences.
    """
    deviation = (high - low) / (2 * Z) * sqrt(n)
    return ceil(((Z + Z_POWER) * deviation / abs(difference)) ** 2)
