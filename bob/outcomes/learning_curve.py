"""The outcome of a probe that is trained on nested parts of train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Ints


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Right and wrong predictions for N test examples, after training on each of S train sets.

    A smaller train set is part of each larger one, and the same for every backbone.
    """

    right: Bools
    """(N, S)"""
    train_images: Ints
    """(S,) sizes of the train sets, ascending."""

    def __post_init__(self) -> None:
        if self.right.ndim != 2 or self.train_images.shape != self.right.shape[1:]:
            raise ValueError(
                "right must have shape (N, S) and train_images (S,); "
                f"got {self.right.shape} and {self.train_images.shape}."
            )
        sizes = self.train_images
        if not len(sizes) or sizes[0] < 1 or (np.diff(sizes) <= 0).any():
            raise ValueError(f"train_images must ascend from at least 1; got {sizes.tolist()}.")

    def __len__(self) -> int:
        return len(self.right)

    @classmethod
    def of_sizes(cls, right: Sequence[Bools], train_images: Sequence[int]) -> "LearningCurve":
        """Return the curve of predictions (N,) for each of S train sets."""
        return cls(np.stack(right, axis=1), np.array(train_images, np.int64))

    def take(self, positions: NDArray[Any]) -> "LearningCurve":
        """Return the outcome of the test examples at `positions` (M,), int; repeats are allowed."""
        return LearningCurve(self.right[positions], self.train_images)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"right": self.right, "train_images": self.train_images}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "LearningCurve":
        """Return the outcome that `to_arrays` stored."""
        return cls(arrays["right"], arrays["train_images"])
