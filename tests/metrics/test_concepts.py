"""Accuracy against frequency in a corpus: by hand, against scipy, laws and coverage."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from bob.errors import UndefinedError
from bob.metrics.concepts import (
    METRICS,
    absent_concept_top1,
    concept_correlation,
    concept_gap,
)
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ConceptResults
from tests.builders import interval_coverage as grids


def results(accuracy: list[float], count: list[int]) -> ConceptResults:
    return ConceptResults(np.array(accuracy), np.array(count))


def test_metrics_by_hand() -> None:
    """Thirds are the counts 0, 0 and 90, 800; ranks of accuracy 1 2 3 4 6 5 of counts in order."""
    outcome = results([0.1, 0.2, 0.3, 0.4, 0.9, 0.8], [0, 0, 3, 7, 90, 800])
    assert concept_gap(outcome) == pytest.approx(0.85 - 0.15)
    assert absent_concept_top1(outcome.take(np.array([0, 1]))) == pytest.approx(0.15)
    expected = spearmanr(outcome.accuracy, outcome.count).statistic
    assert concept_correlation(outcome) == pytest.approx(expected)


def test_only_the_order_of_counts_and_no_order_of_classes_decides() -> None:
    rng = np.random.default_rng(0)
    accuracy, count = rng.random(30), rng.integers(0, 9, 30)
    turned = rng.permutation(30)
    for metric in METRICS:
        value = metric.function(ConceptResults(accuracy, count))
        again = metric.function(ConceptResults(accuracy[turned], count[turned] ** 3))
        assert again == pytest.approx(value)


def test_counts_without_relation_have_none() -> None:
    rng = np.random.default_rng(0)
    values = [
        concept_correlation(ConceptResults(rng.random(100), rng.integers(0, 1000, 100)))
        for _ in range(100)
    ]
    assert abs(np.mean(values)) < 0.03


@pytest.mark.parametrize(
    ("metric", "outcome", "reason"),
    [
        (concept_correlation, results([0.1, 0.2, 0.3], [5, 5, 5]), "all classes have equal counts"),
        (concept_correlation, results([0.1, 0.2], [5, 6]), "fewer than three classes"),
        (concept_gap, results([0.1, 0.2, 0.3], [5, 5, 5]), "too many classes have equal counts"),
        (concept_gap, results([], []), "no classes with test images"),
        (absent_concept_top1, results([], []), "every class occurs"),
    ],
)
def test_undefined(metric: object, outcome: ConceptResults, reason: str) -> None:
    assert callable(metric)
    with pytest.raises(UndefinedError, match=reason):
        metric(outcome)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="accuracy and count must have shape"):
        ConceptResults(np.ones(2), np.ones(3, np.int64))


def sample(classes: int, images: int, strength: float, seed: int) -> ConceptResults:
    """Return classes whose true accuracy grows with the logarithm of a count."""
    rng = np.random.default_rng(seed)
    log_count: Doubles = rng.normal(6, 2, classes)
    chance = 1 / (1 + np.exp(-(strength * (log_count - 6) + rng.normal(size=classes))))
    count: Ints = np.where(log_count < 3, 0, np.exp(log_count)).astype(np.int64)
    return ConceptResults(rng.binomial(images, chance) / images, count)


@pytest.mark.parametrize("name", ["concept_correlation", "concept_gap"])
def test_intervals_over_classes_cover(name: str) -> None:
    """100 classes and 30 trials: standard error 4 percentage points."""
    large = sample(20_000, 30, 0.3, 0)
    point = grids.metric_point(name, sample, (100, 30, 0.3), large, 30, 40)
    assert point.coverage >= 0.8
