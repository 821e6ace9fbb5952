"""The outcome of a regression on numbers."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class RegressionResults(ArrayOutcome):
    """True and predicted numbers of N test images."""

    target: Doubles
    """(N,)"""
    predicted: Doubles
    """(N,)"""

    def __post_init__(self) -> None:
        if self.target.shape != self.predicted.shape or self.target.ndim != 1:
            raise ValueError(
                "target and predicted must both have shape (N,); "
                f"got {self.target.shape} and {self.predicted.shape}."
            )
