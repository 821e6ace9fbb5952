"""Forecasts from learning curves: power laws are continued exactly, and orders turn or stay."""

import numpy as np
import pytest

from bob.numerics.arrays import Bools
from bob.statistics.learning_curves import Forecast, forecast, power_law_errors

SIZES = np.array([100, 200, 400, 800])


def answers(wrong: list[int], images: int = 1000) -> Bools:
    """Return answers (N, S) of which the first `wrong` of each column are wrong."""
    return np.arange(images)[:, None] >= np.array(wrong)


def test_a_power_law_is_continued() -> None:
    """Errors 0.4, 0.2, 0.1 at 100, 200, 400 halve with each doubling: 0.025 at 1600.

    Of 999 images, (w + 1/2) / 1000 is the error: w is 399.5, 199.5 and 99.5.
    """
    wrong = np.array([399.5, 199.5, 99.5])
    assert power_law_errors(wrong, 999, SIZES[:3], 1600.0) == pytest.approx(0.025)


def test_the_line_is_the_least_squares_line_of_numpy() -> None:
    wrong = np.array([[410.0, 300.0, 260.0, 180.0], [0.0, 3.0, 1.0, 0.0]])
    for row in wrong:
        slope, level = np.polyfit(np.log(SIZES), np.log((row + 0.5) / 1001), 1)
        expected = np.exp(level + slope * np.log(8000))
        assert power_law_errors(row, 1000, SIZES, 8000.0) == pytest.approx(expected)


def test_an_error_is_at_most_one() -> None:
    rising = np.array([400.0, 600.0, 800.0, 950.0])
    assert power_law_errors(rising, 1000, SIZES, 80_000.0) == 1.0


def test_a_steeper_curve_overtakes() -> None:
    """b is 4 points behind, but halves its error with each doubling, a by a tenth."""
    a, b = answers([110, 100, 90, 81]), answers([960, 480, 240, 120])
    result = forecast(a, b, SIZES)
    assert result.now == pytest.approx(0.039) and result.train_images == 800
    assert result.later < 0 and result.high < 0
    assert result.turned > 0.99 and result.verdict == "turns"


def test_parallel_curves_stay_in_order() -> None:
    a, b = answers([300, 240, 192, 154]), answers([500, 400, 320, 256])
    result = forecast(a, b, SIZES)
    assert result.later > 0 and result.turned < 0.01 and result.verdict == "stays"


def test_exchanging_the_two_reverses_the_signs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 200, 4)) < 0.7
    one, other = forecast(a, b, SIZES), forecast(b, a, SIZES)
    assert (one.now, one.later) == (-other.now, -other.later)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.turned == other.turned


def test_equal_curves_are_open() -> None:
    a = answers([300, 240, 192, 154])
    result = forecast(a, a, SIZES)
    assert (result.now, result.later, result.verdict) == (0.0, 0.0, "open")


def test_between_likely_and_unlikely_the_order_is_open() -> None:
    assert Forecast(100, 10.0, 0.02, 0.0, -0.1, 0.1, turned=0.5).verdict == "open"


def test_shapes_must_agree() -> None:
    a = answers([3, 2, 1, 0], 10)
    with pytest.raises(ValueError, match="both must have shape"):
        forecast(a, a[:, 1:], SIZES)
    with pytest.raises(ValueError, match="at least two sizes; got one"):
        forecast(a[:, :1], a[:, :1], SIZES[:1])
