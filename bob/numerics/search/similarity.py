"""Cosine and Euclidean similarity of feature rows: float32 to search by, float64 to decide.

A *score* orders gallery rows as their similarity does: the cosine, or minus the squared distance.
Every search takes float32 scores of all rows, and float64 scores of the few rows whose order the
float32 scores leave open. How far float32 scores are off is measured (`safety_factor`).

Two float64 scores are *tied* where they differ by no more than rounding can explain: cosines by at
most 1e-13, squared distances by at most 1e-13 (‖q‖² + ‖x‖²) around the centre (`EQUAL`). Neither
the order of summation nor the library that multiplies can then break a tie between equal rows.

Float32 scores come in two forms. A search for k neighbours copies its chunk of the gallery anyway
and prepares the copy (`prepared`): normalised for cosines, centred for distances. A ranking uses
the gallery where it is stored and corrects the products instead (`raw_distances`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Bools, Doubles, Floats
from bob.numerics.matmul import product

MetricName = Literal["cosine", "euclidean"]
RawDistances = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Fill the last argument (B, g) from float32 gallery rows (g, D) and their weights (g,)."""

EPS = 2.0**-23
"""Spacing of float32 at 1."""
MIN_SAFETY = 2.0
"""Smallest `safety_factor`."""
CENTRE_ROWS = 256
"""Gallery rows, evenly spread, whose median is the centre of Euclidean distances."""
CANCELLED = 1000
"""A squared distance below this many tolerances is recomputed in float64, so that the error of
the distance stays below 1e-3 of it."""
NEAR = 1e-6
"""A float64 squared distance below this share of ‖q‖² + ‖x‖² is computed from differences, which
keep the digits that the expanded square loses."""
EQUAL = 1e-13
"""Float64 scores within this of each other are tied, relative to the length of unit rows or to
‖q‖² + ‖x‖². Sums of 100,000 terms, and three units in the last place of float32 features, move a
score by less."""
TINY = np.float32(1e-30)
"""Squared distances below this may have vanished in float32; features are rescaled before they are
that small (`bob.numerics.scale`)."""
PAIRS = 2048
"""Row differences in memory at once."""


