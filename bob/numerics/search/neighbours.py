"""Exact nearest neighbours by cosine similarity or Euclidean distance: faiss on the CPU, torch on an accelerator, the same answers from both.

Either searches in float32, whose sums depend on the library and the machine. What float32 cannot tell apart is settled in float64 afterwards,
so that the answer is one order whoever searched: by similarity in float64, rounded to float32 (cosines to 9 decimals first, below which
the order of a sum shows), equal similarities by index.

Beside the features and the Q · k neighbours, memory holds one chunk of the gallery as it is searched, one of the queries, and
for torch the similarities between the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.similarity import Metric, metric_of

SPARE = 8
"""Neighbours beyond k that are fetched, so that what float32 confuses with the k-th is nearly always among them."""
GALLERY_CHUNK_BYTES = 256 * 2**20
"""Of the gallery, as float32, searched at once."""
QUERIES_PER_CHUNK = 4096
"""The block in which faiss itself takes queries: smaller ones are slower."""
CELLS_PER_CHUNK = 32 * 2**20
"""Similarities, or fetched neighbours, held at once: 128 MiB in float32."""
EXACT_CELLS = 2 * 2**20
"""Numbers held at once in float64: 16 MiB."""
SAMPLED = (512, 8)
"""Queries, and neighbours of each, whose scores are taken in float64 to see how far float32 is off."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest gallery rows of Q queries, nearest first."""

    similarity: Floats
    """(Q, k) cosine, or minus the Euclidean distance."""
    index: Ints
    """(Q, k) gallery rows; equal similarities in ascending order of index."""

    def take(self, queries: slice) -> "Neighbours":
        return Neighbours(self.similarity[queries], self.index[queries])


