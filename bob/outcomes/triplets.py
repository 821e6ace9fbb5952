"""The outcome of triplets: which of two images is the more similar to a third."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class TripletChoices(ArrayOutcome):
    """How N choices between two images agree with those of people."""

    agreement: Doubles
    """(N,) 1 where the image that people chose is the more similar one, 0 where the other is, and
    0.5 where both are equally similar."""
