"""What a metric is: an outcome in, one float out, and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IntervalKind = Literal["wilson", "mover", "bootstrap", "t"]


@dataclass(frozen=True)
class Metric:
    """A registered metric. Its name is the function's."""

    function: Callable[[Any], float]
    """Pure; raises UndefinedError with the reason where it has no value."""
    outcome: type
    """The kind of outcome that it reads."""
    interval: IntervalKind
    """How its interval is made; see `bob.intervals`."""
    highest: float
    """Its largest possible value."""
    higher_is_better: bool
    summary: str
    lowest: float = 0.0
    """Its smallest possible value."""
    each: Callable[[Any], NDArray[np.float64]] | None = None
    """Of an outcome: what each example gave (N,), of which the metric is the mean. Paired tests compare backbones by it; without it they resample."""

    @property
    def name(self) -> str:
        return self.function.__name__
