"""Which predicted instance masks of an image are right, as COCO's evaluation (pycocotools) says.

As of boxes, in `bob.numerics.dense.box_matching`, but that pixels overlap, and the area of a
prediction is the number of its pixels.
"""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.box_matching import (
    AREAS,
    THRESHOLDS,
    WRONG,
    States,
    TrueBoxes,
    match_objects,
)
from bob.numerics.dense.detections import NO_CLASS, by_class, filled_up


@dataclass(frozen=True, eq=False)
class MaskedObjects:
    """n predicted objects of an image, by descending scores."""

    scores: Doubles
    """(n,)"""
    labels: Ints
    """(n,)"""
    masks: Bools
    """(n, H, W)"""


@dataclass(frozen=True, eq=False)
class MatchedMasks:
    """Predicted objects of an image with their states, filled up to `MOST`."""

    scores: Floats
    """(M,)"""
    labels: Ints
    """(M,) NO_CLASS where there are fewer."""
    states: States
    """(M, A, T)"""


def matched_masks(
    found: MaskedObjects, true: TrueBoxes, true_masks: Bools, labels: Ints
) -> MatchedMasks:
    """Return which predictions are right, class by class.

    `true_masks` (m, H, W) and `labels` (m,) are those of the objects `true`.
    """
    states = np.full((len(found.scores), len(AREAS), len(THRESHOLDS)), WRONG, np.uint8)
    areas = found.masks.sum(axis=(1, 2)).astype(np.float64)
    for of_class, true_of_class in by_class(found.labels, labels):
        objects = true.only(true_of_class)
        overlaps = mask_overlaps(found.masks[of_class], true_masks[true_of_class], objects.crowds)
        states[of_class] = match_objects(overlaps, areas[of_class], objects)
    return MatchedMasks(
        filled_up(found.scores.astype(np.float32), 0.0),
        filled_up(found.labels, NO_CLASS),
        filled_up(states, WRONG),
    )


def mask_overlaps(found: Bools, true: Bools, crowds: Bools) -> Doubles:
    """Return the intersection over union (n, m) of masks (n, H, W) with true ones (m, H, W).

    With a crowd, of which `crowds` (m,) says, the share of the prediction's own pixels inside it.
    0 without pixels.
    """
    ours, theirs = (of.reshape(len(of), np.prod(of.shape[1:], dtype=int)) for of in (found, true))
    both = ours.astype(np.float32) @ theirs.astype(np.float32).T  # exact: below 2^24 pixels
    area, true_area = ours.sum(axis=1)[:, None], theirs.sum(axis=1)
    pixels = np.where(crowds, area, area + true_area - both)
    return np.asarray(both / np.maximum(pixels, 1), np.float64)
