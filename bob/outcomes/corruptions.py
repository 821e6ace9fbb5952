"""The outcome of one classifier on the same images as they are and corrupted in several ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CorruptionResults:
    """Per-image results on N images under K conditions."""

    clean: NDArray[np.bool_]
    """(N,) whether the image as it is was classified right."""
    right: NDArray[np.bool_]
    """(N, K) whether it was under each corruption and severity."""

    def __post_init__(self) -> None:
        if (
            self.right.ndim != 2
            or self.clean.shape != self.right.shape[:1]
            or not self.right.shape[1]
        ):
            raise ValueError(
                f"clean must have shape (N,) and right (N, K), K at least 1; got {self.clean.shape} and {self.right.shape}."
            )

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, positions: NDArray[Any]) -> "CorruptionResults":
        """The outcome of the images at `positions` (M,), int, repeats allowed: an image goes with all its corruptions."""
        return CorruptionResults(self.clean[positions], self.right[positions])

    def under(self, conditions: NDArray[Any]) -> "CorruptionResults":
        """The outcome under some of the conditions, (K,) bool."""
        return CorruptionResults(self.clean, self.right[:, conditions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"clean": self.clean, "right": self.right}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "CorruptionResults":
        """From what `to_arrays` gave."""
        return cls(arrays["clean"], arrays["right"])
