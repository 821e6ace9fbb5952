"""Matching without upsampled maps, against torch's upsampled maps and explicit searches."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, normalize

from bob.numerics.arrays import Doubles, Floats
from bob.numerics.dense.matching import PixelSearch, features_at, squared_lengths

SIZES = [(23, 17), (5, 4), (3, 2), (1, 1)]


def grid() -> Floats:
    return np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)


def torch_upsampled(values: Floats, size: tuple[int, int]) -> Doubles:
    """Return the map (H, W, D) that torch makes."""
    tensor = torch.from_numpy(values).permute(2, 0, 1)[None].double()
    upsampled = interpolate(tensor, size=size, mode="bilinear", align_corners=False)[0]
    return np.asarray(upsampled.permute(1, 2, 0).numpy(), np.float64)


@pytest.mark.parametrize("size", SIZES)
def test_lengths_are_those_of_the_upsampled_map(size: tuple[int, int]) -> None:
    expected = (torch_upsampled(grid(), size) ** 2).sum(axis=2)
    found = squared_lengths(grid().astype(np.float64), size)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_features_at_centres_of_pixels_are_those_of_the_upsampled_map(
    size: tuple[int, int],
) -> None:
    rows, columns = np.indices(size)
    xy = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    expected = torch_upsampled(grid(), size).reshape(-1, 6)
    np.testing.assert_allclose(features_at(grid(), xy, size), expected, atol=1e-12)


def test_the_nearest_pixel_is_that_of_a_search_of_the_upsampled_map() -> None:
    size = (23, 17)
    search = PixelSearch.of(grid(), size)
    pixels = normalize(torch.from_numpy(torch_upsampled(grid(), size)).reshape(-1, 6), dim=1)
    for seed in range(10):
        descriptor = np.random.default_rng(seed).normal(size=6)
        row, column = divmod(int((pixels @ torch.from_numpy(descriptor)).argmax()), size[1])
        assert search.nearest(descriptor) == (column + 0.5, row + 0.5)


def test_pixels_without_a_length_are_least_similar_to_none() -> None:
    """A map of zeros: every cosine is 0, and the first pixel wins."""
    search = PixelSearch.of(np.zeros((2, 2, 3), np.float32), (4, 4))
    assert search.nearest(np.ones(3)) == (0.5, 0.5)
