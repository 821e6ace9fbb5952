"""Which examples are picked, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors

from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.pick import (
    agreement,
    confident_mistakes,
    confusion,
    misses,
    most_confused,
    nearest,
    outliers,
    spread_over_classes,
)


def classified(confidence: list[float] | None = None) -> ClassPredictions:
    """Five examples of three classes: the second, third and fifth are wrong."""
    y, predicted, rank = (
        np.array([0, 1, 2, 0, 1]),
        np.array([0, 2, 1, 0, 0]),
        np.array([0, 2, 1, 0, 1]),
    )
    return ClassPredictions(
        y, predicted, rank, 3, None, None if confidence is None else np.array(confidence)
    )


def test_the_most_confident_mistakes_come_first() -> None:
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 9).tolist() == [2, 4, 1]
    assert confident_mistakes(classified([0.99, 0.6, 0.9, 0.5, 0.7]), 1).tolist() == [2]
    # without probabilities, by the rank of the true class
    assert confident_mistakes(classified(), 9).tolist() == [1, 2, 4]


def test_confusion_equals_scikit_learn_s() -> None:
    outcome = classified()
    counts = confusion(outcome)
    assert np.array_equal(counts, confusion_matrix(outcome.y, outcome.predicted))
    # class 0 is in one mistake, class 1 in three, class 2 in two
    assert most_confused(counts, 2).tolist() == [1, 2]


def test_misses_have_the_lowest_ap_then_the_latest_first_hit() -> None:
    ap = np.array([0.5, 0.1, 1.0, 0.1])
    first = np.array([1, 5, 0, 9])
    outcome = RetrievalResults(np.arange(4), np.ones(4, np.int64), 1 / (first + 1), ap, ap, ap, ap)
    assert misses(outcome, 3).tolist() == [3, 1, 0]
    assert misses(outcome, 9).tolist() == [3, 1, 0]  # a perfect query is no miss


def test_nearest_rows_equal_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = (rng.normal(size=(n, 5)).astype(np.float32) for n in (7, 30))
    index, similarity = nearest(queries, gallery, 4)
    distance, expected = (
        NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
        .fit(gallery.astype(np.float64))
        .kneighbors(queries.astype(np.float64))
    )
    assert np.array_equal(index, expected) and similarity == pytest.approx(1 - distance)


def test_equal_cosines_go_to_the_lower_row() -> None:
    """Rows 0, 2 and 3 have the same direction."""
    gallery = np.array([[1, 2], [2, 1], [2, 4], [3, 6]], np.float32)
    assert nearest(gallery[2:3], gallery, 3)[0].tolist() == [[0, 2, 3]]


def test_outliers_are_farthest_from_their_last_neighbour() -> None:
    similarity = np.array([[0.9, 0.8], [0.7, 0.2], [0.4, 0.3], [0.9, 0.2]], np.float32)
    assert outliers(similarity, 3).tolist() == [1, 3, 2]


def test_agreement_splits_the_examples_by_who_is_right() -> None:
    """Example 0 is right for both, 1 for a, 2 for b, 3 for neither."""
    y = np.zeros(4, np.int64)
    a, b = (
        ClassPredictions(y, np.array(predicted), np.array(predicted), 2)
        for predicted in ([0, 0, 1, 1], [0, 1, 0, 1])
    )
    assert [positions.tolist() for positions in agreement(a, b)] == [[0], [1], [2], [3]]
    other = ClassPredictions(y + 1, y, y + 1, 2)
    with pytest.raises(ValueError, match="not of the same examples"):
        agreement(a, other)


def test_classes_give_images_in_turn() -> None:
    """Of class 0 there are four, of class 2 one: with room for three, two and one are shown."""
    y = np.array([0, 0, 0, 0, 2])
    assert spread_over_classes(y, np.array([3, 1, 4, 0, 2]), 3).tolist() == [3, 1, 4]
    assert spread_over_classes(y, np.array([3, 1]), 9).tolist() == [3, 1]
