"""The outcome of a classifier with all its probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class ClassProbabilities(ArrayOutcome):
    """Probabilities of C classes for N test images."""

    y: Ints
    """(N,) the true class."""
    probabilities: Doubles
    """(N, C), each row summing to 1."""

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or self.y.shape != self.probabilities.shape[:1]:
            raise ValueError(
                "y must have shape (N,) and probabilities (N, C); "
                f"got {self.y.shape} and {self.probabilities.shape}."
            )

    @classmethod
    def from_logits(cls, logits: NDArray[Any], y: NDArray[Any]) -> "ClassProbabilities":
        """Return the outcome of the softmax of logits (N, C), in float64."""
        from scipy.special import softmax  # 0.1 s that `list` and `--help` need not pay

        return cls(y.astype(np.int64), softmax(logits.astype(np.float64), axis=1))
