"""The outcome of a detector: how much each image looks like those that were trained on, and whether it is one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class OodScores:
    """Per-image results of out-of-distribution detection on N images: the in-distribution test images, then those of another set."""

    score: NDArray[np.float64]
    """(N,) higher is more like the train images. Only the order counts."""
    inside: NDArray[np.bool_]
    """(N,) whether it is an in-distribution test image."""

    def __post_init__(self) -> None:
        if self.score.shape != self.inside.shape or self.score.ndim != 1:
            raise ValueError(
                f"score and inside must both have shape (N,); got {self.score.shape} and {self.inside.shape}."
            )
        if np.isnan(self.score).any():
            raise ValueError("scores must hold no NaN.")

    @classmethod
    def from_scores(cls, inside: NDArray[Any], outside: NDArray[Any]) -> "OodScores":
        """From scores (Q,) of in-distribution images and scores (M,) of others."""
        score = np.concatenate([inside, outside]).astype(np.float64)
        return cls(score, np.arange(len(score)) < len(inside))

    def __len__(self) -> int:
        return len(self.score)

    def take(self, positions: NDArray[Any]) -> "OodScores":
        """The outcome of the images at `positions` (M,), int, repeats allowed."""
        return OodScores(self.score[positions], self.inside[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"score": self.score, "inside": self.inside}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "OodScores":
        """From what `to_arrays` gave."""
        return cls(arrays["score"], arrays["inside"])
