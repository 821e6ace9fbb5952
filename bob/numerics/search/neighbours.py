"""Exact nearest neighbours by cosine similarity or Euclidean distance.

faiss searches on the CPU and torch on an accelerator, and both give the same answers. Either
searches in float32, whose sums depend on the library and the machine. What float32 cannot
order is recomputed in float64, so that the order is always the same: by similarity in float64.
Rows that are tied there (`bob.numerics.search.similarity`) are listed by index, and marked, so that
no caller has to let the order of the gallery decide (`tied_with_last`).

Beside the features and the Q · k neighbours, memory holds one chunk of the gallery as it is
searched, one chunk of the queries, and for torch the similarities between the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.scale import common_scale, divided
from bob.numerics.search.chunks import slices
from bob.numerics.search.order import sort_keys, tied_neighbours, values_and_positions
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
    """(Q, k) gallery rows; those that are tied in ascending order of index."""
    tied: Bools
    """(Q, k) whether the row is tied with the next one. In the last column: with a row that is not
    in the list, because only k are."""

    def take(self, queries: slice | Ints) -> "Neighbours":
        """Return the neighbours of some of the queries."""
        return Neighbours(self.similarity[queries], self.index[queries], self.tied[queries])


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
    gallery, queries, scale = rescaled(gallery, queries, metric)
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
        _put(result, part, nearest)
        for some in slices(len(unsettled), EXACT_CELLS // n):
            rows = part.start + unsettled[some]
            _put(result, rows, _exhaustive(similarity, gallery, queries[rows], among, k))
    if scale == 1:
        return result
    with np.errstate(over="ignore"):  # a distance may exceed float32 where its rows do not
        return replace(result, similarity=result.similarity * np.float32(scale))


def tied_with_last(
    gallery: NDArray[Any],
    queries: NDArray[Any],
    nearest: Neighbours,
    metric: MetricName = "cosine",
    among: Ints | None = None,
) -> Iterator[Ints]:
    """Yield for each query the gallery rows that are tied with the last of its neighbours.

    They are ascending, and include those in the list.
    """
    gallery, queries, _ = rescaled(gallery, queries, metric)
    similarity = similarity_of(metric, gallery)
    rows = np.arange(len(gallery)) if among is None else among
    for part in slices(len(queries), EXACT_CELLS // len(rows)):
        scores, widths = _exact_scores(similarity, gallery, queries[part], among)
        last = np.searchsorted(rows, nearest.index[part, -1])
        for score, width, at in zip(scores, widths, last.tolist(), strict=True):
            yield rows[np.abs(score - score[at]) <= np.maximum(width, width[at])]


def exact_similarities(
    gallery: NDArray[Any], queries: NDArray[Any], index: Ints, metric: MetricName = "cosine"
) -> Doubles:
    """Return the float64 similarity (Q,) of each query with the gallery row at `index` (Q,)."""
    similarity = similarity_of(metric, gallery)
    scores, _ = _exact_pairs(similarity, gallery, queries, np.arange(len(index)), index)
    return similarity.similarities(scores)


def rescaled(
    gallery: NDArray[Any], queries: NDArray[Any], metric: MetricName
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return features whose squares float32 can hold, and by what they were divided.

    For cosines each row is divided by its own length instead.
    """
    scale = common_scale(gallery, queries) if metric == "euclidean" else 1.0
    return divided(gallery, scale), divided(queries, scale), scale


def _empty(queries: int, k: int) -> Neighbours:
    return _untied(np.empty((queries, k), np.float32), np.empty((queries, k), np.int64))


def _untied(similarity: Floats, index: Ints) -> Neighbours:
    return Neighbours(similarity, index, np.zeros(index.shape, bool))


def _put(result: Neighbours, queries: slice | Ints, nearest: Neighbours) -> None:
    """Fill in the neighbours of some of the queries."""
    result.similarity[queries], result.index[queries] = nearest.similarity, nearest.index
    result.tied[queries] = nearest.tied


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
            top = _untied(score, index + rows.start if among is None else rows[index])
            if best.index.shape[1]:
                top = _merged(best.take(part), top, merged.index.shape[1])
            _put(merged, part, top)
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
    exact, _ = _exact_pairs(similarity, gallery, queries, row, candidates.index[row, column])
    error = all_scores[:, columns] - exact.reshape(scale.shape)
    return safety_factor(worst_error(error, scale))


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
    values, tied = similarity.similarities(score), np.zeros(score.shape, bool)
    touched = np.flatnonzero(confused.any(1))
    row, column = np.nonzero(confused[touched])
    decided, widths = score[touched].astype(np.float64), np.zeros((len(touched), score.shape[1]))
    decided[row, column], widths[row, column] = _exact_pairs(
        similarity, gallery, queries, touched[row], index[touched[row], column]
    )
    values[touched, :], index[touched, :], tied[touched, :] = _by_score(
        similarity, decided, widths, index[touched]
    )
    return Neighbours(values[:, :k], index[:, :k], tied[:, :k]), np.flatnonzero(open_end)