class Similarity(Protocol):
    """Similarity of feature rows under one metric."""

    faiss_metric: int

    # ---- float32

    def prepared(self, rows: NDArray[Any]) -> Floats:
        """Return a copy of rows (M, D) in the form that `scores` and faiss take."""

    def scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the float32 scores (M, G) of prepared rows (M, D) and (G, D)."""

    def weights(self, squares: Tensor) -> Tensor:
        """Return the float32 weights (G,) of gallery rows with these squared lengths (G,)."""

    def raw_distances(self, queries: Tensor, squares: Tensor) -> RawDistances:
        """Return a function that computes minus the scores of queries and unprepared rows.

        `queries` (B, D) are centred, in float64; `squares` (B, 1) are their squared lengths.
        """

    def error_scale(
        self, lengths: NDArray[Any], scores: NDArray[Any], centred: bool = True
    ) -> NDArray[Any]:
        """Return what the float32 errors of scores grow with, in the shape of `scores`.

        By which factor they do depends on the library and on the features. `lengths` of the
        centred queries and `scores` broadcast; `centred` says whether the gallery rows are, too.
        """

    def lengths(self, queries: NDArray[Any]) -> Floats:
        """Return the lengths (M, 1) of the centred queries, as far as `error_scale` uses them."""

    def cancelled(self, scores: Floats, tolerance: Floats) -> Bools:
        """Return where scores are too inaccurate to become similarities, whatever their order."""

    def similarities(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Return the cosines, or minus the distances, in the dtype of the scores."""

    # ---- float64

    def centred(self, rows: Tensor) -> Tensor:
        """Return a float64 copy of rows, relative to the centre where there is one."""

    def pair_scores(self, a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
        """Return the score (M,) of each row of a (M, D) with the same row of b (M, D), and by how
        much other scores may differ from it and be tied with it (M,).
        """

    def block_scores(
        self, queries: Tensor, query_squares: Tensor, gallery: Tensor, squares: Tensor
    ) -> Tensor:
        """Return the scores (B, g) of centred float64 rows (B, D) and (g, D).

        `query_squares` (B, 1) and `squares` (g,) are the squared lengths.
        """

    def tie_width(self, query_squares: Any, squares: Any) -> Any:
        """Return by how much scores may differ and be tied: a number, or one for each pair."""

    def widest_tie(self, query_square: float, distances: Doubles) -> Doubles:
        """Return the largest possible tie width of a query with a squared length and any rows with
        these negative scores (K,).
        """


class Cosine:
    """Cosine of the angle between rows; 0 where one of them is zero. The score is the cosine."""

    faiss_metric = faiss.METRIC_INNER_PRODUCT

    def prepared(self, rows: NDArray[Any]) -> Floats:
        return unit(rows)

    def scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        return queries @ gallery.T

    def weights(self, squares: Tensor) -> Tensor:
        return torch.where(squares > 0, squares.rsqrt(), 0).float()

    def raw_distances(self, queries: Tensor, squares: Tensor) -> RawDistances:
        """With the query's length in the query and the gallery row's length in its weight."""
        scaled = torch.where(squares > 0, queries * -squares.rsqrt(), 0.0).float()
        return lambda rows, weights, out: torch.mul(product(scaled, rows), weights, out=out)

    def error_scale(
        self, lengths: NDArray[Any], scores: NDArray[Any], centred: bool = True
    ) -> NDArray[Any]:
        """Partial sums are the larger, the larger the final sum; at 0 they still reach about ⅛."""
        scale: NDArray[Any] = np.float32(5 * EPS) * (np.abs(scores) + np.float32(0.125))
        return scale

    def lengths(self, queries: NDArray[Any]) -> Floats:
        return np.ones((len(queries), 1), np.float32)

    def cancelled(self, scores: Floats, tolerance: Floats) -> Bools:
        return np.zeros(scores.shape, bool)

    def similarities(self, scores: NDArray[Any]) -> NDArray[Any]:
        return scores

    def centred(self, rows: Tensor) -> Tensor:
        return rows.to(torch.float64, copy=True)

    def pair_scores(self, a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
        squares = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
        cosines: Doubles = np.einsum("ij,ij->i", a, b) / np.sqrt(np.where(squares > 0, squares, 1))
        return cosines, np.full(len(a), EQUAL)

    def block_scores(
        self, queries: Tensor, query_squares: Tensor, gallery: Tensor, squares: Tensor
    ) -> Tensor:
        """The products come first, so that orthogonal rows of whole numbers have exactly 0."""
        lengths = (torch.where(s > 0, s, 1.0).sqrt_() for s in (query_squares, squares))
        cosines = queries @ gallery.T
        for length in lengths:
            cosines.div_(length)
        return cosines

    def tie_width(self, query_squares: Any, squares: Any) -> Any:
        return EQUAL

    def widest_tie(self, query_square: float, distances: Doubles) -> Doubles:
        return np.full(len(distances), EQUAL)


@dataclass(frozen=True, eq=False)
class Euclidean:
    """Minus the distance between rows. The score is minus its square, −(‖q‖² + ‖x‖² − 2 q·x).

    Rows are taken relative to `centre`, where that form loses the fewest digits.
    """

    centre: Floats
    """(D,) any point: distances do not depend on it. Near the middle it keeps the squares small;
    a median stays there even if a few rows are far away."""
    faiss_metric = faiss.METRIC_L2

    def prepared(self, rows: NDArray[Any]) -> Floats:
        moved: Floats = np.subtract(rows, self.centre, dtype=np.float32)
        return moved

    def scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        squares = queries.square().sum(1, keepdim=True) + gallery.square().sum(1)
        return torch.addmm(squares, queries, gallery.T, beta=-1, alpha=2).clamp_(max=0)

    def weights(self, squares: Tensor) -> Tensor:
        return squares.float()

    def raw_distances(self, queries: Tensor, squares: Tensor) -> RawDistances:
        """With q and x relative to the centre c and the row stored as x + c:

        ‖q − x‖² = −2 q·(x + c) + ‖x‖² + (‖q‖² + 2 q·c).
        """
        constant = (squares + 2 * (queries @ self._centre_on(queries))[:, None]).float()
        scaled = (-2.0 * queries).float()
        return lambda rows, weights, out: torch.add(product(scaled, rows), weights, out=out).add_(
            constant
        )

    def error_scale(
        self, lengths: NDArray[Any], scores: NDArray[Any], centred: bool = True
    ) -> NDArray[Any]:
        """The squares that are added up, ‖q‖² + ‖x‖² with ‖x‖ at most ‖q‖ + distance, and q·c."""
        squares = lengths**2 + (lengths + np.sqrt(np.maximum(-scores, 0))) ** 2
        if not centred:
            squares = squares + 2 * lengths * np.linalg.norm(self.centre.astype(np.float64))
        scale: NDArray[Any] = np.float32(5 * EPS) * squares + TINY
        return scale

    def lengths(self, queries: NDArray[Any]) -> Floats:
        lengths: Floats = np.linalg.norm(self.prepared(queries), axis=1, keepdims=True)
        return lengths

    def cancelled(self, scores: Floats, tolerance: Floats) -> Bools:
        rough: Bools = -scores < CANCELLED * tolerance
        return rough

    def similarities(self, scores: NDArray[Any]) -> NDArray[Any]:
        distances: NDArray[Any] = np.sqrt(-scores)
        return -distances

    def centred(self, rows: Tensor) -> Tensor:
        return rows.to(torch.float64, copy=True).sub_(self._centre_on(rows))

    def pair_scores(self, a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
        differences = a - b
        scores: Doubles = -np.einsum("ij,ij->i", differences, differences)
        squares = (
            np.einsum("ij,ij->i", rows, rows)
            for rows in (np.subtract(a, self.centre, out=differences), b - self.centre)
        )
        return scores, self.tie_width(*squares)

    def block_scores(
        self, queries: Tensor, query_squares: Tensor, gallery: Tensor, squares: Tensor
    ) -> Tensor:
        total = query_squares + squares
        scores = torch.addmm(total, queries, gallery.T, beta=-1, alpha=2)
        row, column = (scores > -NEAR * total).nonzero(as_tuple=True)
        for start in range(0, len(row), PAIRS):
            q, x = row[start : start + PAIRS], column[start : start + PAIRS]
            scores[q, x] = -(queries[q] - gallery[x]).square().sum(1)
        return scores.clamp_(max=0)

    def tie_width(self, query_squares: Any, squares: Any) -> Any:
        return EQUAL * (query_squares + squares)

    def widest_tie(self, query_square: float, distances: Doubles) -> Doubles:
        """‖x‖ is at most ‖q‖ + distance."""
        length: Doubles = np.sqrt(query_square) + np.sqrt(distances)
        return EQUAL * (query_square + length**2)

    def _centre_on(self, like: Tensor) -> Tensor:
        return torch.from_numpy(self.centre).to(like.device, torch.float64)


def similarity_of(metric: MetricName, gallery: NDArray[Any]) -> Similarity:
    """Return the similarity by name, for a gallery (G, D)."""
    if metric == "cosine":
        return Cosine()
    some = gallery[:: max(1, len(gallery) // CENTRE_ROWS)]
    return Euclidean(np.median(some.astype(np.float64), axis=0).astype(np.float32))


def worst_error(error: NDArray[Any], scale: NDArray[Any]) -> float:
    """Return the largest error of float32 scores in units of their `error_scale`."""
    relative = np.abs(error) / np.maximum(scale, np.finfo(np.float32).tiny)
    return float(relative.max(initial=0.0))


def safety_factor(worst: float) -> float:
    """Return how many `error_scale` must lie between scores for float32 to order them reliably.

    Twice the worst error of a sample, since both scores can be off, and twice that again, since the
    worst of all scores is worse. It has to be measured: it spans a factor of 30 between features
    whose variance is spread and features that have it in their first columns.
    """
    return max(MIN_SAFETY, 4 * worst)


def unit(x: NDArray[Any]) -> Floats:
    """Return rows (N, D) scaled to length 1 in float32; a zero row stays zero."""
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", x, x)
    length = np.sqrt(squares)[:, None]
    normalised: Floats = np.divide(x, np.where(length > 0, length, 1)).astype(
        np.float32, copy=False
    )
    extreme = np.flatnonzero(~((squares > 1e-30) & (squares < 1e30)))
    if len(extreme):  # float32 loses these squares, though not the rows themselves
        rows = x[extreme]
        _, exponents = np.frexp(np.abs(rows).max(1, keepdims=True))
        if exponents.any():
            normalised[extreme] = unit(np.ldexp(rows, -exponents))
    return normalised
