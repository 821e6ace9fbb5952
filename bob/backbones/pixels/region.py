"""Crops of resized images: PIL's pixels, by compiled kernels once these are verified to be equal.

The kernels are verified for each image size, on the first image of that size that can reveal a
difference: one whose pixels depend on the order of the two passes. PIL is used until then, and for
good if a bit differs: with a version of Pillow that rounds or orders its passes differently, or on
a processor whose arithmetic does. Loading the compiled code takes a third of a second, so the first
images of a process are also left to PIL.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.backbones.pixels.resample import Axis, columns_first

COMPILED_AFTER = 256
"""Crops of a process before kernels are loaded: about as many as repay the time that this takes."""
LONGEST_PX = 32_768
"""Images with a longer side are left to PIL.

64 rows of 65,536 px fill the 16 MB that Pillow exports in one piece.
"""

_crops_made = count()
"""Number of crops made by this process so far."""


@dataclass
class Region:
    """The region that is resized and cropped from all images of one size."""

    x: Axis
    y: Axis
    resample: Image.Resampling
    kernels_agree: bool | None = None
    """Whether the kernels give PIL's pixels; None until an image could show it."""

    def crop(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB image to (3, height, width) uint8."""
        if self.kernels_agree:
            return self.by_kernels(image)
        pixels = self.by_pil(image)
        if self.kernels_agree is None and next(_crops_made) >= COMPILED_AFTER:
            self.kernels_agree = self._compare(image, pixels)
        return pixels

    def by_pil(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize with PIL, then crop: the definition of the result."""
        left, top = self.x.start, self.y.start
        resized = image.resize((self.x.resized_px, self.y.resized_px), self.resample)
        return np.array(
            resized.crop((left, top, left + self.x.crop_px, top + self.y.crop_px))
        ).transpose(2, 0, 1)

    def by_kernels(self, image: Image.Image, *, other_order: bool = False) -> NDArray[np.uint8]:
        """Resize and crop with compiled kernels, in PIL's order of passes or in the other."""
        # Importing the kernels loads compiled code from disk, which few images do not repay.
        from bob.backbones.pixels.kernels import resize_and_crop

        first = columns_first(self.x, self.y) != other_order
        return resize_and_crop(image, self.x, self.y, self.resample, columns_first=first)

    def _compare(self, image: Image.Image, pixels: NDArray[np.uint8]) -> bool | None:
        """Return whether the kernels give these pixels; None if the image cannot show it."""
        try:
            ours, other_order = self.by_kernels(image), self.by_kernels(image, other_order=True)
        except ImportError:  # numba refuses versions of NumPy that are newer than itself
            return False
        if not np.array_equal(ours, pixels):
            return False
        two_passes = self.x.source_px != self.x.resized_px and self.y.source_px != self.y.resized_px
        return None if two_passes and np.array_equal(other_order, pixels) else True
