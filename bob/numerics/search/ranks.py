"""Ranks of the positives without ordering the gallery: the distances of the other items are sorted
as plain numbers, and each positive is looked up among them.

Excluded items get an infinite distance. The rank of a positive is the number of positives and of
other items before it. Where other items are so close to it that float32 distances leave their order
open, only these items are located in the row and compared in float64. The order of the positives
among themselves does not matter, since only the set of their ranks is wanted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Bools, Floats, Ints
from bob.numerics.search.distances import ApproximateDistances, ExactDistances
from bob.numerics.search.order import sort_keys

LOWER_HALVES = 2**16
"""Number of values of the lower half of a float's bits. These are all but random, so that a table
of them rules out most values that do not occur among a few floats."""


def ranks(
    distances: ExactDistances | ApproximateDistances, positive: Bools, excluded: Bools
) -> tuple[Ints, Ints] | None:
    """Return the query (P,) of each positive, ascending, and its rank (P,) from 0, ascending per
    query.

    Both masks are (B, G). Return None where more than `distances.budget` comparisons need float64.
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
    tolerance = distances.tolerance(row, hits)
    before, open_order = _surely_before(others, row, nth, hits, tolerance)
    compared = 0
    for some in _by_row(row, open_order):
        query = int(row[some[0]])
        line = others[query].cpu().numpy()
        upper = np.searchsorted(line, hits[some] + tolerance[some], side="right")
        places = _union(before[some], upper)
        compared += len(places) + len(some)
        if distances.budget is not None and compared > distances.budget:
            return None
        items = np.concatenate(
            [item[some], positions_of(values[query], removed[query], line[places])]
        )
        keys = sort_keys(distances.exact(query, items), items)
        closer = np.searchsorted(np.sort(keys[len(some) :]), keys[: len(some)])
        before[some] += closer - np.searchsorted(places, before[some])
    return row, _ascending(row, before, values.shape[1]) + nth


def positions_of(values: Tensor, removed: Tensor, wanted: Floats) -> Ints:
    """Return the ascending positions in values (G,) of all values that occur in wanted (K,).

    `wanted` ascends; positions that are removed (G,) do not count.
    """
    if values.device.type == "cpu":
        return _positions_on_cpu(values.numpy(), removed.numpy(), wanted)
    return _positions_on_device(values, removed, wanted)


def _positions_on_cpu(values: Floats, removed: Bools, wanted: Floats) -> Ints:
    """A table of half of the bits spares comparing all values."""
    table = np.zeros(LOWER_HALVES, bool)
    table[wanted.view(np.uint32).astype(np.uint16)] = True
    possible = np.flatnonzero(table.take(values.view(np.uint32).astype(np.uint16)))
    nearest = np.minimum(np.searchsorted(wanted, values[possible]), len(wanted) - 1)
    positions: Ints = possible[(wanted[nearest] == values[possible]) & ~removed[possible]]
    return positions


def _positions_on_device(values: Tensor, removed: Tensor, wanted: Floats) -> Ints:
    mask = torch.isin(values, torch.from_numpy(wanted).to(values.device)) & ~removed
    positions: Ints = mask.nonzero()[:, 0].cpu().numpy()
    return positions


def _sorted(values: Tensor) -> Tensor:
    """Return rows in ascending order; on the CPU by numpy, which is several times faster there."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    values.numpy().sort(axis=1)
    return values


def _surely_before(
    others: Tensor, row: Ints, nth: Ints, hits: Floats, tolerance: Floats
) -> tuple[Ints, Bools]:
    """Return how many others precede each hit (P,) by more than the tolerance (P,), and (P,)
    whether the next one is within the tolerance.
    """
    width = int(nth.max(initial=-1)) + 1
    lowest = np.full((len(others), width), np.inf, np.float32)
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


def _ascending(row: Ints, values: Ints, most: int) -> NDArray[Any]:
    """Return values (P,), at most `most`, in ascending order within each row; rows ascend."""
    start = row * (most + 1)
    return np.sort(start + values) - start
