"""The outcome of one classifier on the same images under two kinds of preprocessing."""

from dataclasses import dataclass

from bob.numerics.arrays import Bools
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class PairedPreprocessing(ArrayOutcome):
    """Correctness of the predictions on N test images under both kinds of preprocessing."""

    own: Bools
    """(N,) whether the prediction is right with the backbone's own preprocessing."""
    other: Bools
    """(N,) whether the prediction is right with the other preprocessing."""

    def __post_init__(self) -> None:
        if self.own.ndim != 1 or self.own.shape != self.other.shape:
            raise ValueError(
                "own and other must both have shape (N,); "
                f"got {self.own.shape} and {self.other.shape}."
            )
