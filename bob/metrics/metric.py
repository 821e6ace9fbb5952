"""The definition of a metric: a function from an outcome to one float, and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.errors import ConfigError, UndefinedError
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import Outcome

IntervalKind = Literal[
    "wilson",
    "score",
    "newcombe",
    "ratio",
    "effective",
    "hall",
    "tango",
    "t",
    "jackknife",
    "folded",
    "lowest",
    "gap",
    "quantile",
    "median",
    "bootstrap",
]
"""How the 95 % interval of a metric is computed; see `bob.metrics.intervals`."""

READS: Mapping[IntervalKind, str] = {
    "score": "shares",
    "newcombe": "shares",
    "ratio": "shares",
    "effective": "per_example",
    "hall": "per_example",
    "tango": "per_example",
    "t": "per_example",
    "jackknife": "leave_one_out",
    "folded": "bias_range",
    "lowest": "accuracies",
    "gap": "accuracies",
    "quantile": "at_quantile",
    "median": "median_of",
}
"""Kind of interval → the function of the metric from which it is computed."""


@dataclass(frozen=True, eq=False)
class GroupAccuracies:
    """The accuracies of G groups of images, and a function of them."""

    right: Doubles
    """(G,) sums of right answers, each from 0 to 1."""
    count: Doubles
    """(G,) images."""
    compared: Ints
    """(G,) groups with equal numbers are compared with each other."""
    function: Callable[[Doubles], Doubles]
    """Accuracies (..., G) → values (...,)."""


@dataclass(frozen=True)
class Metric:
    """A metric and everything that intervals, paired tests and tables need to know about it."""

    function: Callable[[Any], float]
    """Pure; raises UndefinedError with the reason if an outcome has no value."""
    outcome: type[Outcome]
    """The class of outcomes that `function` takes."""
    _: KW_ONLY
    interval: IntervalKind
    higher_is_better: bool
    summary: str
    """A phrase for tables and help texts."""
    lowest: float = 0.0
    """The smallest possible value."""
    highest: float = 1.0
    """The largest possible value."""
    per_example: Callable[[Any], Doubles] | None = None
    """Outcome → (N,) values of the examples, whose mean is the metric.

    Paired tests compare backbones by these values; a metric without them is bootstrapped instead.
    """
    shares: Callable[[Any], tuple[Doubles, Doubles]] | None = None
    """Outcome → successes (K,) and sizes (K,) of the independent shares that make up the metric.

    The metric is their mean, or the first share against the mean of the others.
    """
    strata: Callable[[Any], NDArray[Any]] | None = None
    """Outcome → (N,) the stratum of each example, if the sizes of the strata are fixed by design.

    The bootstrap resamples within each stratum.
    """
    redrawn: Callable[[Any, np.random.Generator, int], Doubles] | None = None
    """(outcome, generator, draws) → (draws,) values on resamples within `strata`, NaN if undefined.

    For metrics of counts, which can be resampled without their examples; and for those that take
    weights of examples. The latter have no strata, and draw the same weights for the same number of
    examples, so that two outcomes are resampled alike.
    """
    leave_one_out: Callable[[Any], Doubles] | None = None
    """Outcome → (N,) the metric without each example, NaN where it is then undefined."""
    at_quantile: Callable[[Any], tuple[Doubles, Doubles, float]] | None = None
    """Outcome → counted (n,), ordered_by (m,) and level, for a share counted up to a quantile.

    The metric is the share of `counted` at or below the `level` quantile of `ordered_by`.
    """
    median_of: Callable[[Any], Doubles] | None = None
    """Outcome → (N,) values of which the metric is the median."""
    biased: bool = False
    """Whether noise moves the metric in one direction.

    The jackknife and the bootstrap then subtract the bias that they estimate.
    """
    chance: Callable[[Any], float] | None = None
    """Outcome → expected value of random answers, or that of equal scores for all examples."""
    describes: bool = False
    """Whether it describes features without saying which are better: nothing is ranked by it."""
    bias_range: Callable[[Any], tuple[float, float]] | None = None
    """Outcome → the least and the most by which noise raises a sum of absolute values.

    Needs `leave_one_out` too.
    """
    accuracies: Callable[[Any], GroupAccuracies] | None = None
    """Outcome → the accuracies of groups, whose lowest or whose gap is the metric."""

    def __post_init__(self) -> None:
        needed = READS.get(self.interval)
        if needed is not None and getattr(self, needed) is None:
            raise ConfigError(
                f"metric {self.name!r}: an interval of kind {self.interval!r} needs {needed!r}; "
                "got None."
            )

    @property
    def name(self) -> str:
        """The name of `function`."""
        return self.function.__name__


def mean_of(values: NDArray[np.floating[Any]], *, if_empty: str) -> float:
    """Return the mean of values (N,), in float64; without values raise UndefinedError(if_empty)."""
    if not len(values):
        raise UndefinedError(if_empty)
    return float(values.mean(dtype=np.float64))
