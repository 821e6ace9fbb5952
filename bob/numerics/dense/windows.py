"""Windows over an image: where they are, and the prediction that theirs make together.

Of n windows along an axis, window i covers the shares i / (n + 1) to (i + 2) / (n + 1) of it, so
that neighbours overlap by half whatever the length; rounded outwards to whole pixels. An image has
n x n of them, row by row. One window is the whole image.
"""

from collections.abc import Iterator

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.dense.pixels import upsampled, upsampled_classes

Area = tuple[slice, slice]
"""Rows and columns of an image."""


def window_spans(pixels: int, windows: int) -> list[slice]:
    """Return the pixels that each of some windows covers along an axis."""
    steps = windows + 1
    return [slice(i * pixels // steps, -(-(i + 2) * pixels // steps)) for i in range(windows)]


def window_areas(size: tuple[int, int], windows: int) -> Iterator[Area]:
    """Yield the areas of the n x n windows of an image of a size (H, W), row by row."""
    for rows in window_spans(size[0], windows):
        for columns in window_spans(size[1], windows):
            yield rows, columns


def centred_square(size: tuple[int, int]) -> Area:
    """Return the area of the largest square in the middle of an image of a size (H, W).

    It is a pixel nearer to the top or to the left where it cannot be in the middle.
    """
    side = min(size)
    top, left = ((length - side) // 2 for length in size)
    return slice(top, top + side), slice(left, left + side)


def joined_classes(logits: Doubles, size: tuple[int, int]) -> Ints:
    """Return the class (H, W) int64 with the largest mean logit of each pixel.

    `logits` (n * n, h, w, C) of the windows of an image are upsampled to the pixels of each, as
    `upsampled_classes` does, and averaged where windows overlap, as mmsegmentation's `slide` mode
    does. All classes of a pixel have the same number of windows, so that sums are compared.
    """
    if len(logits) == 1:
        return upsampled_classes(logits[0], size)
    areas = list(window_areas(size, round(len(logits) ** 0.5)))
    best, predicted = np.full(size, -np.inf), np.zeros(size, np.int64)
    for c in range(logits.shape[3]):
        total = np.zeros(size)
        for (rows, columns), of_window in zip(areas, logits[..., c], strict=True):
            shape = rows.stop - rows.start, columns.stop - columns.start
            total[rows, columns] += upsampled(of_window, shape)
        predicted[total > best] = c
        np.maximum(best, total, out=best)
    return predicted


def joined_values(values: Doubles, size: tuple[int, int]) -> Doubles:
    """Return values (n * n, h, w) of windows, upsampled to each and averaged per pixel (H, W)."""
    total, count = np.zeros(size), np.zeros(size)
    areas = window_areas(size, round(len(values) ** 0.5))
    for (rows, columns), of_window in zip(areas, values, strict=True):
        shape = rows.stop - rows.start, columns.stop - columns.start
        total[rows, columns] += upsampled(of_window, shape)
        count[rows, columns] += 1
    return total / count


def of_complete_images(positions: Ints, rows: int) -> Bools:
    """Return which positions (n,) of windows are of images all of whose `rows` windows are there.

    The windows of image i are at the positions from i * rows.
    """
    _, image, count = np.unique(positions // rows, return_inverse=True, return_counts=True)
    complete: Bools = count[image] == rows
    return complete
