"""Ranks of the positives without ordering the gallery: the distances of the other items are sorted
as plain numbers, and each positive is looked up among them.

Excluded items get an infinite distance. The rank of a positive is the number of positives and of
other items before it. Where other items are so close to it that float32 distances leave their order
open, only these items are located in the row and compared in float64. The order of the positives
among themselves does not matter, since only the set of their ranks is wanted.

A positive that is tied with other items has no rank of its own: the group shares its places.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.search.distances import ApproximateDistances, ExactDistances
from bob.numerics.search.order import tied_neighbours


@dataclass(frozen=True, eq=False)
class TieGroups:
    """T groups of tied items that hold both positives and others.

    A group of a positives and o others has a + o places, from the rank of its first positive on;
    every order of its items is as good as any other.
    """

    at: Ints
    """(T,) position of the group's first positive among the P positives; the others follow it."""
    positives: Ints
    """(T,) at least 1."""
    others: Ints
    """(T,) at least 1."""

    def __len__(self) -> int:
        """Return T."""
        return len(self.at)


NO_TIES = TieGroups(*(np.empty(0, np.int64) for _ in range(3)))


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of P positives, from 0; excluded items are not counted."""

    row: Ints
    """(P,) the query of each positive, ascending."""
    rank: Ints
    """(P,) ascending within a query. Tied positives have the first places of their group."""
    ties: TieGroups


def ranks(
    distances: ExactDistances | ApproximateDistances, positive: Bools, excluded: Bools
) -> Ranks | None:
    """Return the ranks of the positives; both masks are (B, G).

    Return None where more than `distances.budget` comparisons need float64.
    """
    row, item = np.divmod(
        np.flatnonzero(positive), positive.shape[1]
    )  # several times faster than np.nonzero of two dimensions
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    values = distances.values
    removed = torch.from_numpy(positive | excluded).to(values.device)
    others = _sorted(values.masked_fill(removed, float("inf")))
    row_and_item = tuple(torch.from_numpy(at).to(values.device) for at in (row, item))
    hits = values[row_and_item].cpu().numpy()
    tolerance = distances.tolerance(row, item, hits)
    before, open_order = _surely_before(others, row, nth, hits, tolerance)
    tied = np.zeros_like(before)
    compared = 0
    for some in _by_row(row, open_order):
        query = int(row[some[0]])
        line = others[query].cpu().numpy()
        upper = np.searchsorted(line, hits[some] + tolerance[some], side="right")
        places = _union(before[some], upper)
        compared += len(places) + len(some)
        if distances.budget is not None and compared > distances.budget:
            return None
        closer, tied[some] = _closer_and_tied(
            *distances.decided(query, item[some], removed[query], line[places])
        )
        before[some] += closer - np.searchsorted(places, before[some])
    return _in_order(row, before, tied, nth)


def _closer_and_tied(
    hits: Doubles, hit_widths: Doubles, others: Doubles, other_widths: Doubles
) -> tuple[Ints, Ints]:
    """Return how many others are closer than each hit (M,), and how many are tied with it (M,)."""
    values = np.concatenate([hits, others])
    order = np.argsort(values, kind="stable")
    apart = ~tied_neighbours(values[order], np.concatenate([hit_widths, other_widths])[order])
    group = np.empty(len(values), np.int64)
    group[order] = np.concatenate([[0], np.cumsum(apart)])
    in_group = np.bincount(group[len(hits) :], minlength=len(values))
    up_to_group = np.cumsum(in_group)
    of_hit = group[: len(hits)]
    tied: Ints = in_group[of_hit]
    return up_to_group[of_hit] - tied, tied


def _in_order(row: Ints, before: Ints, tied: Ints, nth: Ints) -> Ranks:
    """Return the ranks of positives (P,) with some others before them and some tied with them.

    Of positives with equally many others before them, those with ties follow those without.
    """
    most = int(before.max(initial=0)) + 1
    if not tied.any():
        start = row * most
        return Ranks(row, np.sort(start + before) - start + nth, NO_TIES)
    key = (row * most + before) * 2 + (tied > 0)
    order = np.argsort(key, kind="stable")
    key, before, tied = key[order], before[order], tied[order]
    at, count = np.unique(key, return_index=True, return_counts=True)[1:]
    groups = tied[at] > 0
    ties = TieGroups(at[groups], count[groups], tied[at[groups]])
    return Ranks(row, before + nth, ties)


def _sorted(values: Tensor) -> Tensor:
    """Return rows in ascending order; on the CPU by numpy, which is several times faster there."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    values.numpy().sort(axis=1)
    return values


def _surely_before(
    others: Tensor, row: Ints, nth: Ints, hits: NDArray[Any], tolerance: NDArray[Any]
) -> tuple[Ints, Bools]:
    """Return how many others precede each hit (P,) by more than the tolerance (P,), and (P,)
    whether the next one is within the tolerance.
    """
    width = int(nth.max(initial=-1)) + 1
    lowest = np.full((len(others), width), np.inf, hits.dtype)
    lowest[row, nth] = hits - tolerance
    places = torch.searchsorted(others, torch.from_numpy(lowest).to(others.device))
    following = others.gather(1, places.clamp(max=others.shape[1] - 1)).cpu().numpy()[row, nth]
    before: Ints = places.cpu().numpy()[row, nth]
    return before, (before < others.shape[1]) & (following <= hits + tolerance)


def _by_row(row: Ints, mask: Bools) -> Iterator[Ints]:
    """Yield the positions where the mask (P,) is true, one array per value of row (P,)."""
    some = np.flatnonzero(mask)
    return (part for part in np.split(some, np.flatnonzero(np.diff(row[some])) + 1) if len(part))


def _union(low: Ints, high: Ints) -> Ints:
    """Return the integers in any of the ranges from low (K,) to high (K,), ascending, once each."""
    order = np.argsort(low)
    low, high = low[order], np.maximum.accumulate(high[order])
    low = np.maximum(low, np.concatenate([[0], high[:-1]]))
    sizes = high - low
    places: Ints = np.arange(int(sizes.sum())) + np.repeat(low - np.cumsum(sizes) + sizes, sizes)
    return places
