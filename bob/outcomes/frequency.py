"""The outcome of a classifier whose classes have different numbers of train images."""

from dataclasses import dataclass

from bob.numerics.arrays import Bools, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class FrequencyResults(ArrayOutcome):
    """Correctness on N test images, and how many train images their classes have."""

    right: Bools
    """(N,) whether the prediction is right."""
    y: Ints
    """(N,) the true class."""
    train_images: Ints
    """(N,) train images of the true class."""

    def __post_init__(self) -> None:
        if not self.right.shape == self.y.shape == self.train_images.shape or self.right.ndim != 1:
            raise ValueError(
                "right, y and train_images must all have shape (N,); "
                f"got {self.right.shape}, {self.y.shape} and {self.train_images.shape}."
            )
