"""k-NN classification on frozen features, in two ways of the field.

DINO (Caron et al. 2021, arXiv:2104.14294; official code: eval_knn.py): cosine similarity of L2-normalised features, every k votes with the
first k of one list of neighbours, a neighbour's vote weighs exp(similarity / T). `metric: cosine`, `vote: weighted`.

Remote sensing (Corley et al. 2023, arXiv:2305.13456; scikit-learn's `KNeighborsClassifier`): Euclidean distance of raw features, k = 5, each
neighbour one vote. `metric: euclidean`, `vote: majority`.

Differs from the official codes in these points:
- equal similarities go to the lower train index, equal votes to the lower class, so that a score does not depend on the sort. "Equal" is in
  float32 after a sum in float64, so that a score does not depend on the library that searched either; see `bob.numerics.search.neighbours`;
- classes without votes are never counted, so that top-5 at k < 5 cannot be hit by chance;
- weights are exp((s − s_max) / T): the same votes up to a factor per query, without overflow; no neighbour's vote underflows to none;
- a k above the number of train examples becomes that number, where DINO's code fails;
- of several k, the one that ranks is chosen on held-out train data; DINO's code reports several and leaves the choice to the reader. Every k is
  in the record. With one k nothing is chosen, and nothing is held out;
- `vote` and `metric` can be combined freely: with Euclidean distances, a weighted vote weighs exp(−distance / T). Neither source does this.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.search.neighbours import Neighbours, search
from bob.outcomes import Classified
from bob.protocols.protocol import Part, Problem, Result
from bob.specs import KnnSettings

QUERIES_PER_CHUNK = 1024
"""Queries whose votes are in memory at once, where k is small."""
NEIGHBOURS_PER_CHUNK = 2**20
"""Neighbours, over all queries of a chunk, whose votes are in memory at once: some 50 MiB with what is made of them."""


def knn(problem: Problem, settings: KnnSettings, device: str) -> Result:
    """All of train votes on test, at every k; which k ranks is chosen on held-out train rows against the other train rows."""
    ks = clamped(settings.k, len(problem.x))
    chosen, detail = _choice(problem, settings, device) if len(ks) > 1 else (ks[0], {"k": ks[0]})
    neighbours = search(problem.x, problem.test_x, ks[-1], device, settings.metric)
    outcomes = dict(
        zip(
            ks,
            votes_per_k(
                neighbours, problem.y, problem.test_y, problem.classes, ks, settings.temperature
            ),
            strict=True,
        )
    )
    every_k = [
        Part(outcome, f"k{k}", metrics="ranking", facets={"k": k})
        for k, outcome in outcomes.items()
    ]
    return Result((Part(outcomes[chosen]), *every_k), detail)


def clamped(ks: Sequence[int], n: int) -> list[int]:
    """The ks that n train examples can serve, ascending; larger ones become n."""
    return sorted({min(k, n) for k in ks})


def _choice(problem: Problem, settings: KnnSettings, device: str) -> tuple[int, dict[str, Any]]:
    """The best k (the lowest of equals), and the record's detail about the choice."""
    queries = _spread(np.flatnonzero(problem.held_out), settings.max_queries)
    curve = _held_out_top1(problem, queries, settings, device)
    chosen = max(curve, key=lambda k: (curve[k], -k))
    return chosen, {
        "k": chosen,
        "held_out_top1": curve[chosen],
        "held_out_curve": {str(k): value for k, value in curve.items()},
        "held_out_queries": len(queries),
    }


def _held_out_top1(
    problem: Problem, queries: NDArray[np.int64], settings: KnnSettings, device: str
) -> dict[int, float]:
    """k (as it would be on all of train) → top-1 on held-out rows."""
    others = np.flatnonzero(~problem.held_out)
    ks = clamped(settings.k, len(others))
    neighbours = search(
        problem.x, problem.x[queries], ks[-1], device, settings.metric, among=others
    )
    outcomes = votes_per_k(
        neighbours, problem.y, problem.y[queries], problem.classes, ks, settings.temperature
    )
    top1 = {k: float((outcome.rank == 0).mean()) for k, outcome in zip(ks, outcomes, strict=True)}
    return {k: top1[min(k, len(others))] for k in clamped(settings.k, len(problem.x))}


