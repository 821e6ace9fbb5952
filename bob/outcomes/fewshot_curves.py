"""The outcome of repeated draws: the accuracy of each, at each number of examples per class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.outcomes.outcome import Ints


@dataclass(frozen=True, eq=False)
class FewShotCurves:
    """Per-draw results of a few-shot protocol: R draws (or episodes), each at S numbers of shots. Draw r is the same draw for every backbone."""

    top1: NDArray[np.float64]
    """(R, S) share of the draw's test examples that were predicted right."""
    shots: Ints
    """(S,) train examples per class, ascending."""

    def __post_init__(self) -> None:
        if self.top1.ndim != 2 or self.shots.shape != self.top1.shape[1:]:
            raise ValueError(
                f"top1 must have shape (R, S) and shots (S,); got {self.top1.shape} and {self.shots.shape}."
            )
        if not len(self.shots) or self.shots[0] < 1 or (np.diff(self.shots) <= 0).any():
            raise ValueError(f"shots must ascend from at least 1; got {self.shots.tolist()}.")

    def __len__(self) -> int:
        return len(self.top1)

    def take(self, positions: NDArray[Any]) -> "FewShotCurves":
        """The outcome of the draws at `positions` (M,), int, repeats allowed."""
        return FewShotCurves(self.top1[positions], self.shots)

    def at(self, shots: int) -> "FewShotCurves":
        """The outcome at one number of shots alone."""
        column = self.shots.tolist().index(shots)
        return FewShotCurves(self.top1[:, column : column + 1], self.shots[column : column + 1])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {"top1": self.top1, "shots": self.shots}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "FewShotCurves":
        """From what `to_arrays` gave."""
        return cls(arrays["top1"], arrays["shots"])
