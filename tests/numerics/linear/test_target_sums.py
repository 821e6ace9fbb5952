"""Ridge regression of several targets from sums, against scikit-learn on every pixel."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles
from bob.numerics.linear.class_sums import ridge_weights
from bob.numerics.linear.target_sums import TargetSums, ridge_path

PIXELS = 4
"""Pixels of a patch."""


def patches() -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return features (P, D), weights (P,) and targets (P, K) of patches, and pixels (P, 4, K).

    Some pixels are NaN: they have no target. The first patch has none that has one.
    """
    rng = np.random.default_rng(0)
    x = 3 + rng.normal(size=(120, 6)) * [1, 2, 3, 1, 0.1, 50]
    pixels = (x @ rng.normal(size=(6, 2)))[:, None] + rng.normal(size=(120, PIXELS, 2))
    pixels[rng.random((120, PIXELS)) < 0.3] = np.nan
    pixels[0] = np.nan
    known = ~np.isnan(pixels[..., 0])
    counts = known.sum(axis=1)
    sums = np.where(known[..., None], pixels, 0).sum(axis=1)
    return x, counts / PIXELS, sums / np.maximum(counts, 1)[:, None], pixels


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 10.0])
def test_patches_of_means_are_the_regression_of_scikit_learn_on_pixels(penalty: float) -> None:
    x, weight, targets, pixels = patches()
    (head,) = ridge_path(TargetSums.of(x, weight, targets), [penalty])
    rows, y = np.repeat(x, PIXELS, axis=0), pixels.reshape(-1, 2)
    known = ~np.isnan(y[:, 0])
    scaler = StandardScaler().fit(rows[known])
    # a pixel weighs 1 / PIXELS of its patch, and so does the penalty
    ridge = Ridge(alpha=penalty * known.sum()).fit(scaler.transform(rows[known]), y[known])
    np.testing.assert_allclose(head.logits(x), ridge.predict(scaler.transform(x)), atol=1e-6)


def test_sums_of_parts_add_up() -> None:
    x, weight, targets, _ = patches()
    whole = TargetSums.of(x, weight, targets)
    first, second = (
        TargetSums.of(x[at], weight[at], targets[at]) for at in (slice(50), slice(50, None))
    )
    for name, values in vars(whole).items():
        parts = vars(first)[name] + vars(second)[name]
        np.testing.assert_allclose(parts, values, rtol=1e-12)


def test_one_target_alone_is_that_column() -> None:
    x, weight, targets, _ = patches()
    sums = TargetSums.of(x, weight, targets)
    both, alone = ridge_path(sums, [0.1])[0], ridge_path(sums.only(slice(1, 2)), [0.1])[0]
    np.testing.assert_allclose(both.logits(x)[:, 1:], alone.logits(x), rtol=1e-9)


def test_no_weight_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="there are no train pixels with a target"):
        ridge_path(TargetSums.of(np.ones((2, 3)), np.zeros(2), np.ones((2, 1))), [0.1])


@pytest.mark.parametrize("strength", [1e-8, 0.1])
def test_few_strengths_have_the_weights_of_many(strength: float) -> None:
    """Few are solved one by one, many by one eigendecomposition; 6 features span 4 dimensions.

    Rounding errors in the other 2 are divided by the strength.
    """
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 6))
    covariance, products = x.T @ x / 50, rng.normal(size=(2, 50)) @ x / 50
    (alone,) = ridge_weights(covariance, products, [strength])
    among = ridge_weights(covariance, products, [strength, *range(1, 20)])[0]
    np.testing.assert_allclose(alone, among, rtol=1e-6, atol=1e-9 + 1e-15 / strength)
    expected = products @ np.linalg.inv(covariance + strength * np.eye(6))
    np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-6)


def test_a_negative_eigenvalue_counts_as_zero() -> None:
    """As rounding leaves it in a covariance: 1 / (1 + 0.5) and 1 / (0 + 0.5)."""
    covariance = np.diag([1.0, -0.75])
    (weight,) = ridge_weights(covariance, np.ones((1, 2)), [0.5])
    assert weight.tolist() == [[pytest.approx(2 / 3), pytest.approx(2)]]


def test_examples_of_weight_one_are_summed_alike() -> None:
    """Their weights are not multiplied in; those of weight zero are left out."""
    x, _, targets, _ = patches()
    halves = TargetSums.of(x, np.full(len(x), 0.5), targets)
    padded = np.concatenate([x, x[:3]]), np.array([1.0] * len(x) + [0] * 3)
    ones = TargetSums.of(*padded, np.concatenate([targets, targets[:3]]))
    for name, values in vars(ones).items():
        np.testing.assert_allclose(values, 2 * vars(halves)[name], rtol=1e-12)
