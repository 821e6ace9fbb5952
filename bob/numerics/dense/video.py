"""Masks of a video's objects that follow from those of its first frame, and their agreement.

(A) Propagation (Jabri et al. 2020, arXiv:2006.14613; here after DINO's evaluation,
github.com/facebookresearch/dino, eval_video_segmentation.py). A patch of frame t takes the labels
of the patches of the first frame and of the n frames before it, weighted by exp(cosine / T); of
patches at most r rows and columns away, the k most similar count. Labels are shares of classes,
so that a patch can belong to two objects.

(B) Agreement, as on DAVIS 2017 (github.com/davisvideochallenge/davis2017-evaluation): J is the
intersection over union of an object's pixels, F the harmonic mean of the shares of each boundary
that are near the other one.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.boundaries import dilated
from bob.numerics.dense.pixels import upsampled

BOUNDARY_SHARE = 0.008
"""Distance within which boundaries agree, as a share of the image's diagonal."""


@dataclass(frozen=True)
class Propagation:
    """How labels follow."""

    frames: int
    """n, frames before the present one that count beside the first."""
    k: int
    radius: int
    """r, in patches."""
    temperature: float


def propagated(maps: Iterable[Floats], first: Doubles, settings: Propagation) -> Iterator[Doubles]:
    """Yield the labels (h, w, C) of every frame after the first.

    `maps` (h, w, D) are those of all frames, of which the first has the labels `first` (h, w, C).
    """
    shape, near = first.shape, _neighbours(first.shape[:2], settings.radius)
    frames = iter(maps)
    start = _unit_rows(next(frames)), first.reshape(-1, shape[2])
    last: deque[tuple[Floats, Doubles]] = deque(maxlen=settings.frames)
    for grid in frames:
        rows = _unit_rows(grid)
        labels = _labels(rows, [start, *last], near, settings)
        last.append((rows, labels))
        yield labels.reshape(shape)


def _labels(
    rows: Floats, context: list[tuple[Floats, Doubles]], near: Bools, settings: Propagation
) -> Doubles:
    """Return the labels (P, C) of patches (P, D) from those of earlier frames."""
    cosine = np.concatenate(
        [np.where(near, rows @ earlier.T, -np.inf) for earlier, _ in context], axis=1
    )
    k = min(settings.k, cosine.shape[1])
    least = np.partition(cosine, -k, axis=1)[:, -k, None]
    relative = (cosine - cosine.max(axis=1, keepdims=True)) / settings.temperature
    weights = np.where(cosine >= least, np.exp(relative.astype(np.float64)), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights @ np.concatenate([labels for _, labels in context]), np.float64)


def _neighbours(grid: tuple[int, ...], radius: int) -> Bools:
    """Return which patches (P, P) are at most `radius` rows and columns away from each."""
    rows, columns = (
        np.abs(np.arange(cells)[:, None] - np.arange(cells)) <= radius for cells in grid
    )
    return np.kron(rows, columns).astype(bool)


def _unit_rows(grid: Floats) -> Floats:
    rows = grid.reshape(-1, grid.shape[2]).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def objects_of_pixels(labels: Doubles, size: tuple[int, int]) -> Ints:
    """Return the class (H, W) of each pixel from labels (h, w, C), upsampled bilinearly.

    Each class is stretched to the range from 0 to 1 first, as in DINO's evaluation.
    """
    stretched = []
    for values in labels.transpose(2, 0, 1):
        wide = upsampled(values, size)
        span = np.ptp(wide)
        stretched.append((wide - wide.min()) / span if wide.max() > 0 and span > 0 else wide)
    return np.asarray(np.argmax(stretched, axis=0), np.int64)


def region_overlap(true: Bools, said: Bools) -> float:
    """Return J, the intersection over union of an object's pixels (H, W); 1 where both are none."""
    union = (true | said).sum()
    return float((true & said).sum() / union) if union else 1.0


def boundary_agreement(true: Bools, said: Bools) -> float:
    """Return F of the boundaries of an object's pixels (H, W); 1 where neither has one."""
    radius = float(np.ceil(BOUNDARY_SHARE * np.hypot(*true.shape)))
    true_edge, said_edge = boundary_map(true), boundary_map(said)
    if not (true_edge.any() and said_edge.any()):
        return float(not (true_edge.any() or said_edge.any()))
    precision = _share_near(said_edge, true_edge, radius)
    recall = _share_near(true_edge, said_edge, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_near(edge: Bools, other: Bools, radius: float) -> float:
    """Return the share of the pixels of a boundary within a radius of another one."""
    near = dilated(other.astype(np.uint64), radius) > 0
    return float(near[edge].mean())


def boundary_map(pixels: Bools) -> Bools:
    """Return the pixels (H, W) that differ from the one to the right, below, or both.

    In the last row and column, where there is none, the remaining neighbour counts alone.
    """
    padded = np.pad(pixels, ((0, 1), (0, 1)), mode="edge")
    right, below, both = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (pixels ^ right) | (pixels ^ below) | (pixels ^ both)
