"""Images that occur several times, found by their digests."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.sequences import Digests


def repeats(content: Sequence[str]) -> list[list[int]]:
    """Return the positions of each content that occurs more than once, ascending.

    Digests are sorted by their first 8 bytes, and compared in full where these are equal.
    """
    groups: dict[str, list[int]] = {}
    for position in _candidates(content):
        groups.setdefault(content[position], []).append(position)
    return [positions for positions in groups.values() if len(positions) > 1]


def _candidates(content: Sequence[str]) -> Iterable[int]:
    """Return positions, ascending, among which are all whose content occurs more than once."""
    if not isinstance(content, Digests):
        return range(len(content))
    keys: NDArray[np.uint64] = np.ascontiguousarray(content.values[:, :8]).view(np.uint64)[:, 0]
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    candidates: list[int] = np.union1d(order[1:][equal], order[:-1][equal]).tolist()
    return candidates
