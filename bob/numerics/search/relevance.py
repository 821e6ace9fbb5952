"""Which gallery items a query should find, and which are left out of its ranking: the one place that decides it.

Left out, so that they count neither as hits nor as misses and move nothing else:
- the query's own image, and byte-identical copies of it: finding an image by itself, or by its duplicate under another name, proves nothing;
- with groups (patient, site, object), all of the query's own group, where the task asks for it;
- what judges called junk, and on the revisited Oxford and Paris the positives of another difficulty (arXiv:1803.11285, section 2.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Codes = tuple[Ints, Ints]
"""Of queries (Q,) and of the gallery (G,): equal numbers mean the same thing."""

DIFFICULTIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "medium": (("easy", "hard"), ("junk",)),
    "easy": (("easy",), ("junk", "hard")),
    "hard": (("hard",), ("junk", "easy")),
}
"""Of the revisited Oxford and Paris: the levels that a difficulty counts as positive, and those that it leaves out."""


class Relevance(Protocol):
    """For Q queries and a gallery of G."""

    def of(self, rows: NDArray[np.int64]) -> tuple[Mask, Mask]:
        """For the queries at `rows` (B,): their positives (B, G), and what is left out of their rankings (B, G), never both."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Positives share the query's label."""

    label: Codes
    image: Codes | None = None
    """Of the images' content; None where queries and gallery are not both images."""
    group: Codes | None = None
    """Of groups whose members do not look for each other."""

    def of(self, rows: Ints) -> tuple[Mask, Mask]:
        positive = _same(self.label, rows)
        left_out = np.zeros_like(positive)
        for pair in (self.image, self.group):
            if pair is not None:
                left_out |= _same(pair, rows)
        return positive & ~left_out, left_out


@dataclass(frozen=True, eq=False)
class Judged:
    """Positives and junk are listed by gallery position; what is not listed is a miss."""

    positive: Sequence[Sequence[int]]
    """Q lists."""
    junk: Sequence[Sequence[int]]
    """Q lists."""
    gallery: int
    """G."""

    def of(self, rows: Ints) -> tuple[Mask, Mask]:
        positive, left_out = (self._mask(lists, rows) for lists in (self.positive, self.junk))
        if (positive & left_out).any():
            query = int(rows[(positive & left_out).any(1)][0])
            raise ValueError(f"query {query}: a gallery item is judged both positive and junk.")
        return positive, left_out

    def _mask(self, lists: Sequence[Sequence[int]], rows: Ints) -> Mask:
        mask = np.zeros((len(rows), self.gallery), bool)
        for i, row in enumerate(rows):
            mask[i, np.asarray(lists[row], np.int64)] = True
        return mask


def judged(judgements: Mapping[str, Sequence[Sequence[int]]], gallery: int) -> dict[str, Relevance]:
    """By name of the difficulty, the one that ranks first: medium, easy and hard where both are judged; else "" for positive against junk."""
    queries = len(next(iter(judgements.values())))
    names = (
        DIFFICULTIES if {"easy", "hard"} <= set(judgements) else {"": (("positive",), ("junk",))}
    )
    return {
        name: Judged(
            _joined(judgements, positive, queries), _joined(judgements, junk, queries), gallery
        )
        for name, (positive, junk) in names.items()
    }


def codes(queries: Sequence[str], gallery: Sequence[str]) -> Codes:
    """Names as numbers that are equal where the names are."""
    number = {name: i for i, name in enumerate(dict.fromkeys([*queries, *gallery]))}
    return np.array([number[name] for name in queries], np.int64), np.array(
        [number[name] for name in gallery], np.int64
    )


def _joined(
    judgements: Mapping[str, Sequence[Sequence[int]]], levels: Sequence[str], queries: int
) -> list[list[int]]:
    """Q lists of what any of the levels holds; a level that was not judged holds nothing."""
    return [
        [item for level in levels if level in judgements for item in judgements[level][query]]
        for query in range(queries)
    ]


def _same(pair: Codes, rows: Ints) -> Mask:
    same: Mask = pair[0][rows, None] == pair[1]
    return same
