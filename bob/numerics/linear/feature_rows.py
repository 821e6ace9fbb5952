"""Features (N, D) read block by block, from memory, from disk or from a feature store."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles, Ints
from bob.numerics.scale import divided

BLOCK_BYTES = 3 << 20
"""Approximate size of a block: small enough to stay in cache between the two products of a pass."""


class FeatureRows(Protocol):
    """(N, D) features of any float type that can be read by slices of rows.

    For example an array, a memory map, a tensor or the features of a store.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Rows that are divided by a power of two when they are read."""

    x: FeatureRows
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    def __getitem__(self, rows: Any, /) -> Any:
        values = self.x[rows]
        values = values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        return divided(values, self.scale)


@dataclass(frozen=True, eq=False)
class SelectedRows:
    """The rows of an array at the positions `index`, in that order, gathered when they are read."""

    x: FeatureRows
    index: Ints

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.x.shape[1:])

    def __getitem__(self, rows: slice, /) -> Any:
        return self.x[self.index[rows]]


def read_rows(x: FeatureRows, rows: slice, device: str, dtype: torch.dtype) -> Tensor:
    """Return a private copy of some rows, (n, D)."""
    values = x[rows]
    if isinstance(values, Tensor):
        return values.to(device, dtype, copy=True)
    return torch.from_numpy(np.array(values)).to(device, dtype)


def copy_rows(x: FeatureRows, device: str, dtype: torch.dtype) -> Tensor:
    """Return a private copy of all rows, (N, D)."""
    copy = torch.empty(*x.shape[:2], dtype=dtype, device=device)
    for rows in row_slices(*x.shape[:2]):
        copy[rows] = read_rows(x, rows, device, dtype)
    return copy


def row_slices(count: int, width: int, blocks: int = 1) -> Iterator[slice]:
    """Cut `count` rows into slices of about `blocks` blocks of float32, at least 64 rows each."""
    step = max(64, blocks * BLOCK_BYTES // (4 * width))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def spread_of(x: FeatureRows, device: str) -> float:
    """Return the root mean square of all features minus their means, in float64.

    Rows are read once. Let d be their distances from the first row, s² the sum of squares around
    the mean: s² = Σ d² - N (mean d)². The first row's own part of s² is (mean d)², so that the
    difference is at least 1 / (N + 1) of Σ d², and rounding at most N + 1 times as large.
    """
    n, width = x.shape
    first = read_rows(x, slice(0, 1), device, torch.float64)
    total, squares = torch.zeros_like(first[0]), 0.0
    for rows in row_slices(n, width):
        distances = read_rows(x, rows, device, torch.float64).sub_(first)
        total += distances.sum(0)
        squares += float(distances.square_().sum())
    around_mean = squares - float(total.square().sum()) / n
    return sqrt(max(around_mean, 0.0) / (n * width))


def linear_scores(weight: Doubles, bias: Doubles, x: FeatureRows) -> Doubles:
    """Return  x Wᵀ + b  (N, C) for weights (C, D) and biases (C,), computed in float64."""
    transposed, offset = torch.from_numpy(weight).T, torch.from_numpy(bias)
    outputs = torch.empty(x.shape[0], len(offset), dtype=torch.float64)
    for rows in row_slices(*x.shape[:2]):
        block = read_rows(x, rows, "cpu", torch.float64)
        outputs[rows] = torch.addmm(offset, block, transposed)
    values: Doubles = outputs.numpy()
    return values
