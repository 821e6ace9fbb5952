"""The outcome of a few-shot protocol: accuracy as a function of the number of shots, per draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Ints


@dataclass(frozen=True, eq=False)
class FewShotCurves:
    """Accuracies of R draws (or episodes) at S numbers of shots.

    Draw r uses the same examples for every backbone.
    """

    top1: Doubles
    """(R, S) share of the draw's test examples that are predicted right."""
    shots: Ints
    """(S,) train examples per class, ascending."""

    def __post_init__(self) -> None:
        if self.top1.ndim != 2 or self.shots.shape != self.top1.shape[1:]:
            raise ValueError(
                "top1 must have shape (R, S) and shots (S,); "
                f"got {self.top1.shape} and {self.shots.shape}."
            )
        if not len(self.shots) or self.shots[0] < 1 or (np.diff(self.shots) <= 0).any():
            raise ValueError(f"shots must ascend from at least 1; got {self.shots.tolist()}.")

    def __len__(self) -> int:
        return len(self.top1)

    def take(self, positions: NDArray[Any]) -> "FewShotCurves":
        """Return the outcome of the draws at `positions` (M,), int; repeats are allowed."""
        return FewShotCurves(self.top1[positions], self.shots)

    def at(self, shots: int) -> "FewShotCurves":
        """Return the outcome at a single number of shots."""
        column = self.shots.tolist().index(shots)
        return FewShotCurves(self.top1[:, column : column + 1], self.shots[column : column + 1])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"top1": self.top1, "shots": self.shots}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "FewShotCurves":
        """Return the outcome that `to_arrays` stored."""
        return cls(arrays["top1"], arrays["shots"])
