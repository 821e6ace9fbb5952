"""The outcome of a classifier whose classes compete independently, on random subsets of classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Ints


@dataclass(frozen=True, eq=False)
class ClassSubsets:
    """Ranks of N test images among C classes, of which random subsets of S sizes are taken.

    Removing classes must not change the order of the others: the score of a class depends on its
    own train images alone.
    """

    y: Ints
    """(N,) the true class."""
    rank: Ints
    """(N,) number of classes ranked before the true one; C without a score."""
    classes: int
    """C, the number of classes."""
    sizes: Ints
    """(S,) numbers of classes in a subset, ascending, from 1 to C."""

    def __post_init__(self) -> None:
        if self.y.shape != self.rank.shape or self.y.ndim != 1:
            raise ValueError(
                f"y and rank must both have shape (N,); got {self.y.shape} and {self.rank.shape}."
            )
        sizes = self.sizes
        if not len(sizes) or (np.diff(sizes) <= 0).any() or sizes[0] < 1:
            raise ValueError(f"sizes must ascend from at least 1; got {sizes.tolist()}.")
        if sizes[-1] > self.classes:
            raise ValueError(f"sizes must be at most {self.classes}; got {sizes.tolist()}.")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, positions: NDArray[Any]) -> "ClassSubsets":
        """Return the outcome of the images at `positions` (M,), int; repeats are allowed."""
        return ClassSubsets(self.y[positions], self.rank[positions], self.classes, self.sizes)

    def at(self, size: int) -> "ClassSubsets":
        """Return the outcome at a single size."""
        return ClassSubsets(self.y, self.rank, self.classes, np.array([size]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {
            "y": self.y,
            "rank": self.rank,
            "classes": np.asarray(self.classes),
            "sizes": self.sizes,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ClassSubsets":
        """Return the outcome that `to_arrays` stored."""
        classes = int(arrays["classes"].item())
        return cls(arrays["y"], arrays["rank"], classes, arrays["sizes"])
