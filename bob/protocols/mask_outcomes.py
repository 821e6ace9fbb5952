"""From predicted instance masks to the outcome that is scored."""

from collections.abc import Sequence

import numpy as np

from bob.datasets.boxes import ImageBoxes
from bob.numerics.arrays import Bools
from bob.numerics.dense.box_matching import TrueBoxes
from bob.numerics.dense.detections import counted_boxes
from bob.numerics.dense.mask_matching import MaskedObjects, matched_masks
from bob.outcomes import MaskMatches


def mask_matches(
    found: MaskedObjects, boxes: ImageBoxes, masks: Bools, classes: int
) -> MaskMatches:
    """Return which predictions of an image are right; `masks` (n, H, W) are those of `boxes`."""
    true = TrueBoxes(boxes.xyxy, boxes.areas, boxes.ignored, boxes.crowds)
    matched = vars(matched_masks(found, true, masks, boxes.labels))
    counts = counted_boxes(true, boxes.labels, classes)
    return MaskMatches(
        **{name: values[None] for name, values in matched.items()}, true=counts[None]
    )


def joined(of_images: Sequence[MaskMatches]) -> MaskMatches:
    """Return the outcome of all images."""
    arrays = [of.to_arrays() for of in of_images]
    return MaskMatches(**{name: np.concatenate([of[name] for of in arrays]) for name in arrays[0]})
