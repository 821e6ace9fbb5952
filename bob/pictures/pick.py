"""Which examples of an outcome are worth a look."""

from typing import NamedTuple

import numpy as np

from bob.numerics.arrays import Bools, Floats, Ints
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults


class Agreement(NamedTuple):
    """Positions (ascending) of the examples that two classifiers a and b have right or wrong."""

    both: Ints
    only_a: Ints
    only_b: Ints
    neither: Ints


def confident_mistakes(outcome: ClassPredictions, count: int) -> Ints:
    """Return the positions (≤ count,) of wrong predictions, the most confident first.

    Without probabilities, the predictions that rank the true class lowest come first.
    """
    return most_wrong(outcome, np.flatnonzero(outcome.rank > 0))[:count]


def most_wrong(outcome: ClassPredictions, positions: Ints) -> Ints:
    """Return positions (M,) of wrong predictions, the most confident first; equal ones stay.

    Without probabilities, the predictions that rank the true class lowest come first.
    """
    confidence = outcome.rank if outcome.confidence is None else outcome.confidence
    order: Ints = positions[np.argsort(-confidence[positions], kind="stable")]
    return order


def agreement(a: ClassPredictions, b: ClassPredictions) -> Agreement:
    """Return which examples each of two classifiers has right; their true classes must agree."""
    if not np.array_equal(a.y, b.y):
        raise ValueError("the two outcomes are not of the same examples in the same order.")
    return Agreement(*map(np.flatnonzero, agreement_masks(a.rank == 0, b.rank == 0)))


def agreement_masks(a_right: Bools, b_right: Bools) -> tuple[Bools, Bools, Bools, Bools]:
    """Return (N,) each, where both are right, only a, only b, and neither."""
    return a_right & b_right, a_right & ~b_right, ~a_right & b_right, ~a_right & ~b_right


def spread_over_classes(y: Ints, positions: Ints, count: int) -> Ints:
    """Return at most `count` of positions (M,), taken from their classes y (N,) in turn.

    Each class gives its first ones, in the order of `positions`. The result is ordered by class.
    """
    by_class: dict[int, list[int]] = {}
    for position in positions.tolist():
        by_class.setdefault(int(y[position]), []).append(position)
    turns = sorted(
        (turn, label, position)
        for label, of_class in by_class.items()
        for turn, position in enumerate(of_class)
    )[:count]
    chosen = sorted((label, turn, position) for turn, label, position in turns)
    return np.array([position for _, _, position in chosen], np.int64)


def confusion(outcome: ClassPredictions) -> Ints:
    """Return how many examples of each true class (row) are predicted as each class, (C, C)."""
    return np.bincount(
        outcome.y * outcome.classes + outcome.predicted, minlength=outcome.classes**2
    ).reshape(outcome.classes, outcome.classes)


def most_confused(counts: Ints, most: int) -> Ints:
    """Return the classes (≤ most,) with the most mistakes in counts (C, C), ascending.

    A mistake counts for its true and for its predicted class.
    """
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-(mistakes.sum(0) + mistakes.sum(1)), kind="stable")
    chosen: Ints = np.sort(order[:most])
    return chosen


def misses(outcome: RetrievalResults, count: int) -> Ints:
    """Return the positions (≤ count,) of queries with the lowest average precision below 1.

    Of equal queries, the one with the latest first hit comes first.
    """
    order: Ints = np.lexsort((outcome.reciprocal_rank, outcome.ap))[:count]
    return order[outcome.ap[order] < 1]


def nearest(queries: Floats, gallery: Floats, count: int) -> tuple[Ints, Floats]:
    """Return the k gallery rows (G, D) with the highest cosine to queries (Q, D), and the cosines.

    Both are (Q, k), k = min(count, G). Equal cosines go to the lower row.
    """
    from bob.numerics.search.neighbours import search  # loads torch, which most of `show` spares

    neighbours = search(gallery, queries, count)
    return neighbours.index, neighbours.similarity


def outliers(similarity: Floats, count: int) -> Ints:
    """Return the rows (≤ count,) of similarity (Q, k) whose k-th neighbour is the least similar.

    The distance to the k-th nearest train image is the score for out-of-distribution detection of
    Sun et al. 2022 (arXiv:2204.06507). Equal rows stay in order.
    """
    order: Ints = np.argsort(similarity[:, -1], kind="stable")[:count]
    return order
