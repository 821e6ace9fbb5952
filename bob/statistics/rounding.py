"""Numbers that are equal but for the rounding of float64.

Sums of the same numbers in another order differ in their last digits: the mean of the class
accuracies 0.1, 0.2 and 0.3 is not that of 0.3, 0.2 and 0.1. Nothing may be ranked, tested or
bounded by such a difference.
"""

from typing import Any

import numpy as np

from bob.numerics.arrays import Doubles

ROUNDING = 1e-12
"""Share of the largest number below which a difference is rounding."""


def tolerance(values: Doubles, axis: int | None = None) -> Any:
    """Return the largest difference of values, along an axis, that is rounding alone."""
    return ROUNDING * np.abs(values).max(axis)


def are_equal(values: Doubles) -> bool:
    """Return whether all values (N,), N > 0, are equal but for rounding."""
    return bool(np.ptp(values) <= tolerance(values))
