"""The outcome of a classifier on images that are in groups: values of an attribute."""

from dataclasses import dataclass

from bob.numerics.arrays import Bools, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class GroupResults(ArrayOutcome):
    """Correctness on N test images, each with a class and a value of an attribute.

    A group is a value and a class together.
    """

    right: Bools
    """(N,) whether the prediction is right."""
    y: Ints
    """(N,) the true class."""
    value: Ints
    """(N,) the value of the attribute, from 0."""

    def __post_init__(self) -> None:
        if not self.right.shape == self.y.shape == self.value.shape or self.right.ndim != 1:
            raise ValueError(
                "right, y and value must all have shape (N,); "
                f"got {self.right.shape}, {self.y.shape} and {self.value.shape}."
            )

    @property
    def group(self) -> Ints:
        """Return (N,) the number of each image's group."""
        values = int(self.value.max()) + 1 if len(self.value) else 1
        return self.y * values + self.value
