"""k-NN classification on frozen features, in two ways of the field.

DINO (Caron et al. 2021, arXiv:2104.14294; official code: eval_knn.py): cosine similarity of
L2-normalised features; every k votes with the first k of one list of neighbours; a neighbour's vote
weighs exp(similarity / T). `metric: cosine`, `vote: weighted`.

Remote sensing (Corley et al. 2023, arXiv:2305.13456; scikit-learn's `KNeighborsClassifier`):
Euclidean distance of raw features, k = 5, one vote per neighbour. `metric: euclidean`,
`vote: majority`.

Differs from the official codes in these points:
- equal similarities go to the lower train index, equal votes to the lower class, so that a score
  does not depend on the sort. "Equal" is in float32 after a sum in float64, so that a score does
  not depend on the library that searched either; see `bob.numerics.search`;
- classes without votes are never counted, so that top-5 at k < 5 cannot be hit by chance;
- weights are exp((s - s_max) / T): the same votes up to a factor per query, without overflow; no
  neighbour's vote underflows to zero;
- a k above the number of train examples becomes that number, where DINO's code fails;
- of several k, the one that ranks is chosen on held-out train data; DINO's code reports several and
  leaves the choice to the reader. Every k is in the record. With one k nothing is chosen, and
  nothing is held out;
- `vote` and `metric` can be combined freely: with Euclidean distances, a weighted vote weighs
  exp(-distance / T). Neither source does this.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bob.outcomes import ClassPredictions
from bob.protocols.classification import ClassificationProblem, Classifier
from bob.protocols.protocol import Result, ResultPart
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.search.neighbours import Neighbours

QUERIES_PER_CHUNK = 1024
"""Queries whose votes are in memory at once, where k is small."""
NEIGHBOURS_PER_CHUNK = 2**20
"""Neighbours, over all queries of a chunk, whose votes are in memory at once: about 50 MiB."""


class KnnSettings(Closed):
    """Settings of k-NN."""

    k: tuple[Count, ...] = Field(strict=False, min_length=1)
    metric: Literal["cosine", "euclidean"]
    """Cosine similarity of L2-normalised features, or Euclidean distance of raw features."""
    vote: Literal["weighted", "majority"]
    """A neighbour's vote weighs exp(similarity / temperature), or 1."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Temperature of the weighted vote."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of train, per class, on which one of several k is chosen without a val split."""
    max_queries: Count = 10_000
    """Largest number of held-out examples that are searched when k is chosen."""

    @model_validator(mode="after")
    def _has_temperature_if_weighted(self) -> "KnnSettings":
        if self.vote == "weighted" and self.temperature is None:
            raise ValueError("'temperature' is missing: vote 'weighted' needs one (0.07 in DINO)")
        if self.vote == "majority" and self.temperature is not None:
            raise ValueError(
                f"'temperature' belongs to vote 'weighted'; got {self.temperature!r} with vote "
                "'majority'"
            )
        return self

    @model_validator(mode="after")
    def _has_held_out_if_k_is_chosen(self) -> "KnnSettings":
        if len(self.k) > 1 and self.held_out is None:
            raise ValueError(
                "'held_out' is missing: with several k, the one that ranks is chosen on held-out "
                "train data (a share such as 0.2)"
            )
        if len(self.k) == 1 and self.held_out is not None:
            raise ValueError(
                f"'held_out' belongs to several k; got {self.held_out!r} with k {list(self.k)!r}, "
                "which leaves nothing to choose"
            )
        return self


class KNearestNeighbours(Classifier[KnnSettings]):
    """All train rows vote at every k; the k that ranks is chosen on held-out rows."""

    name = "knn"
    settings = KnnSettings

    def solve(self, problem: ClassificationProblem, settings: KnnSettings, device: str) -> Result:
        from bob.numerics.search.neighbours import search

        ks = clamped(settings.k, len(problem.x))
        chosen, detail = ks[0], {"k": ks[0]}
        if len(ks) > 1:
            chosen, detail = _choose_k(problem, settings, device)
        neighbours = search(problem.x, problem.test_x, ks[-1], device, settings.metric)
        votes = votes_per_k(
            neighbours, problem.y, problem.test_y, problem.classes, ks, settings.temperature
        )
        outcomes = dict(zip(ks, votes, strict=True))
        every_k = [
            ResultPart(outcome, f"k{k}", metrics="ranking", facets={"k": k})
            for k, outcome in outcomes.items()
        ]
        return Result((ResultPart(outcomes[chosen]), *every_k), detail)


def clamped(ks: Sequence[int], n: int) -> list[int]:
    """Return the ks in ascending order, those above the n train examples clamped to n."""
    return sorted({min(k, n) for k in ks})


