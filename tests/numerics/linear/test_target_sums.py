"""Ridge regression of several targets from sums, against scikit-learn on every pixel."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles
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


def test_examples_of_weight_one_are_summed_alike() -> None:
    """Their weights are not multiplied in; those of weight zero are left out."""
    x, _, targets, _ = patches()
    halves = TargetSums.of(x, np.full(len(x), 0.5), targets)
    padded = np.concatenate([x, x[:3]]), np.array([1.0] * len(x) + [0] * 3)
    ones = TargetSums.of(*padded, np.concatenate([targets, targets[:3]]))
    for name, values in vars(ones).items():
        np.testing.assert_allclose(values, 2 * vars(halves)[name], rtol=1e-12)
