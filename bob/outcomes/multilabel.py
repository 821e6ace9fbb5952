"""The outcome of a classifier on images that can have several classes, or none."""

from dataclasses import dataclass

from bob.numerics.arrays import Bools, Doubles, Floats
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class MultilabelPredictions(ArrayOutcome):
    """Scores and labels of N test images and C classes."""

    scores: Floats | Doubles
    """(N, C), higher if the class is more likely present; compared across images of one class."""
    labels: Bools
    """(N, C) whether the class is present."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape != self.labels.shape:
            raise ValueError(
                "scores and labels must both have shape (N, C); "
                f"got {self.scores.shape} and {self.labels.shape}."
            )
