"""The outcomes of retrieval: where a query's positives are in its ranking of the gallery.

Q counts the queries with at least one positive in the gallery. The protocol excludes the others,
and reports how many they are. Where a positive is tied with other items, values are expected
values over all orders of the tied items.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class RetrievalResults(ArrayOutcome):
    """Results of Q queries over full rankings, which skip excluded items."""

    query: Ints
    """(Q,) position of the query in its split."""
    positives: Ints
    """(Q,) R, the number of relevant gallery items, at least 1."""
    reciprocal_rank: Doubles
    """(Q,) 1 / place of the first positive, counted from 1."""
    ap: Doubles
    """(Q,) average precision: the mean over the positives of the precision at their ranks."""
    ap_trapezoid: Doubles
    """(Q,) area under the precision-recall curve with straight lines between its points."""
    r_precision: Doubles
    """(Q,) share of positives among the first R."""
    ap_at_r: Doubles
    """(Q,) sum of the precisions at the positives among the first R, divided by R."""


@dataclass(frozen=True, eq=False)
class FirstPlaces(ArrayOutcome):
    """Where Q queries find their first positive."""

    place: Doubles
    """(Q,) place of the first positive, counted from 1."""


@dataclass(frozen=True, eq=False)
class TopKResults:
    """Results of Q queries over the first k items of each ranking."""

    k: int
    positives: Ints
    """(Q,) R, the number of relevant gallery items, at least 1."""
    hits: Doubles
    """(Q,) number of positives among the first k."""
    found: Doubles
    """(Q,) probability that a positive is among the first k: 1 or 0 without ties."""
    ap: Doubles
    """(Q,) sum of the precisions at the positives among the first k, divided by min(R, k)."""
    until_last: Doubles
    """(Q,) precision at min(k, 1-based rank of the last positive).

    NaN if the rankings were cut off before it.
    """

    def __len__(self) -> int:
        return len(self.positives)

    def take(self, positions: NDArray[Any]) -> "TopKResults":
        """Return the outcome of the queries at `positions` (M,), int; repeats are allowed."""
        return TopKResults(
            self.k,
            self.positives[positions],
            self.hits[positions],
            self.found[positions],
            self.ap[positions],
            self.until_last[positions],
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "TopKResults":
        """Return the outcome that `to_arrays` stored."""
        return cls(
            int(arrays["k"].item()),
            arrays["positives"],
            arrays["hits"],
            arrays["found"],
            arrays["ap"],
            arrays["until_last"],
        )
