"""Similarity of feature rows: a float32 score to search by, and the float64 similarity that settles what float32 cannot tell apart."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Floats

EPS = 2.0**-23
"""Spacing of float32 at 1."""
CANCELLED = 1000
"""A squared distance below this many times its tolerance is taken again in float64: the error of the distance stays below 1e-3 of it."""


class Metric(Protocol):
    """Similarity of rows. In float32 a *score*, which orders as similarity does; in float64 the similarity itself."""

    faiss_metric: int

    def prepared(self, rows: NDArray[Any]) -> Floats:
        """(M, D) a copy of rows as they are searched."""

    def torch_scores(self, queries: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        """(M, G) of prepared rows (M, D) and (G, D)."""

    def rounding(self, queries: NDArray[Any], score: Floats) -> Floats:
        """(M, k) what the float32 error of a score (M, k) grows with. How many times this it is depends on the library and on the features."""

    def doubtful(self, score: Floats, tolerance: Floats) -> Bools:
        """(M, k) scores too rough to be similarities, whatever their order."""

    def similarity(self, score: Floats) -> Floats:
        """(M, k) of scores (M, k)."""

    def score(self, similarity: Doubles) -> Doubles:
        """The reverse."""

    def exact_pairs(self, a: Doubles, b: Doubles) -> Doubles:
        """(M,) similarity of a's rows with b's, one by one."""

    def exact(self, a: Doubles, b: Doubles) -> Doubles:
        """(M, G) similarity of each of a's rows with each of b's."""


class Cosine:
    """Cosine of the angle between rows; 0 where one of them is zero. Score: the similarity."""

    faiss_metric = faiss.METRIC_INNER_PRODUCT

    def prepared(self, rows: NDArray[Any]) -> Floats:
        return unit(rows)

    def torch_scores(self, queries: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        return queries @ gallery.T

    def rounding(self, queries: NDArray[Any], score: Floats) -> Floats:
        """Sums pass through larger values the larger they end; about 1 / 8 is there at 0 already."""
        scale: Floats = np.float32(5 * EPS) * (np.abs(score) + np.float32(0.125))
        return scale

    def doubtful(self, score: Floats, tolerance: Floats) -> Bools:
        return np.zeros(score.shape, bool)

    def similarity(self, score: Floats) -> Floats:
        return score

    def score(self, similarity: Doubles) -> Doubles:
        return similarity

    def exact_pairs(self, a: Doubles, b: Doubles) -> Doubles:
        squares = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
        cosine: Doubles = (
            np.einsum("ij,ij->i", a, b) / np.sqrt(np.where(squares > 0, squares, 1))
        ).round(9)
        return cosine

    def exact(self, a: Doubles, b: Doubles) -> Doubles:
        squares = np.einsum("ij,ij->i", a, a)[:, None] * np.einsum("ij,ij->i", b, b)
        cosine: Doubles = (a @ b.T / np.sqrt(np.where(squares > 0, squares, 1))).round(9)
        return cosine


@dataclass(frozen=True, eq=False)
class Euclidean:
    """Minus the distance between raw rows. Score: minus its square, as ‖q‖² + ‖x‖² − 2 q·x of rows less `centre`, where that loses fewest digits."""

    centre: Floats
    """(D,) any point: distances do not depend on it. Near the middle it keeps the squares small."""
    faiss_metric = faiss.METRIC_L2

    def prepared(self, rows: NDArray[Any]) -> Floats:
        moved: Floats = np.subtract(rows, self.centre, dtype=np.float32)
        return moved

    def torch_scores(self, queries: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        squares = queries.square().sum(1, keepdim=True) + gallery.square().sum(1)
        return torch.addmm(squares, queries, gallery.T, beta=-1, alpha=2).clamp_(max=0)

    def rounding(self, queries: NDArray[Any], score: Floats) -> Floats:
        """‖q‖² + ‖x‖² at most: no ‖x‖ is above ‖q‖ + distance."""
        length = np.linalg.norm(self.prepared(queries), axis=1, keepdims=True)
        scale: Floats = np.float32(5 * EPS) * (length**2 + (length + np.sqrt(-score)) ** 2)
        return scale

    def doubtful(self, score: Floats, tolerance: Floats) -> Bools:
        rough: Bools = -score < CANCELLED * tolerance
        return rough

    def similarity(self, score: Floats) -> Floats:
        distance: Floats = np.sqrt(-score)
        return -distance

    def score(self, similarity: Doubles) -> Doubles:
        return -(similarity**2)

    def exact_pairs(self, a: Doubles, b: Doubles) -> Doubles:
        apart = a - b
        similarity: Doubles = -np.sqrt(np.einsum("ij,ij->i", apart, apart))
        return similarity

    def exact(self, a: Doubles, b: Doubles) -> Doubles:
        """Of differences: the expanded square would not give equal rows a distance of 0."""
        distance = torch.cdist(
            torch.from_numpy(a), torch.from_numpy(b), compute_mode="donot_use_mm_for_euclid_dist"
        )
        similarity: Doubles = distance.neg_().numpy()
        return similarity


def metric_of(name: Literal["cosine", "euclidean"], gallery: NDArray[Any]) -> Metric:
    """The metric by name, for a gallery."""
    if name == "cosine":
        return Cosine()
    some = gallery[:: max(1, len(gallery) // 1024)]
    return Euclidean(some.mean(0, dtype=np.float64).astype(np.float32))


def unit(x: NDArray[Any]) -> Floats:
    """(N, D) rows of length 1; a zero row stays zero."""
    squares = np.einsum("ij,ij->i", x, x)
    extreme = np.flatnonzero(
        ~((squares > 1e-30) & (squares < 1e30))
    )  # float32 loses these squares, though not their rows
    length = np.sqrt(squares)[:, None]
    if len(extreme):
        length = length.astype(np.float64)
        length[extreme] = np.linalg.norm(x[extreme].astype(np.float64), axis=1, keepdims=True)
    normalised: Floats = np.divide(x, np.where(length > 0, length, 1)).astype(
        np.float32, copy=False
    )
    return normalised
