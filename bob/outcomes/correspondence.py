"""The outcome of correspondence: points of each pair of images that are found."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class PairHits(ArrayOutcome):
    """Points that are found in the target image, of N pairs of images."""

    hits: Ints
    """(N,) points that are found within a distance."""
    points: Ints
    """(N,) points of the pair, at least 1."""
    by_chance: Doubles
    """(N,) expected share of points that a random pixel of the target image finds."""

    def __post_init__(self) -> None:
        shapes = {self.hits.shape, self.points.shape, self.by_chance.shape}
        if len(shapes) > 1 or self.hits.ndim != 1:
            raise ValueError(
                "hits, points and by_chance must all have shape (N,); got "
                f"{self.hits.shape}, {self.points.shape} and {self.by_chance.shape}."
            )
