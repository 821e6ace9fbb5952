"""Metrics of images that can have several classes.

Means over classes include those that some test images have and others lack.
"""

from collections.abc import Callable

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.binary import (
    area_under_roc,
    area_under_roc_leave_one_out,
    average_precision,
    average_precision_leave_one_out,
    eleven_point_precision,
    mean_over_classes_leave_one_out,
)
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles, Floats
from bob.outcomes import MultilabelPredictions

BLOCK_CELLS = 4_000_000
"""Scores that are compared at once: 16 MB."""


def label_ap(outcome: MultilabelPredictions) -> float:
    """Return the mean over classes of the average precision (mAP of multilabel classification).

    Per class: the sum over distinct scores of precision times the recall gained. Range (0, 1].

    The same as scikit-learn's `average_precision_score(average="macro")`, except that classes
    without positives are excluded from the mean rather than counted as 0.
    """
    return _mean_over_classes(outcome, average_precision)


def label_ap_11_point(outcome: MultilabelPredictions) -> float:
    """Return the mean over classes of the 11-point interpolated average precision.

    Per class: the mean, over recalls 0, 0.1, ..., 1, of the best precision at that recall or a
    higher one. Range (0, 1]. Source: PASCAL VOC 2007 (Everingham et al. 2010,
    doi:10.1007/s11263-009-0275-4). Differs from the development kit in that tied scores cross the
    threshold together.
    """
    return _mean_over_classes(outcome, eleven_point_precision)


def roc_auc(outcome: MultilabelPredictions) -> float:
    """Return the mean over classes of the area under the ROC curve.

    Per class: the share of pairs (image with the class, image without it) in which the former
    scores higher; ties count half. Range [0, 1], chance 0.5.

    The same as scikit-learn's `roc_auc_score(average="macro")`, except that classes with images on
    one side only are excluded from the mean.
    """
    return _mean_over_classes(outcome, area_under_roc)


def label_set_top1(outcome: MultilabelPredictions) -> float:
    """Return the share of labelled images whose best-scored class is one of their labels.

    Range [0, 1]. Images without labels are excluded, as in ReaL (Beyer et al. 2020,
    arXiv:2006.07159; github.com/google-research/reassessed-imagenet). Ties go to the lower class.
    """
    right, count = _label_set_share(outcome)
    return float(right[0] / count[0])


def label_set_top_k(outcome: MultilabelPredictions) -> float:
    """Return the share of an image's k labels among its k best-scored classes, over images.

    Every image is asked for as many classes as it has labels, so that one with several is no
    easier than one with a single label, where it is `label_set_top1` (arXiv:2412.18409). Range
    [0, 1]. Images without labels are excluded. Ties go to the lower class.
    """
    return float(_share_of_labels_found(outcome).mean())


def _share_of_labels_found(outcome: MultilabelPredictions) -> Doubles:
    """Return (M,) the share of the k labels of each labelled image among its k best classes."""
    labels_of = outcome.labels.sum(1)
    if not labels_of.any():
        raise UndefinedError("no test image has a class")
    found = np.zeros(len(outcome))
    image, label = np.nonzero(outcome.labels)
    classes = np.arange(outcome.labels.shape[1])
    step = max(1, BLOCK_CELLS // len(classes))
    for start in range(0, len(image), step):
        i, c = image[start : start + step], label[start : start + step, None]
        scores = np.asarray(outcome.scores[i], np.float64)
        of_label = np.take_along_axis(scores, c, 1)
        before = (scores > of_label) | ((scores == of_label) & (classes < c))
        np.add.at(found, i, before.sum(1) < labels_of[i])
    labelled = labels_of > 0
    return np.asarray(found[labelled] / labels_of[labelled])


def _label_set_share(outcome: MultilabelPredictions) -> tuple[Doubles, Doubles]:
    """Return the numbers (1,) of images with a right best class, and of images with a label."""
    right = _right_per_labelled_image(outcome)
    return np.array([right.sum()]), np.array([len(right)], np.float64)


def _right_per_labelled_image(outcome: MultilabelPredictions) -> Doubles:
    """Return (M,) whether the best class of each labelled image is right, as 0 or 1."""
    labelled = outcome.labels.any(1)
    if not labelled.any():
        raise UndefinedError("no test image has a class")
    best = outcome.scores.argmax(1)
    right = outcome.labels[np.arange(len(outcome)), best]
    return np.asarray(right[labelled], np.float64)


def _mean_over_classes(
    outcome: MultilabelPredictions, measure: Callable[[Floats | Doubles, Bools], float]
) -> float:
    counts = outcome.labels.sum(0)
    classes = np.flatnonzero((counts > 0) & (counts < len(outcome)))
    if not len(classes):
        raise UndefinedError("no class has test images both with and without it")
    return float(np.mean([measure(outcome.scores[:, c], outcome.labels[:, c]) for c in classes]))


def _label_ap_leave_one_out(outcome: MultilabelPredictions) -> Doubles:
    return mean_over_classes_leave_one_out(
        average_precision_leave_one_out, outcome.scores, outcome.labels
    )


def _roc_auc_leave_one_out(outcome: MultilabelPredictions) -> Doubles:
    return mean_over_classes_leave_one_out(
        area_under_roc_leave_one_out, outcome.scores, outcome.labels
    )


def _alike(outcome: MultilabelPredictions) -> MultilabelPredictions:
    """Return the outcome of a classifier that scores all images alike."""
    return MultilabelPredictions(np.zeros(outcome.labels.shape), outcome.labels)


METRICS = (
    Metric(
        label_ap,
        MultilabelPredictions,
        interval="jackknife",
        higher_is_better=True,
        summary="average precision, averaged over classes",
        leave_one_out=_label_ap_leave_one_out,
        biased=True,
        chance=lambda outcome: label_ap(_alike(outcome)),
    ),
    Metric(
        label_ap_11_point,
        MultilabelPredictions,
        interval="bootstrap",
        higher_is_better=True,
        summary="VOC 2007's average precision at eleven recalls, averaged over classes",
        biased=True,
    ),
    Metric(
        roc_auc,
        MultilabelPredictions,
        interval="jackknife",
        higher_is_better=True,
        summary="area under the ROC curve, averaged over classes",
        leave_one_out=_roc_auc_leave_one_out,
        chance=lambda _: 0.5,
    ),
    Metric(
        label_set_top1,
        MultilabelPredictions,
        interval="score",
        higher_is_better=True,
        summary="best-scored class is one of the image's",
        per_example=_right_per_labelled_image,
        shares=_label_set_share,
    ),
    Metric(
        label_set_top_k,
        MultilabelPredictions,
        interval="effective",
        higher_is_better=True,
        summary="share of an image's k classes among its k best-scored",
        per_example=_share_of_labels_found,
    ),
)
