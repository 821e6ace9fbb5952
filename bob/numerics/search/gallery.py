"""How far a gallery's rows lie from queries: in float64, which decides, and in float32, which is several times faster and says how far it may be off.

The order of a ranking is that of the float64 distances, rounded to float32; equal ones go to the lower gallery position. So it depends neither on
chunks, nor on the library or device that multiplies. Float32 distances serve to find which few of them have to be taken in float64.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.matmul import product
from bob.numerics.search.similarity import EPS

MetricName = Literal["cosine", "euclidean"]

EXACT_BYTES = 32 * 2**20
"""Of the gallery, in float64, multiplied at once."""
ROUGH_ROWS = 4096
"""Of the gallery, in float32, multiplied at once: their products fit in a core's cache."""
SAME_POINT = 1e-13
"""A squared distance below this share of ‖q‖² + ‖x‖² is 0: three units in the last place of float32 features, above the rounding of float64 sums."""
CLOSE = 1e-6
"""Below this share it is taken from the differences: the expanded square keeps fewer than the 10 digits that two floats next to each other need."""
PAIRS = 2048
"""Differences held at once."""
FACTOR = 2.0
"""How many times `Rough._scale` float32 is taken to be off, at least. `Rough` measures it."""
SAMPLED = 32
"""Queries, and gallery rows for each, whose distances are taken in float64 to see how far float32 is off."""
SAFE = (1e-15, 1e15)
"""Lengths of rows that float32 can square."""


