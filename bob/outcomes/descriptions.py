"""Descriptions of features: values on all rows, and on parts of them for intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles

DescriptionsT = TypeVar("DescriptionsT", bound="Descriptions")


@dataclass(frozen=True, eq=False)
class Descriptions:
    """Values of `NAMES` on all rows, and without each of J parts; NaN where undefined."""

    NAMES: ClassVar[tuple[str, ...]]
    """What is described; each has a metric of its name."""
    value: Doubles
    """(S,)"""
    without: Doubles
    """(J, S)"""

    def __post_init__(self) -> None:
        size = len(self.NAMES)
        if self.value.shape != (size,) or self.without.shape[1:] != (size,):
            raise ValueError(
                f"value must have shape ({size},) and without (J, {size}); "
                f"got {self.value.shape} and {self.without.shape}."
            )

    def __len__(self) -> int:
        return len(self.without)

    def take(self: DescriptionsT, positions: NDArray[Any]) -> DescriptionsT:
        """Return the outcome of the parts at `positions` (M,), int; repeats are allowed."""
        return type(self)(self.value, self.without[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {"value": self.value, "without": self.without}

    @classmethod
    def from_arrays(cls: type[DescriptionsT], arrays: Mapping[str, NDArray[Any]]) -> DescriptionsT:
        """Return the outcome that `to_arrays` stored."""
        return cls(np.asarray(arrays["value"]), np.asarray(arrays["without"]))


class FeatureDiagnostics(Descriptions):
    """Descriptions of the train features; `bob.numerics.diagnostics` defines each."""

    NAMES = (
        *("rank_me", "participation_ratio", "intrinsic_dimension", "alpha_req"),
        *("log_me", "h_score", "shrunk_h_score", "trans_rate", "nleep", "nearest_is_same"),
    )


class ShiftDistances(Descriptions):
    """How far a set of features is from another; `bob.numerics.set_distances` defines each."""

    NAMES = ("frechet_distance", "prdc_precision", "prdc_recall", "prdc_density", "prdc_coverage")
