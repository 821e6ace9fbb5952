"""The outcome of semantic segmentation: pixels of each class and boundaries, image by image."""

from dataclasses import dataclass

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class SegmentationCounts(ArrayOutcome):
    """Pixels of N test images by class; pixels that do not count are in none of them."""

    right: Ints
    """(N, C) pixels of a class that are predicted as that class."""
    predicted: Ints
    """(N, C) pixels that are predicted as a class."""
    true: Ints
    """(N, C) pixels of a class."""
    boundary_f: Doubles
    """(N,) F of the boundaries of each image's classes, NaN where it has none; see
    `bob.numerics.dense.boundaries`."""

    def __post_init__(self) -> None:
        shapes = {self.right.shape, self.predicted.shape, self.true.shape}
        if len(shapes) > 1 or self.right.ndim != 2:
            raise ValueError(
                "right, predicted and true must all have shape (N, C); got "
                f"{self.right.shape}, {self.predicted.shape} and {self.true.shape}."
            )
        if self.boundary_f.shape != (len(self.right),):
            raise ValueError(
                f"boundary_f must have shape ({len(self.right)},); got {self.boundary_f.shape}."
            )
