"""Effective robustness: by hand, against numpy, and pools without a line."""

import numpy as np
import pytest
from scipy.special import expit, logit

from bob.statistics.effective_robustness import EffectiveRobustness, effective_robustness


def fitted(
    in_distribution: np.ndarray, shifted: np.ndarray, pool: np.ndarray | None = None
) -> EffectiveRobustness:
    robustness = effective_robustness(in_distribution, shifted, pool)
    assert robustness is not None
    return robustness


def test_effective_robustness_by_hand() -> None:
    """Three backbones are on the line logit(shifted) = logit(in distribution) - 1. The last one is
    not in the pool that the line is fitted to, and 0.5 above it in logits.
    """
    in_distribution = expit(np.array([0.0, 1, 2, 3]))
    shifted = expit(np.array([-1.0, 0, 1, 2.5]))
    robustness = fitted(in_distribution, shifted, np.array([True, True, True, False]))
    assert (robustness.slope, robustness.intercept) == pytest.approx((1, -1))
    assert robustness.residual == pytest.approx([0, 0, 0, expit(2.5) - expit(2)], abs=1e-12)
    assert robustness.pool.tolist() == [True, True, True, False]


@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_numpy_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    in_distribution, shifted = rng.uniform(0.1, 0.9, (2, 12))
    robustness = fitted(in_distribution, shifted)
    slope, intercept = np.polyfit(logit(in_distribution), logit(shifted), 1)
    assert (robustness.slope, robustness.intercept) == pytest.approx((slope, intercept))
    expected = shifted - expit(intercept + slope * logit(in_distribution))
    assert robustness.residual == pytest.approx(expected)


def test_accuracies_of_0_and_1_do_not_shape_the_line_and_have_no_residual() -> None:
    in_distribution = np.array([0.2, 0.5, 0.8, 1.0, 0.5])
    shifted = np.array([0.1, 0.3, 0.5, 0.9, 0.0])
    robustness = fitted(in_distribution, shifted)
    assert np.isnan(robustness.residual).tolist() == [False, False, False, True, True]
    assert robustness.slope == pytest.approx(fitted(in_distribution[:3], shifted[:3]).slope)


@pytest.mark.parametrize(
    ("in_distribution", "shifted"),
    [
        ([0.2, 0.5], [0.1, 0.3]),
        ([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]),
        ([0.2, 0.5, 1.0], [0.1, 0.3, 0.5]),
    ],
)
def test_a_line_needs_three_backbones_of_different_accuracy(
    in_distribution: list[float], shifted: list[float]
) -> None:
    assert effective_robustness(np.array(in_distribution), np.array(shifted)) is None
