"""The outcome of depth prediction: the errors of each image's pixels."""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Doubles
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class DepthErrors(ArrayOutcome):
    """Errors of the depth of N test images; NaN where an image has no pixel of known depth.

    Each is computed from the pixels of one image; see `bob.numerics.dense.depth`.
    """

    delta1: Doubles
    """(N,) share of pixels within a factor of 1.25"""
    delta2: Doubles
    """(N,) share of pixels within a factor of 1.25²"""
    delta3: Doubles
    """(N,) share of pixels within a factor of 1.25³"""
    abs_rel: Doubles
    """(N,) mean error relative to the true depth"""
    rmse: Doubles
    """(N,) root mean square error in metres"""
    rmse_log: Doubles
    """(N,) root mean square error of the logarithm"""
    silog: Doubles
    """(N,) standard deviation of the error of the logarithm"""

    def __post_init__(self) -> None:
        shapes = {np.shape(values) for values in vars(self).values()}
        if len(shapes) > 1 or self.delta1.ndim != 1:
            raise ValueError(f"all errors must have shape (N,); got {sorted(shapes)}.")
