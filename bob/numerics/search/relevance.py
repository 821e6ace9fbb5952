"""Which gallery items a query should retrieve, and which are excluded from its ranking: the one
place that decides it.

Excluded items count neither as hits nor as misses and shift no other item:
- the query's own image and byte-identical copies of it: retrieving an image by itself, or by its
  duplicate under another name, proves nothing;
- with groups (patient, site, object), all of the query's own group, where the task says so;
- what judges called junk, and on the revisited Oxford and Paris the positives of another difficulty
  (arXiv:1803.11285, section 2.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bob.numerics.arrays import Bools, Ints

Codes = tuple[Ints, Ints]
"""Numbers of the queries (Q,) and of the gallery (G,): equal numbers mean the same thing."""

DIFFICULTIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "medium": (("easy", "hard"), ("junk",)),
    "easy": (("easy",), ("junk", "hard")),
    "hard": (("hard",), ("junk", "easy")),
}
"""Difficulty on the revisited Oxford and Paris → the levels that count as positive, and the levels
that are excluded."""


class Relevance(Protocol):
    """Relevance of a gallery of G items to Q queries."""

    def masks(self, rows: Ints) -> tuple[Bools, Bools]:
        """Return the positives (B, G) of the queries at `rows` (B,), and the items (B, G) excluded
        from their rankings; no item is both.
        """


@dataclass(frozen=True, eq=False)
class Labelled:
    """Relevance by label: a query's positives share its label."""

    label: Codes
    image: Codes | None = None
    """Image contents; None where queries and gallery are not both images."""
    group: Codes | None = None
    """Groups whose members are excluded from each other's rankings."""

    def masks(self, rows: Ints) -> tuple[Bools, Bools]:
        positive = _equal(self.label, rows)
        excluded = np.zeros_like(positive)
        for pair in (self.image, self.group):
            if pair is not None:
                excluded |= _equal(pair, rows)
        return positive & ~excluded, excluded


@dataclass(frozen=True, eq=False)
class Judged:
    """Relevance by judgement: positives and junk are listed, all other items are misses."""

    positive: Sequence[Sequence[int]]
    """Q lists of gallery positions."""
    junk: Sequence[Sequence[int]]
    """Q lists of gallery positions."""
    gallery: int
    """G."""

    def masks(self, rows: Ints) -> tuple[Bools, Bools]:
        positive, excluded = (self._mask(lists, rows) for lists in (self.positive, self.junk))
        if (positive & excluded).any():
            query = int(rows[(positive & excluded).any(1)][0])
            raise ValueError(f"query {query}: a gallery item is judged both positive and junk.")
        return positive, excluded

    def _mask(self, lists: Sequence[Sequence[int]], rows: Ints) -> Bools:
        mask = np.zeros((len(rows), self.gallery), bool)
        for i, row in enumerate(rows):
            mask[i, np.asarray(lists[row], np.int64)] = True
        return mask


def judged(judgements: Mapping[str, Sequence[Sequence[int]]], gallery: int) -> dict[str, Relevance]:
    """Return the relevance by name of the difficulty, the one that ranks first.

    These are medium, easy and hard where easy and hard are judged, and otherwise "", positive
    against junk.
    """
    queries = len(next(iter(judgements.values())))
    levels = (
        DIFFICULTIES if {"easy", "hard"} <= set(judgements) else {"": (("positive",), ("junk",))}
    )
    return {
        name: Judged(
            _joined(judgements, positive, queries), _joined(judgements, junk, queries), gallery
        )
        for name, (positive, junk) in levels.items()
    }


def codes(queries: Sequence[str], gallery: Sequence[str]) -> Codes:
    """Return a number for each name; numbers are equal where names are."""
    number = {name: i for i, name in enumerate(dict.fromkeys([*queries, *gallery]))}
    return np.array([number[name] for name in queries], np.int64), np.array(
        [number[name] for name in gallery], np.int64
    )


def _joined(
    judgements: Mapping[str, Sequence[Sequence[int]]], levels: Sequence[str], queries: int
) -> list[list[int]]:
    """Return Q lists of the items of all levels; a level without judgements has no items."""
    return [
        [item for level in levels if level in judgements for item in judgements[level][query]]
        for query in range(queries)
    ]


def _equal(pair: Codes, rows: Ints) -> Bools:
    equal: Bools = pair[0][rows, None] == pair[1]
    return equal
