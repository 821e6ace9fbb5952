"""A run with races: backbones race on each task and dataset, and survivors run to the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bob.engine.cell_records import unscored_record
from bob.engine.conductor import conduct
from bob.engine.engine import Engine, EngineListener, SilentEngineListener
from bob.engine.estimate import estimate
from bob.engine.racing.completion import complete, completing_passes
from bob.engine.racing.contest import Contest, ContestResult, DroppedCell, RaceSettings
from bob.engine.racing.schedule import RaceStep
from bob.plan import Cell, Pass, Plan, Workspace, finished_record
from bob.records.record import Record
from bob.specs import BackboneSpec
from bob.statistics.standing import RaceStanding


class RaceListener(EngineListener, Protocol):
    """Receives the progress of races, too."""

    def race_begins(self, start: "RaceStart") -> None:
        """Backbones begin to race."""

    def race_step(
        self, step: RaceStep, dropped: Sequence[DroppedCell], standings: Sequence[RaceStanding]
    ) -> None:
        """A step of a race is complete; without standings, the task was undefined on it."""

    def race_stops(self) -> None:
        """A race is over, or was interrupted."""

    def race_ends(self, summary: "RaceSummary") -> None:
        """A race is decided, or its budget is spent. Follows `race_stops`."""


class SilentRaceListener(SilentEngineListener):
    """A listener that ignores races, too."""

    def race_begins(self, start: "RaceStart") -> None: ...

    def race_step(
        self, step: RaceStep, dropped: Sequence[DroppedCell], standings: Sequence[RaceStanding]
    ) -> None: ...

    def race_stops(self) -> None: ...

    def race_ends(self, summary: "RaceSummary") -> None: ...


@dataclass(frozen=True)
class RaceStart:
    """A race of one task and dataset that begins."""

    task: str
    dataset: str
    backbones: int
    steps: int
    """0 where there are too few images for a race, or a single backbone."""
    images: int
    """Images of a full run, for each backbone."""


@dataclass(frozen=True)
class RaceSummary:
    """What a race of one task and dataset has found, and what it embeds of all."""

    task: str
    dataset: str
    result: ContestResult
    images: int
    """Images × backbones that are embedded, those of the survivors' full run among them, and the
    samples that are embedded again."""
    all_images: int
    """Images × backbones that a run without a race embeds: those whose features were not stored."""
    steps: int
    """Of the race; 0 where there was none."""
    settings: RaceSettings


@dataclass(eq=False)
class RaceBudget:
    """What races and the runs of their survivors may take."""

    seconds: float | None = None
    images: int | None = None
    """Images × backbones that may be embedded."""
    clock: Callable[[], float] = time.monotonic
    spent_images: int = 0
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    def allows(self, images: int) -> bool:
        """Whether so many more images may be embedded, beginning now."""
        if self.seconds is not None and self.clock() - self._start >= self.seconds:
            return False
        return self.images is None or self.spent_images + images <= self.images

    def spend(self, images: int) -> bool:
        """Take note of images that are embedded next; False, and none is, if they are too many."""
        is_allowed = self.allows(images)
        self.spent_images += images if is_allowed else 0
        return is_allowed


@dataclass(eq=False)
class RaceRun:
    """A plan, carried out with a race for each task and dataset."""

    plan: Plan
    workspace: Workspace
    engine: Engine
    listener: RaceListener
    settings: RaceSettings
    budget: RaceBudget = field(default_factory=RaceBudget)

    def run(self) -> Iterator[Record]:
        """Yield the records of dropped backbones, then those of the survivors' full run.

        Where the budget ends a race, its survivors have no record; the same plan resumes later.
        """
        try:
            survivors: set[str] = set()
            decided: list[tuple[Contest, ContestResult]] = []
            for cells in self._settings():
                contest, result = self._race(cells)
                yield from self._records_of(result.dropped)
                if result.has_ended:
                    survivors |= {cell.key for cell in result.survivors}
                    decided.append((contest, result))
            left = tuple(cell for cell in self.plan.cells if cell.key in survivors)
            if self._complete_all(decided, self.plan.of_cells(left)):
                yield from self._full_run(self.plan.of_cells(left))
        finally:
            self.engine.close()

    def _settings(self) -> Iterator[list[Cell]]:
        """Yield the cells of each task and dataset of which some are open."""
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in (*self.plan.cells, *self.plan.done):
            groups.setdefault((cell.dataset, cell.task), []).append(cell)
        is_open = {(cell.dataset, cell.task) for cell in self.plan.cells}
        yield from (cells for setting, cells in groups.items() if setting in is_open)

    def _race(self, cells: Sequence[Cell]) -> tuple[Contest, ContestResult]:
        first = cells[0]
        contest = Contest(
            self.plan,
            cells,
            self.workspace,
            self.engine,
            self.listener,
            self.settings,
            report=self.listener.race_step,
            may_continue=self.budget.spend,
        )
        full = sum(contest.counts.values())
        self.listener.race_begins(
            RaceStart(first.task, first.dataset, len(cells), len(contest.steps), full)
        )
        lacking = {cell.backbone: contest.lacking(cell.backbone) for cell in cells}
        try:
            result = contest.run()
        finally:
            self.listener.race_stops()
        raced = sum(result.images[each.cell.backbone] for each in result.dropped)
        completed = sum(
            images + again for images, again in (lacking[c.backbone] for c in result.survivors)
        )
        all_images = sum(images for images, _ in lacking.values())
        summary = RaceSummary(
            first.task,
            first.dataset,
            result,
            raced + completed,
            all_images,
            len(contest.steps),
            self.settings,
        )
        self.listener.race_ends(summary)
        return contest, result

    def _complete_all(self, decided: Sequence[tuple[Contest, ContestResult]], plan: Plan) -> bool:
        """Embed what survivors lack in all races; False where the budget does not allow it."""
        images = {
            (whole.dataset, whole.split, forward.backbone): whole.count
            for contest, result in decided
            for whole in self._lacking(contest, result)
            for forward in whole.forwards
        }
        if not images:
            return all(self._complete(*each) for each in decided)
        self.listener.run_begins(replace(estimate(plan, self.workspace).work, images=images))
        try:
            return all(self._complete(*each) for each in decided)
        finally:
            self.listener.run_ends()

    def _open_specs(self, result: ContestResult) -> dict[str, BackboneSpec]:
        """Return the survivors that have no record yet."""
        open_keys = {cell.key for cell in self.plan.cells}
        return {
            cell.backbone: self.plan.backbones[cell.backbone]
            for cell in result.survivors
            if cell.key in open_keys
        }

    def _lacking(self, contest: Contest, result: ContestResult) -> list[Pass]:
        """Return the passes over what the survivors' full splits lack."""
        if not contest.steps:
            return []
        specs = self._open_specs(result)
        return list(completing_passes(contest.blocks, contest.counts, specs))

    def _complete(self, contest: Contest, result: ContestResult) -> bool:
        """Embed what the survivors' full splits lack; False where the budget does not allow it."""
        if not contest.steps:
            return True
        passes = self._lacking(contest, result)
        if not self.budget.spend(sum(whole.count * len(whole.forwards) for whole in passes)):
            return False
        contest.embed(passes)
        for name, spec in self._open_specs(result).items():
            if not complete(contest.blocks, contest.counts, spec):
                self.listener.notice(
                    f"{name}: a sample of {contest.dataset} embedded in an ordinary run has other "
                    "bits than in the race, so that all images are embedded again"
                )
        return True

    def _records_of(self, dropped: Sequence[DroppedCell]) -> Iterator[Record]:
        """Store a record for each dropped cell, unless it has been scored before."""
        records = self.workspace.places.records()
        for each in dropped:
            if finished_record(records, each.cell, self.plan.settings) is None:
                record = unscored_record(
                    self.plan, self.workspace, each.cell, "dropped", each.reason, each.details
                )
                records.write(record, {})
                yield record

    def _full_run(self, plan: Plan) -> Iterator[Record]:
        """Carry out what is left, as long as the budget lasts."""
        work = estimate(plan, self.workspace).work
        if not self.budget.spend(sum(work.images.values())):
            return
        for record in conduct(plan, self.workspace, self.engine, self.listener):
            yield record
            if not self.budget.allows(0):
                return
