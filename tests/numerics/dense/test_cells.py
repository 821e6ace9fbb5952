"""Shares of classes in the cells of a grid: by hand, and against crops of coded images."""

import numpy as np
import pytest
from PIL import Image

from bob.backbones.pixels.geometry import Geometry
from bob.numerics.dense.cells import cell_means, cell_shares, overlaps


def test_shares_of_three_columns_in_two_cells() -> None:
    """Cells of 1.5 pixels: the middle column belongs half to each. -1 does not count."""
    mask = np.array([[0, 1, -1]])
    expected = [[[2 / 3, 1 / 3], [0, 1 / 3]]]
    np.testing.assert_allclose(cell_shares(mask, (1, 2), 2), expected, atol=1e-15)


def test_cells_smaller_than_pixels_have_the_class_of_theirs() -> None:
    mask = np.array([[0, 1], [1, 1]])
    shares = cell_shares(mask, (4, 4), 2)
    np.testing.assert_array_equal(shares.argmax(2), np.kron(mask, np.ones((2, 2), int)))
    np.testing.assert_array_equal(shares.max(2), 1)


def test_means_of_three_columns_in_two_cells() -> None:
    """Cells of 1.5 pixels: the middle column belongs half to each, the last does not count."""
    values, counted = np.array([[2.0, 5.0, np.nan]]), np.array([[True, True, False]])
    means, shares = cell_means(values, counted, (1, 2))
    # left: (1 x 2 + 0.5 x 5) / 1.5; right: 5, of a third of its area
    np.testing.assert_allclose(means, [[3.0, 5.0]])
    np.testing.assert_allclose(shares, [[1.0, 1 / 3]])
    assert cell_means(values, np.zeros_like(counted), (1, 1)) == (0.0, 0.0)


@pytest.mark.parametrize(("pixels", "cells"), [(7, 3), (3, 7), (256, 14), (5, 5), (1, 4)])
def test_every_cell_is_covered_once(pixels: int, cells: int) -> None:
    shared = overlaps(pixels, cells)
    np.testing.assert_allclose(shared.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(shared.sum(axis=0), cells / pixels, atol=1e-12)


@pytest.mark.parametrize("size", [(96, 64), (50, 120), (448, 448), (301, 977)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("fast", [False, True])
def test_targets_follow_the_crop_of_a_column_coded_image(
    size: tuple[int, int], interpolation: str, fast: bool
) -> None:
    """Classes are columns, then rows; the crop's cells are as bright as their class is frequent.

    224 px in 7 cells. The crop's filter blurs an edge by less than a pixel of the image or of the
    crop, so that a cell's mean differs by less than 2 x 16 % of its 32 px.
    """
    geometry = Geometry(224, 224, 1.0, "squash", interpolation, fast)
    width, height = size
    for axis, length in ((1, width), (0, height)):
        code = (np.arange(length) * 5 // length).astype(np.int16)
        mask = np.broadcast_to(code if axis else code[:, None], (height, width))
        shares = cell_shares(mask, (7, 7), 5)
        means, _ = cell_means(mask.astype(np.float64), mask >= 0, (7, 7))
        np.testing.assert_allclose(means, shares @ np.arange(5), atol=1e-12)
        for c in range(5):
            grey = np.where(mask == c, 255, 0).astype(np.uint8)
            image = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
            crop = geometry.crop(image).numpy()[0].astype(np.float64) / 255
            cells = crop.reshape(7, 32, 7, 32).mean(axis=(1, 3))
            assert np.abs(cells - shares[:, :, c]).max() < 0.04
            shifted = np.roll(shares[:, :, c], 1, axis)
            assert np.abs(cells - shifted).max() > 0.3