class Gallery:
    """A gallery (G, D) on a device, and what every chunk of queries needs of it."""

    def __init__(self, rows: NDArray[Any], metric: MetricName, device: str) -> None:
        self.metric, self.rows = metric, torch.from_numpy(rows).to(device)
        self.centre = (
            self.rows[:: max(1, len(rows) // 1024)].double().mean(0)
            if metric == "euclidean"
            else None
        )
        self.squares = torch.cat([block.square_().sum(1) for _, block in self._blocks()])
        self.weight = (
            torch.where(self.squares > 0, self.squares.rsqrt(), 0)
            if metric == "cosine"
            else self.squares
        ).float()
        length = self.squares[self.squares > 0].sqrt()
        self.safe = bool(((length > SAFE[0]) & (length < SAFE[1])).all())

    def room(self, queries: int) -> Tensor:
        """For the distances of so many queries. Used again for every chunk: fresh memory costs as much as what is done with it."""
        return torch.empty((queries, len(self.rows)), dtype=torch.float32, device=self.rows.device)

    def exact(self, queries: NDArray[Any]) -> "Exact":
        """Of queries (B, D)."""
        wanted = self.centred(torch.from_numpy(queries).to(self.rows.device))
        squares = wanted.square().sum(1, keepdim=True)
        far = self.room(len(queries))
        for part, block in self._blocks():
            far[:, part] = self.between(wanted, squares, block, self.squares[part])
        return Exact(far.add_(0.0))  # so that zero has one sign

    def centred(self, rows: Tensor) -> Tensor:
        """A copy in float64, around a point in the middle where distances are asked for: they do not depend on it, and squares stay small."""
        return rows.double() if self.centre is None else rows.double().sub_(self.centre)

    def between(self, queries: Tensor, squares: Tensor, block: Tensor, others: Tensor) -> Tensor:
        """(B, g) float64: minus the cosine, 0 where a row is zero; or the squared distance, which orders as distance does."""
        if self.metric == "cosine":
            mine, theirs = (
                torch.where(values > 0, -values.rsqrt(), 0) for values in (squares, others)
            )
            return ((queries * -mine) @ block.T).mul_(theirs)
        total = squares + others
        apart = torch.addmm(total, queries, block.T, alpha=-2)
        row, column = (apart < CLOSE * total).nonzero(as_tuple=True)
        for start in range(0, len(row), PAIRS):
            near, other = row[start : start + PAIRS], column[start : start + PAIRS]
            apart[near, other] = (queries[near] - block[other]).square().sum(1)
        return apart.masked_fill_(apart < SAME_POINT * total, 0.0)

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """(positions, rows less the centre in float64)."""
        step = max(1, EXACT_BYTES // (8 * self.rows.shape[1]))
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            yield part, self.centred(self.rows[part])


class Exact:
    """Distances that decide."""

    budget: int | None = None
    """Distances that may be asked for one by one; None is any number."""

    def __init__(self, far: Tensor) -> None:
        self.far = far
        """(B, G) float32, the less the more similar; in any unit that orders alike within a row."""

    def among(self, part: slice) -> "Exact":
        """Of some of the queries."""
        return Exact(self.far[part])

    def doubt(self, row: Ints, far: Floats) -> Floats:
        """(P,) by how much distances of the queries `row` (P,) must differ from `far` (P,) to be on the same side of it in float64."""
        return np.zeros_like(far)

    def settle(self, row: int, items: Ints) -> Floats:
        """(M,) the distances that decide, of one query and some gallery positions (M,)."""
        settled: Floats = self.far[row, torch.from_numpy(items).to(self.far.device)].cpu().numpy()
        return settled


class Rough:
    """Distances in float32. What they leave open is taken in float64, and tells how far they are off."""

    def __init__(
        self, gallery: Gallery, queries: NDArray[Any], room: Tensor, factor: float = 0.0
    ) -> None:
        """Of queries (B, D); `room` (≥ B, G) float32 takes the distances. `factor` as below, 0 where it is still to be measured."""
        self._gallery = gallery
        self._wanted = gallery.centred(torch.from_numpy(queries).to(gallery.rows.device))
        self._squares = self._wanted.square().sum(1, keepdim=True)
        self._length = self._squares[:, 0].sqrt().cpu().numpy()
        self._offset = self._row_constants()
        self.far = self._multiplied(room[: len(queries)])
        self.factor = factor or self._measured()
        """How many times `_scale` two distances must lie apart for float32 to be trusted to have them in order: 4 times the largest error that was
        seen (both can be off, and the largest of all is larger). Each distance that is settled is one more that is seen."""
        self.worst = 0.0
        """The largest error among the settled ones, in `_scale`."""

    def among(self, part: slice) -> "Rough":
        """Of some of the queries."""
        other = object.__new__(Rough)
        other._gallery, other._wanted, other._squares = (
            self._gallery,
            self._wanted[part],
            self._squares[part],
        )
        other._length, other._offset, other.far = (
            self._length[part],
            self._offset[part],
            self.far[part],
        )
        other.factor, other.worst = self.factor, 0.0
        return other

    @property
    def budget(self) -> int:
        """Distances taken one by one that cost as much as taking all of them in float64 together, about."""
        return len(self.far) * (8 + self.far.shape[1] // 16)

    def doubt(self, row: Ints, far: Floats) -> Floats:
        """As `Exact.doubt`."""
        reach: Floats = (self.factor * self._scale(row, far)).astype(np.float32)
        return reach

    def settle(self, row: int, items: Ints) -> Floats:
        """As `Exact.settle`."""
        gallery, some = self._gallery, torch.from_numpy(items).to(self.far.device)
        block, one = gallery.centred(gallery.rows.index_select(0, some)), slice(row, row + 1)
        settled: Floats = (
            gallery.between(self._wanted[one], self._squares[one], block, gallery.squares[some])[0]
            .float()
            .add_(0.0)
            .cpu()
            .numpy()
        )
        rough = self.far[row, some].cpu().numpy()
        off = np.abs(rough + self._offset[row] - settled) / self._scale(
            np.full(len(items), row), rough
        )
        self.worst = max(self.worst, float(off.max(initial=0)))
        return settled

    def _multiplied(self, far: Tensor) -> Tensor:
        """Fills far (B, G) with minus the cosine; or with the squared distance less what is the same for a query's whole row."""
        gallery = self._gallery
        scale = -self._squares.rsqrt() if gallery.metric == "cosine" else -2.0
        queries = torch.where(self._squares > 0, self._wanted * scale, 0.0).float()
        join = torch.mul if gallery.metric == "cosine" else torch.add
        for start in range(0, len(gallery.rows), ROUGH_ROWS):
            part = slice(start, start + ROUGH_ROWS)
            join(
                product(queries, gallery.rows[part].float()), gallery.weight[part], out=far[:, part]
            )
        return far

    def _row_constants(self) -> Doubles:
        """(B,) what `far` lacks of the distance: with c the centre, ‖q − c‖² + 2 (q − c) · c."""
        if self._gallery.centre is None:
            return np.zeros(len(self._wanted))
        constants: Doubles = (
            (self._squares[:, 0] + 2 * self._wanted @ self._gallery.centre).cpu().numpy()
        )
        return constants

    def _scale(self, row: Ints, far: Floats) -> Doubles:
        """(P,) what the float32 error grows with. How many times this it is depends on the library and on the features.

        For a cosine, sums pass through larger values the larger they end, and about 1/8 is there at 0 already. For a squared distance, with ‖x − c‖
        at most ‖q − c‖ + distance, it is the squares that are added up, and the product of q − c with the centre.
        """
        if self._gallery.centre is None:
            return 5 * EPS * (np.abs(far) + 0.125)
        length = self._length[row]
        reach = length + np.sqrt(np.maximum(far + self._offset[row], 0))
        scale: Doubles = (
            5
            * EPS
            * (
                length**2
                + reach**2
                + 2 * length * float(self._gallery.centre.norm())
                + np.finfo(np.float32).tiny
            )
        )
        return scale

    def _measured(self) -> float:
        """`factor` from some of the distances."""
        self.worst = 0.0
        rows, items = (
            np.unique(np.linspace(0, n - 1, SAMPLED).astype(np.int64)) for n in self.far.shape
        )
        for row in rows.tolist():
            self.settle(row, items)
        return max(FACTOR, 4 * self.worst)
