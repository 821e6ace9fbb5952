"""Descriptions of a set of features, with their values on parts of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles

DIAGNOSTICS = (
    *("rank_me", "participation_ratio", "intrinsic_dimension", "alpha_req"),
    *("log_me", "h_score", "shrunk_h_score", "trans_rate", "nleep", "nearest_is_same"),
)
"""The columns of `FeatureDiagnostics`; each has a metric of its name."""


@dataclass(frozen=True, eq=False)
class FeatureDiagnostics:
    """Values of `DIAGNOSTICS` on all rows, and without each of J parts; NaN where undefined."""

    value: Doubles
    """(S,)"""
    without: Doubles
    """(J, S)"""

    def __post_init__(self) -> None:
        size = len(DIAGNOSTICS)
        if self.value.shape != (size,) or self.without.shape[1:] != (size,):
            raise ValueError(
                f"value must have shape ({size},) and without (J, {size}); "
                f"got {self.value.shape} and {self.without.shape}."
            )

    def __len__(self) -> int:
        return len(self.without)

    def take(self, positions: NDArray[Any]) -> "FeatureDiagnostics":
        """Return the outcome of the parts at `positions` (M,), int; repeats are allowed."""
        return FeatureDiagnostics(self.value, self.without[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"value": self.value, "without": self.without}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "FeatureDiagnostics":
        """Return the outcome that `to_arrays` stored."""
        return cls(np.asarray(arrays["value"]), np.asarray(arrays["without"]))
