"""How PIL resizes 8-bit RGB: which pixels it sums with which weights, and which of its two passes comes first.

PIL passes along rows and along columns, to 8 bits each time. A pixel of either pass is a sum of a few pixels of one row or column times weights of 22
binary places, in whole numbers: 32 bits hold it, so no order of summation changes it.

Source: src/libImaging/Resample.c of Pillow 13, for its definitions: where a filter begins and ends, how weights are rounded, which pass comes first.
Not here: filters other than bilinear and bicubic, and the corners of a part (`box`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PLACES = 22
"""Binary places of a weight."""
KEPT_AXES = 512
"""Axes whose weights are kept: 10 KB each at 224 px, 70 KB for a side of 4,000 px."""


def bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


def bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution, a = -0.5."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


FILTERS = {Image.Resampling.BILINEAR: (bilinear, 1.0), Image.Resampling.BICUBIC: (bicubic, 2.0)}
"""Filter → its values at a distance in pixels, and the distance up to which they are not zero."""


@dataclass(frozen=True)
class Axis:
    """One side of the image: `source_px` pixels resized to `resized_px`, of which `crop_px` are kept, from the pixel `start` on."""

    source_px: int
    resized_px: int
    start: int
    crop_px: int


@dataclass(frozen=True, eq=False)
class Taps:
    """Pixel i of the crop is the sum of source pixels first[i], ..., first[i] + count[i] - 1 times weights[i], in units of 2^-PLACES."""

    first: NDArray[np.int32]
    count: NDArray[np.int32]
    weights: NDArray[np.int32]

    @property
    def end(self) -> int:
        """The pixel after the last that is read."""
        return int((self.first + self.count).max())


@lru_cache(maxsize=KEPT_AXES)
def taps(axis: Axis, resample: Image.Resampling) -> Taps:
    """PIL's weights along one axis."""
    values, support = FILTERS[resample]
    scale = axis.source_px / axis.resized_px
    stretch = max(scale, 1.0)
    centre = (np.arange(axis.start, axis.start + axis.crop_px) + 0.5) * scale
    first = np.maximum((centre - support * stretch + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support * stretch + 0.5).astype(np.int64), axis.source_px) - first
    place = np.arange(count.max())
    weights = values((place + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch))
    weights[place >= count[:, None]] = 0.0
    total = np.cumsum(weights, axis=1)[
        :, -1:
    ]  # one after the other, as PIL sums; `sum` adds in pairs
    weights = np.divide(weights, total, where=total != 0, out=weights)
    whole = np.trunc(weights * (1 << PLACES) + np.copysign(0.5, weights))
    return Taps(first.astype(np.int32), count.astype(np.int32), whole.astype(np.int32))


def columns_first(x: Axis, y: Axis) -> bool:
    """Which pass Pillow 13 begins with: along columns where the height loses more than twice what the width does. Earlier ones: along rows always."""
    lost = y.source_px - y.resized_px
    return lost > 0 and lost > 2 * (x.source_px - x.resized_px)
