"""Sums over upsampled pixels: by hand, and against pixels that torch upsamples one by one."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import interpolate

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.map_sums import patch_sums, pixel_sums
from bob.numerics.linear.class_sums import ClassSums, head_path

CLASSES, WIDTH = 3, 5


def random_maps(n: int, grid: tuple[int, int], width: int = WIDTH) -> Floats:
    """Return maps whose channels have means and scales of their own."""
    rng = np.random.default_rng(0)
    values = 4 + rng.normal(size=(n, *grid, width)) * np.linspace(0.1, 20, width)
    return values.astype(np.float32)


def random_mask(size: tuple[int, int], seed: int = 0) -> NDArray[np.int16]:
    """Return a mask with ignored pixels in all places, and a row of them at its top."""
    mask = np.random.default_rng(seed).integers(-1, CLASSES, size).astype(np.int16)
    if size[0] > 3:
        mask[0] = -1
    return mask


def upsampled_pixels(grid: Floats, mask: NDArray[Any]) -> tuple[Doubles, Ints]:
    """Return the features (N, D) and classes (N,) of the labelled pixels, by torch in float64."""
    tensor = torch.from_numpy(grid).double().permute(2, 0, 1)[None]
    pixels = interpolate(tensor, size=mask.shape, mode="bilinear", align_corners=False)[0]
    labelled = mask >= 0
    return pixels.permute(1, 2, 0).numpy()[labelled], mask[labelled].astype(np.int64)


def explicit_sums(maps: Floats, masks: Sequence[NDArray[Any]]) -> ClassSums:
    """Return the normal equations of all labelled pixels; an image counts like its cells."""
    counts, sums = np.zeros(CLASSES), np.zeros((CLASSES, maps.shape[3]))
    gram = np.zeros((maps.shape[3], maps.shape[3]))
    for grid, mask in zip(maps, masks, strict=True):
        x, y = upsampled_pixels(grid, mask)
        weight, one_hot = grid[..., 0].size / mask.size, np.eye(CLASSES)[y]
        counts += weight * one_hot.sum(axis=0)
        sums += weight * one_hot.T @ x
        gram += weight * x.T @ x
    return ClassSums(counts, sums, gram)


def test_four_pixels_of_two_cells() -> None:
    """Pixels are at -1/4, 1/4, 3/4 and 5/4 of the way from the first cell to the second.

    Values 1 and 3 give 1, 1.5, 2.5 and 3, of which the last does not count. Each weighs 2 / 4.
    """
    maps = np.array([[[[1.0], [3.0]]]], np.float32)
    sums = pixel_sums(maps, [np.array([[0, 0, 1, -1]])], 2)
    np.testing.assert_allclose(sums.counts, [1, 0.5])
    np.testing.assert_allclose(sums.sums, [[0.5 * (1 + 1.5)], [0.5 * 2.5]])
    np.testing.assert_allclose(sums.gram, [[0.5 * (1 + 1.5**2 + 2.5**2)]])


@pytest.mark.parametrize(
    ("grid", "sizes"),
    [
        ((4, 4), [(64, 64), (64, 64)]),
        ((3, 4), [(10, 17), (31, 9)]),
        ((5, 6), [(3, 40), (40, 4)]),
        ((6, 5), [(2, 3), (1, 1)]),
        ((1, 3), [(7, 10), (1, 30)]),
        ((3, 1), [(7, 10), (30, 1)]),
        ((1, 1), [(4, 6), (5, 5)]),
    ],
)
def test_sums_are_the_normal_equations_of_all_upsampled_pixels(
    grid: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    """Among them are masks that cells do not divide, and masks with fewer pixels than cells."""
    maps = random_maps(len(sizes), grid)
    masks = [random_mask(size, seed) for seed, size in enumerate(sizes)]
    sums, expected = pixel_sums(maps, masks, CLASSES), explicit_sums(maps, masks)
    for name, values in vars(expected).items():
        largest = max(1e-300, np.abs(values).max())
        np.testing.assert_allclose(vars(sums)[name], values, atol=1e-12 * largest, rtol=0)
    np.testing.assert_array_equal(sums.gram, sums.gram.T)


def test_without_upsampling_pixels_are_patches() -> None:
    maps, masks = random_maps(2, (6, 7)), [random_mask((6, 7), seed) for seed in range(2)]
    sums, expected = pixel_sums(maps, masks, CLASSES), patch_sums(maps, masks, CLASSES)
    for name, values in vars(expected).items():
        np.testing.assert_allclose(vars(sums)[name], values, rtol=1e-12)


def test_classes_have_the_same_pixels_whether_summed_by_patches_or_by_pixels() -> None:
    maps, masks = random_maps(2, (3, 4)), [random_mask((10, 17)), random_mask((5, 40))]
    counts = pixel_sums(maps, masks, CLASSES).counts
    np.testing.assert_allclose(counts, patch_sums(maps, masks, CLASSES).counts, rtol=1e-12)


def test_images_without_a_labelled_pixel_add_nothing() -> None:
    maps, mask = random_maps(2, (3, 4)), random_mask((10, 17))
    both = pixel_sums(maps, [mask, np.full((9, 9), -1)], CLASSES)
    for name, values in vars(pixel_sums(maps[:1], [mask], CLASSES)).items():
        np.testing.assert_allclose(vars(both)[name], values, rtol=1e-12)


def copies() -> tuple[ClassSums, Floats, Doubles, Ints]:
    """Return the sums of two images, their maps, and upsampled pixels with their classes.

    The first mask has a quarter of the second one's pixels: four copies of each count alike.
    Classes are bands of columns, a quarter of whose pixels do not count.
    """
    maps, sizes = random_maps(2, (4, 5)), [(12, 14), (24, 28)]
    masks = [
        np.where(random_mask(size) < 0, -1, np.arange(size[1]) * CLASSES // size[1])
        for size in sizes
    ]
    (small, of_small), (large, of_large) = map(upsampled_pixels, maps, masks)
    x, y = np.concatenate([*[small] * 4, large]), np.concatenate([*[of_small] * 4, of_large])
    return pixel_sums(maps, masks, CLASSES), maps, x, y


@pytest.mark.parametrize("shrinkage", [1e-4, 0.1, 1.0])
def test_the_discriminant_is_that_of_scikit_learn_on_upsampled_pixels(shrinkage: float) -> None:
    sums, maps, x, y = copies()
    (head,) = head_path("lda", sums, [shrinkage])
    scaler = StandardScaler().fit(x)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(scaler.transform(x), y)
    cells = maps.reshape(-1, WIDTH).astype(np.float64)
    expected = lda.decision_function(scaler.transform(cells))
    np.testing.assert_allclose(head.logits(cells), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 10.0])
def test_ridge_is_that_of_scikit_learn_on_upsampled_pixels(penalty: float) -> None:
    sums, maps, x, y = copies()
    (head,) = head_path("ridge", sums, [penalty])
    scaler = StandardScaler().fit(x)
    ridge = Ridge(alpha=penalty * len(y)).fit(scaler.transform(x), np.eye(CLASSES)[y])
    cells = maps.reshape(-1, WIDTH).astype(np.float64)
    expected = ridge.predict(scaler.transform(cells))
    np.testing.assert_allclose(head.logits(cells), expected, rtol=1e-6, atol=1e-6)


def test_no_array_has_the_features_of_all_pixels() -> None:
    """Peak memory is that of a few numbers per pixel, where upsampling takes D of them.

    In float32, the upsampled map of 384 channels would take 1,536 bytes per pixel.
    """
    maps, mask = random_maps(1, (8, 8), 384), random_mask((600, 800))
    pixel_sums(maps, [mask[:8, :8]], CLASSES)  # what is imported late
    tracemalloc.start()
    try:
        pixel_sums(maps, [mask], CLASSES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 * mask.size < peak < 60 * mask.size
