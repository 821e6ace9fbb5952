"""Images that are in two splits: byte for byte, or nearly so (another size, another compression, slightly other colours).

Nearly alike are two images whose 64-bit difference hashes (Krawetz 2013: is each pixel of a 9 x 8 grey reduction brighter than its left neighbour?)
differ in at most 6 bits, and whose 16 x 16 grey reductions correlate at 0.99 or more. The hash finds candidates fast, the reduction confirms them:
flat or sparse images (digits) share hashes without being alike. A crop or a mirror image is not found.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.images import decode
from bob.datasets.dataset import Dataset, Split
from bob.errors import BadImageError

HASH_BITS = 6
"""Hashes that differ in more bits are taken for those of other images."""
CORRELATION = 0.99
CANDIDATES = 8
"""Nearest hashes that are looked at for each image."""
_SIDE = 16
_BLOCK = 4096
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Signatures:
    """What is compared of N images."""

    hashes: NDArray[np.uint8]
    """(N, 8) difference hashes."""
    reductions: NDArray[np.float32]
    """(N, 256) grey values, centred and of length 1; 0 where all are equal."""
    readable: NDArray[np.bool_]
    """(N,)"""


@dataclass(frozen=True)
class Leak:
    """Images of one split that are also in another."""

    one: str
    other: str
    identical: int
    """Images of `one` that are byte-identical to one of `other`."""
    near: int | None
    """Further ones that are nearly so; None where images were not looked at."""
    examples: tuple[tuple[str, str], ...] = ()
    """Ids of some nearly alike."""


def leaks(dataset: Dataset, seen: Mapping[str, Signatures] | None = None) -> list[Leak]:
    """What each split shares with those that are fitted or chosen on, and queries with their gallery; with signatures, what is nearly alike too."""
    found = []
    splits = all_splits(dataset)
    pairs = [
        (one, other)
        for other in ("train", "val")
        for one in splits
        if other in splits and one not in ("train", other)
    ]
    for one, other in [*pairs, *([("query", "gallery")] if "query" in splits else [])]:
        there = set(splits[other].content)
        same = np.array([digest in there for digest in splits[one].content], bool)
        near: int | None = None
        examples: tuple[tuple[str, str], ...] = ()
        if seen is not None:
            match = np.where(same, -1, nearly_alike(seen[one], seen[other]))
            hits = np.flatnonzero(match >= 0)
            near, examples = (
                len(hits),
                tuple((splits[one].ids[i], splits[other].ids[match[i]]) for i in hits[:_SHOWN]),
            )
        found.append(Leak(one, other, int(same.sum()), near, examples))
    return found


def all_splits(dataset: Dataset) -> dict[str, Split]:
    """Splits and shifts by name."""
    return {
        **{str(name): split for name, split in dataset.splits.items()},
        **{f"shift {name}": shift.split for name, shift in dataset.shifts.items()},
    }


def signatures(split: Split, workers: int) -> Signatures:
    """Reads and decodes every image once."""
    with ThreadPoolExecutor(workers) as pool:
        rows = [
            row
            for block in _blocks(len(split))
            for row in pool.map(lambda i: _signature(split, i), block)
        ]
    reductions = np.stack(
        [np.zeros(_SIDE * _SIDE, np.float32) if row is None else row[1] for row in rows]
    )
    hashes = np.stack([np.zeros(8, np.uint8) if row is None else row[0] for row in rows])
    return Signatures(hashes, reductions, np.array([row is not None for row in rows]))


def nearly_alike(one: Signatures, other: Signatures) -> NDArray[np.int64]:
    """(N,) for each image of `one` the position of one that is nearly alike in `other`, or -1."""
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(other.hashes)
    found = np.full(len(one.hashes), -1)
    for block in _blocks(len(found)):
        rows = np.array(block)
        distance, place = index.search(one.hashes[rows], min(CANDIDATES, len(other.hashes)))
        correlation = np.einsum("nd,nkd->nk", one.reductions[rows], other.reductions[place])
        flat = ~one.reductions[rows].any(1)[:, None] & ~other.reductions[place].any(2)
        alike = (
            (distance <= HASH_BITS)
            & ((correlation >= CORRELATION) | flat)
            & one.readable[rows][:, None]
            & other.readable[place]
        )
        best = np.where(alike, correlation, -np.inf).argmax(1)
        found[rows] = np.where(alike.any(1), place[np.arange(len(rows)), best], -1)
    return found


def _signature(split: Split, i: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    try:
        image = decode(split.read(i), split.ids[i])
    except (BadImageError, OSError):
        return None
    grey = (image if split.alter is None else split.alter(i, image)).convert("L")
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    small = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32).ravel()
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    return np.packbits(np.diff(steps, axis=1) > 0), (
        centred / length if length else centred
    ).astype(np.float32)


def _blocks(n: int) -> Iterator[Sequence[int]]:
    return (range(start, min(n, start + _BLOCK)) for start in range(0, n, _BLOCK))
