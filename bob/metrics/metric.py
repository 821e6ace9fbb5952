"""What a metric is: an outcome in, one float out, and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    "quantile",
    "bootstrap",
]


@dataclass(frozen=True)
class Metric:
    """A registered metric. Its name is the function's."""

    function: Callable[[Any], float]
    """Pure; raises UndefinedError with the reason where it has no value."""
    outcome: type
    """The kind of outcome that it reads."""
    interval: IntervalKind
    """How its interval is made; see `bob.metrics.intervals`."""
    highest: float
    """Its largest possible value."""
    higher_is_better: bool
    summary: str
    lowest: float = 0.0
    """Its smallest possible value."""
    per_example: Callable[[Any], NDArray[np.float64]] | None = None
    """Of an outcome: what each example gave (N,), of which the metric is the mean. Paired tests compare backbones by it; without it they resample."""
    shares: Callable[[Any], tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]] | None = (
        None
    )
    """Of an outcome: successes and sizes (K,) of the independent shares that the metric is made of: their mean, or the first against the others."""
    strata: Callable[[Any], NDArray[Any]] | None = None
    """Of an outcome: to which part each example belongs (N,), where the parts' sizes are no matter of chance; the bootstrap resamples within each."""
    leave_one_out: Callable[[Any], NDArray[np.floating[Any]]] | None = None
    """Of an outcome: the metric without each example (N,), NaN where it then has no value. The jackknife reads it."""
    at_quantile: (
        Callable[[Any], tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], float]] | None
    ) = None
    """Of an outcome: the values (n,) of which a share is counted, those (m,) at whose quantile it is counted, and the level of that quantile."""
    biased: bool = False
    """Whether noise moves it one way. The jackknife and the bootstrap take out the bias that they show."""
    bias: Callable[[Any], float] | None = None
    """Of an outcome: how far noise moves it on average, where leaving single examples out does not show that."""

    @property
    def name(self) -> str:
        return self.function.__name__
