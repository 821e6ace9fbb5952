"""The interface of all outcomes, and the base of those that consist of arrays alone."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray


class Outcome(Protocol):
    """Results of a protocol on N examples, which can be counted, resampled and stored."""

    def __len__(self) -> int:
        """Return N, the number of examples, queries or draws."""

    def take(self: "Self", positions: NDArray[Any]) -> "Self":
        """Return the outcome of the examples at `positions` (M,), int; repeats are allowed."""

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays to store, each with N rows or a single value."""

    @classmethod
    def from_arrays(cls: type["Self"], arrays: Mapping[str, NDArray[Any]]) -> "Self":
        """Return the outcome that `to_arrays` stored, bit for bit."""


Self = TypeVar("Self", bound=Outcome)
ArraysT = TypeVar("ArraysT", bound="ArrayOutcome")


@dataclass(frozen=True, eq=False)
class ArrayOutcome:
    """Base of the outcomes whose fields are all arrays with one row per example."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self: ArraysT, positions: NDArray[Any]) -> ArraysT:
        """Return the outcome of the examples at `positions` (M,), int; repeats are allowed."""
        return type(self)(**{name: values[positions] for name, values in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store, by the names of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls: type[ArraysT], arrays: Mapping[str, NDArray[Any]]) -> ArraysT:
        """Return the outcome that `to_arrays` stored, bit for bit."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})