def search(
    gallery: NDArray[Any],
    queries: NDArray[Any],
    k: int,
    device: str = "cpu",
    metric: Literal["cosine", "euclidean"] = "cosine",
    among: Ints | None = None,
) -> Neighbours:
    """The k most similar gallery rows (N, D) (all where there are fewer) for each of the queries (Q, D).

    `among`, ascending, restricts the search to these gallery rows; `index` counts in the whole gallery all the same.
    """
    similar = metric_of(metric, gallery)
    n = len(gallery) if among is None else len(among)
    k, wide = min(k, n), min(k + SPARE, n)
    result = Neighbours(
        np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    )
    fetched = _fetch(similar, gallery, queries, among, wide, device)
    factor = _tolerance(similar, gallery, queries, fetched)
    for part in _slices(len(queries), max(1, EXACT_CELLS // max(wide, gallery.shape[1]))):
        found, unsettled = _settled(
            similar, gallery, queries[part], fetched.take(part), k, n, factor
        )
        result.similarity[part], result.index[part] = found.similarity, found.index
        for some in np.array_split(unsettled, -(-len(unsettled) // max(1, EXACT_CELLS // n)) or 1):
            rows = part.start + some
            whole = _exhaustive(similar, gallery, queries[rows], among, k)
            result.similarity[rows], result.index[rows] = whole.similarity, whole.index
    return result


def _fetch(
    metric: Metric,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    among: Ints | None,
    wide: int,
    device: str,
) -> Neighbours:
    """The `wide` best by score, as float32 has them."""
    best = Neighbours(
        np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    )
    for rows, chunk in _chunks(
        gallery, among, max(1, GALLERY_CHUNK_BYTES // (4 * gallery.shape[1]))
    ):
        prepared = metric.prepared(chunk)
        on_device = torch.from_numpy(prepared).to(device) if device != "cpu" else None
        width = min(wide, best.index.shape[1] + len(prepared))
        merged = Neighbours(
            np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
        )
        at_once = min(
            QUERIES_PER_CHUNK, CELLS_PER_CHUNK // (wide if on_device is None else len(prepared))
        )
        for part in _slices(len(queries), max(1, at_once)):
            q, most = metric.prepared(queries[part]), min(wide, len(prepared))
            score, index = (
                _faiss(metric, prepared, q, most)
                if on_device is None
                else _torch(metric, on_device, q, most)
            )
            found = Neighbours(score, rows[index] if among is not None else index + rows.start)
            found = _first(best.take(part), found, width) if best.index.shape[1] else found
            merged.similarity[part], merged.index[part] = found.similarity, found.index
        best = merged
    return best


def _faiss(metric: Metric, gallery: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    score, index = faiss.knn(queries, gallery, k, metric=metric.faiss_metric)
    return (-score if metric.faiss_metric == faiss.METRIC_L2 else score), index


def _torch(metric: Metric, gallery: torch.Tensor, queries: Floats, k: int) -> tuple[Floats, Ints]:
    top = torch.topk(metric.torch_scores(torch.from_numpy(queries).to(gallery.device), gallery), k)
    return top.values.cpu().numpy(), top.indices.cpu().numpy()


def _tolerance(
    metric: Metric, gallery: NDArray[Any], queries: NDArray[Any], fetched: Neighbours
) -> float:
    """How many times `metric.rounding` two scores lie apart before float32 can be trusted to have them in order.

    Twice the largest error among some of them, since both can be off; doubled, since the largest among all is larger. The error cannot be known
    beforehand: it spans a factor of 30 between features whose variance is spread and features that have it in their first columns.
    """
    if not len(queries):
        return 0.0
    rows, columns = (
        np.unique(np.linspace(0, n - 1, most).astype(np.int64))
        for n, most in zip(fetched.index.shape, SAMPLED, strict=True)
    )
    score, rounding = (
        fetched.similarity[rows][:, columns],
        metric.rounding(queries[rows], fetched.similarity[rows])[:, columns],
    )
    row, column = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    exact = metric.score(
        _exact_pairs(metric, gallery, queries, row, fetched.index[row, column])
    ).reshape(score.shape)
    return 4 * max(
        0.5, float((np.abs(score - exact) / np.maximum(rounding, np.finfo(np.float32).tiny)).max())
    )


def _settled(
    metric: Metric,
    gallery: NDArray[Any],
    queries: NDArray[Any],
    fetched: Neighbours,
    k: int,
    n: int,
    factor: float,
) -> tuple[Neighbours, Ints]:
    """The first k, what float32 confuses put in order; and the rows in which it may confuse the k-th with what was not fetched."""
    score, index = fetched.similarity, fetched.index
    tolerance = np.float32(factor) * metric.rounding(queries, score)
    near = score[:, :-1] - score[:, 1:] <= tolerance[:, 1:]
    confused = metric.doubtful(score, tolerance)
    confused[:, 1:] |= near
    confused[:, :-1] |= near
    open_end = (
        score[:, k - 1] - score[:, -1] <= tolerance[:, -1]
        if score.shape[1] < n
        else np.zeros(len(score), bool)
    )
    confused[open_end] = False
    similarity = metric.similarity(score)
    row, column = np.nonzero(confused)
    similarity[row, column] = _exact_pairs(metric, gallery, queries, row, index[row, column])
    touched = np.flatnonzero(confused.any(1))
    similarity[touched], index[touched] = _ordered(similarity[touched], index[touched])
    return Neighbours(similarity[:, :k], index[:, :k]), np.flatnonzero(open_end)


def _exact_pairs(
    metric: Metric, gallery: NDArray[Any], queries: NDArray[Any], row: Ints, index: Ints
) -> Doubles:
    """(M,) similarity of queries[row] (M,) with gallery[index] (M,), in float64."""
    exact = np.empty(len(row))
    for part in _slices(len(row), max(1, EXACT_CELLS // gallery.shape[1])):
        exact[part] = metric.exact_pairs(
            queries[row[part]].astype(np.float64), gallery[index[part]].astype(np.float64)
        )
    return exact


def _exhaustive(
    metric: Metric, gallery: NDArray[Any], queries: NDArray[Any], among: Ints | None, k: int
) -> Neighbours:
    """By float64 alone: for the few queries with more ties than were fetched."""
    wanted = queries.astype(np.float64)
    best = Neighbours(
        np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    )
    for rows, chunk in _chunks(
        gallery, among, max(1, EXACT_CELLS // max(gallery.shape[1], len(queries)))
    ):
        similarity = metric.exact(wanted, chunk.astype(np.float64)).astype(np.float32)
        index = np.broadcast_to(
            rows if among is not None else np.arange(rows.start, rows.stop), similarity.shape
        )
        best = _first(best, Neighbours(similarity, index), min(k, best.index.shape[1] + len(chunk)))
    return best


def _first(a: Neighbours, b: Neighbours, k: int) -> Neighbours:
    """The k best of two lists."""
    similarity, index = (
        np.concatenate([a.similarity, b.similarity], 1),
        np.concatenate([a.index, b.index], 1),
    )
    similarity, index = _ordered(similarity, index)
    return Neighbours(similarity[:, :k], index[:, :k])


def _ordered(similarity: Floats, index: Ints) -> tuple[Floats, Ints]:
    """Rows by similarity descending, then index ascending: one sort of int64, the float's bits (in an order that integers share) above the index."""
    bits = (np.float32(0) - similarity).view(np.int32)  # 0 − s rather than −s: zero has one sign
    key = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32 | index
    key.sort(axis=1)
    bits = (key >> 32).astype(np.int32)
    return np.float32(0) - (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32), key & 0xFFFFFFFF


def _chunks(
    gallery: NDArray[Any], among: Ints | None, size: int
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """(rows, gallery[rows]): rows is a slice, or with `among` an array of positions."""
    for part in _slices(len(gallery) if among is None else len(among), size):
        rows = part if among is None else among[part]
        yield rows, gallery[rows]


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
