"""Predictions for pixels from logits of a grid, and their agreement with a mask."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Floats, Ints


def upsampled_classes(logits: Doubles, size: tuple[int, int]) -> Ints:
    """Return the class (H, W) int64 with the largest logit of each pixel.

    `logits` (h, w, C) are upsampled bilinearly to `size`, as torch's `interpolate` does with
    `align_corners=False`, in float32. Equal logits give the lower class. One class after the other
    is upsampled, in the rows where it can win: an image of 2,000 x 3,000 pixels and 150 classes has
    900 million logits.
    """
    left, right, across = _of_pixels(logits.shape[1], size[1])
    upper, lower, down = _of_pixels(logits.shape[0], size[0])
    down, up = down[:, None], 1 - down[:, None]
    by_class = np.ascontiguousarray(logits.transpose(2, 0, 1), np.float32)
    contending_rows: Bools = np.any(contenders(by_class), axis=2)
    classes = np.flatnonzero(np.any(contending_rows, axis=1))
    wide = by_class[classes][:, :, left] * (1 - across) + by_class[classes][:, :, right] * across
    best, predicted = np.full(size, -np.inf, np.float32), np.zeros(size, np.int32)
    from_above, from_below = np.empty((2, *size), np.float32)
    for c, values in zip(classes.tolist(), wide, strict=True):
        cells = np.flatnonzero(contending_rows[c])
        rows = slice(*np.searchsorted(upper, (cells[0], cells[-1] + 1)).tolist())
        upsampled, second = from_above[rows], from_below[rows]
        np.take(values, upper[rows], axis=0, out=upsampled, mode="clip")
        np.take(values, lower[rows], axis=0, out=second, mode="clip")
        upsampled *= up[rows]
        second *= down[rows]
        upsampled += second
        np.copyto(predicted[rows], c, where=upsampled > best[rows])
        np.maximum(best[rows], upsampled, out=best[rows])
    return predicted.astype(np.int64)


def contenders(by_class: Floats) -> Bools:
    """Return which classes can win a pixel between a cell and those below and to the right of it.

    A class (C, h, w) whose logit is below another's in all four cells is below it in each pixel
    between them. Compared with the best class of each of the four; at the lower and right border,
    cells stand for those beyond it.
    """
    height, width = by_class.shape[1:]
    padded = np.pad(by_class, ((0, 0), (0, 1), (0, 1)), "edge")
    corners = [padded[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)]
    cells = np.arange(height)[:, None], np.arange(width)
    contend: Bools = np.ones(by_class.shape, bool)
    for strongest in [corner.argmax(axis=0) for corner in corners]:
        contend &= np.any([corner >= corner[(strongest, *cells)] for corner in corners], axis=0)
    return contend


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
    row = np.maximum(mask, -1).astype(np.int64) + 1  # the first is of ignored pixels
    pairs = np.bincount((row * classes + predicted).ravel(), minlength=(classes + 1) * classes)
    matrix = pairs.reshape(classes + 1, classes)[1:]
    return np.stack([matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)]).astype(np.int64)
