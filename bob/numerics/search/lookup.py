"""Where in a row of float32 distances given values occur."""

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Bools, Floats, Ints

LOWER_HALVES = 2**16
"""Number of values of the lower half of a float's bits. These are all but random, so that a table
of them rules out most values that do not occur among a few floats."""


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