def _by_score(
    similarity: Similarity, scores: Doubles, widths: Doubles, index: Ints
) -> tuple[Floats, Ints, Bools]:
    """Return similarities, gallery rows and ties of candidates (M, w) in order of their scores.

    `widths` are the tie widths of scores that are exact, 0 of others.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, widths = (np.take_along_axis(values, order, 1) for values in (scores, widths))
    tied = np.zeros(scores.shape, bool)
    tied[:, :-1] = tied_neighbours(scores, widths)
    values = similarity.similarities(scores).astype(np.float32)
    for column in np.flatnonzero(tied.any(0)).tolist():
        values[:, column + 1] = np.where(tied[:, column], values[:, column], values[:, column + 1])
    group = np.cumsum(~tied, axis=1) - ~tied
    keys = group << 32 | np.take_along_axis(index, order, 1)
    keys.sort(axis=1)
    return values, keys & 0xFFFFFFFF, tied


def _exact_pairs(
    similarity: Similarity, gallery: NDArray[Any], queries: NDArray[Any], row: Ints, index: Ints
) -> tuple[Doubles, Doubles]:
    """Return the float64 scores (M,) of queries[row] (M, D) and gallery[index] (M, D), and their
    tie widths (M,).
    """
    exact, widths = np.empty((2, len(row)))
    for part in slices(len(row), EXACT_CELLS // gallery.shape[1]):
        exact[part], widths[part] = similarity.pair_scores(
            queries[row[part]].astype(np.float64), gallery[index[part]].astype(np.float64)
        )
    return exact, widths


def _exact_scores(
    similarity: Similarity, gallery: NDArray[Any], queries: NDArray[Any], among: Ints | None
) -> tuple[Doubles, Doubles]:
    """Return the float64 scores (B, N) of a few queries (B, D), and their tie widths (B, N)."""
    centred = similarity.centred(torch.from_numpy(queries))
    squares = centred.square().sum(1, keepdim=True)
    n, start = len(gallery) if among is None else len(among), 0
    scores, widths = np.empty((2, len(queries), n))
    for _, chunk in _gallery_chunks(
        gallery, among, EXACT_CELLS // max(gallery.shape[1], len(queries))
    ):
        block = similarity.centred(torch.from_numpy(chunk))
        lengths = block.square().sum(1)
        part = slice(start, start + len(chunk))
        scores[:, part] = similarity.block_scores(centred, squares, block, lengths).numpy()
        widths[:, part] = similarity.tie_width(squares, lengths)
        start = part.stop
    return scores, widths


def _exhaustive(
    similarity: Similarity,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    among: Ints | None,
    k: int,
) -> Neighbours:
    """Return the k nearest rows by float64 alone, for queries with more ties than candidates."""
    scores, widths = _exact_scores(similarity, gallery, queries, among)
    n, nearest = scores.shape[1], _empty(len(queries), k)
    rows = np.arange(n) if among is None else among
    for query, (score, width) in enumerate(zip(scores, widths, strict=True)):
        last = np.argpartition(score, n - k)[n - k]
        alike = np.abs(score - score[last]) <= np.maximum(width, width[last])
        better, equal = np.flatnonzero((score > score[last]) & ~alike), np.flatnonzero(alike)
        listed = np.concatenate([better, equal[: k - len(better)]])
        values, index, tied = _by_score(
            similarity, score[None, listed], width[None, listed], rows[None, listed]
        )
        tied[0, -1] = len(better) + len(equal) > k
        _put(nearest, np.array([query]), Neighbours(values, index, tied))
    return nearest


def _merged(a: Neighbours, b: Neighbours, k: int) -> Neighbours:
    """Return the k best of two lists per query, by float32 score."""
    similarity = np.concatenate([a.similarity, b.similarity], 1)
    index = np.concatenate([a.index, b.index], 1)
    keys = sort_keys(np.float32(0) - similarity, index)  # 0 − s, since −s would make a zero −0.0
    keys.sort(axis=1)
    negated, index = values_and_positions(keys)
    return _untied((np.float32(0) - negated)[:, :k], index[:, :k])


def _gallery_chunks(
    gallery: NDArray[Any], among: Ints | None, size: int
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Yield (rows, gallery[rows]); rows is a slice, or with `among` an array of positions."""
    for part in slices(len(gallery) if among is None else len(among), size):
        rows = part if among is None else among[part]
        yield rows, gallery[rows]
