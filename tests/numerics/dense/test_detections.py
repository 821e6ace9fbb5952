"""Detections of cells: suppression, order, and classes that are left out."""

import numpy as np

from bob.numerics.dense.detections import MOST, detect

SIZE, GRID = (20, 40), (2, 4)
"""Cells of 10 x 10 px."""


def scores(*cells: tuple[int, int, int, float]) -> np.ndarray:
    """Return scores (2, 4, 2) of cells (row, column, class, score); others are left out."""
    values = np.full((*GRID, 2), -np.inf)
    for row, column, c, score in cells:
        values[row, column, c] = score
    return values


def test_overlapping_boxes_of_a_class_are_suppressed() -> None:
    """Boxes of 30 px around neighbours 10 px apart overlap by 20 of 40 columns, not more."""
    wide = np.log(np.tile([1.5, 1.0, 1.5, 1.0], (*GRID, 1)))
    near = np.log(np.tile([3.5, 1.5, 3.5, 1.5], (*GRID, 1)))
    two = scores((0, 1, 0, 0.5), (0, 2, 0, 0.9))
    found = detect(two, wide, SIZE)
    assert found.scores.tolist() == [0.9, 0.5] and found.labels.tolist() == [0, 0]
    np.testing.assert_allclose(found.xyxy, [[10, 0, 40, 15], [0, 0, 30, 15]])
    assert detect(two, near, SIZE).scores.tolist() == [0.9]


def test_boxes_of_other_classes_stay() -> None:
    same = np.log(np.tile([9.0, 9.0, 9.0, 9.0], (*GRID, 1)))
    found = detect(scores((0, 1, 0, 0.5), (1, 3, 1, 0.9)), same, SIZE)
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.xyxy, [[0, 0, 40, 20]] * 2)


def test_at_most_a_hundred_boxes_are_found() -> None:
    grid = np.random.default_rng(0).uniform(size=(12, 12, 1))
    small = np.full((12, 12, 4), np.log(0.4))
    found = detect(grid, small, (120, 120))
    assert found.scores.tolist() == np.sort(grid.ravel())[::-1][:MOST].tolist()
