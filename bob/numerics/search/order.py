"""Order by float32 value, equal values by position, as one comparison of integers; ties."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Floats, Ints


def sort_keys(values: Floats, positions: Ints) -> Ints:
    """Return int64 keys that order as (value, position) does; positions lie in 0..2³² − 1.

    The upper half is the float's bits, with those of negative numbers flipped so that integers
    order as the floats do. Values must not hold −0.0, which would precede 0.0.
    """
    keys: Ints = _flipped(values.view(np.int32)).astype(np.int64) << 32 | positions
    return keys


def values_and_positions(keys: Ints) -> tuple[Floats, Ints]:
    """Return what `sort_keys` joined."""
    return _flipped((keys >> 32).astype(np.int32)).view(np.float32), keys & 0xFFFFFFFF


def tied_neighbours(values: NDArray[Any], widths: NDArray[Any]) -> Bools:
    """Return whether each value (..., w) in order is tied with the next one, (..., w − 1).

    Two are tied where they differ by no more than the larger of their `widths`.
    """
    wider = np.maximum(widths[..., :-1], widths[..., 1:])
    tied: Bools = np.abs(np.diff(values, axis=-1)) <= wider
    return tied


def _flipped(bits: np.typing.NDArray[np.int32]) -> np.typing.NDArray[np.int32]:
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
