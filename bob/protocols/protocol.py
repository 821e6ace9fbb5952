"""The interface of protocols: one object that states its needs and turns them into outcomes."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from numpy.typing import NDArray

from bob.datasets.dataset import Dataset
from bob.metrics import Metric
from bob.numerics.arrays import Bools, Doubles
from bob.outcomes import Outcome
from bob.protocols.needs import Inputs, Needs
from bob.specs import BackboneSpec
from bob.specs.dataset import DatasetKind
from bob.specs.yaml import Closed

SettingsT = TypeVar("SettingsT", bound=Closed)
ProblemT = TypeVar("ProblemT")


@dataclass(frozen=True, eq=False)
class ResultPart:
    """One outcome of a task, and the metrics that are read from it."""

    outcome: Outcome | None
    """None where this part is undefined on this dataset; `undefined` gives the reason."""
    suffix: str = ""
    """Suffix of the names of its scores: `k20` in `top1_k20`. Empty for the headline."""
    metrics: Literal["all", "ranking"] | tuple[str, ...] = "all"
    """All of the task's metrics that read this kind of outcome, the ranking metric, or these."""
    facets: Mapping[str, str | int | float] = field(default_factory=dict)
    """The same as the suffix, as data: {"k": 20}."""
    stored: bool = False
    """Whether its per-example arrays are stored; the headline's always are."""
    undefined: str | None = None
    """Why there is no outcome."""
    chance: float | None = None
    """Value expected of random answers, for metrics that cannot compute it from the outcome."""
    majority: Outcome | None = None
    """What a classifier would give that knows the class frequencies of train alone; None where
    the engine makes it, or where there is none."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Right and wrong answers for test images, whose accuracy is reported by groups of images.

    See `bob.protocols.attribute_groups`.
    """

    right: Doubles
    """(M,) 1 for a right answer, else 0; or the share of several classifiers that are right."""
    images: str = "test"
    """The test split, or the name of a shift."""
    rows: Bools | None = None
    """(n,) for which M of its n readable images, in their order; None is all."""


@dataclass(frozen=True, eq=False)
class Result:
    """The outcomes of a protocol, and a record of its choices."""

    parts: tuple[ResultPart, ...]
    """The first is the headline, at the chosen setting."""
    detail: Mapping[str, Any]
    """JSON-ready values: the settings that were chosen, and how."""
    caveats: tuple[str, ...] = ()
    """What a reader of the scores must know; see `bob.protocols.caveats`."""
    answers: Mapping[str, Answers] = field(default_factory=dict)
    """Suffix of the scores by groups → answers. Classifiers state at least those of their headline,
    by the empty suffix."""
    shown: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Arrays of a few test examples for pages of images, such as predictions of pixels; they are
    stored with the record."""

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
    """Name by which task files refer to it."""
    settings: ClassVar[type[Closed]]
    """Model of `settings` in a task file."""
    kinds: ClassVar[frozenset[DatasetKind]]
    """Kinds of datasets that the protocol accepts."""
    outcomes: ClassVar[tuple[type[Outcome], ...]]
    """Kinds of outcomes that the protocol returns; a task may list the metrics that read them."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Metrics that the protocol adds to those of `bob.metrics`."""

    @abc.abstractmethod
    def needs(self, settings: SettingsT, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        """Return the features, statistics and texts that the task needs.

        NotApplicableError where the task does not apply to the dataset or the backbone.
        """

    @abc.abstractmethod
    def build(
        self, settings: SettingsT, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ProblemT:
        """Return the problem: features with roles, labels, and the samples of the seed."""

    @abc.abstractmethod
    def solve(self, problem: ProblemT, settings: SettingsT, device: str) -> Result:
        """Solve a problem. Pure: no files, no clock, no global state."""

    def uses_seed(self, settings: SettingsT, dataset: Dataset) -> bool:
        """Whether the result depends on the seed; if not, a task is solved for one seed alone."""
        return False
