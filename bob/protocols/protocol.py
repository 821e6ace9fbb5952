"""What every protocol is: one object that says what it needs, and turns that into an outcome."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from bob.datasets.dataset import Dataset
from bob.metrics import Metric
from bob.outcomes import Outcome
from bob.protocols.needs import Inputs, Needs
from bob.specs import BackboneSpec
from bob.specs.dataset import DatasetKind
from bob.specs.yaml import Closed

SettingsT = TypeVar("SettingsT", bound=Closed)
ProblemT = TypeVar("ProblemT")


@dataclass(frozen=True, eq=False)
class ResultPart:
    """One outcome of a task, and which metrics are read from it."""

    outcome: Outcome | None
    """None where this part does not exist on this dataset; `undefined` says why."""
    suffix: str = ""
    """Suffix of the names of its scores: `k20` in `top1_k20`. Empty for the headline."""
    metrics: Literal["all", "ranking"] | tuple[str, ...] = "all"
    """All of the task's metrics that read this kind of outcome, the ranking one, or these."""
    facets: Mapping[str, str | int | float] = field(default_factory=dict)
    """The same as the suffix, as data: {"k": 20}."""
    stored: bool = False
    """Whether its per-example arrays are stored; the headline's always are."""
    undefined: str | None = None
    """Why there is no outcome."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a protocol returns."""

    parts: tuple[ResultPart, ...]
    """The first is the headline, at the chosen setting."""
    detail: Mapping[str, Any]
    """JSON-ready: what was chosen, and what a reader should know about it."""

    @property
    def outcome(self) -> Any:
        """The headline's outcome."""
        return self.parts[0].outcome


class Protocol(abc.ABC, Generic[SettingsT, ProblemT]):
    """A way to score frozen features: needs, problem, solution and metrics in one object.

    A module that defines one binds an instance to the name `PROTOCOL`. Modules of this package are
    found by that name; a package of its own announces the instance through an entry point of the
    group `bob.protocols`. Modules are imported by every command line, so they import torch and
    other heavy libraries inside the methods that need them.
    """

    name: ClassVar[str]
    """As task files name it."""
    settings: ClassVar[type[Closed]]
    """Model of the task file's `settings`."""
    kinds: ClassVar[frozenset[DatasetKind]]
    """Kinds of datasets that it accepts."""
    outcomes: ClassVar[tuple[type[Outcome], ...]]
    """Kinds of outcomes that it returns: a task may list the metrics that read one of them."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Metrics of its own, registered beside those of `bob.metrics`."""

    @abc.abstractmethod
    def needs(self, settings: SettingsT, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        """Return what the task needs of a dataset and a backbone.

        NotApplicableError where the dataset cannot carry the task, or the backbone cannot do it.
        """

    @abc.abstractmethod
    def build(
        self, settings: SettingsT, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ProblemT:
        """Return the problem: features with roles, labels, and what is sampled from the seed."""

    @abc.abstractmethod
    def solve(self, problem: ProblemT, settings: SettingsT, device: str) -> Result:
        """Solve a problem. Pure: no files, no clock, no global state."""

    def uses_seed(self, settings: SettingsT, dataset: Dataset) -> bool:
        """Whether the result depends on the seed; where not, one seed is enough."""
        return False
