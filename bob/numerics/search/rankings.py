"""Exact rankings of a gallery, chunk by chunk, and what they say about the positives of each query.

Similarities are summed in float64 and rounded to float32; equal ones go to the lower gallery position (`bob.numerics.search.distances`). Nearly all
of them are taken in float32 alone, and no row is put in order as a whole (`bob.numerics.search.ranks`).

Memory beside the features: one chunk of float32 similarities per worker, 128 MiB in all, what counting in a part of each takes, and 1 MiB or so per
thousand queries for the ranks of each hundred positives; where float64 has to decide, a block of the gallery in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.numerics.search.distances import ApproximateDistances, ExactDistances, Gallery
from bob.numerics.search.neighbours import search
from bob.numerics.search.ranks import ranks
from bob.numerics.search.relevance import Ints, Mask, Relevance
from bob.numerics.search.similarity import MetricName
from bob.numerics.threads import map_stripes

QUERIES, CELLS = 256, 2**25
"""Queries that a worker multiplies at once, and similarities that all workers hold at once, as float32: 128 MiB."""
SORTED_CELLS = 2**20
"""Similarities sorted at once: few enough to stay in a cache."""


@dataclass(frozen=True, eq=False)
class RankedPositives:
    """The positives of some queries, in the order of their ranks."""

    query: Ints
    """(B,) the queries' positions, ascending."""
    positives: Ints
    """(B,) how many positives each has; those that a cut-off ranking does not reach are among them."""
    row: Ints
    """(P,) which of the B queries, ascending."""
    rank: Ints
    """(P,) from 0, what is left out not counted; ascending within a query."""


