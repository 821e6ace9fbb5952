"""Ranks of the positives, without putting the gallery in order: the others' distances are sorted as bare numbers, and each positive is looked up.

What is left out of a ranking is put at infinity. A positive's rank is the number of positives and of others before it. Where others lie so close to
it that distances in float32 leave their order open, these alone are found again in the row and settled; among themselves positives need no
order, since only the set of their ranks is asked for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.arrays import Bools, Floats, Ints
from bob.numerics.search.gallery import Exact, Rough

SHORT = 2**16
"""Values of the lower half of a float's bits, which are all but random: a table of them tells what is not among some floats."""


def ranks(distances: Exact | Rough, positive: Bools, left_out: Bools) -> tuple[Ints, Ints] | None:
    """(P,) the query of each positive, ascending, and its rank (P,) from 0, ascending within a query; both masks are (B, G).

    None where more than `distances.budget` of them would have to be settled.
    """
    row, item = np.divmod(
        np.flatnonzero(positive), positive.shape[1]
    )  # several times faster than np.nonzero of two dimensions
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    taken = torch.from_numpy(positive | left_out).to(distances.far.device)
    others = _sorted(distances.far.masked_fill(taken, float("inf")))
    own = (
        distances.far[tuple(torch.from_numpy(at).to(taken.device) for at in (row, item))]
        .cpu()
        .numpy()
    )
    reach = distances.doubt(row, own)
    before, doubtful = _surely_before(others, row, nth, own, reach)
    settled = 0
    for some in _by_row(row, doubtful):
        at = int(row[some[0]])
        line = others[at].cpu().numpy()
        places = _union(before[some], np.searchsorted(line, own[some] + reach[some], side="right"))
        settled += len(places) + len(some)
        if distances.budget is not None and settled > distances.budget:
            return None
        items = members(distances.far[at], taken[at], line[places])
        order = _keys(
            distances.settle(at, np.concatenate([item[some], items])),
            np.concatenate([item[some], items]),
        )
        ahead = np.searchsorted(np.sort(order[len(some) :]), order[: len(some)])
        before[some] += ahead - np.searchsorted(places, before[some])
    return row, _ascending(row, before, distances.far.shape[1]) + nth


def members(far: Tensor, taken: Tensor, wanted: Floats) -> Ints:
    """Ascending positions in far (G,), those that are taken (G,) apart, of all values that occur in wanted (K,), ascending."""
    if far.device.type == "cpu":
        return _members_on_cpu(far.numpy(), taken.numpy(), wanted)
    return _members_on_device(far, taken, wanted)


def _members_on_cpu(far: Floats, taken: Bools, wanted: Floats) -> Ints:
    """By a table of half of the bits first, which spares comparing all."""
    table = np.zeros(SHORT, bool)
    table[wanted.view(np.uint32).astype(np.uint16)] = True
    found = np.flatnonzero(table.take(far.view(np.uint32).astype(np.uint16)))
    near = np.minimum(np.searchsorted(wanted, far[found]), len(wanted) - 1)
    kept: Ints = found[(wanted[near] == far[found]) & ~taken[found]]
    return kept


def _members_on_device(far: Tensor, taken: Tensor, wanted: Floats) -> Ints:
    found: Ints = (
        (torch.isin(far, torch.from_numpy(wanted).to(far.device)) & ~taken)
        .nonzero()[:, 0]
        .cpu()
        .numpy()
    )
    return found


def _sorted(far: Tensor) -> Tensor:
    """Rows in ascending order; by numpy on the CPU, several times faster there."""
    if far.device.type != "cpu":
        return far.sort(dim=1).values
    far.numpy().sort(axis=1)
    return far


def _surely_before(
    others: Tensor, row: Ints, nth: Ints, own: Floats, reach: Floats
) -> tuple[Ints, Bools]:
    """(P,) how many others lie before own (P,) by more than reach (P,), and (P,) whether the next one is not as far behind it."""
    width = int(nth.max(initial=-1)) + 1
    low = np.full((len(others), width), np.inf, np.float32)
    low[row, nth] = own - reach
    places = torch.searchsorted(others, torch.from_numpy(low).to(others.device))
    following = others.gather(1, places.clamp(max=others.shape[1] - 1)).cpu().numpy()[row, nth]
    before: Ints = places.cpu().numpy()[row, nth]
    return before, (before < others.shape[1]) & (following <= own + reach)


def _by_row(row: Ints, doubtful: Bools) -> Iterator[Ints]:
    """Positions of the doubtful ones, row by row."""
    some = np.flatnonzero(doubtful)
    return (part for part in np.split(some, np.flatnonzero(np.diff(row[some])) + 1) if len(part))


def _union(low: Ints, high: Ints) -> Ints:
    """Ascending, once each, the integers in any of the ranges from low (K,) to high (K,)."""
    order = np.argsort(low)
    low, high = low[order], np.maximum.accumulate(high[order])
    low = np.maximum(low, np.concatenate([[0], high[:-1]]))
    sizes = high - low
    places: Ints = np.arange(int(sizes.sum())) + np.repeat(low - np.cumsum(sizes) + sizes, sizes)
    return places


def _keys(far: Floats, position: Ints) -> Ints:
    """Integers in the order of the floats, equal floats in that of their positions: the float's bits, as they compare, above the position."""
    bits = far.view(np.int32)
    keys: Ints = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32 | position
    return keys


def _ascending(row: Ints, values: Ints, most: int) -> NDArray[Any]:
    """values (P,), at most `most`, put in ascending order within each row; rows ascend."""
    start = row * (most + 1)
    return np.sort(start + values) - start
