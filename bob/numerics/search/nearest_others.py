"""The nearest other rows of every row of a set, and of every row of its parts, from one search."""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Floats, Ints
from bob.numerics.search.neighbours import search
from bob.numerics.search.similarity import MetricName

LISTED = 16
"""Neighbours that are listed of each row. Where a part has too few of them, it is searched."""


@dataclass(frozen=True, eq=False)
class NearestOthers:
    """Rows (N, D), and the nearest other ones of each."""

    rows: Floats
    metric: MetricName
    listed: Ints
    """(N, L) the nearest others, nearest first."""

    @classmethod
    def of(cls, rows: Floats, metric: MetricName = "cosine") -> "NearestOthers":
        """Search at least two rows (N, D)."""
        index = search(rows, rows, LISTED, metric=metric).index
        return cls(rows, metric, _without_self(index, np.arange(len(rows))))

    def among(self, kept: Ints, count: int) -> Ints:
        """Return the `count` nearest others of rows at `kept` (M,), M > count, among these rows.

        (M, count) positions in all rows; `kept` is ascending.
        """
        is_kept = np.zeros(len(self.rows), bool)
        is_kept[kept] = True
        listed = self.listed[kept]
        usable = is_kept[listed]
        order = np.argsort(~usable, axis=1, kind="stable")[:, :count]
        nearest = np.empty((len(kept), count), np.int64)
        nearest[:, : order.shape[1]] = np.take_along_axis(listed, order, 1)
        lacking = usable.sum(1) < count
        if lacking.any():
            queries = self.rows[kept[lacking]]
            index = search(self.rows, queries, count + 1, metric=self.metric, among=kept).index
            nearest[lacking] = _without_self(index, kept[lacking])
        return nearest


def _without_self(index: Ints, rows: Ints) -> Ints:
    """Return neighbours (M, k) of rows (M,) without the row itself, or the last, (M, k − 1)."""
    is_self = index == rows[:, None]
    is_self[~is_self.any(1), -1] = True
    others: Ints = index[~is_self].reshape(len(index), -1)
    return others
