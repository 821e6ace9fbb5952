"""The outcome of a classifier that answers only where it is confident."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles


@dataclass(frozen=True, eq=False)
class SelectivePredictions:
    """Correctness and confidence of N predictions, of which the most confident share counts."""

    right: Bools
    """(N,) whether the prediction is right."""
    confidence: Doubles
    """(N,) the higher, the sooner the image is answered. Only the order matters."""
    coverage: float
    """Share of the images that is answered, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.right.shape != self.confidence.shape or self.right.ndim != 1:
            raise ValueError(
                "right and confidence must both have shape (N,); "
                f"got {self.right.shape} and {self.confidence.shape}."
            )
        if not 0 < self.coverage <= 1:
            raise ValueError(f"coverage must lie in (0, 1]; got {self.coverage!r}.")

    def __len__(self) -> int:
        return len(self.right)

    def take(self, positions: NDArray[Any]) -> "SelectivePredictions":
        """Return the outcome of the images at `positions` (M,), int; repeats are allowed."""
        return SelectivePredictions(
            self.right[positions], self.confidence[positions], self.coverage
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {
            "right": self.right,
            "confidence": self.confidence,
            "coverage": np.asarray(self.coverage),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "SelectivePredictions":
        """Return the outcome that `to_arrays` stored."""
        return cls(arrays["right"], arrays["confidence"], float(arrays["coverage"].item()))
