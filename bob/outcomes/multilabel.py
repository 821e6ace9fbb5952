"""The outcome of a classifier on images of which each can have several classes, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MultilabelPredictions:
    """Per-image results on N test images of C classes."""

    scores: NDArray[np.float32]
    """(N, C) the higher, the more the class is there; compared within a class, over images."""
    labels: NDArray[np.bool_]
    """(N, C) which classes are there."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape != self.labels.shape:
            raise ValueError(
                f"scores and labels must both have shape (N, C); got {self.scores.shape} and {self.labels.shape}."
            )

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, positions: NDArray[Any]) -> "MultilabelPredictions":
        """The outcome of the images at `positions` (M,), int, repeats allowed."""
        return MultilabelPredictions(self.scores[positions], self.labels[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"scores": self.scores, "labels": self.labels}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "MultilabelPredictions":
        """From what `to_arrays` gave."""
        return cls(arrays["scores"], arrays["labels"])
