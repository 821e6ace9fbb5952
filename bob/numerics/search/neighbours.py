"""Exact nearest neighbours by cosine similarity or Euclidean distance.

faiss searches on the CPU and torch on an accelerator, and both give the same answers. Either
searches in float32, whose sums depend on the library and the machine. What float32 cannot
order is recomputed in float64, so that the order is always the same: by similarity in float64,
rounded to float32 (cosines to 9 decimals first, beyond which the order of summation shows); equal
similarities by index.

Beside the features and the Q · k neighbours, memory holds one chunk of the gallery as it is
searched, one chunk of the queries, and for torch the similarities between the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.chunks import slices
from bob.numerics.search.order import sort_keys, values_and_positions
from bob.numerics.search.similarity import (
    MetricName,
    Similarity,
    safety_factor,
    similarity_of,
    worst_error,
)

SPARE = 8
"""Candidates beyond k, so that rows that float32 confuses with the k-th are nearly always among
the candidates."""
GALLERY_CHUNK_BYTES = 256 * 2**20
"""Size of the float32 gallery rows that are searched at once."""
QUERIES_PER_CHUNK = 4096
"""The block in which faiss itself takes queries: smaller ones are slower."""
CELLS_PER_CHUNK = 32 * 2**20
"""Similarities, or candidates, in memory at once: 128 MiB in float32."""
EXACT_CELLS = 2 * 2**20
"""Float64 numbers in memory at once: 16 MiB."""
SAMPLED = (512, 8)
"""Queries, and candidates of each, whose float32 errors are measured."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest gallery rows of Q queries, nearest first."""

    similarity: Floats
    """(Q, k) cosine, or minus the Euclidean distance."""
    index: Ints
    """(Q, k) gallery rows; equal similarities in ascending order of index."""

    def take(self, queries: slice) -> "Neighbours":
        """Return the neighbours of some of the queries."""
        return Neighbours(self.similarity[queries], self.index[queries])


