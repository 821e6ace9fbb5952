"""Features in the eigenbasis of their covariance, block by block.

Centring moves into the free bias and a rotation preserves ‖W‖, so neither changes the penalised
objective or its optimum. In the eigenbasis the covariance is diagonal, which is what makes a
diagonal initial Hessian good enough (see `bob.numerics.linear.logistic_path`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.eigen import symmetric_eigen
from bob.numerics.linear.feature_rows import FeatureRows, read_rows, row_slices
from bob.numerics.matmul import product

RESIDENT_BYTES = 2 << 30
"""Rotated features up to this size stay in memory; larger ones are read in blocks on each pass."""
PANELS = 4
"""Panels of columns of a covariance, each computed from its diagonal down."""


@dataclass(frozen=True, eq=False)
class Eigenbasis:
    """Mean and principal axes of N rows with D features."""

    centre: Tensor
    """(D,) float64: the mean up to rounding, which is harmless: any centre has the same optimum."""
    vectors: Tensor
    """(D, R) float64, orthonormal columns, R = min(D, N), largest eigenvalue first."""
    eigenvalues: Tensor
    """(R,) float64: of the covariance (divided by N), never negative."""


def compute_eigenbasis(
    x: FeatureRows, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Eigenbasis:
    """Decompose the covariance (D ≤ N), or a QR factorisation of the rows (D > N).

    `dtype` is that of the products; sums are float64, and so is the decomposition: in float32 it
    takes two thirds of the time, but of features with many constant columns PyTorch's is NaN.
    """
    n, width = x.shape
    centre = torch.zeros(width, dtype=torch.float64, device=device)
    for rows in row_slices(n, width):
        centre += read_rows(x, rows, device, dtype).sum(0, dtype=torch.float64)
    centre /= n
    if width > n:
        centred = read_rows(x, slice(0, n), device, torch.float64) - centre
        orthonormal, triangle = torch.linalg.qr(centred.T)
        covariance = triangle @ triangle.T / n
    else:
        covariance, orthonormal = _covariance(x, centre, dtype), None
    eigenvalues, vectors = symmetric_eigen(covariance)
    vectors = vectors if orthonormal is None else orthonormal @ vectors
    return Eigenbasis(centre, vectors.flip(1).contiguous(), eigenvalues.flip(0).clamp(min=0))


def _covariance(x: FeatureRows, centre: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the covariance (D, D), of which only the lower triangle is computed in full.

    Each panel of columns is multiplied by the features from its own on: 5/8 of all products.
    """
    n, width = x.shape
    total = torch.zeros(width, width, dtype=torch.float64, device=centre.device)
    panel = -(-width // PANELS)
    for rows in row_slices(n, width, 4):
        block = read_rows(x, rows, str(centre.device), dtype).sub_(centre).T.contiguous()
        for start in range(0, width, panel):
            columns = slice(start, start + panel)
            total[start:, columns] += product(block[start:], block[columns])
    return total.div_(n)


@dataclass(frozen=True, eq=False)
class FeatureBlocks:
    """Centred rows as blocks, and the change of coordinates between blocks and eigenbasis."""

    x: FeatureRows | Tensor
    eigenbasis: Eigenbasis
    dtype: torch.dtype
    rotated: bool
    """Whether `x` is already in the eigenbasis, on the device.

    Otherwise blocks are read, converted and centred on each pass, and weights are rotated instead.
    """
    classes: int = 1
    """With more classes than features, a block's logits are what must stay in cache."""

    @property
    def largest_eigenvalue(self) -> float:
        """Largest eigenvalue of the covariance."""
        return float(self.eigenbasis.eigenvalues[0])

    @property
    def slices(self) -> list[slice]:
        """Slices that cut all rows into blocks."""
        return list(row_slices(self.x.shape[0], max(self.x.shape[1], self.classes)))

    def block(self, rows: slice) -> Tensor:
        """Return rows in block coordinates: (n, R) in the eigenbasis, or (n, D) centred."""
        return self.x[rows] if self.rotated else self._centred(rows)

    def rotated_block(self, rows: slice) -> Tensor:
        """Return rows in the eigenbasis, (n, R)."""
        return self.block(rows) if self.rotated else self._rotate(self.block(rows))

    def gather(self, index: Tensor) -> Tensor:
        """Return the rows at ascending positions (k,), in the eigenbasis, (k, R)."""
        positions = (
            (rows, index[(index >= rows.start) & (index < rows.stop)] - rows.start)
            for rows in self.slices
        )
        gathered = torch.cat(
            [self.block(rows)[inside] for rows, inside in positions if len(inside)]
        )
        return gathered if self.rotated else self._rotate(gathered)

    def _centred(self, rows: slice) -> Tensor:
        centre = self.eigenbasis.centre
        return read_rows(self.x, rows, str(centre.device), self.dtype).sub_(centre.to(self.dtype))

    def _rotate(self, centred: Tensor) -> Tensor:
        return product(centred, self.eigenbasis.vectors.to(self.dtype).T)

    def to_blocks(self, weight: Tensor) -> Tensor:
        """Convert weights (C, R) from the eigenbasis to block coordinates."""
        return weight if self.rotated else weight @ self.eigenbasis.vectors.to(self.dtype).T

    def to_eigenbasis(self, gradient: Tensor) -> Tensor:
        """Convert a gradient from block coordinates to the eigenbasis, (C, R)."""
        return gradient if self.rotated else gradient @ self.eigenbasis.vectors.to(self.dtype)


def feature_blocks(
    x: FeatureRows,
    eigenbasis: Eigenbasis,
    dtype: torch.dtype,
    classes: int,
    *,
    resident: bool = True,
    copy: Tensor | None = None,
) -> FeatureBlocks:
    """Rotate the rows once if `resident` and if they fit in memory; otherwise convert each block.

    Converted blocks are exact: centred in `dtype`, not rotated. The memory of `copy`, a copy of the
    rows, is reused if they fit.
    """
    n, rank = x.shape[0], eigenbasis.vectors.shape[1]
    if not resident or not fits_in_memory(n, rank, dtype):
        return FeatureBlocks(x, eigenbasis, dtype, False, classes)
    rotation = eigenbasis.vectors.to(dtype).T.contiguous()
    device, centre = str(eigenbasis.centre.device), eigenbasis.centre.to(dtype)
    rotated = torch.empty(n, rank, dtype=dtype, device=device) if copy is None else copy
    for rows in row_slices(n, x.shape[1], 4):
        rotated[rows] = product(read_rows(x, rows, device, dtype).sub_(centre), rotation)
    return FeatureBlocks(rotated, eigenbasis, dtype, True, classes)


def fits_in_memory(n: int, width: int, dtype: torch.dtype) -> bool:
    """Return whether (n, width) features may stay in memory."""
    return dtype.itemsize * n * width <= RESIDENT_BYTES
