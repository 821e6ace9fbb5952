"""Extrapolation of learning curves: whether more train images would turn the order of two.

The error after training on n images is taken to be b · n^(-c), a power law without a floor (Cortes
et al. 1993; Hestness et al. 2017, arXiv:1712.00409; Viering & Loog 2023, arXiv:2103.10948, for what
is known of its failures). It is a straight line in log-log coordinates, fitted by least squares to
all sizes; of the wrong answers of N images, w count as (w + 1/2) / (N + 1), so that an error of 0
has a logarithm.
"""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints

DRAWS = 1000
"""Bootstrap samples of the test images."""
CLEAR = 0.8
"""Share of the samples from which the forecast is called likely."""


@dataclass(frozen=True)
class Forecast:
    """The difference in accuracy of a and b, a minus b, at more train images than there are."""

    train_images: int
    """Those that there are."""
    factor: float
    """Train images of the forecast: `factor` times as many."""
    now: float
    later: float
    low: float
    high: float
    """95 % interval of `later` over test images; it does not cover what the model lacks."""
    turned: float
    """Share of bootstrap samples in which `later` has another sign than `now`."""

    @property
    def verdict(self) -> str:
        """`turns`, `stays` or `open`; with no difference now there is nothing to turn."""
        if self.now and self.turned >= CLEAR:
            return "turns"
        return "stays" if self.now and self.turned <= 1 - CLEAR else "open"


def forecast(
    right_a: Bools, right_b: Bools, train_images: Ints, factor: float = 10.0, seed: int = 0
) -> Forecast:
    """Forecast the difference of two backbones from their learning curves.

    `right_a` and `right_b` (N, S) are right and wrong answers for the same test images after
    training on `train_images` (S,), ascending, S ≥ 2. ValueError for other shapes.
    """
    if right_a.shape != right_b.shape or right_a.shape[1:] != train_images.shape:
        raise ValueError(
            "both must have shape (N, S) for S numbers of train images; got "
            f"{right_a.shape}, {right_b.shape} and {train_images.shape}."
        )
    if len(train_images) < 2:
        raise ValueError("a learning curve needs train sets of at least two sizes; got one.")
    images = len(right_a)
    wrong = np.stack([~right_a, ~right_b]).astype(np.float64)  # (2, N, S)
    target = factor * float(train_images[-1])
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(images, np.full(images, 1 / images), size=DRAWS).astype(np.float64)
    drawn = _difference(weights @ wrong, images, train_images, target)
    total = wrong.sum(1, keepdims=True)
    now = float(total[1, 0, -1] - total[0, 0, -1]) / images
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Forecast(
        train_images=int(train_images[-1]),
        factor=factor,
        now=now,
        later=float(_difference(total, images, train_images, target)[0]),
        low=float(low),
        high=float(high),
        turned=float((np.sign(drawn) != np.sign(now)).mean()),
    )


def _difference(wrong: Doubles, images: int, train_images: Ints, target: float) -> Doubles:
    """Return (R,) the accuracy of a minus that of b at `target`, of wrong answers (2, R, S)."""
    a, b = power_law_errors(wrong, images, train_images, target)
    return np.asarray(b - a)


def power_law_errors(wrong: Doubles, images: int, train_images: Ints, target: float) -> Doubles:
    """Return (...) the error at `target` train images, of wrong answers (..., S) of some images."""
    log_error = np.log((wrong + 0.5) / (images + 1))
    log_size = np.log(train_images)
    centred = log_size - log_size.mean()
    slope = log_error @ centred / (centred @ centred)
    at_target = log_error.mean(-1) + slope * (np.log(target) - log_size.mean())
    return np.asarray(np.minimum(np.exp(at_target), 1.0))
