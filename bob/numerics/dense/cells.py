"""Which classes the cells of a grid show, where the grid covers an image exactly.

An image of H x W pixels is squashed to the input of a backbone, whose grid has h x w cells. Cell
(i, j) covers the rows from i H / h to (i + 1) H / h and the columns from j W / w to (j + 1) W / w
of the image, so that targets follow from the mask at its own size, without resampling it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Ints


def cell_shares(mask: NDArray[np.integer[Any]], grid: tuple[int, int], classes: int) -> Doubles:
    """Return the share of each cell's area that each class covers, (h, w, C).

    `mask` (H, W) holds class indices, negative ones where pixels do not count. The shares of a cell
    sum to the share of its pixels that count.
    """
    return class_weights(mask, grid, classes, _cells_of_pixels)


CellsOfPixels = Callable[[int, int], Iterable[tuple[Ints, Ints, Doubles]]]
"""Pixels and cells along an axis → parts of pixels (n,), a cell of each, and its weight (n,)."""


def class_weights(
    mask: NDArray[np.integer[Any]], grid: tuple[int, int], classes: int, cells_of: CellsOfPixels
) -> Doubles:
    """Return the weight that each class has in each cell, (h, w, C).

    The weight of a pixel of `mask` (H, W) in a cell is the product of those along both axes; pixels
    of negative classes do not count.
    """
    width = classes + 1  # the first is of pixels that do not count
    weights = np.zeros(grid[0] * grid[1] * width)
    labels = np.maximum(mask, -1).astype(np.int64) + 1
    for rows, i, down in cells_of(mask.shape[0], grid[0]):
        of_rows = labels if len(rows) == len(labels) else labels[rows]
        for columns, j, across in cells_of(mask.shape[1], grid[1]):
            of_both = of_rows if len(columns) == mask.shape[1] else of_rows[:, columns]
            index = of_both + (i[:, None] * (grid[1] * width) + j * width)
            weight = down[:, None] * across
            weights += np.bincount(index.ravel(), weight.ravel(), minlength=len(weights))
    return np.ascontiguousarray(weights.reshape(*grid, width)[..., 1:])


def _cells_of_pixels(pixels: int, cells: int) -> Iterator[tuple[Ints, Ints, Doubles]]:
    """Yield pixels (n,), a cell of each, and its share of the cell: first cells, then second ones.

    Few pixels have a second cell, unless cells are smaller than pixels; then some have more.
    """
    shared = overlaps(pixels, cells)
    first, of = (shared > 0).argmax(axis=0), (shared > 0).sum(axis=0)
    for k in range(int(of.max())):
        has = np.flatnonzero(of > k)
        yield has, first[has] + k, shared[first[has] + k, has]


def overlaps(pixels: int, cells: int) -> Doubles:
    """Return the share of each cell's length that each pixel covers, (cells, pixels).

    Every row sums to 1.
    """
    edges = np.arange(cells + 1) * (pixels / cells)
    left = np.arange(pixels)
    shared = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    return np.asarray(shared.clip(min=0) * (cells / pixels), np.float64)


def cell_means(
    values: NDArray[np.floating[Any]], counted: Bools, grid: tuple[int, int]
) -> tuple[Doubles, Doubles]:
    """Return the means of the pixels of each cell that count, and their share of its area.

    `values` and `counted` (H, W); means and shares (h, w). A cell without pixels has a mean of 0.
    """
    rows, columns = overlaps(values.shape[0], grid[0]), overlaps(values.shape[1], grid[1])
    shares = rows @ counted.astype(np.float64) @ columns.T
    sums = rows @ np.where(counted, values, 0).astype(np.float64) @ columns.T
    return np.where(shares > 0, sums / np.where(shares > 0, shares, 1), 0.0), shares
