"""The outcome of object discovery: how well one box fits an object of each image."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class DiscoveredBoxes(ArrayOutcome):
    """The box that is predicted in each of N images."""

    overlap: Doubles
    """(N,) its largest intersection over union with a true box of the image."""
