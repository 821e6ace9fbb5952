"""Power laws of an error in a cost: fits, a prediction of the largest point, and resamples.

error = A x^−b + E with A > 0 and E ≥ 0, fitted by least squares of the logarithm of the error (the
form "saturation" of LAION's scaling-laws-for-comparison, without an offset of x). b > 0 says that
errors fall as x grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Doubles

LEAST_POINTS = 6
"""Points without which three parameters say nothing."""
LARGEST_EXPONENT = 3.0
STARTS = (0.05, 0.5)
DRAWS = 100


@dataclass(frozen=True)
class PowerLaw:
    """error = amplitude · (x / scale)^−exponent + floor."""

    amplitude: float
    exponent: float
    floor: float
    scale: float
    """Geometric mean of the x that were fitted."""

    def __call__(self, x: Doubles) -> Doubles:
        """Return the errors (N,) at x (N,) > 0."""
        return np.asarray(self.amplitude * (x / self.scale) ** -self.exponent + self.floor)


@dataclass(frozen=True)
class ScalingFit:
    """A power law of the errors of backbones, and how far it can be relied on."""

    law: PowerLaw
    exponent_low: float
    """Limits of 95 % of the exponent over resampled backbones."""
    exponent_high: float
    largest: float
    """Error of the backbone with the largest x."""
    largest_predicted: float
    """The same by a law fitted to all others."""


def fit_power_law(x: Doubles, error: Doubles, starts: Sequence[float] = STARTS) -> PowerLaw:
    """Return the law with the least squared difference of log errors; x and error (N,) > 0.

    The best of fits that start at these exponents counts.
    """
    from scipy.optimize import least_squares  # 0.1 s that `list` and `--help` need not pay

    log_x, log_error = np.log(x), np.log(error)
    scale = float(np.exp(log_x.mean()))
    place = log_x - log_x.mean()
    smallest = float(error.min())

    def misses(parameters: Doubles) -> Doubles:
        log_a, exponent, floor = parameters
        return np.asarray(np.log(np.exp(log_a - exponent * place) + floor) - log_error)

    def slopes(parameters: Doubles) -> Doubles:
        log_a, exponent, floor = parameters
        part = np.exp(log_a - exponent * place)
        of_error = np.stack([part, -place * part, np.ones_like(part)], axis=1)
        return np.asarray(of_error / (part + floor)[:, None])

    middle = float(log_error.mean())
    bounds = ([-30, -LARGEST_EXPONENT, 0], [30, LARGEST_EXPONENT, smallest])
    fits = [
        least_squares(misses, [middle, start, smallest / 2], jac=slopes, bounds=bounds, xtol=1e-10)
        for start in starts
    ]
    log_a, exponent, floor = min(fits, key=lambda fit: float(fit.cost)).x.tolist()
    return PowerLaw(float(np.exp(log_a)), exponent, floor, scale)


def scaling_fit(x: Doubles, error: Doubles, draws: int = DRAWS, seed: int = 0) -> ScalingFit | None:
    """Return the fit of errors (N,) at x (N,).

    None for fewer than 6 points or 4 different x, and where an x or an error is not above 0.
    """
    if len(x) < LEAST_POINTS or len(np.unique(x)) < 4 or min(x.min(), error.min()) <= 0:
        return None
    law, rng = fit_power_law(x, error), np.random.default_rng(seed)
    exponents: list[float] = []
    while len(exponents) < draws:
        chosen = rng.integers(len(x), size=len(x))
        if len(np.unique(x[chosen])) >= 3:
            resampled = fit_power_law(x[chosen], error[chosen], (law.exponent,))
            exponents.append(resampled.exponent)
    low, high = np.percentile(exponents, (2.5, 97.5)).tolist()
    largest = int(x.argmax())
    others = np.arange(len(x)) != largest
    predicted = fit_power_law(x[others], error[others])(x[[largest]])
    return ScalingFit(law, low, high, float(error[largest]), float(predicted[0]))
