"""The outcome of one classifier on the same images, clean and under several corruptions."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bob.numerics.arrays import Bools
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class CorruptionResults(ArrayOutcome):
    """Correctness of the predictions on N images, clean and under K conditions.

    A condition is a corruption at a severity.
    """

    clean: Bools
    """(N,) whether the prediction for the clean image is right."""
    right: Bools
    """(N, K) whether the prediction under each condition is right."""

    def __post_init__(self) -> None:
        if (
            self.right.ndim != 2
            or self.clean.shape != self.right.shape[:1]
            or not self.right.shape[1]
        ):
            raise ValueError(
                "clean must have shape (N,) and right (N, K), K at least 1; "
                f"got {self.clean.shape} and {self.right.shape}."
            )

    def under(self, conditions: NDArray[Any]) -> "CorruptionResults":
        """Return the outcome under the conditions that the mask (K,), bool, selects."""
        return CorruptionResults(self.clean, self.right[:, conditions])
