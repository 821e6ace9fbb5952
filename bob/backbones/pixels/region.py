"""The crop of a resized image: PIL's pixels to the bit, by compiled loops where those were seen to give the same.

Whether they do is tried for each size of image, on the first of that size which can tell: one whose pixels depend on which pass comes first. PIL's
own are taken until then, and for good where a bit differs: with a version of Pillow that rounds or orders its passes otherwise, or on a processor
whose arithmetic does. Reading what was compiled before takes a third of a second, so the first images of a process are left to PIL.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.backbones.pixels.resample import Axis, columns_first

COMPILED_AFTER = 256
"""Crops of a process. Getting the loops ready takes as long as they save on about so many."""
LONGEST_PX = 32_768
"""Images with a longer side are left to PIL: 64 rows of 65,536 px fill the 16 MB that Pillow lends in one piece."""

_made = count()
"""The crops of this process so far."""


@dataclass
class Region:
    """The crops of all images of one size."""

    x: Axis
    y: Axis
    resample: Image.Resampling
    same: bool | None = None
    """Whether the loops give PIL's pixels; None before an image could tell."""

    def crop(self, image: Image.Image) -> NDArray[np.uint8]:
        """(3, height, width) uint8 of an RGB image, resized and cropped."""
        if self.same:
            return self.by_loops(image)
        pixels = self.by_pil(image)
        if self.same is None and next(_made) >= COMPILED_AFTER:
            self.same = self._is_same(image, pixels)
        return pixels

    def by_pil(self, image: Image.Image) -> NDArray[np.uint8]:
        """By its definition."""
        left, top = self.x.start, self.y.start
        resized = image.resize((self.x.resized_px, self.y.resized_px), self.resample)
        return np.array(
            resized.crop((left, top, left + self.x.crop_px, top + self.y.crop_px))
        ).transpose(2, 0, 1)

    def by_loops(self, image: Image.Image, *, other_order: bool = False) -> NDArray[np.uint8]:
        """By compiled loops, in PIL's order of passes or in the other."""
        from bob.backbones.pixels.kernels import (
            cropped,
        )  # compiled loops are read from the disk, which few images do not repay

        return cropped(
            image,
            self.x,
            self.y,
            self.resample,
            columns_first=columns_first(self.x, self.y) != other_order,
        )

    def _is_same(self, image: Image.Image, pixels: NDArray[np.uint8]) -> bool | None:
        """None where the image cannot tell."""
        try:
            by_loops, other_order = self.by_loops(image), self.by_loops(image, other_order=True)
        except ImportError:  # numba refuses versions of NumPy that are newer than itself
            return False
        if not np.array_equal(by_loops, pixels):
            return False
        two_passes = self.x.source_px != self.x.resized_px and self.y.source_px != self.y.resized_px
        return None if two_passes and np.array_equal(other_order, pixels) else True
