"""Powers of two by which features are divided where their squares would leave float32's range.

Division by a power of two is exact, so that no digit of a result depends on it.
"""

from math import frexp, ldexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDINARY = (2.0**-33, 2.0**33)
"""Largest absolute values that need no division, about 1e-10 to 1e10: float32 holds their squares,
and those of numbers that are 1e-9 as large."""


def power_of_two(size: float) -> float:
    """Return the largest power of two that is not above `size`; 1 for a size of 0."""
    return ldexp(1.0, frexp(size)[1] - 1) if size > 0 else 1.0


def largest(*arrays: NDArray[Any]) -> float:
    """Return the largest absolute value in any of the arrays, without a copy of them."""
    return max(
        (max(float(array.max()), -float(array.min())) for array in arrays if array.size),
        default=0.0,
    )


def common_scale(*arrays: NDArray[Any]) -> float:
    """Return 1 for features of an ordinary size, else a power of two near their largest value."""
    size = largest(*arrays)
    return 1.0 if ORDINARY[0] <= size <= ORDINARY[1] else power_of_two(size)


def divided(rows: NDArray[Any], scale: float) -> NDArray[Any]:
    """Return rows divided by a power of two, in their dtype; the rows themselves for 1."""
    if scale == 1:
        return rows
    exponent = 1 - frexp(scale)[1]
    limits = np.finfo(rows.dtype)
    quotient: NDArray[Any]
    if limits.minexp <= exponent < limits.maxexp:
        quotient = rows * rows.dtype.type(ldexp(1.0, exponent))  # as exact, and faster
    else:
        quotient = np.ldexp(rows, exponent)
    return quotient
