"""Masks of objects from COCO's annotations: polygons, and runs of pixels (RLE).

Both give the same pixels as COCO's own code (pycocotools, `maskApi.c`). Pixels are counted column
by column: number H x + y is that of column x and row y.

- Runs are the lengths of alternating stretches of pixels outside and inside, from outside. As text,
  each is written in characters of 5 bits, the lowest first, as a difference to the run two before.
- Of a polygon, COCO draws the outline at five times the resolution. Where it passes from one column
  of pixels to the next at the middle of a pixel, all pixels of the column from there on change
  sides.
"""

from collections.abc import Sequence

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints

FINER = 5
"""Points of an outline along the side of a pixel."""
MOST_POINTS = 10**7
"""Points of an outline that are drawn at most."""
_BITS, _MORE, _SIGN, _FIRST = 5, 0x20, 0x10, 48


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Bools:
    """Return the mask (H, W) of runs. ValueError where they do not fill it exactly."""
    height, width = size
    lengths = [int(run) for run in runs]
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise ValueError(f"the runs fill {sum(lengths)} of {height} x {width} pixels")
    is_inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(is_inside, lengths).reshape(width, height).T


def runs_of_text(text: str) -> list[int]:
    """Return the runs that a text stands for. ValueError where it ends within one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST
        if not 0 <= bits < 2 * _MORE or shift > 12 * _BITS:
            raise ValueError(f"the text of runs holds {character!r}, which no run has there")
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the text of runs ends within one")
    return runs


def mask_of_polygons(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Bools:
    """Return the mask (H, W) of what is inside of at least one polygon x, y, x, y, ...

    ValueError where a polygon has less than three corners, or an outline of no image.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        mask |= _mask_of_polygon(np.reshape(np.asarray(polygon, np.float64), (-1, 2)), size)
    return mask


def _mask_of_polygon(corners: Doubles, size: tuple[int, int]) -> Bools:
    if len(corners) < 3:
        raise ValueError(f"a polygon has {len(corners)} corners; it needs at least 3")
    height, width = size
    x, y = _outline(corners)
    passes = np.flatnonzero(x[1:] != x[:-1])
    column = (np.minimum(x[1:], x[:-1])[passes] + 0.5) / FINER - 0.5
    row = np.ceil(((np.minimum(y[1:], y[:-1])[passes] + 0.5) / FINER - 0.5).clip(0, height))
    at = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    pixels = (column[at] * height + row[at]).astype(np.int64)
    turns = np.bincount(pixels, minlength=height * width + 1)[: height * width]
    return np.asarray(turns.cumsum() % 2 == 1).reshape(width, height).T


def _outline(corners: Doubles) -> tuple[Ints, Ints]:
    """Return columns and rows (n,) of the points along the edges, in fifths of a pixel."""
    ends = np.trunc(FINER * corners + 0.5)
    starts, ends = ends, np.roll(ends, -1, axis=0)
    steps = np.abs(ends - starts).max(axis=1)
    if not steps.sum() < MOST_POINTS:  # NaN too
        raise ValueError(f"the outline of a polygon is longer than {MOST_POINTS // FINER:,} px")
    of_edges = [_edge(*edge) for edge in zip(starts, ends, steps.astype(np.int64), strict=True)]
    columns, rows = np.concatenate(of_edges).T
    return columns, rows


def _edge(start: Doubles, end: Doubles, steps: int) -> Ints:
    """Return the points (steps + 1, 2) from start to end, of which COCO's code rounds each from the
    end with the lower coordinate."""
    along = int(np.abs(end - start)[0] < np.abs(end - start)[1])  # the axis of unit steps
    is_flipped = start[along] > end[along]
    first, last = (end, start) if is_flipped else (start, end)
    number = np.arange(steps + 1)
    points = np.empty((steps + 1, 2))
    points[:, along] = first[along] + number
    slope = (last[1 - along] - first[1 - along]) / max(steps, 1)
    points[:, 1 - along] = np.trunc(first[1 - along] + slope * number + 0.5)
    return points[:: -1 if is_flipped else 1].astype(np.int64)