def search(
    gallery: NDArray[Any],
    queries: NDArray[Any],
    k: int,
    device: str = "cpu",
    metric: MetricName = "cosine",
    among: Ints | None = None,
) -> Neighbours:
    """Return the k most similar rows of the gallery (N, D), or all N if k > N, for queries (Q, D).

    `among`, ascending, restricts the search to these gallery rows; `index` still refers to the full
    gallery.
    """
    similarity = similarity_of(metric, gallery)
    n = len(gallery) if among is None else len(among)
    k, width = min(k, n), min(k + SPARE, n)
    result = _empty(len(queries), k)
    candidates = _candidates(similarity, gallery, queries, among, width, device)
    factor = _measured_factor(similarity, gallery, queries, candidates)
    for part in slices(len(queries), EXACT_CELLS // max(width, gallery.shape[1])):
        nearest, unsettled = _settled(
            similarity, gallery, queries[part], candidates.take(part), k, n, factor
        )
        result.similarity[part], result.index[part] = nearest.similarity, nearest.index
        for some in slices(len(unsettled), EXACT_CELLS // n):
            rows = part.start + unsettled[some]
            nearest = _exhaustive(similarity, gallery, queries[rows], among, k)
            result.similarity[rows], result.index[rows] = nearest.similarity, nearest.index
    return result


def _empty(queries: int, k: int) -> Neighbours:
    return Neighbours(np.empty((queries, k), np.float32), np.empty((queries, k), np.int64))


def _candidates(
    similarity: Similarity,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    among: Ints | None,
    width: int,
    device: str,
) -> Neighbours:
    """Return the `width` best rows by float32 score; `similarity` holds these scores."""
    best = _empty(len(queries), 0)
    for rows, chunk in _gallery_chunks(
        gallery, among, GALLERY_CHUNK_BYTES // (4 * gallery.shape[1])
    ):
        prepared = similarity.prepared(chunk)
        on_device = torch.from_numpy(prepared).to(device) if device != "cpu" else None
        merged = _empty(len(queries), min(width, best.index.shape[1] + len(prepared)))
        per_query = width if on_device is None else len(prepared)
        for part in slices(len(queries), min(QUERIES_PER_CHUNK, CELLS_PER_CHUNK // per_query)):
            q, k = similarity.prepared(queries[part]), min(width, len(prepared))
            score, index = (
                _faiss(similarity, prepared, q, k)
                if on_device is None
                else _torch(similarity, on_device, q, k)
            )
            top = Neighbours(score, index + rows.start if among is None else rows[index])
            if best.index.shape[1]:
                top = _merged(best.take(part), top, merged.index.shape[1])
            merged.similarity[part], merged.index[part] = top.similarity, top.index
        best = merged
    return best


def _faiss(similarity: Similarity, gallery: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Return the k best scores and their positions among prepared rows."""
    score, index = faiss.knn(queries, gallery, k, metric=similarity.faiss_metric)
    return (-score if similarity.faiss_metric == faiss.METRIC_L2 else score), index


def _torch(similarity: Similarity, gallery: Tensor, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Return the same as `_faiss`, for a gallery on a device."""
    top = torch.topk(similarity.scores(torch.from_numpy(queries).to(gallery.device), gallery), k)
    return top.values.cpu().numpy(), top.indices.cpu().numpy()


def _measured_factor(
    similarity: Similarity, gallery: NDArray[Any], queries: NDArray[Any], candidates: Neighbours
) -> float:
    """Return the `safety_factor` from float32 scores of evenly spread queries and candidates."""
    if not len(queries):
        return 0.0
    rows, columns = (
        np.unique(np.linspace(0, n - 1, most).astype(np.int64))
        for n, most in zip(candidates.index.shape, SAMPLED, strict=True)
    )
    all_scores = candidates.similarity[rows]
    scale = similarity.error_scale(similarity.lengths(queries[rows]), all_scores)[:, columns]
    row, column = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    exact = similarity.exact_scores(
        _exact_pairs(similarity, gallery, queries, row, candidates.index[row, column])
    ).reshape(scale.shape)
    return safety_factor(worst_error(all_scores[:, columns] - exact, scale))


def _settled(
    similarity: Similarity,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    candidates: Neighbours,
    k: int,
    n: int,
    factor: float,
) -> tuple[Neighbours, Ints]:
    """Return the k nearest candidates, and the queries for which these may be the wrong ones.

    Candidates that float32 cannot order are ordered in float64. A query is returned where float32
    cannot tell the k-th candidate from rows that are no candidates.
    """
    score, index = candidates.similarity, candidates.index
    tolerance = np.float32(factor) * similarity.error_scale(similarity.lengths(queries), score)
    near = score[:, :-1] - score[:, 1:] <= tolerance[:, 1:]
    confused = similarity.cancelled(score, tolerance)
    confused[:, 1:] |= near
    confused[:, :-1] |= near
    open_end = (
        score[:, k - 1] - score[:, -1] <= tolerance[:, -1]
        if score.shape[1] < n
        else np.zeros(len(score), bool)
    )
    confused[open_end] = False
    values = similarity.similarities(score)
    row, column = np.nonzero(confused)
    values[row, column] = _exact_pairs(similarity, gallery, queries, row, index[row, column])
    touched = np.flatnonzero(confused.any(1))
    values[touched], index[touched] = _ordered(values[touched], index[touched])
    return Neighbours(values[:, :k], index[:, :k]), np.flatnonzero(open_end)


def _exact_pairs(
    similarity: Similarity, gallery: NDArray[Any], queries: NDArray[Any], row: Ints, index: Ints
) -> Doubles:
    """Return the float64 similarity (M,) of queries[row] (M, D) and gallery[index] (M, D)."""
    exact = np.empty(len(row))
    for part in slices(len(row), EXACT_CELLS // gallery.shape[1]):
        exact[part] = similarity.pair_scores(
            queries[row[part]].astype(np.float64), gallery[index[part]].astype(np.float64)
        )
    return similarity.exact_similarities(exact)


def _exhaustive(
    similarity: Similarity,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    among: Ints | None,
    k: int,
) -> Neighbours:
    """Return the k nearest rows by float64 alone, for queries with more ties than candidates."""
    centred = similarity.centred(torch.from_numpy(queries))
    squares = centred.square().sum(1, keepdim=True)
    best = _empty(len(queries), 0)
    for rows, chunk in _gallery_chunks(
        gallery, among, EXACT_CELLS // max(gallery.shape[1], len(queries))
    ):
        block = similarity.centred(torch.from_numpy(chunk))
        scores = similarity.block_scores(centred, squares, block, block.square().sum(1)).numpy()
        values = similarity.exact_similarities(scores).astype(np.float32)
        index = np.arange(rows.start, rows.stop) if among is None else rows
        best = _merged(
            best,
            Neighbours(values, np.broadcast_to(index, values.shape)),
            min(k, best.index.shape[1] + len(chunk)),
        )
    return best


def _merged(a: Neighbours, b: Neighbours, k: int) -> Neighbours:
    """Return the k best of two lists per query."""
    similarity, index = _ordered(
        np.concatenate([a.similarity, b.similarity], 1), np.concatenate([a.index, b.index], 1)
    )
    return Neighbours(similarity[:, :k], index[:, :k])


def _ordered(similarity: Floats, index: Ints) -> tuple[Floats, Ints]:
    """Return rows by descending similarity, equal similarities by ascending index."""
    keys = sort_keys(np.float32(0) - similarity, index)  # 0 − s, since −s would make a zero −0.0
    keys.sort(axis=1)
    negated, index = values_and_positions(keys)
    return np.float32(0) - negated, index


def _gallery_chunks(
    gallery: NDArray[Any], among: Ints | None, size: int
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Yield (rows, gallery[rows]); rows is a slice, or with `among` an array of positions."""
    for part in slices(len(gallery) if among is None else len(among), size):
        rows = part if among is None else among[part]
        yield rows, gallery[rows]
