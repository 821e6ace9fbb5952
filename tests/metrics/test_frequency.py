"""Accuracy by the number of train images: by hand, and laws."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from bob.errors import UndefinedError
from bob.metrics.frequency import (
    METRICS,
    few_shot_class_top1,
    frequency_correlation,
    head_tail_gap,
    many_shot_top1,
    medium_shot_top1,
)
from bob.metrics.intervals import interval
from bob.outcomes import ConceptResults, FrequencyResults


def results(classes: list[tuple[int, int, int]]) -> FrequencyResults:
    """Return classes with so many right, of so many test images, with so many train images."""
    right = np.concatenate([np.arange(n) < hits for hits, n, _ in classes])
    y = np.repeat(np.arange(len(classes)), [n for _, n, _ in classes])
    return FrequencyResults(right, y, np.array([images for *_, images in classes])[y])


def by_class(classes: list[tuple[int, int, int]]) -> ConceptResults:
    """Return the accuracies of the same classes."""
    accuracy, images = zip(*((hits / n, images) for hits, n, images in classes), strict=True)
    return ConceptResults(np.array(accuracy), np.array(images))


CLASSES = [(9, 10, 200), (16, 20, 100), (6, 10, 50), (2, 10, 20), (8, 20, 3)]
"""Accuracies .9, .8, .6, .2 and .4."""


def test_metrics_by_hand() -> None:
    """Exactly 100 and exactly 20 are many and few. The upper half of five is .9 and .8, the lower
    .4 and .2. Ranks of accuracy from the rarest class: 2, 1, 3, 4, 5, so that ρ = 1 − 6 · 2 / 120.
    """
    outcome = results(CLASSES)
    assert many_shot_top1(outcome) == pytest.approx(0.85)
    assert medium_shot_top1(outcome) == pytest.approx(0.6)
    assert few_shot_class_top1(outcome) == pytest.approx(0.3)
    assert head_tail_gap(outcome) == pytest.approx(0.55)
    assert frequency_correlation(by_class(CLASSES)) == pytest.approx(0.9)


def test_the_gap_of_tied_classes_is_the_mean_over_their_orders() -> None:
    """Three classes have 20 train images, around the middle of five; without ties, each order of
    them has the gap of the definition.
    """
    tied = [(9, 10, 200), (8, 10, 20), (5, 10, 20), (2, 10, 20), (1, 10, 3)]
    gaps = [
        head_tail_gap(
            results(
                [
                    (right, 10, images + place)
                    for (right, _, images), place in zip(tied, (0, *order, 0), strict=True)
                ]
            )
        )
        for order in permutations((1, 2, 3))
    ]
    assert len(set(np.round(gaps, 12))) > 1
    assert head_tail_gap(results(tied)) == pytest.approx(np.mean(gaps))


def test_parts_weighed_by_their_classes_are_the_mean_over_classes() -> None:
    outcome = results(CLASSES)
    total = 2 * many_shot_top1(outcome) + medium_shot_top1(outcome)
    total += 2 * few_shot_class_top1(outcome)
    assert total / 5 == pytest.approx(np.mean([0.9, 0.8, 0.6, 0.2, 0.4]))


def test_the_correlation_is_scipy_s_with_ties() -> None:
    outcome = by_class([(5, 10, 30), (5, 10, 30), (7, 10, 90), (2, 10, 7)])
    expected = spearmanr([0.5, 0.5, 0.7, 0.2], [30, 30, 90, 7]).statistic
    assert frequency_correlation(outcome) == pytest.approx(expected)


def test_equal_counts_leave_one_part() -> None:
    outcome = results([(5, 10, 30), (7, 10, 30)])
    assert medium_shot_top1(outcome) == pytest.approx(0.6)
    for metric, part in ((many_shot_top1, "many"), (few_shot_class_top1, "few")):
        with pytest.raises(UndefinedError, match=f"no class has {part} train images"):
            metric(outcome)
    with pytest.raises(UndefinedError, match="all classes have equally many train images"):
        head_tail_gap(outcome)
    with pytest.raises(UndefinedError, match="all classes have equally many train images"):
        frequency_correlation(by_class([(5, 10, 30), (7, 10, 30), (9, 10, 30)]))
    with pytest.raises(UndefinedError, match="fewer than three classes"):
        frequency_correlation(by_class([(5, 10, 30), (7, 10, 90)]))


def test_intervals_contain_the_value_and_empty_outcomes_are_undefined() -> None:
    for metric in METRICS:
        over_classes = metric.outcome is ConceptResults
        outcome = by_class(CLASSES) if over_classes else results(CLASSES)
        value, low, high, _ = interval(metric.name, outcome, 0)
        assert low is not None and high is not None and low < value < high
        if not over_classes:
            with pytest.raises(UndefinedError, match="no test examples"):
                metric.function(outcome.take(np.array([], np.int64)))
    with pytest.raises(ValueError, match="right, y and train_images"):
        FrequencyResults(np.ones(2, bool), np.zeros(2, np.int64), np.zeros(1, np.int64))
