"""What every protocol takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import Classified


@dataclass(frozen=True, eq=False)
class Problem:
    """Features with roles. Every choice is made on `held_out` rows of train; test is read once."""

    x: NDArray[np.float32]
    """(N, D) train features, those of a val split among them."""
    y: NDArray[np.int64]
    """(N,)"""
    held_out: NDArray[np.bool_]
    """(N,) the train rows on which choices are made: the val split, else a stratified share of train."""
    test_x: NDArray[np.float32]
    """(Q, D)"""
    test_y: NDArray[np.int64]
    """(Q,)"""
    classes: int


@dataclass(frozen=True, eq=False)
class Result:
    """What a protocol found."""

    outcome: Classified
    """At the chosen setting."""
    detail: Mapping[str, Any]
    """JSON-ready: what was chosen, and what a reader should know about it."""
    variants: Mapping[str, Classified] = field(default_factory=dict)
    """Outcomes at other settings, by suffix of the metric's name: `k20`."""