def rankings(
    queries: NDArray[Any],
    gallery: NDArray[Any],
    relevances: Mapping[str, Relevance],
    metric: MetricName,
    device: str = "cpu",
) -> dict[str, list[RankedPositives]]:
    """Whole rankings of gallery (G, D) for queries (Q, D), read by several ideas of what is relevant; by name, Founds in the order of the queries."""
    prepared, workers = (
        Gallery(gallery, metric, device),
        torch.get_num_threads() if device == "cpu" else 1,
    )
    chunks = list(_chunks(len(queries), max(1, min(QUERIES, CELLS // workers // len(gallery)))))
    stripes = (
        map_stripes(lambda some: _ranked(prepared, queries, relevances, some), chunks, workers)
        if chunks
        else []
    )
    return {name: [part for stripe in stripes for part in stripe[name]] for name in relevances}


def shortlists(
    queries: NDArray[Any],
    gallery: NDArray[Any],
    relevances: Mapping[str, Relevance],
    metric: MetricName,
    depth: int,
    device: str = "cpu",
) -> dict[str, list[RankedPositives]]:
    """As `rankings`, for the first `depth` places only: from a search of nearest neighbours, without sorting the gallery."""
    spare = {
        name: _most_left_out(relevance, len(queries), len(gallery))
        for name, relevance in relevances.items()
    }
    nearest = search(gallery, queries, depth + max(spare.values()), device, metric).index
    found: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for rows in _chunks(len(queries), max(1, CELLS // len(gallery))):
        for name, relevance in relevances.items():
            positive, left_out = relevance.of(rows)
            row, rank = _places(nearest[rows], positive, left_out)
            found[name].append(RankedPositives(rows, positive.sum(1), row[rank < depth], rank[rank < depth]))
    return found


def ranking_statistics(ranked: Sequence[RankedPositives]) -> tuple[NDArray[Any], ...]:
    """Return per query of full rankings (Q,): position, positives, first rank, AP, trapezoid AP,
    R-precision and AP at R. Queries without a positive are left out.
    """
    return tuple(map(np.concatenate, zip(*map(_retrieved, ranked), strict=True)))


def top_k_statistics(
    ranked: Sequence[RankedPositives], k: int, *, full: bool
) -> tuple[NDArray[Any], ...]:
    """Return per query of the first k places (Q,): positives, hits, AP, and the precision until the
    last positive, which is known of full rankings only. Queries without a positive are left out.
    """
    return tuple(
        map(np.concatenate, zip(*(_shortlist(part, k, full) for part in ranked), strict=True))
    )


def _ranked(
    gallery: Gallery,
    queries: NDArray[Any],
    relevances: Mapping[str, Relevance],
    chunks: Sequence[Ints],
) -> dict[str, list[RankedPositives]]:
    """Some chunks of queries: by float32 as long as it tells the gallery apart, from the first chunk in which it does not by float64."""
    found: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    factor, trusted, room = 0.0, gallery.float32_safe, gallery.buffer(len(chunks[0]))
    for rows in chunks:
        several = None
        if trusted:
            rough = gallery.approximate(queries[rows], room, factor)
            several, factor = _read(rough, rows, relevances), rough.factor
            trusted = several is not None
        several = several or _read(gallery.exact(queries[rows]), rows, relevances) or {}
        for name, parts in several.items():
            found[name] += parts
    return found


def _read(
    distances: ExactDistances | ApproximateDistances, rows: Ints, relevances: Mapping[str, Relevance]
) -> dict[str, list[RankedPositives]] | None:
    """The positives of the queries at `rows`; None where too much would have to be settled."""
    found: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for part in _chunks(len(rows), max(1, SORTED_CELLS // distances.values.shape[1])):
        for name, relevance in relevances.items():
            masks = relevance.of(rows[part])
            placed = _trusted(distances, slice(part[0], part[-1] + 1), *masks)
            if placed is None:
                return None
            found[name].append(
                RankedPositives(rows[part], np.bincount(placed[0], minlength=len(part)), *placed)
            )
    return found


def _trusted(
    distances: ExactDistances | ApproximateDistances, part: slice, positive: Mask, left_out: Mask
) -> tuple[Ints, Ints] | None:
    """Ranks, made again where an error of float32 was met that is larger than what was reckoned with."""
    while True:
        some = distances.take(part)
        placed = ranks(some, positive, left_out)
        if (
            isinstance(distances, ExactDistances)
            or isinstance(some, ExactDistances)
            or 4 * some.worst <= distances.factor
        ):
            return placed
        distances.factor = 8 * some.worst


def _chunks(n: int, size: int) -> Iterator[Ints]:
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


def _places(order: Ints, positive: Mask, left_out: Mask) -> tuple[Ints, Ints]:
    """(P,) and (P,) row and rank of the positives in an ordering (B, k), moved up by what is left out before them."""
    width = order.shape[1]
    hit, gone = (
        np.flatnonzero(np.take_along_axis(mask, order, 1)) for mask in (positive, left_out)
    )
    row, rank = np.divmod(hit, width)
    return row, rank - (np.searchsorted(gone, hit) - np.searchsorted(gone, row * width))


def _most_left_out(relevance: Relevance, queries: int, gallery: int) -> int:
    """The largest number of gallery items that one query's ranking leaves out."""
    return max(
        (
            int(relevance.of(rows)[1].sum(1).max())
            for rows in _chunks(queries, max(1, CELLS // gallery))
        ),
        default=0,
    )


def _retrieved(found: RankedPositives) -> tuple[NDArray[Any], ...]:
    """The fields of `RetrievalResults` for the queries of one chunk that have positives."""
    has = found.positives > 0
    r, nth, precision = found.positives[found.row], _nth(found), _precisions(found)
    within_r = found.rank < r
    before = np.divide(nth, found.rank, out=np.ones(len(nth)), where=found.rank > 0)
    sums = [
        _sums(found, values)[has] / found.positives[has]
        for values in (precision, (before + precision) / 2, within_r, precision * within_r)
    ]
    return (found.query[has], found.positives[has], found.rank[nth == 0], *sums)


def _shortlist(found: RankedPositives, k: int, whole: bool) -> tuple[NDArray[Any], ...]:
    """The arrays of `TopKResults` for the queries of one chunk that have positives."""
    has = found.positives > 0
    within, positives = found.rank < k, found.positives[has]
    hits = _sums(found, within)[has].astype(np.int64)
    ap = _sums(found, _precisions(found) * within)[has] / np.minimum(positives, k)
    until = _until_last(found, k)[has] if whole else np.full(len(positives), np.nan)
    return positives, hits, ap, until


def _until_last(found: RankedPositives, k: int) -> NDArray[np.float64]:
    """(B,) precision at min(k, 1-based rank of the last positive); 0 for a query without positives."""
    last = np.zeros(len(found.query), np.int64)
    last[found.row] = found.rank + 1  # ranks ascend within a query: the last stays
    end = np.minimum(np.maximum(last, 1), k)
    return _sums(found, found.rank < end[found.row]) / end


def _nth(found: RankedPositives) -> Ints:
    """(P,) from 0, which of its query's positives each is."""
    return np.arange(len(found.row)) - np.searchsorted(found.row, found.row)


def _precisions(found: RankedPositives) -> NDArray[np.float64]:
    """(P,) the precision at each positive's rank."""
    precision: NDArray[np.float64] = (_nth(found) + 1) / (found.rank + 1)
    return precision


def _sums(found: RankedPositives, values: NDArray[Any]) -> NDArray[np.float64]:
    """(B,) of values (P,), per query, in float64."""
    return np.bincount(found.row, weights=values, minlength=len(found.query)).astype(
        np.float64, copy=False
    )
