"""Distances between queries and all rows of a gallery, in float64 or in float32.

Float64 decides the order; float32 is several times faster and states how far it may be off.
A ranking is ordered by minus the float64 score, and rows whose scores are tied share their places
(`bob.numerics.search.similarity`). It therefore depends neither on chunks and positions nor on the
library or device that multiplies. Float32 distances leave few comparisons open; only these are
decided in float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.chunks import slices
from bob.numerics.search.lookup import positions_of
from bob.numerics.search.similarity import MetricName, safety_factor, similarity_of, worst_error

EXACT_BYTES = 32 * 2**20
"""Size of the float64 gallery rows that are multiplied at once."""
FLOAT32_ROWS = 4096
"""Gallery rows that are multiplied at once in float32: their products fit in a core's cache."""
CHAIN = 1000
"""Ties are sought within this many tie widths of a distance: rows of which each is tied with the
next are one group."""
SAMPLED = 32
"""Queries, and gallery rows of each, whose float32 errors are measured."""
SAFE_LENGTHS = (1e-15, 1e15)
"""Lengths of rows that float32 can square."""


class Gallery:
    """A gallery (G, D) on a device, with what all chunks of queries share."""

    def __init__(self, rows: NDArray[Any], metric: MetricName, device: str) -> None:
        self.rows = torch.from_numpy(rows).to(device)
        self.similarity = similarity_of(metric, rows)
        self.squares = torch.cat([block.square_().sum(1) for _, block in self._blocks()])
        """(G,) float64 squared lengths relative to the centre."""
        self.weights = self.similarity.weights(self.squares)
        lengths = self.squares[self.squares > 0].sqrt()
        self.float32_safe = bool(((lengths > SAFE_LENGTHS[0]) & (lengths < SAFE_LENGTHS[1])).all())
        """Whether float32 can square the rows."""

    def buffer(self, queries: int) -> Tensor:
        """Return uninitialised memory for the float32 distances of a chunk of queries.

        To be reused for every chunk: fresh memory costs as much as the work on it.
        """
        return torch.empty((queries, len(self.rows)), dtype=torch.float32, device=self.rows.device)

    def exact(self, queries: NDArray[Any]) -> "ExactDistances":
        """Return the distances of queries (B, D) that decide."""
        centred, squares = self._centred(queries)
        values = self.squares.new_empty(len(queries), len(self.rows))
        for part, block in self._blocks():
            values[:, part] = self.exact_block(centred, squares, block, self.squares[part])
        return ExactDistances(self, values, squares)

    def approximate(
        self, queries: NDArray[Any], buffer: Tensor, factor: float = 0.0
    ) -> "ApproximateDistances":
        """Return float32 distances of queries (B, D), in the first rows of `buffer` (≥ B, G).

        `factor` is the safety factor, measured here if it is 0.
        """
        centred, squares = self._centred(queries)
        values = buffer[: len(queries)]
        fill = self.similarity.raw_distances(centred, squares)
        for part in slices(len(self.rows), FLOAT32_ROWS):
            fill(self.rows[part].float(), self.weights[part], values[:, part])
        lengths = squares[:, 0].sqrt().cpu().numpy()
        distances = ApproximateDistances(self, values, centred, squares, lengths, factor)
        if not factor:
            distances.measure()
        return distances

    def exact_block(
        self, queries: Tensor, query_squares: Tensor, block: Tensor, squares: Tensor
    ) -> Tensor:
        """Return the float64 distances (B, g) of centred queries and gallery rows."""
        return self.similarity.block_scores(queries, query_squares, block, squares).neg_()

    def tie_widths(self, query_square: Tensor, items: Tensor) -> Doubles:
        """Return by how much the distances of one query and gallery positions (M,) may differ from
        others and be tied with them (M,).
        """
        width = self.similarity.tie_width(query_square, self.squares[items])
        widths: Doubles = np.broadcast_to(
            width.cpu().numpy() if isinstance(width, Tensor) else width, (len(items),)
        )
        return widths

    def _centred(self, queries: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Return float64 queries (B, D) relative to the centre, and squared lengths (B, 1)."""
        centred = self.similarity.centred(torch.from_numpy(queries).to(self.rows.device))
        return centred, centred.square().sum(1, keepdim=True)

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield (positions, float64 rows relative to the centre)."""
        for part in slices(len(self.rows), EXACT_BYTES // (8 * self.rows.shape[1])):
            yield part, self.similarity.centred(self.rows[part])


@dataclass
class ExactDistances:
    """Distances that decide the order."""

    gallery: Gallery
    values: Tensor
    """(B, G) float64, lower is more similar: minus the cosine, or the squared distance."""
    squares: Tensor
    """(B, 1) squared lengths of the queries."""
    budget: ClassVar[int | None] = None
    """Distances that `decided` may be asked for in all; None is any number."""

    def take(self, part: slice) -> "ExactDistances":
        """Return the distances of some of the queries."""
        return ExactDistances(self.gallery, self.values[part], self.squares[part])

    def tolerance(self, row: Ints, items: Ints, values: NDArray[Any]) -> NDArray[Any]:
        """Return by how much distances must differ from `values` (P,) to be ordered reliably.

        These are the distances of the queries `row` (P,) and gallery positions `items` (P,).
        """
        squares, positions = (torch.from_numpy(at).to(self.values.device) for at in (row, items))
        return CHAIN * self.gallery.tie_widths(self.squares[squares, 0], positions)

    def decided(
        self, row: int, items: Ints, removed: Tensor, others: NDArray[Any]
    ) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """Return the deciding distances of one query and gallery positions (M,), and of the gallery
        rows that have the distances `others` (K,), ascending; each with its tie widths.

        `removed` (G,) are gallery rows that have none of the others.
        """
        positions = torch.from_numpy(items).to(self.values.device)
        distances: Doubles = self.values[row, positions].cpu().numpy()
        widths = self.gallery.tie_widths(self.squares[row], positions)
        square = float(self.squares[row])
        return distances, widths, others, self.gallery.similarity.widest_tie(square, others)


@dataclass
class ApproximateDistances:
    """Distances in float32, with the deciding distance of any pair on request.

    Each request also measures how far float32 is off.
    """

    gallery: Gallery
    values: Tensor
    """(B, G) float32, otherwise as in `ExactDistances`."""
    queries: Tensor
    """(B, D) float64, relative to the centre."""
    squares: Tensor
    """(B, 1) their squared lengths."""
    lengths: NDArray[np.float64]
    """(B,)"""
    factor: float
    """The safety factor."""
    worst: float = 0.0
    """The worst error so far, in units of the error scale."""

    def take(self, part: slice) -> "ApproximateDistances":
        """Return the distances of some of the queries, with no error measured so far."""
        return replace(
            self,
            values=self.values[part],
            queries=self.queries[part],
            squares=self.squares[part],
            lengths=self.lengths[part],
            worst=0.0,
        )

    @property
    def budget(self) -> int | None:
        """Number of single distances that cost about as much as all of them by `Gallery.exact`."""
        return len(self.values) * (8 + self.values.shape[1] // 16)

    def tolerance(self, row: Ints, items: Ints, values: NDArray[Any]) -> NDArray[Any]:
        """Return the same as `ExactDistances.tolerance`."""
        tolerance: Floats = (self.factor * self._error_scale(row, values)).astype(np.float32)
        return tolerance

    def decided(
        self, row: int, items: Ints, removed: Tensor, others: NDArray[Any]
    ) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """Return the same as `ExactDistances.decided`."""
        found = positions_of(self.values[row], removed, others)
        distances, widths = self.exact(row, np.concatenate([items, found]))
        m = len(items)
        return distances[:m], widths[:m], distances[m:], widths[m:]

    def exact(self, row: int, items: Ints) -> tuple[Doubles, Doubles]:
        """Return the deciding distances (M,) of one query and gallery positions (M,), and their
        tie widths (M,).
        """
        gallery, positions = self.gallery, torch.from_numpy(items).to(self.values.device)
        block = gallery.similarity.centred(gallery.rows.index_select(0, positions))
        query = slice(row, row + 1)
        exact: Doubles = (
            gallery.exact_block(
                self.queries[query], self.squares[query], block, gallery.squares[positions]
            )[0]
            .cpu()
            .numpy()
        )
        values = self.values[row, positions].cpu().numpy()
        scale = self._error_scale(np.full(len(items), row), values)
        self.worst = max(self.worst, worst_error(values - exact, scale))
        return exact, gallery.tie_widths(self.squares[row], positions)

    def measure(self) -> None:
        """Set `factor` from evenly spread queries and gallery rows."""
        self.worst = 0.0
        rows, items = (
            np.unique(np.linspace(0, n - 1, SAMPLED).astype(np.int64)) for n in self.values.shape
        )
        for row in rows.tolist():
            self.exact(row, items)
        self.factor, self.worst = safety_factor(self.worst), 0.0

    def _error_scale(self, row: Ints, values: Floats) -> NDArray[Any]:
        return self.gallery.similarity.error_scale(self.lengths[row], -values, centred=False)
