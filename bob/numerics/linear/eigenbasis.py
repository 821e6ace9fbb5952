"""Features in the basis of their own covariance, block by block.

Centring moves into the free bias and a rotation leaves ‖W‖ alone, so neither changes the penalised objective or its optimum. In the eigenbasis the
covariance is diagonal, which is what makes a diagonal initial Hessian good enough (see `bob.numerics.linear.logistic_path`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.matmul import product
from bob.numerics.threads import one_thread

BLOCK_BYTES = 3 << 20
"""A block of rows of about this size stays in the processor's cache between the two products of a pass."""
RESIDENT_BYTES = 2 << 30
"""Rotated features up to this size are kept in memory; larger ones are read block by block on every pass."""
SMALL = 2048
"""Widths up to this are eigendecomposed by one thread: see `bob.numerics.threads` (0.5 s against 0.25 s idle, but 20 s beside a busy process)."""


class Rows(Protocol):
    """(N, D) features of any float type that can be read by slices of rows: an array, a memory map, a tensor, a feature store."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def read(x: Rows, rows: slice, device: str, dtype: torch.dtype) -> Tensor:
    """A private copy of some rows, (n, D)."""
    values = x[rows]
    if isinstance(values, Tensor):
        return values.to(device, dtype, copy=True)
    return torch.from_numpy(np.array(values)).to(device, dtype)


def slices(rows: int, width: int, blocks: int = 1) -> Iterator[slice]:
    """Cuts of `rows` into pieces of about so many blocks of float32, 64 rows at least."""
    step = max(64, blocks * BLOCK_BYTES // (4 * width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenbasis of centred features."""

    centre: Tensor
    """(D,) float64: about the mean. Any centre gives the same optimum, so rounding does no harm."""
    basis: Tensor
    """(D, R) float64, orthonormal columns, R = min(D, N), largest eigenvalue first."""
    eigenvalue: Tensor
    """(R,) float64: of the covariance (divided by N), never negative."""


def spectrum(x: Rows, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Spectrum:
    """Of the covariance (D ≤ N), or through a QR factorisation of the rows (D > N). `dtype` is that of the products; sums are float64."""
    n, width = x.shape
    centre = torch.zeros(width, dtype=torch.float64, device=device)
    for rows in slices(n, width, 8):
        centre += read(x, rows, device, dtype).sum(0, dtype=torch.float64)
    centre /= n
    if width > n:
        factor, triangle = torch.linalg.qr((read(x, slice(0, n), device, torch.float64) - centre).T)
        covariance = triangle @ triangle.T / n
    else:
        covariance, factor = _covariance(x, centre, dtype), None
    with one_thread(len(covariance) <= SMALL):
        eigenvalue, vectors = torch.linalg.eigh(covariance)
    basis = vectors if factor is None else factor @ vectors
    return Spectrum(centre, basis.flip(1).contiguous(), eigenvalue.flip(0).clamp(min=0))


def _covariance(x: Rows, centre: Tensor, dtype: torch.dtype) -> Tensor:
    n, width = x.shape
    total = torch.zeros(width, width, dtype=torch.float64, device=centre.device)
    for rows in slices(n, width, 4):
        block = read(x, rows, str(centre.device), dtype).sub_(centre)
        total += product(block.T, block.T)
    return total / n


@dataclass(frozen=True, eq=False)
class Source:
    """Rows as blocks, and the way of weights and gradients between a block's coordinates and the eigenbasis."""

    x: Rows | Tensor
    spectrum: Spectrum
    dtype: torch.dtype
    rotated: bool
    """`x` is already in the eigenbasis, on the device; else blocks are read, converted and centred, and weights are rotated instead."""
    classes: int = 1
    """With more classes than features, a block's logits are what must stay in cache."""

    @property
    def largest(self) -> float:
        """The largest eigenvalue of the covariance."""
        return float(self.spectrum.eigenvalue[0])

    @property
    def cuts(self) -> list[slice]:
        """All rows, in blocks."""
        return list(slices(self.x.shape[0], max(self.x.shape[1], self.classes)))

    def block(self, rows: slice) -> Tensor:
        """(n, R) in the eigenbasis, or (n, D) centred."""
        return self.x[rows] if self.rotated else self._centred(rows)

    def turned(self, rows: slice) -> Tensor:
        """(n, R) in the eigenbasis."""
        return (
            self.block(rows)
            if self.rotated
            else product(self.block(rows), self.spectrum.basis.to(self.dtype).T)
        )

    def gather(self, index: Tensor) -> Tensor:
        """(k, R) rows of ascending index (k,), in the eigenbasis."""
        inside = (
            (rows, index[(index >= rows.start) & (index < rows.stop)] - rows.start)
            for rows in self.cuts
        )
        found = torch.cat([self.block(rows)[place] for rows, place in inside if len(place)])
        return found if self.rotated else product(found, self.spectrum.basis.to(self.dtype).T)

    def _centred(self, rows: slice) -> Tensor:
        return read(self.x, rows, str(self.spectrum.centre.device), self.dtype).sub_(
            self.spectrum.centre.to(self.dtype)
        )

    def outward(self, weight: Tensor) -> Tensor:
        """(C, R) weights as the blocks need them."""
        return weight if self.rotated else weight @ self.spectrum.basis.to(self.dtype).T

    def inward(self, gradient: Tensor) -> Tensor:
        """(C, ·) gradient of the blocks' coordinates as (C, R)."""
        return gradient if self.rotated else gradient @ self.spectrum.basis.to(self.dtype)


@dataclass(frozen=True, eq=False)
class Picked:
    """Some rows of an array, in an order of one's own."""

    x: Rows
    index: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.x.shape[1:])

    def __getitem__(self, rows: slice, /) -> Any:
        return self.x[self.index[rows]]


def source(
    x: Rows, basis: Spectrum, dtype: torch.dtype, classes: int, *, resident: bool = True
) -> Source:
    """Rows are rotated once where they are to be `resident` and fit in memory; else each block is converted exactly."""
    n, rank = x.shape[0], basis.basis.shape[1]
    if not resident or dtype.itemsize * n * rank > RESIDENT_BYTES:
        return Source(x, basis, dtype, False, classes)
    rotation, device = basis.basis.to(dtype).T.contiguous(), str(basis.centre.device)
    kept = torch.empty(n, rank, dtype=dtype, device=device)
    centre = basis.centre.to(dtype)
    for rows in slices(n, x.shape[1], 4):
        kept[rows] = product(read(x, rows, device, dtype).sub_(centre), rotation)
    return Source(kept, basis, dtype, True, classes)
