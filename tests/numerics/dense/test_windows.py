"""Windows cover an image evenly, and predict together as mmsegmentation's sliding windows do."""

import numpy as np
import pytest
import torch

from bob.numerics.dense.pixels import upsampled_classes
from bob.numerics.dense.windows import (
    joined_classes,
    joined_values,
    of_complete_images,
    window_spans,
)
from tests.builders.slide import slide_logits


def test_windows_of_nine_pixels() -> None:
    """Of 2: thirds 0-2 and 1-3. Of 4: fifths of 1.8 pixels, 0-2, 1-3, 2-4 and 3-5, outwards."""
    assert window_spans(9, 1) == [slice(0, 9)]
    assert window_spans(9, 2) == [slice(0, 6), slice(3, 9)]
    assert window_spans(9, 4) == [slice(0, 4), slice(1, 6), slice(3, 8), slice(5, 9)]


@pytest.mark.parametrize("windows", [1, 2, 4])
@pytest.mark.parametrize("pixels", [1, 2, 3, 10, 517])
def test_windows_cover_every_pixel_and_are_never_empty(pixels: int, windows: int) -> None:
    spans = window_spans(pixels, windows)
    assert all(0 <= span.start < span.stop <= pixels for span in spans)
    assert {i for span in spans for i in range(span.start, span.stop)} == {*range(pixels)}


@pytest.mark.parametrize("windows", [2, 4])
@pytest.mark.parametrize("size", [(37, 61), (60, 31), (5, 4), (1, 2)])
def test_overlapping_windows_are_averaged_as_in_mmsegmentation(
    size: tuple[int, int], windows: int
) -> None:
    logits = np.random.default_rng(0).normal(size=(windows**2, 4, 5, 6)).astype(np.float32)
    means = slide_logits(torch.from_numpy(logits).permute(0, 3, 1, 2), size, windows)
    np.testing.assert_array_equal(joined_classes(logits, size), means.argmax(0).numpy())
    joined = joined_values(logits[..., 0], size)
    np.testing.assert_allclose(joined, means[0].numpy(), atol=1e-6)


def test_one_window_is_the_whole_image() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 6))
    joined = joined_classes(logits[None], (37, 61))
    np.testing.assert_array_equal(joined, upsampled_classes(logits, (37, 61)))


def test_images_without_all_windows_are_found() -> None:
    """Image 0 lacks its second window of four, image 1 is complete, image 2 has one."""
    positions = np.array([0, 2, 3, 4, 5, 6, 7, 9])
    expected = [False] * 3 + [True] * 4 + [False]
    assert of_complete_images(positions, 4).tolist() == expected
