"""Exact rankings of a gallery: the ranks of the positives of each query, chunk by chunk of queries.

A full ranking compares float32 distances as long as they order the gallery, and float64 distances
from there on (`bob.numerics.search.distances`); no row is sorted as a whole
(`bob.numerics.search.ranks`). A shortlist, the first places of a ranking, comes from the search for
nearest neighbours (`bob.numerics.search.neighbours`). Equal rows go to the lower gallery position
either way. Rows that are equal only after rounding may be ordered differently, as full rankings
round scores and the search rounds similarities to float32.

Memory beside the features: one chunk of float32 distances per worker, 128 MiB in all, what counting
in a part of each takes, and about 1 MiB per thousand queries for the ranks of each hundred
positives; where float64 decides, a block of the gallery in float64.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.search.chunks import slices
from bob.numerics.search.distances import ApproximateDistances, ExactDistances, Gallery
from bob.numerics.search.neighbours import search
from bob.numerics.search.ranks import ranks
from bob.numerics.search.relevance import Relevance
from bob.numerics.search.similarity import MetricName, safety_factor
from bob.numerics.threads import map_stripes

QUERIES_PER_CHUNK = 256
"""Queries whose distances a worker computes at once."""
CELLS = 2**25
"""Distances that all workers hold at once: 128 MiB in float32."""
SORTED_CELLS = 2**20
"""Distances sorted at once: few enough to stay in a cache."""


@dataclass(frozen=True, eq=False)
class RankedPositives:
    """The positives of B queries, in the order of their ranks."""

    query: Ints
    """(B,) the positions of the queries, ascending."""
    positives: Ints
    """(B,) the number of positives of each query, with those that a shortlist does not reach."""
    row: Ints
    """(P,) which of the B queries, ascending."""
    rank: Ints
    """(P,) ranks from 0, excluded items not counted; ascending within a query."""


def rankings(
    queries: NDArray[Any],
    gallery: NDArray[Any],
    relevances: Mapping[str, Relevance],
    metric: MetricName,
    device: str = "cpu",
) -> dict[str, list[RankedPositives]]:
    """Rank the full gallery (G, D) for queries (Q, D), once for several definitions of relevance.

    Returns a list of chunks by name of the relevance, in the order of the queries.
    """
    prepared = Gallery(gallery, metric, device)
    workers = torch.get_num_threads() if device == "cpu" else 1
    size = min(QUERIES_PER_CHUNK, CELLS // workers // len(gallery))
    chunks = list(_chunks(len(queries), size))
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
    """Rank the first `depth` places only, by a search for nearest neighbours, like `rankings`."""
    excluded_most = max(
        _most_excluded(relevance, len(queries), len(gallery)) for relevance in relevances.values()
    )
    nearest = search(gallery, queries, depth + excluded_most, device, metric).index
    ranked: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for rows in _chunks(len(queries), CELLS // len(gallery)):
        for name, relevance in relevances.items():
            positive, excluded = relevance.masks(rows)
            row, rank = _ranks_in_order(nearest[rows], positive, excluded)
            reached = rank < depth
            ranked[name].append(RankedPositives(rows, positive.sum(1), row[reached], rank[reached]))
    return ranked


def ranking_statistics(ranked: Sequence[RankedPositives]) -> tuple[NDArray[Any], ...]:
    """Return per query of full rankings (Q,): position, positives, first rank, AP, trapezoid AP,
    R-precision and AP at R. Queries without a positive are excluded.
    """
    return tuple(map(np.concatenate, zip(*map(_full_statistics, ranked), strict=True)))


def top_k_statistics(
    ranked: Sequence[RankedPositives], k: int, *, full: bool
) -> tuple[NDArray[Any], ...]:
    """Return per query of the first k places (Q,): positives, hits, AP, and the precision until the
    last positive, which only full rankings determine. Queries without a positive are excluded.
    """
    chunks = (_top_k_statistics(chunk, k, full) for chunk in ranked)
    return tuple(map(np.concatenate, zip(*chunks, strict=True)))


def _ranked(
    gallery: Gallery,
    queries: NDArray[Any],
    relevances: Mapping[str, Relevance],
    chunks: Sequence[Ints],
) -> dict[str, list[RankedPositives]]:
    """Rank some chunks of queries, in float64 from the first chunk that float32 cannot order."""
    ranked: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    factor, use_float32 = 0.0, gallery.float32_safe
    buffer = gallery.buffer(len(chunks[0]))
    for rows in chunks:
        of_chunk = None
        if use_float32:
            distances = gallery.approximate(queries[rows], buffer, factor)
            of_chunk, factor = _ranked_chunk(distances, rows, relevances), distances.factor
            use_float32 = of_chunk is not None
        of_chunk = of_chunk or _ranked_chunk(gallery.exact(queries[rows]), rows, relevances) or {}
        for name, parts in of_chunk.items():
            ranked[name] += parts
    return ranked


def _ranked_chunk(
    distances: ExactDistances | ApproximateDistances,
    rows: Ints,
    relevances: Mapping[str, Relevance],
) -> dict[str, list[RankedPositives]] | None:
    """Rank the queries at `rows` (B,); return None where too much would need float64."""
    ranked: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for part in slices(len(rows), SORTED_CELLS // distances.values.shape[1]):
        for name, relevance in relevances.items():
            row_and_rank = _reliable_ranks(distances, part, *relevance.masks(rows[part]))
            if row_and_rank is None:
                return None
            positives = np.bincount(row_and_rank[0], minlength=part.stop - part.start)
            ranked[name].append(RankedPositives(rows[part], positives, *row_and_rank))
    return ranked


def _reliable_ranks(
    distances: ExactDistances | ApproximateDistances,
    part: slice,
    positive: Bools,
    excluded: Bools,
) -> tuple[Ints, Ints] | None:
    """Return the ranks of some queries, or None where too many comparisons would need float64.

    They are computed again with a larger factor where a float32 error exceeds what it covers.
    """
    if isinstance(distances, ExactDistances):
        return ranks(distances.take(part), positive, excluded)
    while True:
        some = distances.take(part)
        row_and_rank = ranks(some, positive, excluded)
        if safety_factor(some.worst) <= distances.factor:
            return row_and_rank
        distances.factor = 2 * safety_factor(some.worst)


def _chunks(n: int, size: int) -> Iterator[Ints]:
    """Yield the positions 0..n − 1 in consecutive arrays of at most `size`, at least 1."""
    return (np.arange(part.start, part.stop) for part in slices(n, size))


def _ranks_in_order(order: Ints, positive: Bools, excluded: Bools) -> tuple[Ints, Ints]:
    """Return the row and rank (P,) of the positives in an order of the gallery (B, k), less the
    number of excluded items before them.
    """
    width = order.shape[1]
    hits, gone = (
        np.flatnonzero(np.take_along_axis(mask, order, 1)) for mask in (positive, excluded)
    )
    row, rank = np.divmod(hits, width)
    return row, rank - (np.searchsorted(gone, hits) - np.searchsorted(gone, row * width))


def _most_excluded(relevance: Relevance, queries: int, gallery: int) -> int:
    """Return the largest number of gallery items that the ranking of one query excludes."""
    chunks = _chunks(queries, CELLS // gallery)
    return max((int(relevance.masks(rows)[1].sum(1).max()) for rows in chunks), default=0)


def _full_statistics(ranked: RankedPositives) -> tuple[NDArray[Any], ...]:
    """Return `ranking_statistics` of the queries of one chunk that have positives."""
    has = ranked.positives > 0
    r, nth, precision = ranked.positives[ranked.row], _nth(ranked), _precisions(ranked)
    within_r = ranked.rank < r
    before = np.divide(nth, ranked.rank, out=np.ones(len(nth)), where=ranked.rank > 0)
    means = [
        _sums(ranked, values)[has] / ranked.positives[has]
        for values in (precision, (before + precision) / 2, within_r, precision * within_r)
    ]
    return (ranked.query[has], ranked.positives[has], ranked.rank[nth == 0], *means)


def _top_k_statistics(ranked: RankedPositives, k: int, full: bool) -> tuple[NDArray[Any], ...]:
    """Return `top_k_statistics` of the queries of one chunk that have positives."""
    has = ranked.positives > 0
    within, positives = ranked.rank < k, ranked.positives[has]
    hits = _sums(ranked, within)[has].astype(np.int64)
    ap = _sums(ranked, _precisions(ranked) * within)[has] / np.minimum(positives, k)
    until = _precision_until_last(ranked, k)[has] if full else np.full(len(positives), np.nan)
    return positives, hits, ap, until


def _precision_until_last(ranked: RankedPositives, k: int) -> Doubles:
    """Return the precision (B,) at min(k, 1-based rank of the last positive); 0 for a query without
    positives.
    """
    last = np.zeros(len(ranked.query), np.int64)
    last[ranked.row] = ranked.rank + 1  # ranks ascend within a query: the last one remains
    end = np.minimum(np.maximum(last, 1), k)
    return _sums(ranked, ranked.rank < end[ranked.row]) / end


def _nth(ranked: RankedPositives) -> Ints:
    """Return the number (P,) of each positive among those of its query, from 0."""
    return np.arange(len(ranked.row)) - np.searchsorted(ranked.row, ranked.row)


def _precisions(ranked: RankedPositives) -> Doubles:
    """Return the precision (P,) at the rank of each positive."""
    precisions: Doubles = (_nth(ranked) + 1) / (ranked.rank + 1)
    return precisions


def _sums(ranked: RankedPositives, values: NDArray[Any]) -> Doubles:
    """Return the float64 sums (B,) of values (P,) per query."""
    return np.bincount(ranked.row, weights=values, minlength=len(ranked.query)).astype(
        np.float64, copy=False
    )
