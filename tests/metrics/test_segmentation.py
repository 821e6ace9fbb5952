"""Metrics of segmentation: by hand, and against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from bob.errors import UndefinedError
from bob.metrics.intervals import interval
from bob.metrics.segmentation import (
    boundary_f,
    class_iou,
    image_mean_iou,
    mean_iou,
    pixel_accuracy,
)
from bob.numerics.dense.pixels import agreement
from bob.outcomes import SegmentationCounts


def counts(pairs: list[tuple[list[int], list[int]]], classes: int) -> SegmentationCounts:
    """Return the outcome of (mask, prediction) of each image."""
    rows = np.stack([agreement(np.array(m), np.array(p), classes) for m, p in pairs])
    of_images = np.random.default_rng(0).uniform(0.2, 0.8, len(rows))
    return SegmentationCounts(rows[:, 0], rows[:, 1], rows[:, 2], of_images)


HAND = counts([([0, 0, 1, -1], [0, 1, 1, 2]), ([1, 1], [1, 1])], 4)
"""Class 0: 1 of 2 pixels in the union; class 1: 3 of 4; class 2 is said on an ignored pixel only;
class 3 does not occur."""


def test_by_hand() -> None:
    assert class_iou(HAND)[:2].tolist() == [0.5, 0.75] and np.isnan(class_iou(HAND)[2:]).all()
    assert mean_iou(HAND) == (0.5 + 0.75) / 2
    # first image: 1/2 and 1/2; second: 1
    assert image_mean_iou(HAND) == (0.5 + 1) / 2
    assert pixel_accuracy(HAND) == 4 / 5


def test_torchmetrics_agrees() -> None:
    rng = np.random.default_rng(0)
    masks, predicted = rng.integers(-1, 5, (6, 40)), rng.integers(0, 5, (6, 40))
    outcome = counts([*zip(masks.tolist(), predicted.tolist(), strict=True)], 5)
    said, true = torch.from_numpy(predicted), torch.from_numpy(masks)
    jaccard = MulticlassJaccardIndex(5, ignore_index=-1)
    assert mean_iou(outcome) == pytest.approx(float(jaccard(said, true)), abs=1e-6)
    accuracy = MulticlassAccuracy(5, average="micro", ignore_index=-1)
    assert pixel_accuracy(outcome) == pytest.approx(float(accuracy(said, true)), abs=1e-6)
    each = [float(jaccard(s[None], t[None])) for s, t in zip(said, true, strict=True)]
    assert image_mean_iou(outcome) == pytest.approx(np.mean(each), abs=1e-6)


def test_intervals_hold_the_value_and_need_images_that_differ() -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(0, 3, 50).tolist(), rng.integers(0, 3, 50).tolist()) for _ in range(30)]
    for metric in ("mean_iou", "image_mean_iou", "pixel_accuracy", "boundary_f"):
        value, low, high, _ = interval(metric, counts(pairs, 3), 0)
        assert low is not None and high is not None and low < value < high


@pytest.mark.parametrize("metric", [mean_iou, image_mean_iou, pixel_accuracy])
def test_images_without_labelled_pixels_are_undefined(metric: object) -> None:
    with pytest.raises(UndefinedError, match="no test image has labelled pixels"):
        metric(counts([([-1, -1], [0, 1])], 2))  # type: ignore[operator]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"must all have shape \(N, C\)"):
        SegmentationCounts(
            np.zeros((1, 2), int), np.zeros((1, 3), int), np.zeros((1, 2), int), np.zeros(1)
        )
    with pytest.raises(ValueError, match=r"boundary_f must have shape \(2,\); got \(1,\)"):
        SegmentationCounts(*np.zeros((3, 2, 2), int), boundary_f=np.zeros(1))


def test_images_without_a_boundary_are_left_out() -> None:
    """The mean of 0.5 and 1; without any boundary there is no value."""
    rows = np.zeros((3, 3, 2), int)
    outcome = SegmentationCounts(*rows, boundary_f=np.array([0.5, np.nan, 1.0]))
    assert boundary_f(outcome) == 0.75
    with pytest.raises(UndefinedError, match="no test image has a boundary between classes"):
        boundary_f(outcome.take(np.array([1])))
