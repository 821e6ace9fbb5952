"""Accuracy by the number of train images of a class, as in OLTR.

Classes with at least 100 train images are many-shot, with at most 20 few-shot, the others
medium-shot (Liu et al. 2019, arXiv:1904.05160; code: zhmiao/OpenLongTailRecognition-OLTR. Kang et
al. 2020, arXiv:1910.09217, count exactly 100 and exactly 20 as medium). The accuracy of a part is
the mean of the accuracies of its classes.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles
from bob.outcomes import ConceptResults, FrequencyResults

MANY, FEW = 100, 20


def many_shot_top1(outcome: FrequencyResults) -> float:
    """Return the mean accuracy of the classes with at least 100 train images.

    Range [0, 1]; undefined without any.
    """
    return _mean_of_part(outcome, "many")


def medium_shot_top1(outcome: FrequencyResults) -> float:
    """Return the mean accuracy of the classes with 21 to 99 train images.

    Range [0, 1]; undefined without any.
    """
    return _mean_of_part(outcome, "medium")


def few_shot_class_top1(outcome: FrequencyResults) -> float:
    """Return the mean accuracy of the classes with at most 20 train images.

    Range [0, 1]; undefined without any.
    """
    return _mean_of_part(outcome, "few")


def head_tail_gap(outcome: FrequencyResults) -> float:
    """Return the mean accuracy of the upper half of classes by train images, minus the lower half.

    Range [-1, 1], lower is better. With an odd number of classes, the middle one is in neither
    half; of classes with equally many, the expectation over their orders counts. Undefined where
    all classes have equally many.
    """
    accuracy, images = _by_class(outcome)
    if len(accuracy) < 2 or np.ptp(images) == 0:
        raise UndefinedError("all classes have equally many train images")
    _, place, tied = np.unique(images, return_inverse=True, return_counts=True)
    ordered = np.repeat(np.bincount(place, weights=accuracy) / tied, tied)
    half = len(ordered) // 2
    return float(ordered[-half:].mean() - ordered[:half].mean())


def frequency_correlation(outcome: ConceptResults) -> float:
    """Return the rank correlation, over classes, of accuracy and the number of train images.

    Range [-1, 1]; undefined for fewer than three classes, or where either is equal for all. The
    interval is over classes: the noise of their accuracies lowers any correlation, so that
    resamples of their images would lower it twice.
    """
    if len(outcome) < 3:
        raise UndefinedError("fewer than three classes have test images")
    value = rank_correlation(outcome.accuracy, outcome.count.astype(np.float64))
    if value is None:
        raise UndefinedError("all classes have equally many train images, or equal accuracies")
    return value


def rank_correlation(a: Doubles, b: Doubles) -> float | None:
    """Return Spearman's correlation of a and b (K,); None where either is equal throughout.

    Ties share their mean rank.
    """
    from scipy.stats import rankdata  # 0.2 s that `list` and `--help` need not pay

    first, second = (ranks - ranks.mean() for ranks in (rankdata(a), rankdata(b)))
    lengths = np.sqrt((first**2).sum() * (second**2).sum())
    if lengths == 0:
        return None
    return float(np.clip((first * second).sum() / lengths, -1, 1))


def _by_class(outcome: FrequencyResults) -> tuple[Doubles, Doubles]:
    """Return the accuracy (K,) and the train images (K,) of the classes that occur."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    classes, first, index = np.unique(outcome.y, return_index=True, return_inverse=True)
    right = np.bincount(index, weights=outcome.right, minlength=len(classes))
    return right / np.bincount(index), outcome.train_images[first].astype(np.float64)


def _part(outcome: FrequencyResults, part: str) -> Bools:
    """Return (N,) whether the image's class is in a part."""
    images = outcome.train_images
    many, few = images >= MANY, images <= FEW
    parts = {"many": many, "few": few, "medium": ~many & ~few}
    return parts[part]


def _shares_of_part(outcome: FrequencyResults, part: str) -> tuple[Doubles, Doubles]:
    """Return right predictions (K,) and images (K,) of the classes of a part."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    rows = _part(outcome, part)
    if not rows.any():
        raise UndefinedError(f"no class has {part} train images")
    count = np.bincount(outcome.y[rows])
    right = np.bincount(outcome.y[rows], weights=outcome.right[rows])
    return right[count > 0].astype(np.float64), count[count > 0].astype(np.float64)


def _mean_of_part(outcome: FrequencyResults, part: str) -> float:
    right, count = _shares_of_part(outcome, part)
    return float((right / count).mean())


METRICS = (
    Metric(
        many_shot_top1,
        FrequencyResults,
        interval="score",
        higher_is_better=True,
        summary="accuracy of classes with at least 100 train images",
        shares=lambda outcome: _shares_of_part(outcome, "many"),
    ),
    Metric(
        medium_shot_top1,
        FrequencyResults,
        interval="score",
        higher_is_better=True,
        summary="accuracy of classes with 21 to 99 train images",
        shares=lambda outcome: _shares_of_part(outcome, "medium"),
    ),
    Metric(
        few_shot_class_top1,
        FrequencyResults,
        interval="score",
        higher_is_better=True,
        summary="accuracy of classes with at most 20 train images",
        shares=lambda outcome: _shares_of_part(outcome, "few"),
    ),
    Metric(
        head_tail_gap,
        FrequencyResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="accuracy of frequent classes minus that of rare ones",
        lowest=-1.0,
        strata=lambda outcome: outcome.y,
    ),
    Metric(
        frequency_correlation,
        ConceptResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="rank correlation over classes of accuracy and train images",
        lowest=-1.0,
    ),
)
