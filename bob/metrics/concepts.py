"""Accuracy of classes against their frequency in a pretraining corpus.

After Udandarao et al. 2024 (arXiv:2404.04125), who correlate the mean accuracy of bins of classes
with the logarithm of the count. A mean of bins hides most of the scatter: on their own data it
correlates by 0.99 (LAION-400M, ViT-B/32) where classes correlate by 0.29. Here classes are compared
one by one, and those that do not occur are a part of their own.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.frequency import rank_correlation
from bob.metrics.metric import Metric, mean_of
from bob.outcomes import ConceptResults


def concept_correlation(outcome: ConceptResults) -> float:
    """Return Spearman's correlation, over classes, of accuracy and count.

    Range [-1, 1]; undefined for fewer than three classes, or where either is equal for all.
    """
    if len(outcome) < 3:
        raise UndefinedError("fewer than three classes have test images and a count")
    value = rank_correlation(outcome.accuracy, outcome.count.astype(np.float64))
    if value is None:
        raise UndefinedError("all classes have equal counts, or equal accuracies")
    return value


def concept_gap(outcome: ConceptResults) -> float:
    """Return the mean accuracy of the third of classes with the highest counts, minus the lowest.

    Classes tied with the border of a third are in it. Range [-1, 1]; undefined where the thirds
    meet: for few classes, or many equal counts.
    """
    if not len(outcome):
        raise UndefinedError("there are no classes with test images and a count")
    low = np.quantile(outcome.count, 1 / 3, method="lower")
    high = np.quantile(outcome.count, 2 / 3, method="higher")
    if low >= high:
        raise UndefinedError("too many classes have equal counts for thirds by frequency")
    accuracy, count = outcome.accuracy, outcome.count
    return float(accuracy[count >= high].mean() - accuracy[count <= low].mean())


def absent_concept_top1(outcome: ConceptResults) -> float:
    """Return the mean accuracy of classes that do not occur in the corpus, as all of these.

    Range [0, 1]; undefined without any.
    """
    return mean_of(outcome.accuracy, if_empty="every class occurs in the corpus")


METRICS = (
    Metric(
        concept_correlation,
        ConceptResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="rank correlation over classes of accuracy and frequency in a corpus",
        lowest=-1.0,
        describes=True,
    ),
    Metric(
        concept_gap,
        ConceptResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="accuracy of the third of classes most frequent in a corpus minus the least",
        lowest=-1.0,
        describes=True,
    ),
    Metric(
        absent_concept_top1,
        ConceptResults,
        interval="t",
        higher_is_better=True,
        summary="accuracy of classes that do not occur in a corpus",
        per_example=lambda outcome: outcome.accuracy,
    ),
)
