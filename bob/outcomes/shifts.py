"""The outcome of one classifier on an in-distribution test set and on shifted ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class ShiftResults(ArrayOutcome):
    """Correctness of the predictions on the N images of several test sets."""

    right: Bools
    """(N,) whether the best-scored class is the true one."""
    shift: Ints
    """(N,) the test set: 0 is in distribution, 1, 2, ... are the shifted ones."""
    group: Ints
    """(N,) the group for worst-group accuracy: the test set itself, or a finer part of it."""

    def __post_init__(self) -> None:
        if not self.right.shape == self.shift.shape == self.group.shape or self.right.ndim != 1:
            raise ValueError(
                "right, shift and group must all have shape (N,); "
                f"got {self.right.shape}, {self.shift.shape} and {self.group.shape}."
            )

    @classmethod
    def from_test_sets(
        cls, right: Sequence[Bools], groups: Sequence[Ints] | None = None
    ) -> "ShiftResults":
        """Return the outcome of `right` per test set, in distribution first.

        Without `groups` per test set, each test set is one group.
        """
        shift = np.repeat(np.arange(len(right)), [len(part) for part in right])
        return cls(
            np.concatenate(right), shift, shift if groups is None else np.concatenate(groups)
        )
