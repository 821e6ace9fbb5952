"""Metrics of depth prediction: means over images of errors over their pixels.

Each image weighs the same, as in Eigen et al. 2014 (arXiv:1406.2283) and in the evaluations of
DINOv2 and DINOv3. Images without pixels of known depth are left out.
"""

from collections.abc import Callable

import numpy as np

from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import DepthErrors

_EMPTY = "no test image has pixels of known depth"


def delta1(outcome: DepthErrors) -> float:
    """Return the share of pixels whose depth is within a factor of 1.25. Range [0, 1]."""
    return mean_of(_defined(outcome.delta1), if_empty=_EMPTY)


def delta2(outcome: DepthErrors) -> float:
    """Return the share of pixels whose depth is within a factor of 1.25². Range [0, 1]."""
    return mean_of(_defined(outcome.delta2), if_empty=_EMPTY)


def delta3(outcome: DepthErrors) -> float:
    """Return the share of pixels whose depth is within a factor of 1.25³. Range [0, 1]."""
    return mean_of(_defined(outcome.delta3), if_empty=_EMPTY)


def abs_rel(outcome: DepthErrors) -> float:
    """Return the mean error relative to the true depth. Range [0, inf)."""
    return mean_of(_defined(outcome.abs_rel), if_empty=_EMPTY)


def depth_rmse(outcome: DepthErrors) -> float:
    """Return the root mean square error of an image's depth, in metres. Range [0, inf)."""
    return mean_of(_defined(outcome.rmse), if_empty=_EMPTY)


def depth_rmse_log(outcome: DepthErrors) -> float:
    """Return the root mean square error of the natural logarithm of depth. Range [0, inf)."""
    return mean_of(_defined(outcome.rmse_log), if_empty=_EMPTY)


def silog(outcome: DepthErrors) -> float:
    """Return the standard deviation of an image's errors of log depth. Range [0, inf).

    No common factor of an image's depths changes it. KITTI states it in percent.
    """
    return mean_of(_defined(outcome.silog), if_empty=_EMPTY)


def _defined(values: Doubles) -> Doubles:
    return values[~np.isnan(values)]


def _share(function: Callable[[DepthErrors], float], factor: str) -> Metric:
    return Metric(
        function,
        DepthErrors,
        interval="effective",
        higher_is_better=True,
        summary=f"share of an image's pixels whose depth is within a factor of {factor}",
        per_example=lambda outcome: _defined(getattr(outcome, function.__name__)),
    )


def _error(function: Callable[[DepthErrors], float], field: str, summary: str) -> Metric:
    return Metric(
        function,
        DepthErrors,
        interval="hall",
        higher_is_better=False,
        summary=summary,
        highest=float("inf"),
        per_example=lambda outcome: _defined(getattr(outcome, field)),
    )


METRICS = (
    _share(delta1, "1.25"),
    _share(delta2, "1.25²"),
    _share(delta3, "1.25³"),
    _error(abs_rel, "abs_rel", "error of depth relative to the true depth"),
    _error(depth_rmse, "rmse", "root mean square error of an image's depth, in metres"),
    _error(depth_rmse_log, "rmse_log", "root mean square error of the logarithm of depth"),
    _error(silog, "silog", "standard deviation of an image's errors of log depth"),
)
