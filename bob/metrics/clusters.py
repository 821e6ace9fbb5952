"""Agreement of clusters with classes."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.outcomes import ClusterAssignments


def adjusted_rand(outcome: ClusterAssignments) -> float:
    """Return the adjusted Rand index: agreement over pairs of images, 0 for random clusters.

    Range [-0.5, 1]. The same as scikit-learn's `adjusted_rand_score` (Hubert & Arabie 1985).
    """
    table = _table(outcome)
    together = _pairs(table).sum()
    classes, clusters = _pairs(table.sum(1)).sum(), _pairs(table.sum(0)).sum()
    expected = classes * clusters / max(_pairs(np.array([float(len(outcome))])).sum(), 1.0)
    mean = (classes + clusters) / 2
    return 1.0 if mean == expected else float((together - expected) / (mean - expected))


def v_measure(outcome: ClusterAssignments) -> float:
    """Return the harmonic mean of homogeneity and completeness.

    It equals the mutual information divided by the mean of both entropies (NMI). Range [0, 1];
    random clusters are above 0, the more so the more there are. The same as scikit-learn's
    `v_measure_score` (Rosenberg & Hirschberg 2007).
    """
    table = _table(outcome) / len(outcome)
    classes, clusters = _entropy(table.sum(1)), _entropy(table.sum(0))
    if classes + clusters == 0:
        return 1.0
    information = classes + clusters - _entropy(table.ravel())
    return float(np.clip(2 * information / (classes + clusters), 0, 1))


def _table(outcome: ClusterAssignments) -> Doubles:
    """Return the numbers of images by class and cluster."""
    if not len(outcome):
        raise UndefinedError("there are no images")
    table = np.zeros((int(outcome.y.max()) + 1, int(outcome.cluster.max()) + 1))
    np.add.at(table, (outcome.y, outcome.cluster), 1)
    return table


def _pairs(counts: Doubles) -> Doubles:
    return counts * (counts - 1) / 2


def _entropy(shares: Doubles) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


METRICS = (
    Metric(
        adjusted_rand,
        ClusterAssignments,
        interval="bootstrap",
        higher_is_better=True,
        summary="agreement of clusters and classes over pairs, 0 for random clusters",
        lowest=-0.5,
    ),
    Metric(
        v_measure,
        ClusterAssignments,
        interval="bootstrap",
        higher_is_better=True,
        summary="harmonic mean of homogeneity and completeness (NMI)",
        biased=True,
    ),
)
