"""Outcomes of retrieval: where the gallery items that a query should find came in its ranking.

Q counts the queries that have at least one positive in the gallery; others are left out by the protocol, which says how many they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.outcomes.outcome import Floats, Ints


@dataclass(frozen=True, eq=False)
class RetrievalResults:
    """Per-query results over whole rankings. Ranks count what was not excluded, from 0."""

    query: Ints
    """(Q,) position of the query in its split."""
    positives: Ints
    """(Q,) R: how many gallery items it should find, at least 1."""
    first: Ints
    """(Q,) rank of the first positive."""
    ap: Floats
    """(Q,) average precision: the mean over the positives of the precision at their ranks."""
    ap_trapezoid: Floats
    """(Q,) average precision as the area under straight lines between the points of precision and recall."""
    r_precision: Floats
    """(Q,) share of positives among the first R."""
    ap_at_r: Floats
    """(Q,) sum of the precisions at positives among the first R, divided by R."""

    def __len__(self) -> int:
        return len(self.query)

    def take(self, positions: NDArray[Any]) -> "RetrievalResults":
        """The outcome of the queries at `positions` (M,), int, repeats allowed."""
        return RetrievalResults(
            **{field.name: getattr(self, field.name)[positions] for field in fields(self)}
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "RetrievalResults":
        """From what `to_arrays` gave."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


@dataclass(frozen=True, eq=False)
class TopKResults:
    """Per-query results over the first k of each ranking."""

    k: int
    positives: Ints
    """(Q,) R: how many gallery items the query should find, at least 1."""
    hits: Ints
    """(Q,) how many of them are among the first k."""
    ap: Floats
    """(Q,) sum of the precisions at positives among the first k, divided by min(R, k)."""
    until_last: Floats
    """(Q,) precision at min(k, 1-based rank of the last positive); NaN where rankings were cut off before it."""

    def __len__(self) -> int:
        return len(self.positives)

    def take(self, positions: NDArray[Any]) -> "TopKResults":
        """The outcome of the queries at `positions` (M,), int, repeats allowed."""
        return TopKResults(
            self.k,
            self.positives[positions],
            self.hits[positions],
            self.ap[positions],
            self.until_last[positions],
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For storing."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "TopKResults":
        """From what `to_arrays` gave."""
        return cls(
            int(arrays["k"].item()),
            arrays["positives"],
            arrays["hits"],
            arrays["ap"],
            arrays["until_last"],
        )
