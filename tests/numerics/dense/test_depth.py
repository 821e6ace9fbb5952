"""Errors of depth by hand and against scikit-learn, alignment against NumPy, bins by hand."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error

from bob.numerics.dense.depth import (
    ERRORS,
    bin_centres,
    depth_errors,
    expected_depth,
    nearest_bins,
    scale_and_shift,
)


def test_errors_by_hand() -> None:
    """Ratios 1.2, 1.5, 1.9 and 2: one below 1.25, two below 1.5625, three below 1.953."""
    true, predicted = np.array([1.0, 2.0, 1.0, 4.0]), np.array([1.2, 3.0, 1.9, 2.0])
    errors = dict(zip(ERRORS, depth_errors(predicted, true), strict=True))
    assert [errors[f"delta{i}"] for i in (1, 2, 3)] == [1 / 4, 2 / 4, 3 / 4]
    # |errors| / true: 0.2, 0.5, 0.9, 0.5; squares: 0.04, 1, 0.81, 4
    assert errors["abs_rel"] == pytest.approx((0.2 + 0.5 + 0.9 + 0.5) / 4)
    assert errors["rmse"] == pytest.approx(((0.04 + 1 + 0.81 + 4) / 4) ** 0.5)


def test_errors_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.uniform(0.5, 9, 300), rng.uniform(0.5, 9, 300)
    errors = dict(zip(ERRORS, depth_errors(predicted, true), strict=True))
    logs = np.log(true), np.log(predicted)
    assert errors["abs_rel"] == pytest.approx(mean_absolute_percentage_error(true, predicted))
    assert errors["rmse"] == pytest.approx(root_mean_squared_error(true, predicted))
    assert errors["rmse_log"] == pytest.approx(root_mean_squared_error(*logs))
    # Eigen's formula: the mean square of the differences less the square of their mean
    gap = logs[1] - logs[0]
    assert errors["silog"] ** 2 == pytest.approx((gap**2).mean() - gap.mean() ** 2)


def test_a_common_factor_leaves_silog_and_moves_rmse_log() -> None:
    true, predicted = np.array([1.0, 2.0, 5.0]), np.array([1.5, 2.0, 4.0])
    before, after = depth_errors(predicted, true), depth_errors(3 * predicted, true)
    assert after[ERRORS.index("silog")] == pytest.approx(before[ERRORS.index("silog")])
    assert after[ERRORS.index("rmse_log")] > before[ERRORS.index("rmse_log")] + 0.5


def test_an_image_without_pixels_has_no_errors() -> None:
    assert np.isnan(depth_errors(np.zeros(0), np.zeros(0))).all()


def test_alignment_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    predicted, true = rng.uniform(1, 5, 40), rng.uniform(1, 5, 40)
    design = np.stack([predicted, np.ones(40)], axis=1)
    expected = np.linalg.lstsq(design, true, rcond=None)[0]
    np.testing.assert_allclose(scale_and_shift(predicted, true), expected, rtol=1e-9)


def test_a_constant_prediction_is_moved_to_the_mean() -> None:
    assert scale_and_shift(np.full(3, 0.7), np.array([1.0, 2.0, 6.0])) == (0.0, 3.0)


def test_bins_are_at_equal_steps_or_equal_ratios() -> None:
    np.testing.assert_allclose(bin_centres((1.0, 9.0), 5, "uniform"), [1, 3, 5, 7, 9])
    np.testing.assert_allclose(bin_centres((1.0, 16.0), 5, "log"), [1, 2, 4, 8, 16])
    depth = np.array([[1.0, 2.9], [3.1, 15.0]])
    # by difference, 2.9 is nearest to 3; its ratio to 4 is 1.38, and to 2 it is 1.45
    assert nearest_bins(depth, (1.0, 9.0), 5, "uniform").tolist() == [[0, 1], [1, 4]]
    assert nearest_bins(depth, (1.0, 16.0), 5, "log").tolist() == [[0, 2], [2, 4]]


@pytest.mark.parametrize("spacing", ["uniform", "log"])
def test_the_nearest_bin_is_that_of_an_exhaustive_search(spacing: str) -> None:
    depth, range_m = np.random.default_rng(2).uniform(0.5, 10, 200), (0.5, 10.0)
    centres = bin_centres(range_m, 16, spacing)  # type: ignore[arg-type]
    scale = np.log if spacing == "log" else np.asarray
    expected = np.abs(scale(depth)[:, None] - scale(centres)).argmin(axis=1)
    found = nearest_bins(depth, range_m, 16, spacing)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, expected)


def test_expected_depth_takes_no_negative_share_and_all_where_none_is_positive() -> None:
    shares = np.array([[0.5, 0.5, 0.0], [0.2, -3.0, 0.6], [-1.0, 0.0, -2.0]])
    # (1 + 2) / 2; (0.2 x 1 + 0.6 x 6) / 0.8; (1 + 2 + 6) / 3
    found = expected_depth(shares, np.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(found, [1.5, 4.75, 3.0])
