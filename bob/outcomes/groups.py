"""The outcome of a classifier on images that are in groups: values of an attribute."""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class GroupResults(ArrayOutcome):
    """Correctness on N test images, each with a class and a value of an attribute.

    A group is a value and a class together.
    """

    right: Doubles
    """(N,) 1 where the prediction is right, else 0; between them the share of several classifiers
    that are right."""
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
        """Return (N,) the number of each image's group: ascending in the class, then the value."""
        values = int(self.value.max()) + 1 if len(self.value) else 1
        return np.asarray(self.y * values + self.value)