def _spread(positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the positions, evenly spread."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]


def votes_per_k(
    neighbours: Neighbours,
    y: NDArray[np.int64],
    query_y: NDArray[np.int64],
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
) -> list[Classified]:
    """One outcome per k (ascending), from one list of neighbours per query. Without a temperature each neighbour has one vote.

    y (N,) and query_y (Q,) are classes. Memory depends on neither C nor Q: votes are counted for the classes that a query's neighbours have.
    """
    if len(query_y) and not (query_y.min() >= 0 and query_y.max() < classes):
        raise ValueError(
            f"query_y must lie in 0..{classes - 1}; got {query_y.min()}..{query_y.max()}."
        )
    predicted, rank = np.empty((2, len(ks), len(query_y)), np.int64)
    size = max(1, min(QUERIES_PER_CHUNK, NEIGHBOURS_PER_CHUNK // ks[-1]))
    for start in range(0, len(query_y), size):
        part = slice(start, start + size)
        for i, (best, place) in enumerate(
            _chunk_votes(neighbours.take(part), y, query_y[part], classes, ks, temperature)
        ):
            predicted[i, part], rank[i, part] = best, place
    return [
        Classified(query_y.astype(np.int64), predicted[i], rank[i], classes) for i in range(len(ks))
    ]


def _chunk_votes(
    neighbours: Neighbours,
    y: NDArray[np.int64],
    query_y: NDArray[np.int64],
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(predicted, rank) per k. Votes grow by the neighbours between one k and the next, in ascending order of rank."""
    weight = _weights(neighbours.similarity, temperature)
    place, class_at = _places(y[neighbours.index[:, : ks[-1]]], classes)
    queries, width = class_at.shape
    votes = np.zeros((queries, width))
    cell = place + np.arange(queries)[:, None] * width
    counted = 0
    for k in ks:
        np.add.at(votes.reshape(-1), cell[:, counted:k].ravel(), weight[:, counted:k].ravel())
        counted = k
        yield _ranked(votes, class_at, query_y, classes)


def _weights(similarity: NDArray[np.float32], temperature: float | None) -> NDArray[np.float64]:
    """(Q, k) what each neighbour's vote weighs."""
    if temperature is None:
        return np.ones(similarity.shape)
    exponent = (similarity - similarity[:, :1].astype(np.float64)) / temperature
    weight: NDArray[np.float64] = np.maximum(np.exp(exponent), np.finfo(np.float64).tiny)
    return weight


def _places(label: NDArray[np.int64], classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns for votes, ascending by class: that of each neighbour (Q, k), and the class at each (Q, W ≤ min(C, k)), −1 where there is none."""
    if classes <= label.shape[1]:
        return label, np.broadcast_to(np.arange(classes), (len(label), classes))
    key = (label << 32) | np.arange(
        label.shape[1]
    )  # one sort of class and neighbour together: far faster than an argsort
    key.sort(axis=1)
    ascending, order = key >> 32, key & 0xFFFFFFFF
    column = np.zeros_like(label)
    np.cumsum(ascending[:, 1:] != ascending[:, :-1], axis=1, out=column[:, 1:])
    row = np.arange(len(label))[:, None]
    class_at = np.full((len(label), int(column[:, -1].max()) + 1), -1)
    class_at[row, column] = ascending
    place = np.empty_like(label)
    place[row, order] = column
    return place, class_at


def _ranked(
    votes: NDArray[np.float64], class_at: NDArray[np.int64], y: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(predicted, rank) of votes (Q, W): see `Classified`. Columns ascend by class, so that the first of equals is the lower class."""
    row = np.arange(len(votes))
    best = votes.argmax(1)
    predicted = class_at[row, best]
    rank = np.where(predicted == y, 0, classes)
    missed = np.flatnonzero(predicted != y)
    seen, column = np.nonzero(class_at[missed] == y[missed, None])
    seen = missed[seen]
    own = votes[seen, column][:, None]
    before = (votes[seen] > own) | (
        (votes[seen] == own) & (np.arange(votes.shape[1]) < column[:, None])
    )
    rank[seen] = np.where(own[:, 0] > 0, before.sum(1), classes)
    return predicted, rank
