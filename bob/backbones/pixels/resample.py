"""How PIL resizes 8-bit RGB images: filter weights, and the order of its two passes.

PIL makes one pass along rows and one along columns, and rounds to 8 bits after each. A pixel of a
pass is a sum of a few pixels of one row or column times weights of 22 binary places, in integer
arithmetic. The sum fits into 32 bits, so the order of summation does not change it.

Source: src/libImaging/Resample.c of Pillow 13, for its definitions: the support of a filter, the
rounding of weights, and the order of passes. Not implemented: filters other than bilinear and
bicubic, and resizing a fractional part of the image (`box`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PLACES = 22
"""Binary places of a weight."""
CACHED_AXES = 512
"""Axes whose weights are cached: 10 KB each at 224 px, 70 KB for a side of 4,000 px."""


def bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the triangle filter."""
    return np.maximum(1.0 - np.abs(x), 0.0)


def bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution filter with a = -0.5."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


FILTERS = {Image.Resampling.BILINEAR: (bilinear, 1.0), Image.Resampling.BICUBIC: (bicubic, 2.0)}
"""Filter → its function of the distance in pixels, and its support: zero at larger distances."""


@dataclass(frozen=True)
class Axis:
    """One side of an image: `source_px` pixels resized to `resized_px`, then cropped.

    The crop has `crop_px` pixels, from the resized pixel `start` on.
    """

    source_px: int
    resized_px: int
    start: int
    crop_px: int


@dataclass(frozen=True, eq=False)
class Taps:
    """Filter weights along one axis, in units of 2^-PLACES.

    Pixel i of the crop is the sum of the source pixels first[i], ..., first[i] + count[i] - 1 times
    weights[i].
    """

    first: NDArray[np.int32]
    count: NDArray[np.int32]
    weights: NDArray[np.int32]

    @property
    def end(self) -> int:
        """One past the last source pixel that is read."""
        return int((self.first + self.count).max())


@lru_cache(maxsize=CACHED_AXES)
def taps(axis: Axis, resample: Image.Resampling) -> Taps:
    """Return PIL's weights along one axis."""
    function, support = FILTERS[resample]
    scale = axis.source_px / axis.resized_px
    stretch = max(scale, 1.0)
    centre = (np.arange(axis.start, axis.start + axis.crop_px) + 0.5) * scale
    first = np.maximum((centre - support * stretch + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support * stretch + 0.5).astype(np.int64), axis.source_px) - first
    tap = np.arange(count.max())
    weights = function((tap + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch))
    weights[tap >= count[:, None]] = 0.0
    # One after the other, as PIL sums; `sum` would add in pairs.
    total = np.cumsum(weights, axis=1)[:, -1:]
    weights = np.divide(weights, total, where=total != 0, out=weights)
    rounded = np.trunc(weights * (1 << PLACES) + np.copysign(0.5, weights))
    return Taps(first.astype(np.int32), count.astype(np.int32), rounded.astype(np.int32))


def columns_first(x: Axis, y: Axis) -> bool:
    """Return whether Pillow 13 makes the pass along columns first.

    It does if the height shrinks by more than twice as many pixels as the width. Earlier versions
    always make the pass along rows first.
    """
    shrinkage = y.source_px - y.resized_px
    return shrinkage > 0 and shrinkage > 2 * (x.source_px - x.resized_px)
