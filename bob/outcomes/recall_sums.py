"""The outcome of image-text retrieval in both directions together."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class RecallSums(ArrayOutcome):
    """Whether Q queries of both directions find a positive among the first 1, 5 and 10 items."""

    found: Doubles
    """(Q, 3) probability that a positive is among the first 1, 5 and 10: 1 or 0 without ties."""
    direction: Ints
    """(Q,) 0 for texts that look for their image, 1 for images that look for a text."""

    def __post_init__(self) -> None:
        if self.found.shape != (len(self.direction), 3):
            raise ValueError(
                "found must have shape (Q, 3) and direction (Q,); "
                f"got {self.found.shape} and {self.direction.shape}."
            )