def _choose_k(
    problem: ClassificationProblem, settings: KnnSettings, device: str
) -> tuple[int, dict[str, Any]]:
    """Return the k of the highest held-out top-1 (the lowest of equals), and its record."""
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
    problem: ClassificationProblem,
    queries: NDArray[np.int64],
    settings: KnnSettings,
    device: str,
) -> dict[int, float]:
    """Return top-1 on held-out rows by k, clamped as on all of train."""
    from bob.numerics.search.neighbours import search

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
    """Return at most `most` of the positions, evenly spaced."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]


def votes_per_k(
    neighbours: "Neighbours",
    y: NDArray[np.int64],
    query_y: NDArray[np.int64],
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
) -> list[ClassPredictions]:
    """Return one outcome per k (ascending), from one list of neighbours per query.

    y (N,) and query_y (Q,) are classes. Without a temperature each neighbour has one vote. Memory
    depends on neither C nor Q: votes are counted for the classes that a query's neighbours have.
    """
    if len(query_y) and not (query_y.min() >= 0 and query_y.max() < classes):
        raise ValueError(
            f"query_y must lie in 0..{classes - 1}; got {query_y.min()}..{query_y.max()}."
        )
    predicted, rank = np.empty((2, len(ks), len(query_y)), np.int64)
    size = max(1, min(QUERIES_PER_CHUNK, NEIGHBOURS_PER_CHUNK // ks[-1]))
    for start in range(0, len(query_y), size):
        chunk = slice(start, start + size)
        votes = _chunk_votes(neighbours.take(chunk), y, query_y[chunk], classes, ks, temperature)
        for i, (best, place) in enumerate(votes):
            predicted[i, chunk], rank[i, chunk] = best, place
    return [
        ClassPredictions(query_y.astype(np.int64), predicted[i], rank[i], classes)
        for i in range(len(ks))
    ]


def _chunk_votes(
    neighbours: "Neighbours",
    y: NDArray[np.int64],
    query_y: NDArray[np.int64],
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (predicted, rank) per k.

    Votes grow by the neighbours between one k and the next, in ascending order of rank.
    """
    weight = _weights(neighbours.similarity, temperature)
    column, class_at = _columns(y[neighbours.index[:, : ks[-1]]], classes)
    queries, width = class_at.shape
    votes = np.zeros((queries, width))
    cell = column + np.arange(queries)[:, None] * width
    counted = 0
    for k in ks:
        np.add.at(votes.reshape(-1), cell[:, counted:k].ravel(), weight[:, counted:k].ravel())
        counted = k
        yield _ranked(votes, class_at, query_y, classes)


def _weights(similarity: NDArray[np.float32], temperature: float | None) -> NDArray[np.float64]:
    """Return the weight of each neighbour's vote, (Q, k)."""
    if temperature is None:
        return np.ones(similarity.shape)
    exponent = (similarity - similarity[:, :1].astype(np.float64)) / temperature
    weight: NDArray[np.float64] = np.maximum(np.exp(exponent), np.finfo(np.float64).tiny)
    return weight


def _columns(label: NDArray[np.int64], classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return columns for votes, ascending by class.

    The first array is the column of each neighbour (Q, k), the second the class of each column
    (Q, W ≤ min(C, k)), -1 where a column is unused.
    """
    if classes <= label.shape[1]:
        return label, np.broadcast_to(np.arange(classes), (len(label), classes))
    # one sort of class and neighbour together is far faster than an argsort
    key = (label << 32) | np.arange(label.shape[1])
    key.sort(axis=1)
    ascending, order = key >> 32, key & 0xFFFFFFFF
    sorted_column = np.zeros_like(label)
    np.cumsum(ascending[:, 1:] != ascending[:, :-1], axis=1, out=sorted_column[:, 1:])
    row = np.arange(len(label))[:, None]
    class_at = np.full((len(label), int(sorted_column[:, -1].max()) + 1), -1)
    class_at[row, sorted_column] = ascending
    column = np.empty_like(label)
    column[row, order] = sorted_column
    return column, class_at


def _ranked(
    votes: NDArray[np.float64], class_at: NDArray[np.int64], y: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (predicted, rank) of votes (Q, W); see `ClassPredictions`.

    Columns ascend by class, so that the first of equals is the lower class.
    """
    row = np.arange(len(votes))
    best = votes.argmax(1)
    predicted = class_at[row, best]
    rank = np.where(predicted == y, 0, classes)
    missed = np.flatnonzero(predicted != y)
    voted, column = np.nonzero(class_at[missed] == y[missed, None])
    voted = missed[voted]
    true_votes = votes[voted, column][:, None]
    before = (votes[voted] > true_votes) | (
        (votes[voted] == true_votes) & (np.arange(votes.shape[1]) < column[:, None])
    )
    rank[voted] = np.where(true_votes[:, 0] > 0, before.sum(1), classes)
    return predicted, rank


PROTOCOL = KNearestNeighbours()
