"""Which examples of an outcome are worth a look."""

import numpy as np

from bob.numerics.arrays import Floats, Ints
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults


def confident_mistakes(outcome: ClassPredictions, count: int) -> Ints:
    """Return the positions (≤ count,) of wrong predictions, the most confident first.

    Without probabilities, the predictions that rank the true class lowest come first.
    """
    wrong = np.flatnonzero(outcome.rank > 0)
    confidence = outcome.rank if outcome.confidence is None else outcome.confidence
    order: Ints = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return order


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


def nearest(
    queries: Floats, gallery: Floats, count: int, excluded: Ints | None = None
) -> tuple[Ints, Floats]:
    """Return the k gallery rows (G, D) with the highest cosine to queries (Q, D), and the cosines.

    Both are (Q, k), k = min(count, G), or at most G − 1 with `excluded` (Q,): the gallery row that
    each query must not retrieve (itself), −1 for none. Equal cosines go to the lower row.
    """
    from bob.numerics.search.neighbours import search  # loads torch, which most of `show` spares

    neighbours = search(gallery, queries, count + (excluded is not None))
    index, similarity = neighbours.index, neighbours.similarity
    if excluded is None:
        return index, similarity
    order = np.argsort(index == excluded[:, None], axis=1, kind="stable")[:, : index.shape[1] - 1]
    return np.take_along_axis(index, order, 1), np.take_along_axis(similarity, order, 1)
