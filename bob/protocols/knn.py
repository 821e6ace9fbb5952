"""k-NN classification on frozen features, in two ways of the field.

DINO (Caron et al. 2021, arXiv:2104.14294; official code: eval_knn.py): cosine similarity of
L2-normalised features; every k votes with the first k of one list of neighbours; a neighbour's vote
weighs exp(similarity / T). `metric: cosine`, `vote: weighted`.

Remote sensing (Corley et al. 2023, arXiv:2305.13456; scikit-learn's `KNeighborsClassifier`):
Euclidean distance of raw features, k = 5, one vote per neighbour. `metric: euclidean`,
`vote: majority`.

Differs from the official codes in these points:
- of n train rows that are tied for the last m places, each has m / n of its vote: the expected vote
  over all orders of these rows (`bob.numerics.search.votes`), so that a score depends neither on
  the order of train nor on the sort. Rows are tied by their float64 similarities, whatever library
  searched;
- equal votes go to the lower class, as in scikit-learn;
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

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from bob.numerics.arrays import Floats, Ints
from bob.outcomes import ClassPredictions
from bob.protocols.caveats import features_checked, mostly_tied
from bob.protocols.classification import ClassificationProblem, Classifier, answers_of
from bob.protocols.protocol import Result, ResultPart
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.search.neighbours import Neighbours
    from bob.numerics.search.votes import TieCounts


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

        checked = features_checked(train=problem.x, test=problem.test_x)
        ks = clamped(settings.k, len(problem.x))
        chosen, detail = ks[0], {"k": ks[0]}
        if len(ks) > 1:
            chosen, detail = _choose_k(problem, settings, device)
        neighbours = search(problem.x, problem.test_x, ks[-1], device, settings.metric)
        votes = _votes_per_k(problem, problem.test_x, problem.test_y, neighbours, ks, settings)
        outcomes = dict(zip(ks, votes, strict=True))
        every_k = [
            ResultPart(outcome, f"k{k}", metrics="ranking", facets={"k": k})
            for k, outcome in outcomes.items()
        ]
        tied = _tied_at(neighbours, chosen)
        return Result(
            (ResultPart(outcomes[chosen]), *every_k),
            {**detail, "queries_tied_at_k": tied},
            checked
            + mostly_tied(tied, "of test images have more equally near train images than votes"),
            {"": answers_of(outcomes[chosen])},
        )


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
    queries: Ints,
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
    outcomes = _votes_per_k(
        problem, problem.x[queries], problem.y[queries], neighbours, ks, settings, others
    )
    top1 = {k: float((outcome.rank == 0).mean()) for k, outcome in zip(ks, outcomes, strict=True)}
    return {k: top1[min(k, len(others))] for k in clamped(settings.k, len(problem.x))}


def _spread(positions: Ints, most: int) -> Ints:
    """Return at most `most` of the positions, evenly spaced."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]


def _votes_per_k(
    problem: ClassificationProblem,
    queries: Floats,
    query_y: Ints,
    neighbours: "Neighbours",
    ks: Sequence[int],
    settings: KnnSettings,
    among: Ints | None = None,
) -> list[ClassPredictions]:
    """Return one outcome per k of queries (Q, D) with classes (Q,), from their neighbours."""
    from bob.numerics.search.neighbours import tied_with_last

    def tie_counts(rows: Ints) -> Ints:
        nearest = neighbours.take(rows)
        groups = tied_with_last(problem.x, queries[rows], nearest, settings.metric, among)
        return np.stack([np.bincount(problem.y[g], minlength=problem.classes) for g in groups])

    return votes_per_k(
        neighbours, problem.y, query_y, problem.classes, ks, settings.temperature, tie_counts
    )


def _tied_at(neighbours: "Neighbours", k: int) -> float:
    """Return the share of queries whose k-th neighbour is tied with the next one."""
    return float(neighbours.tied[:, k - 1].mean()) if len(neighbours.tied) else 0.0


def knn_predictions(
    problem: ClassificationProblem,
    x: Floats,
    test_x: Floats,
    settings: KnnSettings,
    device: str,
) -> ClassPredictions:
    """Return the predictions of other features (N, D), (Q, D) of a problem, at the first k."""
    from bob.numerics.search.neighbours import search

    encoded = replace(problem, x=x, test_x=test_x)
    ks = clamped(settings.k[:1], len(x))
    neighbours = search(x, test_x, ks[-1], device, settings.metric)
    (outcome,) = _votes_per_k(encoded, test_x, problem.test_y, neighbours, ks, settings)
    return outcome


def votes_per_k(
    neighbours: "Neighbours",
    y: Ints,
    query_y: Ints,
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
    tie_counts: "TieCounts",
) -> list[ClassPredictions]:
    """Return one outcome per k (ascending); see `bob.numerics.search.votes.rank_by_votes`."""
    from bob.numerics.search.votes import rank_by_votes

    if len(query_y) and not (query_y.min() >= 0 and query_y.max() < classes):
        raise ValueError(
            f"query_y must lie in 0..{classes - 1}; got {query_y.min()}..{query_y.max()}."
        )
    predicted, rank = rank_by_votes(neighbours, y, query_y, classes, ks, temperature, tie_counts)
    return [
        ClassPredictions(query_y.astype(np.int64), *of_k, classes)
        for of_k in zip(predicted, rank, strict=True)
    ]


PROTOCOL = KNearestNeighbours()
