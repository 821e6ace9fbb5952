"""Boxes and instance masks: where the objects of an image are, which detection finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.sequences import take
from bob.numerics.arrays import Bools, Doubles, Ints


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """n boxes of an image."""

    size: tuple[int, int]
    """(H, W) of the image in pixels."""
    xyxy: Doubles
    """(n, 4) left, top, right and bottom edge in pixels; (0, 0) is the upper left corner of the
    image, so that a box of the first pixel alone is (0, 0, 1, 1)."""
    labels: Ints
    """(n,) class indices."""
    areas: Doubles
    """(n,) area of the object in pixels, by which it counts as small, medium or large."""
    ignored: Bools
    """(n,) objects that need not be found, and may be found any number of times: VOC's difficult
    ones, COCO's crowds."""
    crowds: Bools
    """(n,) those of `ignored` that are regions of several objects: what is found inside them is
    neither right nor wrong."""


@dataclass(frozen=True, eq=False)
class BoxSets:
    """The boxes of the N images of a split, in their order."""

    content: Sequence[str]
    """N hex digests of what they are made from, and the masks with them."""
    read: Callable[[int], ImageBoxes]
    """Position in 0..N-1 → the image's boxes. Safe to call from several threads."""
    masks: Callable[[int], Bools] | None = None
    """Position → the pixels (n, H, W) of each of the image's n boxes, in their order; or None."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.content)

    def take(self, positions: NDArray[np.int64]) -> "BoxSets":
        """Return the boxes of the images at these positions, in this order."""
        masks = self.masks
        return BoxSets(
            take(self.content, positions),
            lambda i: self.read(int(positions[i])),
            None if masks is None else lambda i: masks(int(positions[i])),
        )
