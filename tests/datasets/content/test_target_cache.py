"""Targets that were read last are kept, up to a number of bytes and until the pass has ended."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.target_cache import TargetCache, forget_targets


class Targets:
    """Arrays of 8 bytes, and how often each was read."""

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def __call__(self, position: int) -> NDArray[np.float64]:
        self.reads[position] += 1
        return np.array([float(position)])


def test_the_targets_that_were_read_last_are_kept() -> None:
    """Three fit: the fourth takes the place of the one that was read the longest ago."""
    targets = Targets()
    cache = TargetCache(targets, most_bytes=24)
    for position in (0, 1, 2, 0, 3, 0, 1):
        assert cache(position).tolist() == [position]
    assert targets.reads == {0: 1, 1: 2, 2: 1, 3: 1}


def test_forgotten_targets_are_read_again() -> None:
    """Their bytes count no more: three further ones fit."""
    targets = Targets()
    cache = TargetCache(targets, most_bytes=24)
    for position in (0, 1, 2):
        cache(position)
    forget_targets()
    for position in (0, 1, 2, 0):
        assert cache(position).tolist() == [position]
    assert targets.reads == {0: 2, 1: 2, 2: 2}
