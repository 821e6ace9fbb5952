"""Which examples of an outcome are worth a look."""

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import Classified, Floats, Ints
from bob.outcomes.retrieved import Retrieved


def confident_mistakes(outcome: Classified, count: int) -> Ints:
    """(≤ count,) positions of wrong predictions, the surest first; without probabilities, those whose true class came last."""
    wrong = np.flatnonzero(outcome.rank > 0)
    sureness = outcome.rank if outcome.confidence is None else outcome.confidence
    order: Ints = wrong[np.argsort(-sureness[wrong], kind="stable")][:count]
    return order


def confusion(outcome: Classified) -> NDArray[np.int64]:
    """(C, C) how many examples of each true class (row) were taken for each class (column)."""
    return np.bincount(
        outcome.y * outcome.classes + outcome.predicted, minlength=outcome.classes**2
    ).reshape(outcome.classes, outcome.classes)


def most_confused(counts: NDArray[np.int64], most: int) -> Ints:
    """(≤ most,) ascending: the classes of counts (C, C) that take part in most mistakes, where C is too large to draw."""
    off = counts - np.diag(np.diag(counts))
    chosen: Ints = np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:most])
    return chosen


def misses(outcome: Retrieved, count: int) -> Ints:
    """(≤ count,) positions of queries with the lowest average precision, those with the latest first hit before others."""
    order: Ints = np.lexsort((-outcome.first, outcome.ap))[:count]
    return order[outcome.ap[order] < 1]


def nearest(
    queries: Floats, gallery: Floats, count: int, excluded: Ints | None = None
) -> tuple[Ints, Floats]:
    """The `count` rows of gallery (G, D) most alike to each of queries (Q, D) by cosine, and the similarities: (Q, k) and (Q, k).

    excluded (Q,) is a gallery row that does not count for each query (itself), -1 for none. Equal similarities go to the lower row.
    """
    similarity = _unit(queries) @ _unit(gallery).T
    if excluded is not None:
        own = np.flatnonzero(excluded >= 0)
        similarity[own, excluded[own]] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[
        :, : min(count, len(gallery) - (excluded is not None))
    ]
    return order, np.take_along_axis(similarity, order, 1)


def _unit(rows: Floats) -> NDArray[np.float64]:
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit
