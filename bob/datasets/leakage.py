"""Images that occur in two splits: byte-identical, or near-duplicates.

A near-duplicate has another size or compression, or slightly different colours. Two images count
as near-duplicates if their 64-bit difference hashes (Krawetz 2013: is each pixel of a 9 x 8 grey
reduction brighter than its left neighbour?) differ in at most 6 bits, and their 16 x 16 grey
reductions correlate at 0.99 or more. The hash finds candidates fast and the reduction confirms
them: flat or sparse images (digits) share hashes without being alike. Crops and mirror images are
not detected.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.dataset import Dataset, Split
from bob.errors import UnreadableImageError

HASH_BITS = 6
"""Largest number of differing bits between the hashes of near-duplicates."""
CORRELATION = 0.99
"""Smallest correlation between the reductions of near-duplicates."""
CANDIDATES = 8
"""Number of nearest hashes that are compared for each image."""
_SIDE_PX = 16
_BLOCK = 4096
_EXAMPLES_SHOWN = 5


@dataclass(frozen=True, eq=False)
class ImageSignatures:
    """Features by which N images are compared."""

    hashes: NDArray[np.uint8]
    """(N, 8) difference hashes, 64 bits each."""
    reductions: NDArray[np.float32]
    """(N, 256) grey values, centred and scaled to length 1; 0 if all are equal."""
    readable: NDArray[np.bool_]
    """(N,)"""


@dataclass(frozen=True)
class SplitOverlap:
    """The images of one split that also occur in a reference split."""

    split: str
    reference: str
    identical: int
    """Number of images of `split` that are byte-identical to an image of `reference`."""
    near_duplicates: int | None
    """Number of further images that are near-duplicates; None if images were not compared."""
    examples: tuple[tuple[str, str], ...] = ()
    """Some pairs of ids of near-duplicates."""


def split_overlaps(
    dataset: Dataset, signatures: Mapping[str, ImageSignatures] | None = None
) -> list[SplitOverlap]:
    """Count the images that each split shares with train and val, and queries with the gallery.

    `signatures`, by name of split, also allow near-duplicates to be counted.
    """
    splits = all_splits(dataset)
    pairs: list[tuple[str, str]] = [
        (name, reference)
        for reference in ("train", "val")
        for name in splits
        if reference in splits and name not in ("train", reference)
    ]
    if "query" in splits:
        pairs.append(("query", "gallery"))
    overlaps = []
    for name, reference in pairs:
        digests = set(splits[reference].content)
        identical = np.array([digest in digests for digest in splits[name].content], bool)
        near_duplicates: int | None = None
        examples: tuple[tuple[str, str], ...] = ()
        if signatures is not None:
            match = np.where(
                identical, -1, match_near_duplicates(signatures[name], signatures[reference])
            )
            hits = np.flatnonzero(match >= 0)
            near_duplicates = len(hits)
            examples = tuple(
                (splits[name].ids[i], splits[reference].ids[match[i]])
                for i in hits[:_EXAMPLES_SHOWN]
            )
        overlaps.append(
            SplitOverlap(name, reference, int(identical.sum()), near_duplicates, examples)
        )
    return overlaps


def all_splits(dataset: Dataset) -> dict[str, Split]:
    """Return the splits and shifts of a dataset by name; shift `x` is called `shift x`."""
    return {
        **{str(name): split for name, split in dataset.splits.items()},
        **{f"shift {name}": shift.split for name, shift in dataset.shifts.items()},
    }


def image_signatures(split: Split, workers: int) -> ImageSignatures:
    """Read and decode every image of a split once, and compute the signatures."""
    with ThreadPoolExecutor(workers) as pool:
        rows = [
            row
            for block in _blocks(len(split))
            for row in pool.map(lambda i: _signature(split, i), block)
        ]
    reductions = np.stack(
        [np.zeros(_SIDE_PX * _SIDE_PX, np.float32) if row is None else row[1] for row in rows]
    )
    hashes = np.stack([np.zeros(8, np.uint8) if row is None else row[0] for row in rows])
    return ImageSignatures(hashes, reductions, np.array([row is not None for row in rows]))


def match_near_duplicates(
    queries: ImageSignatures, reference: ImageSignatures
) -> NDArray[np.int64]:
    """Return, for each of N query images, the position of a near-duplicate in `reference`, or -1.

    Shape (N,). Of several near-duplicates, the one with the highest correlation is returned.
    """
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(reference.hashes)
    match = np.full(len(queries.hashes), -1)
    for block in _blocks(len(match)):
        rows = np.array(block)
        distance, place = index.search(queries.hashes[rows], min(CANDIDATES, len(reference.hashes)))
        correlation = np.einsum("nd,nkd->nk", queries.reductions[rows], reference.reductions[place])
        flat = ~queries.reductions[rows].any(1)[:, None] & ~reference.reductions[place].any(2)
        alike = (
            (distance <= HASH_BITS)
            & ((correlation >= CORRELATION) | flat)
            & queries.readable[rows][:, None]
            & reference.readable[place]
        )
        best = np.where(alike, correlation, -np.inf).argmax(1)
        match[rows] = np.where(alike.any(1), place[np.arange(len(rows)), best], -1)
    return match


def _signature(split: Split, i: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """Return the hash (8,) and the reduction (256,) of an image, or None if it is unreadable."""
    try:
        image = split.decode(i)
    except (UnreadableImageError, OSError):
        return None
    grey = (image if split.alter is None else split.alter(i, image)).convert("L")
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    small = np.asarray(grey.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX), np.float32).ravel()
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    return np.packbits(np.diff(steps, axis=1) > 0), (
        centred / length if length else centred
    ).astype(np.float32)


def _blocks(n: int) -> Iterator[Sequence[int]]:
    """Divide the positions 0..n-1 into ranges of at most `_BLOCK`."""
    return (range(start, min(n, start + _BLOCK)) for start in range(0, n, _BLOCK))
