"""Metrics of depth: means over the images that have pixels of known depth."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.outcomes import DepthErrors

NAMES = {
    "delta1": "delta1",
    "delta2": "delta2",
    "delta3": "delta3",
    "abs_rel": "abs_rel",
    "depth_rmse": "rmse",
    "depth_rmse_log": "rmse_log",
    "silog": "silog",
}
"""Metric → field of the outcome."""


def outcome(n: int = 12) -> DepthErrors:
    """Return random errors, which the second image does not have."""
    values = np.random.default_rng(0).uniform(0.1, 0.9, (7, n))
    values[:, 1] = np.nan
    return DepthErrors(*values)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_the_mean_of_the_images_that_have_it(name: str) -> None:
    value, low, high, _ = interval(name, outcome(), 0)
    assert value == pytest.approx(np.nanmean(getattr(outcome(), NAMES[name])))
    assert low is not None and high is not None and low < value < high
    assert metric_named(name).higher_is_better == name.startswith("delta")


@pytest.mark.parametrize("name", NAMES)
def test_no_pixel_of_known_depth_is_undefined(name: str) -> None:
    nothing = outcome().take(np.array([1, 1]))
    with pytest.raises(UndefinedError, match="no test image has pixels of known depth"):
        metric_named(name).function(nothing)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"all errors must have shape \(N,\)"):
        DepthErrors(*np.zeros((6, 3)), np.zeros(2))
