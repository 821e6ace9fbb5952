"""Measures of one score against one binary label: by hand, by loops, and against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as sk

from bob.metrics.binary import (
    area_under_roc,
    average_precision,
    counts_at_thresholds,
    eleven_point_precision,
)


def test_counts_at_thresholds_by_hand() -> None:
    # scores 3, 2, 2, 1 with positives at 3, one of the 2s, and 1
    hits, counts = counts_at_thresholds(
        np.array([2.0, 3.0, 2.0, 1.0]), np.array([True, True, False, True])
    )
    assert (hits.tolist(), counts.tolist()) == ([1, 2, 3], [1, 3, 4])


def test_infinite_scores_are_tied_with_each_other() -> None:
    """-inf for the positive and for one of two negatives: half of one pair is won."""
    scores = np.array([-np.inf, -np.inf, 0.0])
    assert area_under_roc(scores, np.array([True, False, False])) == 0.25


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_area_under_roc_counts_pairs_and_agrees_with_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positive = rng.random(60) < 0.3
    scores = (positive + rng.normal(size=60)).round(decimals)
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs))
    assert area_under_roc(scores, positive) == pytest.approx(sk.roc_auc_score(positive, scores))


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_average_precision_agrees_with_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positive = rng.random(60) < 0.3
    scores = (positive + rng.normal(size=60)).round(decimals)
    assert average_precision(scores, positive) == pytest.approx(
        sk.average_precision_score(positive, scores)
    )


def test_eleven_point_precision_by_hand() -> None:
    """Ranked: yes, no, yes, no, with precisions 1, 1/2, 2/3, 1/2 at recalls 1/2, 1/2, 1, 1.

    The best precision is 1 at the 6 recalls 0 to 0.5 and 2/3 at the 5 above: (6 + 10/3) / 11.
    """
    positive = np.array([True, False, True, False])
    precision = eleven_point_precision(np.array([4, 3, 2, 1], np.float32), positive)
    assert precision == pytest.approx((6 + 10 / 3) / 11)
