"""Predictions for pixels from logits of a grid, and their agreement with a mask."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Floats, Ints


def upsampled_classes(logits: Doubles, size: tuple[int, int]) -> Ints:
    """Return the class (H, W) int64 with the largest logit of each pixel.

    `logits` (h, w, C) are upsampled bilinearly to `size`, as torch's `interpolate` does with
    `align_corners=False`, in float32. Equal logits give the lower class. One class after the other
    is upsampled: an image of 2,000 x 3,000 pixels and 150 classes has 900 million logits.
    """
    height, width = size
    left, right, across = _of_pixels(logits.shape[1], width)
    upper, lower, down = _of_pixels(logits.shape[0], height)
    down = down[:, None]
    by_class = np.ascontiguousarray(logits.transpose(2, 0, 1), np.float32)
    wide = by_class[:, :, left] * (1 - across) + by_class[:, :, right] * across
    best = np.full(size, -np.inf, np.float32)
    predicted = np.zeros(size, np.int64)
    for c, rows in enumerate(wide):
        upsampled = rows[upper] * (1 - down)
        upsampled += rows[lower] * down
        predicted[upsampled > best] = c
        np.maximum(best, upsampled, out=best)
    return predicted


def upsampled(values: Doubles, size: tuple[int, int]) -> Doubles:
    """Return values (h, w) upsampled bilinearly to `size` (H, W), as `upsampled_classes` does."""
    height, width = size
    left, right, across = _of_pixels(values.shape[1], width)
    upper, lower, down = _of_pixels(values.shape[0], height)
    wide = values[:, left] * (1 - across) + values[:, right] * across
    return np.asarray(wide[upper] * (1 - down[:, None]) + wide[lower] * down[:, None], np.float64)


def neighbours(cells: int, places: Doubles) -> tuple[Ints, Ints, Doubles]:
    """Return the two cells around places along an axis, and the weight of the second.

    `places` are shares of the axis: 0 is its start, 1 its end. Cells have their values at their
    centres; before the first and behind the last centre, values are constant.
    """
    place = (places * cells - 0.5).clip(min=0)
    first = np.minimum(place.astype(np.int64), cells - 1)
    return first, np.minimum(first + 1, cells - 1), place - first


def _of_pixels(cells: int, pixels: int) -> tuple[Ints, Ints, Floats]:
    """Return the neighbours of the centre of each pixel, with weights in float32."""
    first, second, weight = neighbours(cells, (np.arange(pixels) + 0.5) / pixels)
    return first, second, weight.astype(np.float32)


def at_centres(values: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """Return the values (h, w, ...) of a map (H, W, ...) at the centres of a grid's cells.

    Where the grid has more cells than the map, values are repeated.
    """
    rows, columns = (
        ((np.arange(cells) + 0.5) * (pixels / cells)).astype(np.int64)
        for cells, pixels in zip(grid, values.shape[:2], strict=True)
    )
    return np.asarray(values[np.ix_(rows, columns)])


def agreement(mask: NDArray[np.integer[Any]], predicted: Ints, classes: int) -> Ints:
    """Return the pixels that are right, predicted and true of each class, (3, C) int64.

    Pixels of a negative class in `mask` (H, W) do not count.
    """
    counted = mask >= 0
    true, said = mask[counted].astype(np.int64), predicted[counted]
    return np.stack(
        [np.bincount(values, minlength=classes) for values in (true[true == said], said, true)]
    ).astype(np.int64)
