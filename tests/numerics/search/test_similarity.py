"""Float64 scores by hand and against scipy; float32 scores within their error scale; sort keys."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from bob.numerics.arrays import Floats
from bob.numerics.search.order import sort_keys, values_and_positions
from bob.numerics.search.similarity import (
    MetricName,
    Similarity,
    safety_factor,
    similarity_of,
    unit,
    worst_error,
)
from tests.builders.search import hard_features

METRICS: tuple[MetricName, ...] = ("cosine", "euclidean")


def block(similarity: Similarity, queries: Floats, gallery: Floats) -> np.ndarray:
    q, x = (similarity.centred(torch.from_numpy(rows)) for rows in (queries, gallery))
    squares = q.square().sum(1, keepdim=True), x.square().sum(1)
    return similarity.block_scores(q, squares[0], x, squares[1]).numpy()


def test_scores_by_hand() -> None:
    """(3, 4) has the cosines 1, 0 and 0 with (6, 8), (4, −3) and (0, 0), and the squared distances
    25, 50 and 25.
    """
    q, x = np.array([[3, 4]], np.float32), np.array([[6, 8], [4, -3], [0, 0]], np.float32)
    pairs = np.repeat(q, 3, axis=0).astype(np.float64), x.astype(np.float64)
    for metric, expected in (("cosine", [1, 0, 0]), ("euclidean", [-25, -50, -25])):
        similarity = similarity_of(metric, x)  # type: ignore[arg-type]
        assert similarity.pair_scores(*pairs)[0].tolist() == pytest.approx(expected)
        assert block(similarity, q, x)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["plain", "collapsed", "far from zero", "last bits"])
def test_float64_scores_equal_scipy_s(kind: str) -> None:
    """The squared distances of nearly equal rows too, which the expanded square would lose."""
    rows = hard_features(kind)
    queries, gallery = rows[:50], rows[25:]
    wide = queries.astype(np.float64), gallery.astype(np.float64)
    for metric, expected in (
        ("cosine", 1 - cdist(*wide, "cosine")),
        ("euclidean", -cdist(*wide, "sqeuclidean")),
    ):
        similarity = similarity_of(metric, gallery)  # type: ignore[arg-type]
        row, column = (index.ravel() for index in np.indices(expected.shape))
        pairs, _ = similarity.pair_scores(wide[0][row], wide[1][column])
        pairs = pairs.reshape(expected.shape)
        np.testing.assert_allclose(pairs, expected, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(
            block(similarity, queries, gallery), expected, rtol=1e-9, atol=1e-14
        )


def test_squared_distances_are_tied_within_a_share_of_the_squared_lengths() -> None:
    """Around the median (0, 0), ‖q‖² + ‖x‖² of the rows (1, 1), (−1, −1) and (3, 0) with (1, 1) is
    4, 4 and 11.
    """
    gallery = np.array([[1, 1], [-1, -1], [3, 0], [0, 0], [-3, 0]], np.float32)
    similarity = similarity_of("euclidean", gallery)
    squares = (gallery**2).sum(1)
    expected = 1e-13 * np.array([4, 4, 11])
    np.testing.assert_allclose(similarity.tie_width(squares[0], squares[:3]), expected)
    pairs = (rows.astype(np.float64) for rows in (gallery[[0, 0, 0]], gallery[:3]))
    np.testing.assert_allclose(similarity.pair_scores(*pairs)[1], expected)
    assert (similarity.widest_tie(2.0, np.array([0.0, 8.0, 5.0])) >= expected).all()


@pytest.mark.parametrize("metric", METRICS)
def test_both_forms_of_float32_scores_stay_within_the_measured_error(metric: MetricName) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 64)) + 1).astype(np.float32)
    queries, gallery = rows[:100], rows[100:]
    similarity = similarity_of(metric, gallery)
    exact = block(similarity, queries, gallery)
    prepared = (torch.from_numpy(similarity.prepared(part)) for part in (queries, gallery))
    scores = similarity.scores(*prepared).numpy()
    centred, x = (similarity.centred(torch.from_numpy(part)) for part in (queries, gallery))
    squares = centred.square().sum(1, keepdim=True)
    fill = similarity.raw_distances(centred, squares)
    weights = similarity.weights(x.square().sum(1))
    raw = -fill(torch.from_numpy(gallery), weights, torch.empty(100, 200)).numpy()
    lengths = squares.sqrt().numpy()
    for values, is_centred in ((scores, True), (raw, False)):
        scale = similarity.error_scale(lengths, values, centred=is_centred)
        assert 0 < worst_error(values - exact, scale) < 1


def test_the_safety_factor_is_four_worst_errors_and_at_least_2() -> None:
    assert [safety_factor(worst) for worst in (0, 0.5, 3)] == [2, 2, 12]


def test_unit_rows_have_length_1_whatever_their_scale() -> None:
    x = hard_features("plain")
    for scale in (1e-25, 1, 1e25):
        rows = unit(x * np.float32(scale))
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(rows, unit(x), rtol=1e-5, atol=1e-7)
    assert not unit(np.zeros((2, 3), np.float32)).any()


def test_sort_keys_order_by_value_then_by_position() -> None:
    """Negative and positive numbers, infinities, the smallest numbers and equal ones."""
    values = np.array([3, -1, np.inf, 0, 1e-45, -1e-45, -np.inf, -1, 3, 0], np.float32)
    positions = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 2**32 - 1])
    keys = sort_keys(values, positions)
    assert np.argsort(keys).tolist() == np.lexsort((positions, values)).tolist()
    back = values_and_positions(keys)
    assert np.array_equal(back[0], values) and np.array_equal(back[1], positions)
