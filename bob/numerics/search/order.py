"""Order by float32 value, equal values by position, as one comparison of integers."""

import numpy as np

from bob.numerics.arrays import Floats, Ints


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


def _flipped(bits: np.typing.NDArray[np.int32]) -> np.typing.NDArray[np.int32]:
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
