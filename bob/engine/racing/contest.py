"""The race of the backbones of one task and dataset: embed, score, look, drop, and again."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from bob.datasets.dataset import Dataset
from bob.engine.engine import Engine, EngineListener
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.racing.schedule import RaceStep, gallery_schedule, schedule
from bob.engine.racing.trial import (
    can_score_train,
    example_values,
    is_retrieval,
    least_value,
    race_splits,
)
from bob.engine.units import Unit
from bob.errors import (
    ConfigError,
    NotApplicableError,
    StoreError,
    UndefinedError,
    UnreadableImageError,
)
from bob.features.inventory import in_use
from bob.numerics.arrays import Bools, Doubles
from bob.plan import Cell, Pass, Plan, Workspace
from bob.statistics.races import new_race
from bob.statistics.racing import Certified, Drop, Race
from bob.statistics.standing import Look, RaceStanding, RaceStandings

DECAY = 2**-0.5
"""How much smaller a change of accuracy is with each doubling of the train images, if errors fall
like the inverse square root of their number."""


@dataclass(frozen=True)
class RaceSettings:
    """How a race decides."""

    error: float = 0.05
    """Bound of the probability that what is certified is false, in (0, 1)."""
    margin: float = 0.0
    """Difference of accuracies up to which nothing is dropped, in (-1, 1); below 0 it is that of an
    indifference zone (`bob.statistics.racing`)."""
    seed: int = 0
    """Seed of the order of images."""
    certified: Certified = "drops"

    def __post_init__(self) -> None:
        """Raise ConfigError for what no race can certify."""
        claims = get_args(Certified)
        if not 0 < self.error < 1:
            raise ConfigError(f"the error of a race must be between 0 and 1; got {self.error!r}.")
        if not -1 < self.margin < 1:
            raise ConfigError(f"the indifference must be between -1 and 1; got {self.margin!r}.")
        if self.seed < 0:
            raise ConfigError(f"the seed of a race must be at least 0; got {self.seed!r}.")
        if self.certified not in claims:
            raise ConfigError(f"a race certifies {', '.join(claims)}; got {self.certified!r}.")
        if self.certified == "tie" and self.margin > 0:
            raise ConfigError(
                f"a race that certifies a tie takes no indifference above 0; got {self.margin!r}."
            )


@dataclass(frozen=True)
class DroppedCell:
    """A cell whose backbone was dropped, and what was known then."""

    cell: Cell
    rival: str
    step: RaceStep
    value: float
    rival_value: float
    """Sum of the values of the scored images with each of the two: right answers, or precisions."""
    scored: int
    """Number of images scored, until it was dropped."""
    all_images: int
    """Images of a full run."""
    again: int
    """Images that each survivor embeds a second time."""
    has_right_answers: bool
    """Whether values are 1 for right and 0 for wrong answers, not average precisions."""
    looks: Sequence[Look]
    rival_looks: Sequence[Look]
    """How the two stood after each look until then."""

    @property
    def details(self) -> dict[str, Any]:
        """What the record holds, so that the page can draw the race; values are means."""
        return {
            "images": self.step.train + self.step.test,
            "images_of_all": self.all_images,
            "images_again": self.again,
            "scored": self.scored,
            "value": self.value / self.scored,
            "rival": self.rival,
            "rival_value": self.rival_value / self.scored,
            "looks": [list(look) for look in self.looks],
            "rival_looks": [list(look) for look in self.rival_looks],
        }

    @property
    def reason(self) -> str:
        """What the leaderboard says; it begins with `at N images`."""
        if self.has_right_answers:
            values = (
                f"{self.value:,.0f} of {self.scored:,} right, {self.rival} {self.rival_value:,.0f}"
            )
        else:
            mean, of_rival = self.value / self.scored, self.rival_value / self.scored
            values = (
                f"mean average precision {100 * mean:.1f} % of {self.scored:,} queries, "
                f"{self.rival} {100 * of_rival:.1f} %"
            )
        return f"at {self.step.text}: {values}"


@dataclass(frozen=True)
class ContestResult:
    """How a race ended."""

    survivors: tuple[Cell, ...]
    dropped: tuple[DroppedCell, ...]
    images: Mapping[str, int]
    """Backbone → images that were embedded with it for the race."""
    has_ended: bool
    """Whether all steps were taken; False where the budget ended it."""
    margin: float
    """That of the settings, or the one that a race without one has set."""


@dataclass(eq=False)
class Contest:
    """A race of cells of one task and dataset; `plan` holds their specs."""

    plan: Plan
    cells: Sequence[Cell]
    workspace: Workspace
    engine: Engine
    listener: EngineListener
    settings: RaceSettings
    report: Callable[[RaceStep, Sequence[DroppedCell], Sequence[RaceStanding]], None]
    """Called after each step with what was dropped, and how all stand where it was scored."""
    may_continue: Callable[[int], bool] = lambda images: True
    """Whether so many more images may be embedded, asked before each step."""
    _withdrawn: set[str] = field(default_factory=set)
    """Backbones that failed: the ordinary run says why."""
    _begun: set[str] = field(default_factory=set)
    """Digests of features whose embedding was begun; a failure since then is of this run."""

    def __post_init__(self) -> None:
        first = self.cells[0]
        self.dataset, self.task = first.dataset, self.plan.tasks[first.task]
        self.names = [cell.backbone for cell in self.cells]
        dataset = self.workspace.dataset(self.dataset)
        self.counts = {
            str(name): len(dataset.splits[name]) for name in race_splits(self.task, dataset)
        }
        self.steps = self._steps(dataset)
        self.blocks = RaceBlocks(self.dataset, self.workspace, self.steps, self.settings.seed)

    def _steps(self, dataset: Dataset) -> tuple[RaceStep, ...]:
        """Return the steps of the race; none for one backbone, or what cannot be raced."""
        if not self.counts or len(self.cells) < 2:
            return ()
        if is_retrieval(self.task):
            return gallery_schedule(self.counts["test"])
        classes = len(np.unique(dataset.splits["train"].y))
        return schedule(self.counts, classes, can_score_train(dataset))

    def run(self) -> ContestResult:
        """Race until one backbone is left, the steps are taken, or the budget is spent."""
        active = np.ones(len(self.cells), bool)
        dropped: list[DroppedCell] = []
        last: dict[str, RaceStep] = {}
        race, standings = self._race(), RaceStandings(self.names)
        has_ended = True
        for step in self.steps:
            if active.sum() - len(self._withdrawn) < 2:
                break
            if not self.may_continue(self._images_to_embed(step, active)):
                has_ended = False
                break
            self._embed(step, active)
            last |= dict.fromkeys(self._names(active), step)
            values = self._values(step, active)
            new: list[DroppedCell] = []
            standing: tuple[RaceStanding, ...] = ()
            if values is not None:
                race.active &= self._takes_part()
                race.least = self._least_value(step, race.active)
                race.add(values)
                confirmed = [d for d in race.rejected() if self._lasts(d, step, race.margin)]
                race.drop(confirmed)
                active[[drop.backbone for drop in confirmed]] = False
                standing = standings.after(race, values, step.train + step.test)
                new = [self._dropped(drop, step, standings) for drop in confirmed]
            dropped += new
            self.report(step, new, standing)
        survivors = tuple(cell for cell, here in zip(self.cells, active, strict=True) if here)
        images = {
            name: self.blocks.images(step.counts, self.plan.backbones[name])
            for name, step in last.items()
        }
        return ContestResult(survivors, tuple(dropped), images, has_ended, race.claimed_margin)

    def lacking(self, backbone: str) -> tuple[int, int]:
        """Return the images of splits that are not stored in full, and those of their samples.

        A survivor embeds both; its samples are embedded a second time.
        """
        spec = self.plan.backbones[backbone]
        splits = [name for name in self.counts if not self.blocks.is_full(spec, name)]
        images = sum(self.counts[name] for name in splits)
        samples = sum(self.blocks.sample_size(name) for name in splits)
        return images, samples if self.steps else 0

    def _race(self) -> Race:
        settings = self.settings
        claim = settings.error, settings.margin, settings.certified
        return new_race(len(self.cells), *claim, examples=self.counts.get("test", 0))

    def _takes_part(self) -> Bools:
        return np.array([name not in self._withdrawn for name in self.names])

    def _names(self, active: Bools) -> list[str]:
        here = active & self._takes_part()
        return [name for name, is_here in zip(self.names, here, strict=True) if is_here]

    def _images_to_embed(self, step: RaceStep, active: Bools) -> int:
        specs = {name: self.plan.backbones[name] for name in self._names(active)}
        return sum(
            whole.count * len(whole.forwards) for whole in self.blocks.passes(step.counts, specs)
        )

    def _embed(self, step: RaceStep, active: Bools) -> None:
        """Embed what is missing up to a step."""
        specs = {name: self.plan.backbones[name] for name in self._names(active)}
        self.embed(self.blocks.passes(step.counts, specs))

    def embed(self, passes: Iterable[Pass]) -> None:
        """Carry out passes over blocks; what fails leaves its reason in the store."""
        store = self.workspace.places.features()
        for whole in passes:
            plan = self.plan.narrowed(passes=(whole,))
            digests = set(plan.stored_digests())
            for digest in digests - self._begun:
                store.clear_failure(digest)
            self._begun |= digests
            images = dict.fromkeys(plan.backbones, sum(self.counts.values()))
            unit = Unit(kind="embed", plan=plan, expected_images=images)
            with in_use(store.root, digests):
                self.engine.submit(unit, self.listener).result()

    def _values(self, step: RaceStep, active: Bools) -> Doubles | None:
        """Return (M, K) values of images; 0 for backbones out of the race. None if undefined."""
        columns: dict[str, Doubles] = {}
        for name in self._names(active):
            self.listener.stage("scoring", f"{self.task.name} · {self.dataset} · {name}")
            try:
                columns[name] = self.values_of(name, step.fitted, step.scored)
            except (UndefinedError, NotApplicableError):
                return None
            except (StoreError, UnreadableImageError) as error:
                self._withdrawn.add(name)
                self.listener.notice(f"{name} leaves the race, and is run in full: {error}")
        if len(columns) < 2:
            return None
        absent = np.zeros(len(next(iter(columns.values()))))
        return np.stack([columns.get(name, absent) for name in self.names], axis=1)

    def _least_value(self, step: RaceStep, active: Bools) -> float:
        """Return what no value of the images of a step can fall below."""
        spec = self.plan.backbones[self._names(active)[0]]
        return least_value(self.task, spec, self.blocks, step.fitted)

    def values_of(
        self, backbone: str, fitted: Mapping[str, int], scored: Mapping[str, range]
    ) -> Doubles:
        """Return (M,) values of the scored images; see `example_values`."""
        spec = self.plan.backbones[backbone]
        return example_values(self.task, spec, self.blocks, fitted, scored)

    def _lasts(self, drop: Drop, step: RaceStep, margin: float) -> bool:
        """Whether more train images, or a larger gallery, are unlikely to reverse a decision.

        The gap is measured with all images that probes are fitted to, or that are searched, and
        with half of them, and its change continued to all of the split, decaying by `DECAY` with
        each doubling. The images are those of the step, and for classifiers all test images before.
        A heuristic that only delays decisions.
        """
        grown = "test" if is_retrieval(self.task) else "train"
        halved = {name: max(1, n // 2) if name == grown else n for name, n in step.fitted.items()}
        scored = dict(step.scored)
        if grown != "test":
            scored["test"] = range(step.test)
        try:
            before, now = (self._gap(drop, fitted, scored) for fitted in (halved, step.fitted))
        except (UndefinedError, NotApplicableError):
            return True
        doublings = math.log2(self.counts[grown] / step.fitted[grown])
        whole, part = math.floor(doublings), doublings % 1
        change = sum(DECAY**k for k in range(1, whole + 1)) + part * DECAY ** (whole + 1)
        return now + min(0.0, now - before) * change > margin

    def _gap(self, drop: Drop, fitted: Mapping[str, int], scored: Mapping[str, range]) -> float:
        """Return by how much the mean value of the scored images is larger with the rival."""
        rival, dropped = (
            self.values_of(self.names[i], fitted, scored) for i in (drop.rival, drop.backbone)
        )
        return float(rival.mean() - dropped.mean())

    def _dropped(self, drop: Drop, step: RaceStep, standings: RaceStandings) -> DroppedCell:
        name, rival = self.names[drop.backbone], self.names[drop.rival]
        return DroppedCell(
            self.cells[drop.backbone],
            rival,
            step,
            drop.value,
            drop.rival_value,
            drop.examples,
            sum(self.counts.values()),
            sum(map(self.blocks.sample_size, self.counts)),
            not is_retrieval(self.task),
            standings.looks(name),
            standings.looks(rival),
        )
