"""Exact rankings of a gallery: the ranks of the positives of each query, chunk by chunk of queries.

A full ranking compares float32 distances as long as they order the gallery, and float64 distances
from there on (`bob.numerics.search.distances`); no row is sorted as a whole
(`bob.numerics.search.ranks`). A shortlist, the first places of a ranking, comes from the search for
nearest neighbours (`bob.numerics.search.neighbours`). Both have one rule for ties
(`bob.numerics.search.similarity`): items that are tied share their places, so that a ranking does
not depend on the order of the gallery.

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

from bob.numerics.arrays import Bools, Ints
from bob.numerics.search.chunks import slices
from bob.numerics.search.distances import ApproximateDistances, ExactDistances, Gallery
from bob.numerics.search.neighbours import Neighbours, rescaled, search, tied_with_last
from bob.numerics.search.ranks import NO_TIES, Ranks, TieGroups, ranks
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
    ties: TieGroups = NO_TIES
    """Groups of positives and other items that share their places."""


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
    gallery, queries, _ = rescaled(gallery, queries, metric)
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
    nearest = search(gallery, queries, depth + excluded_most, device, metric)
    ranked: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for rows in _chunks(len(queries), CELLS // len(gallery)):
        part = nearest.take(rows)
        cut = np.flatnonzero(part.tied[:, -1])
        rest = _tied_masks(gallery, queries[rows[cut]], part.take(cut), metric)
        for name, relevance in relevances.items():
            positive, excluded = relevance.masks(rows)
            of_chunk = _ranks_in_order(part, positive, excluded, cut, rest)
            ranked[name].append(_first_places(rows, positive.sum(1), of_chunk, depth))
    return ranked


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
        for name, parts in (of_chunk or _exactly(gallery, queries, relevances, rows)).items():
            ranked[name] += parts
    return ranked


def _exactly(
    gallery: Gallery, queries: NDArray[Any], relevances: Mapping[str, Relevance], rows: Ints
) -> dict[str, list[RankedPositives]]:
    """Rank the queries at `rows` (B,) in float64, in halves that take as much memory as float32."""
    ranked: dict[str, list[RankedPositives]] = {name: [] for name in relevances}
    for part in slices(len(rows), (len(rows) + 1) // 2):
        of_half = _ranked_chunk(gallery.exact(queries[rows[part]]), rows[part], relevances)
        assert of_half is not None, "float64 decides everything"
        for name, parts in of_half.items():
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
            found = _reliable_ranks(distances, part, *relevance.masks(rows[part]))
            if found is None:
                return None
            positives = np.bincount(found.row, minlength=part.stop - part.start)
            ranked[name].append(
                RankedPositives(rows[part], positives, found.row, found.rank, found.ties)
            )
    return ranked


def _reliable_ranks(
    distances: ExactDistances | ApproximateDistances,
    part: slice,
    positive: Bools,
    excluded: Bools,
) -> Ranks | None:
    """Return the ranks of some queries, or None where too many comparisons would need float64.

    They are computed again with a larger factor where a float32 error exceeds what it covers.
    """
    if isinstance(distances, ExactDistances):
        return ranks(distances.take(part), positive, excluded)
    while True:
        some = distances.take(part)
        found = ranks(some, positive, excluded)
        if safety_factor(some.worst) <= distances.factor:
            return found
        distances.factor = 2 * safety_factor(some.worst)


def _chunks(n: int, size: int) -> Iterator[Ints]:
    """Yield the positions 0..n − 1 in consecutive arrays of at most `size`, at least 1."""
    return (np.arange(part.start, part.stop) for part in slices(n, size))


def _tied_masks(
    gallery: NDArray[Any], queries: NDArray[Any], nearest: Neighbours, metric: MetricName
) -> Bools:
    """Return which gallery items (B, G) are tied with the last neighbour of each query."""
    mask = np.zeros((len(queries), len(gallery)), bool)
    if not len(queries):
        return mask
    for row, items in enumerate(tied_with_last(gallery, queries, nearest, metric)):
        mask[row, items] = True
    return mask


def _ranks_in_order(
    nearest: Neighbours, positive: Bools, excluded: Bools, cut: Ints, rest: Bools
) -> Ranks:
    """Return the ranks of the positives among the first neighbours (B, k) of B queries.

    Both masks are (B, G). Of the queries `cut` (K,), the last neighbour is tied with items beyond
    it: `rest` (K, G) are all items of that group, each of which is counted.
    """
    hit, gone = (np.take_along_axis(mask, nearest.index, 1) for mask in (positive, excluded))
    other = ~hit & ~gone
    starts = np.ones(hit.shape, bool)
    starts[:, 1:] = ~nearest.tied[:, :-1]
    group = np.cumsum(starts) - 1  # one number for each group of each query
    hits, others = (np.bincount(group, weights=of.ravel()).astype(np.int64) for of in (hit, other))
    first = np.flatnonzero(starts)
    query = first // hit.shape[1]
    last = group[(cut + 1) * hit.shape[1] - 1]
    hits[last] = (rest & positive[cut]).sum(1)
    others[last] = (rest & ~positive[cut] & ~excluded[cut]).sum(1)
    items = hits + others
    place = np.cumsum(items) - items
    place -= place[np.searchsorted(query, query)]  # places within the query
    row, start = np.repeat(query, hits), np.repeat(place, hits)
    at = np.cumsum(hits) - hits
    mixed = (hits > 0) & (others > 0)
    ties = TieGroups(at[mixed], hits[mixed], others[mixed])
    return Ranks(row, start + np.arange(len(row)) - np.repeat(at, hits), ties)


def _first_places(rows: Ints, positives: Ints, of_chunk: Ranks, depth: int) -> RankedPositives:
    """Return the positives at the first `depth` places, and groups that begin there in full."""
    row, rank, ties = of_chunk.row, of_chunk.rank, of_chunk.ties
    reached = rank < depth
    groups = rank[ties.at] < depth
    for at, count in zip(ties.at[groups].tolist(), ties.positives[groups].tolist(), strict=True):
        reached[at : at + count] = True
    position = np.cumsum(reached) - 1
    kept = TieGroups(position[ties.at[groups]], ties.positives[groups], ties.others[groups])
    return RankedPositives(rows, positives, row[reached], rank[reached], kept)


def _most_excluded(relevance: Relevance, queries: int, gallery: int) -> int:
    """Return the largest number of gallery items that the ranking of one query excludes."""
    chunks = _chunks(queries, CELLS // gallery)
    return max((int(relevance.masks(rows)[1].sum(1).max()) for rows in chunks), default=0)
