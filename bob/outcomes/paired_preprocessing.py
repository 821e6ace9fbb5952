"""The outcome of one classifier on the same images, prepared in two ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PairedPreprocessing:
    """Per-image results on N test images."""

    own: NDArray[np.bool_]
    """(N,) whether it is right as the backbone itself would have it."""
    other: NDArray[np.bool_]
    """(N,) whether it is right in the other way."""

    def __post_init__(self) -> None:
        if self.own.ndim != 1 or self.own.shape != self.other.shape:
            raise ValueError(
                f"own and other must both have shape (N,); got {self.own.shape} and {self.other.shape}."
            )

    def __len__(self) -> int:
        return len(self.own)

    def take(self, positions: NDArray[Any]) -> "PairedPreprocessing":
        """The outcome of the images at `positions` (M,), int, repeats allowed."""
        return PairedPreprocessing(self.own[positions], self.other[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"own": self.own, "other": self.other}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "PairedPreprocessing":
        """From what `to_arrays` gave."""
        return cls(arrays["own"], arrays["other"])
