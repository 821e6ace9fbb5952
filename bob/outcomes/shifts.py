"""The outcome of one classifier on several test sets: the one it was made for, and shifted ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.outcomes.outcome import Ints


@dataclass(frozen=True, eq=False)
class ShiftResults:
    """Per-example results on N images of several test sets together."""

    right: NDArray[np.bool_]
    """(N,) whether the best-scored class is the true one."""
    shift: Ints
    """(N,) the test set: 0 is in distribution, 1, 2, ... are shifted ones."""
    group: Ints
    """(N,) the group among which the worst is looked for: the test set itself, or a finer part of it."""

    def __post_init__(self) -> None:
        if not self.right.shape == self.shift.shape == self.group.shape or self.right.ndim != 1:
            raise ValueError(
                f"right, shift and group must all have shape (N,); got {self.right.shape}, {self.shift.shape} and {self.group.shape}."
            )

    @classmethod
    def from_test_sets(
        cls, sides: Sequence[NDArray[np.bool_]], groups: Sequence[NDArray[np.int64]] | None = None
    ) -> "ShiftResults":
        """From `right` per test set, in distribution first; without groups, each test set is one."""
        shift = np.repeat(np.arange(len(sides)), [len(side) for side in sides])
        return cls(
            np.concatenate(sides), shift, shift if groups is None else np.concatenate(groups)
        )

    def __len__(self) -> int:
        return len(self.right)

    def take(self, positions: NDArray[Any]) -> "ShiftResults":
        """The outcome of the images at `positions` (M,), int, repeats allowed."""
        return ShiftResults(self.right[positions], self.shift[positions], self.group[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"right": self.right, "shift": self.shift, "group": self.group}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ShiftResults":
        """From what `to_arrays` gave."""
        return cls(arrays["right"], arrays["shift"], arrays["group"])
