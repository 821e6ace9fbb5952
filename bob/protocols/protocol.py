"""What every protocol takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import Outcome


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
    fold: NDArray[np.int64] | None = None
    """(N,) the fold of each train row, where choices are made on each fold in turn; then nothing is in `held_out`."""


@dataclass(frozen=True, eq=False)
class Part:
    """One outcome of a task, and which metrics are read from it."""

    outcome: Outcome | None
    """None where this part cannot be had on this dataset: `undefined` says why."""
    suffix: str = ""
    """Tells it apart in the names of scores: `top1_k20` has the suffix `k20`. Empty for the headline."""
    metrics: Literal["all", "ranking"] | tuple[str, ...] = "all"
    """All of the task's metrics that read this kind of outcome, the ranking one alone, or these."""
    facets: Mapping[str, str | int | float] = field(default_factory=dict)
    """The same as the suffix, as data: {"k": 20}."""
    stored: bool = False
    """Whether its per-example arrays are kept; the headline's always are."""
    undefined: str | None = None
    """Why there is no outcome."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a protocol found."""

    parts: tuple[Part, ...]
    """The first is the headline, at the chosen setting."""
    detail: Mapping[str, Any]
    """JSON-ready: what was chosen, and what a reader should know about it."""

    @property
    def outcome(self) -> Any:
        """The headline's outcome."""
        return self.parts[0].outcome
