"""Labels that follow through frames, and J and F: by hand, and numbers of the official code."""

import numpy as np
import pytest

from bob.numerics.dense.video import (
    Propagation,
    boundary_agreement,
    boundary_map,
    objects_of_pixels,
    propagated,
    region_overlap,
)


def test_a_patch_takes_the_label_of_the_most_similar_near_patch() -> None:
    """Features move one column to the right each frame; those at the left end are new."""
    row = np.eye(6, dtype=np.float32)
    maps = [np.roll(row, -t, axis=1)[None] for t in range(3)]
    first = np.eye(2)[[[0, 1, 0, 0, 0, 0]]]
    labels = list(propagated(maps, first, Propagation(1, 1, 1, 0.1)))
    # feature 1 is at column 1, then at column 2, then at column 3
    moved = [int(np.argmax(grid[0] @ row[1])) for grid in maps]
    for of_frame, column in zip(labels, moved[1:], strict=True):
        assert of_frame[0, column].tolist() == [0, 1]


def test_weights_are_a_softmax_over_the_k_most_similar_patches() -> None:
    """Cosines 1, 0.6 and 0 at temperature 0.5; k = 2 leaves e^2 and e^1.2."""
    first_map = np.array([[[1.0, 0], [0.6, 0.8], [0, 1]]], np.float32)
    second = np.array([[[5.0, 0], [5, 0], [5, 0]]], np.float32)
    (labels,) = propagated([first_map, second], np.eye(3)[None], Propagation(7, 2, 5, 0.5))
    share = np.exp(2) / (np.exp(2) + np.exp(1.2))
    np.testing.assert_allclose(labels[0, 1], [share, 1 - share, 0], atol=1e-6)
    (near,) = propagated([first_map, second], np.eye(3)[None], Propagation(7, 2, 1, 0.5))
    other = np.exp(1.2) / (np.exp(1.2) + 1)  # column 2 does not see column 0
    np.testing.assert_allclose(near[0, 2], [0, other, 1 - other], atol=1e-6)


def test_labels_are_those_of_the_official_code() -> None:
    """DINO's `label_propagation` with 3 last frames, topk 5, size_mask_neighborhood 2.

    Its classes after upsampling by 4 and `norm_mask` are 64, 216 and 200 pixels.
    """
    rng = np.random.default_rng(2)
    maps = rng.normal(size=(6, 5, 6, 7)).astype(np.float32)
    first = np.eye(3)[rng.integers(0, 3, (5, 6))]
    labels = list(propagated(maps, first, Propagation(3, 5, 2, 0.1)))
    assert len(labels) == 5
    np.testing.assert_allclose(labels[-1][2, 3], [0.104916, 0.420525, 0.474559], atol=2e-6)
    np.testing.assert_allclose(labels[-1][0, 0], [0.019239, 0.654417, 0.326344], atol=2e-6)
    total = labels[-1].sum(axis=(0, 1))
    np.testing.assert_allclose(total, [4.495007, 13.086402, 12.418592], atol=1e-5)
    pixels = np.bincount(objects_of_pixels(labels[-1], (20, 24)).ravel())
    assert pixels.tolist() == [64, 216, 200]


def test_classes_are_stretched_before_the_largest_wins() -> None:
    """0.6 against 0.4 everywhere but in one cell; stretched, the second class has it."""
    labels = np.tile([0.6, 0.4], (1, 4, 1))
    labels[0, 3] = [0.55, 0.45]
    assert objects_of_pixels(labels, (1, 4)).tolist() == [[0, 0, 0, 1]]
    absent = np.stack([np.ones((1, 4)), np.zeros((1, 4))], axis=2)
    assert objects_of_pixels(absent, (1, 4)).tolist() == [[0, 0, 0, 0]]


def square(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    pixels = np.zeros((60, 80), bool)
    pixels[top:bottom, left:right] = True
    return pixels


def test_j_by_hand() -> None:
    """4 x 4 pixels, of which 2 x 4 are shared with another 4 x 4."""
    assert region_overlap(square(0, 0, 4, 4), square(2, 0, 6, 4)) == 8 / 24
    assert region_overlap(square(0, 0, 0, 0), square(0, 0, 0, 0)) == 1
    assert region_overlap(square(0, 0, 0, 0), square(0, 0, 1, 1)) == 0


def test_the_boundary_is_towards_the_upper_left_by_hand() -> None:
    pixels = np.zeros((4, 4), bool)
    pixels[1:3, 1:3] = True
    expected = [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert boundary_map(pixels).astype(int).tolist() == expected


def test_f_by_hand() -> None:
    """At 60 x 80 px the radius is ceil(0.008 x 100) = 1 px."""
    one = square(10, 10, 30, 30)
    assert boundary_agreement(one, square(11, 11, 31, 31)) == pytest.approx(1, abs=0.02)
    assert boundary_agreement(one, square(35, 35, 50, 50)) == 0
    assert boundary_agreement(one, one) == 1
    nothing = square(0, 0, 0, 0)
    assert boundary_agreement(one, nothing) == boundary_agreement(nothing, one) == 0
    assert boundary_agreement(nothing, nothing) == 1


def test_j_and_f_are_those_of_the_official_code() -> None:
    """`db_eval_iou` and `db_eval_boundary` of davis2017-evaluation."""
    true, said = square(10, 20, 40, 50), square(13, 18, 42, 55) | square(2, 2, 4, 4)
    assert region_overlap(true, said) == pytest.approx(0.6940874035989717)
    assert boundary_agreement(true, said) == pytest.approx(0.046153846153846156)
