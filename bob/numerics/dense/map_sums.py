"""Class sums over the patches of maps, or over the pixels of maps upsampled bilinearly.

Let F (P, D) be the features of the P = h x w cells of an image of H x W pixels, Y (H W, C) the
one-hot classes of its labelled pixels, and M the diagonal matrix of which pixels are labelled. With
U (H W, P) the matrix that upsamples logits where they are scored (`bob.numerics.dense.pixels`),
U F are the features of pixels, and the sums of `bob.numerics.linear.class_sums` over them are

    n = Y'1        S = (U'Y)' F        G = F' (U'M U) F.

Neither U F nor anything else of H W D values is made. U = V (x) R has two weights in each row of
V (H, h) and of R (W, w), those of neighbouring cells. Hence

    (U'M U)[(i, j), (k, l)] = sum_yx M_yx V_yi V_yk R_xj R_xl

couples a cell with itself and its eight neighbours alone: nine diagonals, which four arrays
determine, those of (k, l) - (i, j) = (0, 0), (0, 1), (1, 0) and (1, 1). (A cell's right neighbour
and the one below it are coupled by the same products as the cell and the one diagonally below.)
U'Y are the bilinear weights of the pixels of each class. Both hold for every pattern of ignored
pixels.

Sums over patches are the same with U repeating the features of the cell in which a pixel is. Either
way each pixel weighs P / (H W), so that every image counts like its P cells, whatever its mask's
size, and n is the same.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_shares, class_weights
from bob.numerics.dense.pixels import neighbours
from bob.numerics.linear.class_sums import ClassSums

Classes = NDArray[np.integer[Any]]
"""(H, W) class index of each pixel; a negative one where it does not count."""


def patch_sums(maps: Floats, masks: Iterable[Classes], classes: int) -> ClassSums:
    """Return the sums over patches of maps (n, h, w, D), each with its pixels' share of classes.

    `masks` are those of the n images, in their order.
    """
    shares = [cell_shares(mask, maps.shape[1:3], classes) for mask in masks]
    return ClassSums.of(maps.reshape(-1, maps.shape[3]), np.stack(shares).reshape(-1, classes))


def pixel_sums(maps: Floats, masks: Iterable[Classes], classes: int) -> ClassSums:
    """Return the sums over the pixels of maps (n, h, w, D) upsampled to their masks' sizes.

    `masks` are those of the n images, in their order.
    """
    grid, width = maps.shape[1:3], maps.shape[3]
    x = maps.reshape(len(maps), -1, width).astype(np.float64)
    weights, coupled = [], []
    for mask, of_image in zip(masks, x, strict=True):
        weight = grid[0] * grid[1] / mask.size
        weights.append(weight * class_weights(mask, grid, classes, _neighbours_of_pixels))
        coupled.append(weight * (_half_coupling(mask, grid) @ of_image))
    shares, rows = np.concatenate(weights).reshape(-1, classes), x.reshape(-1, width)
    half = rows.T @ np.concatenate(coupled)
    return ClassSums(shares.sum(axis=0), shares.T @ rows, half + half.T)


def _half_coupling(mask: Classes, grid: tuple[int, int]) -> Any:
    """Return B (P, P), a sparse array of scipy, with B + B' = U'M U."""
    from scipy.sparse import coo_array  # every command line imports the protocols

    vertical, horizontal = (
        _upsampling(cells, pixels) for cells, pixels in zip(grid, mask.shape, strict=True)
    )
    labelled = (mask >= 0).astype(np.float64)
    in_row = vertical**2 @ labelled
    below = (vertical[:-1] * vertical[1:]) @ labelled
    same, beside = horizontal.T**2, (horizontal[:-1] * horizontal[1:]).T
    cell = np.arange(grid[0] * grid[1]).reshape(grid)
    diagonally = below @ beside
    pairs = [
        (cell, cell, in_row @ same / 2),
        (cell[:, :-1], cell[:, 1:], in_row @ beside),
        (cell[:-1], cell[1:], below @ same),
        (cell[:-1, :-1], cell[1:, 1:], diagonally),
        (cell[:-1, 1:], cell[1:, :-1], diagonally),
    ]
    first, second, weight = (
        np.concatenate([values.ravel() for values in part]) for part in zip(*pairs, strict=True)
    )
    return coo_array((weight, (first, second)), shape=(cell.size, cell.size)).tocsr()


def _upsampling(cells: int, pixels: int) -> Doubles:
    """Return the bilinear weight of each cell in each pixel along an axis, (cells, pixels)."""
    matrix = np.zeros((cells, pixels))
    for pixel, cell, weight in _neighbours_of_pixels(pixels, cells):
        matrix[cell, pixel] += weight
    return matrix


def _neighbours_of_pixels(pixels: int, cells: int) -> Iterator[tuple[Ints, Ints, Doubles]]:
    """Yield all pixels of an axis, a cell of each, and its weight: first cells, then second ones.

    At the ends of the axis both are the same cell.
    """
    pixel = np.arange(pixels)
    first, second, weight = neighbours(cells, (pixel + 0.5) / pixels)
    yield pixel, first, 1 - weight
    yield pixel, second, weight
