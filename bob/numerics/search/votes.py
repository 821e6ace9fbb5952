"""Votes of nearest neighbours for their classes, at several k from one list of neighbours.

Let n rows be tied, s rows be nearer than they, and s < k < s + n. Every choice of k - s of the tied
rows is as good as any other, and each row is in (k - s) / n of the choices. That share of its vote
is therefore the expected vote, which does not depend on the order of the rows.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.chunks import slices
from bob.numerics.search.neighbours import Neighbours

QUERIES_PER_CHUNK = 1024
"""Queries whose votes are in memory at once, where k is small."""
NEIGHBOURS_PER_CHUNK = 2**20
"""Neighbours, over all queries of a chunk, whose votes are in memory at once: about 50 MiB."""
TieCounts = Callable[[Ints], Ints]
"""Maps U queries to how many rows of each class are tied with the last neighbour of each (U, C)."""


def rank_by_votes(
    neighbours: Neighbours,
    y: Ints,
    query_y: Ints,
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
    tie_counts: TieCounts,
) -> tuple[Ints, Ints]:
    """Return the class with the most votes, and how many classes come before the true one.

    Both are (K, Q), for ascending ks. y (N,) and query_y (Q,) are classes. A neighbour's vote
    weighs exp(similarity / temperature), or 1 without a temperature. Equal votes go to the lower
    class; a class without votes comes last, with rank C. Memory depends on neither C nor Q: votes
    are counted for the classes that a query's neighbours have.

    `tie_counts` is asked for queries whose last neighbour is tied with rows that are not listed.
    """
    predicted, rank = np.empty((2, len(ks), len(query_y)), np.int64)
    size = min(QUERIES_PER_CHUNK, NEIGHBOURS_PER_CHUNK // ks[-1])
    for chunk in slices(len(query_y), size):
        votes = _chunk_votes(neighbours.take(chunk), y, query_y[chunk], classes, ks, temperature)
        for i, (best, place) in enumerate(votes):
            predicted[i, chunk], rank[i, chunk] = best, place
    for i, k in enumerate(ks):
        tied = np.flatnonzero(neighbours.tied[:, k - 1])
        beyond = neighbours.tied[tied, k - 1 :].all(1)
        for rows, counts in ((tied[~beyond], None), (tied[beyond], tie_counts)):
            width = min(classes, ks[-1]) if counts is None else classes
            for part in slices(len(rows), NEIGHBOURS_PER_CHUNK // max(width, ks[-1])):
                some = rows[part]
                group = None if counts is None else counts(some)
                votes_and_classes = _votes_with_ties(
                    neighbours.take(some), y, classes, k, temperature, group
                )
                best, place = _ranked(*votes_and_classes, query_y[some], classes)
                predicted[i, some], rank[i, some] = best, place
    return predicted, rank


def _votes_with_ties(
    nearest: Neighbours,
    y: Ints,
    classes: int,
    k: int,
    temperature: float | None,
    group: Ints | None,
) -> tuple[Doubles, Ints]:
    """Return the votes (B, W) of queries whose k-th neighbour is tied with the next one, and the
    class of each column (B, W).

    `group` (B, C) counts the group of the k-th neighbour by class where it extends beyond the list.
    The votes of a group are counted before they are shared, so that n shares of 1 / n are 1.
    """
    weight, label = _weights(nearest.similarity, temperature), y[nearest.index]
    queries, count = label.shape
    place = np.arange(count)
    first = np.where(nearest.tied, -1, place)[:, : k - 1].max(1, initial=-1) + 1
    last = np.where(nearest.tied, count, place)[:, k - 1 :].min(1)
    column, class_at = label, np.broadcast_to(np.arange(classes), (queries, classes))
    if group is None:
        column, class_at = _columns(label, classes)
    cell = column + np.arange(queries)[:, None] * class_at.shape[1]
    nearer = place < first[:, None]
    votes = _counted(cell[nearer], weight[nearer], class_at.shape)
    if group is None:
        inside = ~nearer & (place <= last[:, None])
        group = _counted(cell[inside], None, class_at.shape).astype(np.int64)
    share = (k - first[:, None]) * group / group.sum(1, keepdims=True)
    expected: Doubles = votes + share * weight[:, k - 1 : k]
    return expected, class_at


def _counted(cell: Ints, weight: Doubles | None, shape: tuple[int, ...]) -> Doubles:
    """Return the sums of the weights (1 without weights) per cell of an array of a shape."""
    counts = np.bincount(cell, weights=weight, minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.float64, copy=False)


def _chunk_votes(
    neighbours: Neighbours,
    y: Ints,
    query_y: Ints,
    classes: int,
    ks: Sequence[int],
    temperature: float | None,
) -> Iterator[tuple[Ints, Ints]]:
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


def _weights(similarity: Floats, temperature: float | None) -> Doubles:
    """Return the weight of each neighbour's vote, (Q, k)."""
    if temperature is None:
        return np.ones(similarity.shape)
    exponent = (similarity - similarity[:, :1].astype(np.float64)) / temperature
    weight: Doubles = np.maximum(np.exp(exponent), np.finfo(np.float64).tiny)
    return weight


def _columns(label: Ints, classes: int) -> tuple[Ints, Ints]:
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


def _ranked(votes: Doubles, class_at: Ints, y: Ints, classes: int) -> tuple[Ints, Ints]:
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
