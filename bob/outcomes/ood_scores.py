"""The outcome of an out-of-distribution detector."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class OodScores(ArrayOutcome):
    """Detection scores of N images: the in-distribution test images, then those of another set."""

    score: Doubles
    """(N,), higher if the image is more like the train images. Only the order matters."""
    inside: Bools
    """(N,) whether the image is an in-distribution test image."""

    def __post_init__(self) -> None:
        if self.score.shape != self.inside.shape or self.score.ndim != 1:
            raise ValueError(
                "score and inside must both have shape (N,); "
                f"got {self.score.shape} and {self.inside.shape}."
            )
        if np.isnan(self.score).any():
            raise ValueError("scores must hold no NaN.")

    @classmethod
    def from_scores(cls, inside: NDArray[Any], outside: NDArray[Any]) -> "OodScores":
        """Return the outcome of scores (Q,) in distribution and scores (M,) out of distribution."""
        score = np.concatenate([inside, outside]).astype(np.float64)
        return cls(score, np.arange(len(score)) < len(inside))
