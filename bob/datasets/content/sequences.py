"""Sequences of N names that are made when asked for: two million digests as text take 180 MB, as bytes 32."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Made(Sequence[str]):
    """A sequence whose items are made by `name`."""

    def __init__(self, length: int) -> None:
        self._length = length

    def name(self, i: int) -> str:
        """The item at a position in 0..N-1."""
        raise NotImplementedError

    def pick(self, positions: NDArray[np.int64]) -> Sequence[str]:
        """The items at these positions, in this order."""
        return Picked(self, positions)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[str]: ...
    def __getitem__(self, i: int | slice) -> str | Sequence[str]:
        if isinstance(i, slice):
            return self.pick(np.arange(*i.indices(len(self))))
        if not -len(self) <= i < len(self):
            raise IndexError(f"position {i} of {len(self)}")
        return self.name(int(i) % len(self))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(one == two for one, two in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


class Digests(Made):
    """Hex digests of 16 bytes each."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        """(N, 16)"""
        super().__init__(len(values))
        self.values = values

    @classmethod
    def of(cls, digests: Iterable[str]) -> "Digests":
        """Digests of 32 hex digits, packed."""
        return cls(np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 16))

    def name(self, i: int) -> str:
        return bytes(self.values[i]).hex()

    def pick(self, positions: NDArray[np.int64]) -> "Digests":
        return Digests(self.values[positions])


class Rows(Made):
    """`train/0`, `train/1`, ...: rows of a split that have no names of their own."""

    def __init__(self, prefix: str, length: int) -> None:
        super().__init__(length)
        self._prefix = prefix

    def name(self, i: int) -> str:
        return f"{self._prefix}/{i}"


class Picked(Made):
    """Items of another sequence."""

    def __init__(self, whole: Made, positions: NDArray[np.int64]) -> None:
        super().__init__(len(positions))
        self._whole, self._positions = whole, positions

    def name(self, i: int) -> str:
        return self._whole.name(int(self._positions[i]))

    def pick(self, positions: NDArray[np.int64]) -> "Picked":
        return Picked(self._whole, self._positions[positions])


class Joined(Made):
    """Several sequences as one."""

    def __init__(self, parts: Sequence[Sequence[str]]) -> None:
        self._parts = [part for part in parts if len(part)]
        self._ends = list(accumulate(len(part) for part in self._parts))
        super().__init__(self._ends[-1] if self._ends else 0)

    def name(self, i: int) -> str:
        p = bisect_right(self._ends, i)
        return self._parts[p][i - self._ends[p] + len(self._parts[p])]


def pick(values: Sequence[str], positions: NDArray[np.int64]) -> Sequence[str]:
    """The values at these positions, in this order; those that are made when asked for stay so."""
    return (
        values.pick(positions) if isinstance(values, Made) else tuple(values[i] for i in positions)
    )


def join(parts: Sequence[Sequence[str]]) -> Sequence[str]:
    """One sequence after the other."""
    if parts and all(isinstance(part, Digests) for part in parts):
        return Digests(np.concatenate([part.values for part in parts if isinstance(part, Digests)]))
    return parts[0] if len(parts) == 1 else Joined(parts)
