"""Metrics of semantic segmentation.

The intersection over union (IoU) of a class is the number of its pixels that are predicted as such,
divided by the number of pixels that are of the class or predicted as such.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import SegmentationCounts


def mean_iou(outcome: SegmentationCounts) -> float:
    """Return the mean over classes of the IoU, from the pixels of all images. Range [0, 1].

    Classes that are neither in a mask nor predicted are left out of the mean, as in mmsegmentation
    and DINOv3's evaluation. The same as torchmetrics' `MeanIoU` on indices in one update, apart
    from these classes.
    """
    ious = class_iou(outcome)
    return mean_of(ious[~np.isnan(ious)], if_empty="no test image has labelled pixels")


def image_mean_iou(outcome: SegmentationCounts) -> float:
    """Return the mean over images of their own mean IoU. Range [0, 1].

    Of each image, the classes count that are in its mask or predicted; images without labelled
    pixels are left out. Weighs small objects in images of their own as much as large ones.
    """
    return mean_of(_image_ious(outcome), if_empty="no test image has labelled pixels")


def boundary_f(outcome: SegmentationCounts) -> float:
    """Return the mean over images of the F of their classes' boundaries. Range [0, 1].

    After Csurka et al. 2013; images without a boundary in mask and prediction are left out. See
    `bob.numerics.dense.boundaries`.
    """
    return mean_of(_defined_f(outcome), if_empty="no test image has a boundary between classes")


def _defined_f(outcome: SegmentationCounts) -> Doubles:
    return outcome.boundary_f[~np.isnan(outcome.boundary_f)]


def pixel_accuracy(outcome: SegmentationCounts) -> float:
    """Return the share of labelled pixels that are right, of all images together. Range [0, 1]."""
    if not (total := int(outcome.true.sum())):
        raise UndefinedError("no test image has labelled pixels")
    return float(outcome.right.sum() / total)


def class_iou(outcome: SegmentationCounts) -> Doubles:
    """Return the IoU of each class (C,), NaN where it is neither in a mask nor predicted."""
    return _iou(outcome.right.sum(0), outcome.predicted.sum(0), outcome.true.sum(0))


def _iou(right: Ints, predicted: Ints, true: Ints) -> Doubles:
    union = predicted + true - right
    return np.where(union > 0, right / np.maximum(union, 1), np.nan)


def _image_ious(outcome: SegmentationCounts) -> Doubles:
    """Return the mean IoU (M,) of each image with labelled pixels."""
    labelled = outcome.true.any(axis=1)
    ious = _iou(outcome.right[labelled], outcome.predicted[labelled], outcome.true[labelled])
    counted = ~np.isnan(ious)
    return np.asarray(np.where(counted, ious, 0).sum(axis=1) / counted.sum(axis=1), np.float64)


METRICS = (
    Metric(
        mean_iou,
        SegmentationCounts,
        interval="bootstrap",
        higher_is_better=True,
        summary="intersection over union of all images' pixels, averaged over classes",
    ),
    Metric(
        image_mean_iou,
        SegmentationCounts,
        interval="effective",
        higher_is_better=True,
        summary="mean intersection over union of an image, averaged over images",
        per_example=_image_ious,
    ),
    Metric(
        boundary_f,
        SegmentationCounts,
        interval="effective",
        higher_is_better=True,
        summary="F of an image's boundaries between classes, averaged over images",
        per_example=_defined_f,
    ),
    Metric(
        pixel_accuracy,
        SegmentationCounts,
        interval="bootstrap",
        higher_is_better=True,
        summary="share of labelled pixels that are right",
    ),
)
