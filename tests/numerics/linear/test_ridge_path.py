"""The ridge path on labels and on target matrices, against scikit-learn and against each other."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.numerics.linear.ridge_path import DECOMPOSITIONS, fit_path, scores
from bob.numerics.tridiagonal import Tridiagonal
from tests.builders.linear import clusters, isotropic_clusters

STRENGTHS = (1e-2, 1.0, 1e3)
SHAPES = [(200, 20, 5), (30, 100, 3), (50, 50, 4)]
"""Rows, features and classes: fewer, more and as many features as rows."""


def test_labels_by_hand():
    # x = -1, -1, 1, 1 is standardised already. Targets of class 1 are -1, -1, 1, 1 with mean 0; the
    # Gram entry is 4, the product 4, so that w = 4 / (4 + l2) = 0.8 for l2 = 1.
    x, y = np.array([[-1], [-1], [1], [1]], np.float32), np.array([0, 0, 1, 1])
    (fit,) = fit_path(x, y, 2, [1.0])
    assert fit.weight == pytest.approx(np.array([[-0.8], [0.8]]))
    assert fit.bias == pytest.approx([0, 0])
    assert scores(fit, np.array([[2]], np.float32)) == pytest.approx(np.array([[-1.6, 1.6]]))


def test_target_matrix_by_hand():
    # x = -1, 1 is standardised already. Targets 1, 3 have mean 2 and centred products 2; the Gram
    # entry is 2, so that w = 2 / (2 + l2) = 0.5 for l2 = 2. Output at x = 4: 0.5 · 4 + 2 = 4.
    x, targets = np.array([[-1], [1]], np.float32), np.array([[1.0], [3.0]])
    (fit,) = fit_path(x, targets, 1, [2.0])
    assert fit.weight == pytest.approx(np.array([[0.5]]))
    assert fit.bias == pytest.approx([2.0])
    assert scores(fit, np.array([[4]], np.float32)) == pytest.approx(np.array([[4.0]]))


@pytest.mark.parametrize(
    ("n", "d", "classes"), [(200, 20, 5), (200, 20, 2), (30, 100, 3), (50, 50, 4), (3, 10, 3)]
)
@pytest.mark.parametrize("change", ["plain", "scaled", "shifted", "duplicated", "constant"])
def test_labels_are_fitted_as_by_scikit_learn(n, d, classes, change):
    x, y = isotropic_clusters(n, d, classes)
    if change == "scaled":
        x *= np.float32(1e4)
    if change == "shifted":
        x += np.float32(100)
    if change == "duplicated":
        x[:, 1] = x[:, 0]
    if change == "constant":
        x[:, 2] = 7.1
    standard = StandardScaler().fit_transform(x.astype(np.float64))
    target = 2.0 * np.eye(classes)[y] - 1
    for strength, fit in zip(STRENGTHS, fit_path(x, y, classes, STRENGTHS), strict=True):
        expected = Ridge(alpha=strength, solver="svd").fit(standard, target).predict(standard)
        assert scores(fit, x) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_targets_of_any_value_are_fitted_as_by_scikit_learn(shape):
    x, _ = clusters(*shape)
    targets = np.random.default_rng(1).normal(2, 3, (shape[0], shape[2]))
    standard = StandardScaler().fit_transform(x.astype(np.float64))
    fits = fit_path(x, targets, shape[2], STRENGTHS)
    for strength, fit in zip(STRENGTHS, fits, strict=True):
        expected = Ridge(alpha=strength, solver="svd").fit(standard, targets).predict(standard)
        assert scores(fit, x) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_targets_of_plus_and_minus_one(shape):
    x, y = clusters(*shape)
    targets = 2.0 * np.eye(shape[2])[y] - 1
    by_label, by_target = (fit_path(x, given, shape[2], STRENGTHS) for given in (y, targets))
    for a, b in zip(by_label, by_target, strict=True):
        assert a.weight == pytest.approx(b.weight, abs=1e-9)
        assert a.bias == pytest.approx(b.bias, abs=1e-9)


def test_nearly_constant_features_get_weight_zero_below_the_given_ratio():
    x, y = clusters(60, 4, 3)
    x = x.astype(np.float64)
    x[:, 2] = 7 + 1e-8 * x[:, 2]
    strict, default = (
        fit_path(x, y, 3, [1.0], **given)[0] for given in ({"constant_below": 1e-6}, {})
    )
    assert (strict.weight[:, 2] == 0).all()
    assert (default.weight[:, 2] != 0).all()


def test_a_target_matrix_of_another_number_of_classes_is_an_error():
    with pytest.raises(
        ValueError, match=r"ridge: targets must have 3 columns; got shape \(9, 4\)\."
    ):
        fit_path(np.zeros((9, 2), np.float32), np.zeros((9, 4)), 3, [1.0])


def test_a_class_without_examples_is_never_predicted():
    x, y = isotropic_clusters(60, 8, 3)
    fit = fit_path(x, y, 4, [1.0])[0]
    assert scores(fit, x)[:, 3] == pytest.approx(-1)
    assert (scores(fit, x).argmax(1) != 3).all()


def test_scores_do_not_depend_on_order_of_rows_or_units_of_features():
    x, y = isotropic_clusters(80, 12, 4)
    order = np.random.default_rng(1).permutation(80)
    expected = scores(fit_path(x, y, 4, [1.0])[0], x)
    reordered = fit_path(x[order], y[order], 4, [1.0])[0]
    assert scores(reordered, x) == pytest.approx(expected, abs=1e-9)
    units = np.logspace(-3, 3, 12).astype(np.float32)
    rescaled = fit_path(x * units, y, 4, [1.0])[0]
    assert scores(rescaled, x * units) == pytest.approx(expected, abs=1e-5)


def test_a_penalty_of_zero_is_an_error():
    with pytest.raises(ValueError, match=r"every strength must be above 0; got \[1.0, 0.0\]"):
        fit_path(*isotropic_clusters(20, 3, 2), 2, [1.0, 0.0])


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_other_targets_of_the_same_features_need_no_second_reduction(shape, monkeypatch):
    """Fits are those of a first call, to the last digit; other features are reduced anew."""
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=shape).astype(np.float32), rng.normal(size=(shape[0], 3))
    DECOMPOSITIONS.clear()
    alone = fit_path(x, targets, 3, STRENGTHS)
    DECOMPOSITIONS.clear()
    sizes, reduce = [], Tridiagonal.of

    def counted(matrix):
        sizes.append(len(matrix))
        return reduce(matrix)

    monkeypatch.setattr(Tridiagonal, "of", counted)
    fit_path(x, np.arange(shape[0]) % 2, 2, STRENGTHS)
    again = fit_path(x.copy(), targets, 3, STRENGTHS)
    assert sizes == [20]
    for first, second in zip(alone, again, strict=True):
        assert np.array_equal(first.weight, second.weight)
    fit_path(2 * x + 1, targets, 3, STRENGTHS)
    assert sizes == [20, 20]
