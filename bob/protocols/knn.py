"""k-NN classification on frozen features, as in DINO (Caron et al. 2021, arXiv:2104.14294; official code: eval_knn.py).

L2-normalised features, cosine similarity, exact search; every k votes with the first k of one list of neighbours; a neighbour's vote weighs
exp(similarity / T).

Differs from the official code in these points:
- equal similarities go to the lower train index, equal votes to the lower class, so that a score does not depend on the sort;
- classes without votes are never counted, so that top-5 at k < 5 cannot be hit by chance;
- weights are exp((s − s_max) / T): the same votes up to a factor per query, without overflow;
- the k that ranks is chosen on held-out train data; the official code reports several and leaves the choice to the reader. Every k is in the record.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import Classified
from bob.protocols.neighbours import Neighbours, search
from bob.protocols.protocol import Problem, Result
from bob.specs import KnnSettings

QUERIES_PER_CHUNK = 1024
"""Queries whose (chunk, C) votes are in memory at once."""


def knn(problem: Problem, settings: KnnSettings, device: str) -> Result:
    """k chosen on held-out train rows against the other train rows; then all of train votes on test."""
    queries = _spread(np.flatnonzero(problem.held_out), settings.max_queries)
    others = ~problem.held_out
    curve = _held_out_top1(problem, queries, others, settings, device)
    chosen = max(curve, key=lambda k: (curve[k], -k))
    neighbours = search(problem.x, problem.test_x, max(settings.k), device)
    ks = clamped(settings.k, len(problem.x))
    outcomes = dict(zip(ks, votes_per_k(neighbours, problem.y, problem.test_y, problem.classes, ks, settings.temperature), strict=True))
    detail = {
        "k": chosen,
        "held_out_top1": curve[chosen],
        "held_out_curve": {str(k): value for k, value in curve.items()},
        "held_out_queries": len(queries),
    }
    return Result(outcomes[chosen], detail, {f"k{k}": outcome for k, outcome in outcomes.items()})


def clamped(ks: Sequence[int], n: int) -> list[int]:
    """The ks that n train examples can serve, ascending; larger ones become n."""
    return sorted({min(k, n) for k in ks})


def votes_per_k(
    neighbours: Neighbours, y: NDArray[np.int64], query_y: NDArray[np.int64], classes: int, ks: Sequence[int], temperature: float
) -> list[Classified]:
    """One outcome per k (ascending), from one list of neighbours per query."""
    slices = [slice(start, start + QUERIES_PER_CHUNK) for start in range(0, len(query_y), QUERIES_PER_CHUNK)]
    chunks = [list(_chunk_outcomes(neighbours.take(part), y, query_y[part], classes, ks, temperature)) for part in slices]
    return [Classified.concatenate([chunk[i] for chunk in chunks]) for i in range(len(ks))]


def _chunk_outcomes(
    neighbours: Neighbours, y: NDArray[np.int64], query_y: NDArray[np.int64], classes: int, ks: Sequence[int], temperature: float
) -> Iterator[Classified]:
    """Votes grow by the neighbours between one k and the next, in ascending order of rank."""
    similarity = neighbours.similarity.astype(np.float64)
    weight = np.exp((similarity - similarity[:, :1]) / temperature)
    label = y[neighbours.index]
    votes = np.zeros((len(query_y), classes))
    rows = np.arange(len(query_y))
    voted = 0
    for k in ks:
        for column in range(voted, k):
            votes[rows, label[:, column]] += weight[:, column]
        voted = k
        yield Classified.from_votes(votes, query_y)


def _held_out_top1(problem: Problem, queries: NDArray[np.int64], others: NDArray[np.bool_], settings: KnnSettings, device: str) -> dict[int, float]:
    """k (as it would be on all of train) → top-1 on held-out rows."""
    gallery = np.flatnonzero(others)
    neighbours = search(problem.x[gallery], problem.x[queries], max(settings.k), device)
    ks = clamped(settings.k, len(gallery))
    outcomes = votes_per_k(neighbours, problem.y[gallery], problem.y[queries], problem.classes, ks, settings.temperature)
    top1 = {k: float((outcome.rank == 0).mean()) for k, outcome in zip(ks, outcomes, strict=True)}
    return {k: top1[min(k, len(gallery))] for k in clamped(settings.k, len(problem.x))}


def _spread(positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the positions, evenly spread."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]
