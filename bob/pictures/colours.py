"""Colours of maps: classes, depth and errors of pixels."""

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Floats, Ints

Pixels = NDArray[np.uint8]
"""(h, w, 3) red, green and blue."""
UNCOUNTED = (224, 224, 192)
"""Colour of pixels that do not count, as in Pascal VOC."""
RIGHT = (240, 240, 240)
WRONG = (198, 81, 2)
_VIRIDIS = np.array(
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float64
)
"""Five of viridis's colours at equal distances, between which depth is interpolated."""
_BITS = 8


def class_colours(classes: int) -> Pixels:
    """Return the colours (C, 3) of Pascal VOC, whose first is black.

    The bits of a class's index are dealt to the three channels in turn, the highest bit first.
    """
    index = np.arange(classes)
    colours = np.zeros((classes, 3), np.int64)
    for bit in range(_BITS):
        for channel in range(3):
            place = 3 * bit + channel
            colours[:, channel] |= ((index >> place) & 1) << (_BITS - 1 - bit)
    return colours.astype(np.uint8)


def paint_classes(labels: Ints, classes: int) -> Pixels:
    """Return the colours of a map of classes (h, w); negative ones do not count."""
    colours: Pixels = class_colours(classes)[labels.clip(min=0)]
    colours[labels < 0] = UNCOUNTED
    return colours


def paint_depth(depth: Floats | Doubles, near: float, far: float) -> Pixels:
    """Return the colours of depths (h, w): viridis on a logarithmic scale from near to far.

    Unknown depths, which are NaN, have the colour of pixels that do not count.
    """
    known = ~np.isnan(depth)
    log_depth = np.log(np.where(known, depth, near), dtype=np.float64)
    share = (log_depth - np.log(near)) / max(float(np.log(far / near)), 1e-9)
    place = share.clip(0, 1) * (len(_VIRIDIS) - 1)
    stops = np.arange(len(_VIRIDIS))
    colours = np.stack([np.interp(place, stops, channel) for channel in _VIRIDIS.T], axis=2)
    return _with_uncounted(colours, ~known)


def paint_errors(share: Doubles, uncounted: Bools) -> Pixels:
    """Return the colours of errors (h, w) between 0, which is almost white, and 1."""
    weight = share.clip(0, 1)[..., None]
    return _with_uncounted(weight * WRONG + (1 - weight) * RIGHT, uncounted)


def _with_uncounted(colours: Doubles, uncounted: Bools) -> Pixels:
    pixels = np.rint(colours).astype(np.uint8)
    pixels[uncounted] = UNCOUNTED
    return pixels
