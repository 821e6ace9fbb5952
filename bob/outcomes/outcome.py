"""What every outcome has: N per-example results that can be counted, resampled and stored."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


class Outcome(Protocol):
    """Per-example results of a protocol, from which every metric, interval and paired test is computed."""

    def __len__(self) -> int:
        """N: examples, queries or draws."""

    def take(self: "Self", positions: NDArray[Any]) -> "Self":
        """The outcome of the examples at `positions` (M,), int, repeats allowed."""

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """For storing, each with N rows or a single value."""


Self = TypeVar("Self", bound=Outcome)
