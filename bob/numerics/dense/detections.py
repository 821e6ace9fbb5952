"""From scores and boxes of cells to the detections of an image, and how they match the truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.box_matching import (
    AREAS,
    THRESHOLDS,
    WRONG,
    States,
    TrueBoxes,
    match_as_voc,
    match_boxes,
)
from bob.numerics.dense.boxes import boxes_at_cells

CANDIDATES = 1000
"""Pairs of cell and class with the highest scores that are considered."""
MOST = 100
"""Detections of an image, as in COCO's evaluation."""
NMS_OVERLAP = 0.5
"""Intersection over union above which a detection suppresses others of its class."""
NO_CLASS = -1
ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Detections:
    """n detections of an image, by descending scores."""

    xyxy: Doubles
    """(n, 4)"""
    scores: Doubles
    """(n,)"""
    labels: Ints
    """(n,)"""


def detect(scores: Doubles, log_distances: Doubles, size: tuple[int, int]) -> Detections:
    """Return the detections of an image of `size` (H, W) from cells.

    `scores` (h, w, C) of classes, which are left out where they are -inf; `log_distances`
    (h, w, 4) of each cell's box. Boxes of a class that overlap a better one are suppressed.
    """
    import torch  # slow to import: command lines read protocols without it
    from torchvision.ops import batched_nms

    height, width, classes = scores.shape
    flat = scores.reshape(-1)
    best = np.argsort(-flat, kind="stable")[:CANDIDATES]
    best = best[flat[best] > -np.inf]
    boxes = boxes_at_cells(log_distances, size, (height, width)).reshape(-1, 4)[best // classes]
    kept = batched_nms(
        *(torch.from_numpy(values) for values in (boxes, flat[best], best % classes)), NMS_OVERLAP
    ).numpy()[:MOST]
    return Detections(boxes[kept], flat[best][kept], best[kept] % classes)


@dataclass(frozen=True, eq=False)
class MatchedDetections:
    """Detections of an image with their states, filled up to `MOST`."""

    scores: Floats
    """(M,)"""
    labels: Ints
    """(M,) NO_CLASS where there are fewer."""
    states: States
    """(M, A, T)"""
    voc: NDArray[np.uint8]
    """(M,) at an overlap of 0.5, by VOC's rule."""


def matched(found: Detections, true: TrueBoxes, labels: Ints) -> MatchedDetections:
    """Return which detections are right, class by class; `labels` (m,) are the true ones."""
    states = np.full((len(found.scores), len(AREAS), len(THRESHOLDS)), WRONG, np.uint8)
    voc = np.full(len(found.scores), WRONG, np.uint8)
    for of_class, true_of_class in by_class(found.labels, labels):
        boxes, objects = found.xyxy[of_class], true.only(true_of_class)
        states[of_class] = match_boxes(boxes, objects)
        voc[of_class] = match_as_voc(boxes, objects)
    return MatchedDetections(
        filled_up(found.scores.astype(np.float32), 0.0),
        filled_up(found.labels, NO_CLASS),
        filled_up(states, WRONG),
        filled_up(voc, WRONG),
    )


def by_class(labels: Ints, true_labels: Ints) -> Iterator[tuple[Ints, Bools]]:
    """Yield the positions of the detections of a class, and which objects (m,) have it."""
    for c in np.unique(labels):
        yield np.flatnonzero(labels == c), true_labels == c


def filled_up(values: NDArray[ScalarT], fill: float) -> NDArray[ScalarT]:
    """Return values (n, ...) of n detections as those of `MOST`, of which the last are `fill`."""
    filled = np.full((MOST, *values.shape[1:]), fill, values.dtype)
    filled[: len(values)] = values
    return filled


def counted_boxes(true: TrueBoxes, labels: Ints, classes: int) -> Ints:
    """Return how many boxes of each class count in each range of areas, (C, A)."""
    counted = np.zeros((classes, len(AREAS)), np.int64)
    np.add.at(counted, labels, ~true.ignored_by_range().T)
    return counted
