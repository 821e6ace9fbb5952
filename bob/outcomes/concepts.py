"""The outcome of a classifier whose classes occur more or less often, in a corpus or in train."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class ConceptResults(ArrayOutcome):
    """Accuracy of C classes with test images, and how often each occurs in a corpus or in train.

    Its examples are the classes: intervals are over other classes of this kind.
    """

    accuracy: Doubles
    """(C,) share of right predictions."""
    count: Ints
    """(C,) occurrences."""

    def __post_init__(self) -> None:
        if self.accuracy.shape != self.count.shape or self.count.ndim != 1:
            raise ValueError(
                "accuracy and count must have shape (C,); "
                f"got {self.accuracy.shape} and {self.count.shape}."
            )
