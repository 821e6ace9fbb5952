"""Boxes and the cells of a grid that covers an image exactly: which cell predicts which box.

An image of H x W pixels is squashed to the input of a backbone, whose grid has h x w cells. The
centre of cell (i, j) is at column (j + 1/2) W / w and row (i + 1/2) H / h of the image, so that
boxes need not be moved. A cell whose centre is inside a box predicts it, the one of the smallest
area where there are several, as in FCOS (Tian et al. 2019, arXiv:1904.01355): by the distances from
the centre to the box's left, top, right and bottom edge, in widths and heights of a cell, as
natural logarithms. Boxes are left, top, right and bottom in pixels, as in `bob.datasets.boxes`.
"""

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints

NO_BOX = -1
FARTHEST = 1e4
"""Largest distance of an edge, in cells: a predicted logarithm can have any size."""


def cell_centres(size: tuple[int, int], grid: tuple[int, int]) -> Doubles:
    """Return column and row (h, w, 2) of the centres of the cells in an image of `size` (H, W)."""
    height, width = cell_size(size, grid)
    rows, columns = (np.arange(grid[0]) + 0.5) * height, (np.arange(grid[1]) + 0.5) * width
    return np.stack(np.meshgrid(columns, rows), axis=-1)


def cell_size(size: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Return height and width of a cell in pixels."""
    return size[0] / grid[0], size[1] / grid[1]


def boxes_of_cells(xyxy: Doubles, size: tuple[int, int], grid: tuple[int, int]) -> Ints:
    """Return which of the boxes (n, 4) each cell (h, w) predicts; NO_BOX where none has its centre.

    Of boxes with equal areas, the first.
    """
    if not len(xyxy):
        return np.full(grid, NO_BOX)
    is_inside = (edge_distances(xyxy, size, grid) > 0).all(axis=-1)
    area = np.where(is_inside, box_areas(xyxy)[:, None, None], np.inf)
    return np.where(is_inside.any(axis=0), area.argmin(axis=0), NO_BOX)


def edge_distances(xyxy: Doubles, size: tuple[int, int], grid: tuple[int, int]) -> Doubles:
    """Return the distances (n, h, w, 4), in cells, from centres to the edges of boxes (n, 4).

    Negative where the centre is outside of an edge.
    """
    height, width = cell_size(size, grid)
    centres, edges = cell_centres(size, grid), xyxy[:, None, None]
    distances = np.concatenate([centres - edges[..., :2], edges[..., 2:] - centres], axis=-1)
    return np.asarray(distances / (width, height, width, height), np.float64)


def centreness(distances: Doubles) -> Doubles:
    """Return how near to the middle of its box a place is, (...), from distances (..., 4) to edges.

    The ratio of the distances to the left and right edge, the smaller divided by the larger, times
    that of the upper and lower edge: 1 in the middle, 0 at an edge. The square of FCOS's.
    """
    near = np.minimum(distances[..., :2], distances[..., 2:])
    far = np.maximum(distances[..., :2], distances[..., 2:])
    return np.asarray((near / far).prod(axis=-1), np.float64)


def boxes_at_cells(log_distances: Doubles, size: tuple[int, int], grid: tuple[int, int]) -> Doubles:
    """Return the boxes (h, w, 4) of natural logarithms of distances (h, w, 4), in the image."""
    height, width = cell_size(size, grid)
    centres = cell_centres(size, grid)
    distances = np.exp(log_distances.clip(max=np.log(FARTHEST))) * (width, height, width, height)
    upper_left = (centres - distances[..., :2]).clip(min=0)
    lower_right = np.minimum(centres + distances[..., 2:], (size[1], size[0]))
    return np.concatenate([upper_left, lower_right], axis=-1)


def box_areas(xyxy: Doubles) -> Doubles:
    """Return the areas (...) of boxes (..., 4)."""
    return np.asarray((xyxy[..., 2] - xyxy[..., 0]) * (xyxy[..., 3] - xyxy[..., 1]), np.float64)


def box_overlaps(found: Doubles, true: Doubles, crowds: Bools) -> Doubles:
    """Return the intersection over union (n, m) of boxes (n, 4) and (m, 4).

    With crowds (m,), the share of the found box inside it, as COCO's evaluation computes it.
    """
    upper_left = np.maximum(found[:, None, :2], true[None, :, :2])
    lower_right = np.minimum(found[:, None, 2:], true[None, :, 2:])
    shared = (lower_right - upper_left).clip(min=0).prod(axis=2)
    area = box_areas(found)[:, None]
    union = area + np.where(crowds, 0, box_areas(true) - shared)
    return np.asarray(shared / np.where(union > 0, union, 1), np.float64)
