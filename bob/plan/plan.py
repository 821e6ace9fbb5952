"""A plan: passes over images, and cells to score, as frozen plain data that round-trips as JSON.

A plan holds specs, names and digests, and no opened file, module or closure. Any process with the
same registry files and a store can carry out any part of it: it opens datasets by name, makes keys
from its own weights and images, and refuses where they differ from the plan's.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from bob.datasets.image_sets import ImageSet
from bob.errors import ConfigError
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.plan.request import RunSettings
from bob.registry import build_task
from bob.specs import BackboneSpec, DatasetSpec, Output, TaskSpec
from bob.specs.yaml import Closed, build

PLAN_VERSION = 1


class Cell(Closed):
    """One backbone on one task and dataset."""

    backbone: str
    task: str
    dataset: str
    key: str
    """Digest of everything that its scores depend on."""
    fingerprint: str = ""
    """Fingerprint of the dataset with the shifts that are read."""
    features: tuple[str, ...] = Field((), strict=False)
    """Digests of the stored features that it reads, in the order of the protocol's needs."""
    seeds: tuple[int, ...] = Field((), strict=False)


class Forward(Closed):
    """What a pass computes with one backbone."""

    backbone: str
    """Name of the backbone, or of a variant with another preprocessing."""
    outputs: dict[str, str] = {}
    """Output → digest of the features that are stored of it."""
    statistics: tuple["StatisticsOutput", ...] = Field((), strict=False)

    def digests(self) -> list[str]:
        """Return the digests of all features and statistics that it stores."""
        return [*self.outputs.values(), *(statistics.digest for statistics in self.statistics)]

    def narrowed(self, wanted: Collection[str]) -> "Forward | None":
        """Return the forward pass with the wanted digests alone; None if it has none of them."""
        outputs = {output: digest for output, digest in self.outputs.items() if digest in wanted}
        statistics = tuple(output for output in self.statistics if output.digest in wanted)
        if not outputs and not statistics:
            return None
        return self.model_copy(update={"outputs": outputs, "statistics": statistics})


class StatisticsOutput(Closed):
    """Statistics that are accumulated over one output of some of the images of a pass."""

    output: str
    images: dict[str, Any]
    """The set of images, as `ImageSet.plain` writes it."""
    accumulator: dict[str, Any]
    """Name, version and settings."""
    digest: str
    after: tuple["StatisticsOutput", ...] = Field((), strict=False)
    """Statistics of earlier passes on which these depend."""


class TemporaryOutput(Closed):
    """Statistics whose temporary arrays are to be removed, and until when they are needed."""

    dataset: str
    backbone: str
    """Name of the forward pass in the plan."""
    statistics: StatisticsOutput
    until: tuple[StatisticsOutput, ...] = Field((), strict=False)
    """Statistics of open cells that depend on these; empty if no such cell is open."""


class Pass(Closed):
    """One decoding of a split's images for several backbones."""

    dataset: str
    images: dict[str, Any]
    """The set of images, as `ImageSet.plain` writes it; its full split is embedded."""
    split: str
    """Name of the full split."""
    fingerprint: str
    """Fingerprint of the images of the full split."""
    count: int
    forwards: tuple[Forward, ...] = Field(strict=False)

    def image_set(self) -> ImageSet:
        return ImageSet.from_plain(self.images)


class TextPass(Closed):
    """The texts of one task, embedded by one backbone."""

    dataset: str
    task: str
    backbone: str
    digest: str
    count: int


class Unscored(Closed):
    """A cell that has no scores, and why."""

    cell: Cell
    reason: str


class Skip(Closed):
    """A backbone or dataset that is unavailable here."""

    kind: Literal["backbone", "dataset"]
    name: str
    reason: str
    exact: bool
    """Whether it was named exactly, so that its absence is an error."""


class Plan(Closed):
    """What a run computes."""

    version: int = PLAN_VERSION
    settings: RunSettings
    backbones: dict[str, BackboneSpec]
    """Entries by name, and variants of them by `name~digest`."""
    tasks: dict[str, TaskSpec]
    datasets: dict[str, DatasetSpec]
    """Datasets of the cells, and those to which their shifts refer."""
    runtimes: dict[str, dict[str, RuntimeChoice]] = {}
    """Backbone → model of device → the runtime in which every process embeds with it there. Those
    of other models are chosen by the first process that needs one."""
    passes: tuple[Pass, ...] = Field((), strict=False)
    texts: tuple[TextPass, ...] = Field((), strict=False)
    temporary: tuple[TemporaryOutput, ...] = Field((), strict=False)
    """Statistics with arrays that are removed after their last use."""
    cells: tuple[Cell, ...] = Field((), strict=False)
    """Cells to score, dataset by dataset."""
    done: tuple[Cell, ...] = Field((), strict=False)
    """Cells that have their record."""
    lacking: int = 0
    """Number of cells to score whose record lacks scores that its task has gained."""
    failed: tuple[Unscored, ...] = Field((), strict=False)
    """Cells that fail before they start."""
    not_applicable: tuple[Unscored, ...] = Field((), strict=False)
    """Cells to whose backbone the task does not apply."""
    unsuited: tuple[str, ...] = Field((), strict=False)
    """Why tasks do not apply to datasets."""
    skipped: tuple[Skip, ...] = Field((), strict=False)
    too_large: tuple[str, ...] = Field((), strict=False)
    """Backbones with more parameters than requested."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _build_tasks(cls, tasks: Any) -> Any:
        """Give tasks the settings of their protocols."""
        if not isinstance(tasks, Mapping):
            return tasks
        return {
            name: task if isinstance(task, TaskSpec) else build_task(task, f"plan: task {name!r}")
            for name, task in tasks.items()
        }

    @model_validator(mode="after")
    def _require_backbones_of_runtimes(self) -> "Plan":
        if unknown := sorted(self.runtimes.keys() - self.backbones.keys()):
            raise ValueError(f"runtimes are of backbones that the plan lacks: {unknown}")
        return self

    def to_json(self) -> str:
        """Return the plan as JSON text, which `read_plan` reads; defaults of specs are left out."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        head = {"version": self.version, "settings": self.settings.model_dump(mode="json")}
        return json.dumps({**head, **{k: v for k, v in values.items() if k not in head}}, indent=1)

    def datasets_to_do(self) -> list[str]:
        """Return the names of the datasets of open cells, in order."""
        return list(dict.fromkeys(cell.dataset for cell in self.cells))

    def all_cells(self) -> Iterator[Cell]:
        """Yield every requested cell that is neither skipped nor unsuited."""
        yield from self.cells
        yield from self.done
        yield from (unscored.cell for unscored in (*self.failed, *self.not_applicable))

    def specs_to_check(self) -> list[BackboneSpec]:
        """Return the backbones whose cards the work reads, once per output."""
        specs = {self.backbones[cell.backbone]: None for cell in self.all_cells()}
        for image_pass in self.passes:
            for forward in image_pass.forwards:
                outputs = [*forward.outputs, *(each.output for each in forward.statistics)]
                for name in outputs:
                    output = Output.model_validate(name)
                    specs[self.backbones[forward.backbone].variant(output=output)] = None
        return list(specs)

    def part(self, number: int, count: int) -> "Plan":
        """Return the number-th of `count` parts (counted from 1), which need no communication.

        Cells are divided by dataset and backbone, so that the features of a backbone are computed
        by one part as far as possible; a part's passes are those that its cells need. Cells that
        fail before they start belong to the first part.
        """
        if not 1 <= number <= count:
            raise ConfigError(
                f"part {number}/{count}: must be between 1/{count} and {count}/{count}."
            )
        groups = list(dict.fromkeys((cell.dataset, cell.backbone) for cell in self.cells))
        first, end = (len(groups) * i // count for i in (number - 1, number))
        chosen = set(groups[first:end])
        cells = tuple(cell for cell in self.cells if (cell.dataset, cell.backbone) in chosen)
        chosen_plan = self.of_cells(cells)
        if number == 1:
            return chosen_plan
        return chosen_plan.model_copy(update={"failed": (), "not_applicable": ()})

    def by_dataset(self) -> dict[str, "Plan"]:
        """Return, for each dataset, a plan of its open cells with the passes that they need."""
        cells: dict[str, list[Cell]] = {}
        readers: dict[str, set[str]] = {}
        for cell in self.cells:
            cells.setdefault(cell.dataset, []).append(cell)
            for digest in cell.features:
                readers.setdefault(digest, set()).add(cell.dataset)
        passes: dict[str, list[Pass]] = {name: [] for name in cells}
        for image_pass in self.passes:
            digests = {digest for forward in image_pass.forwards for digest in forward.digests()}
            for name in set[str]().union(*(readers.get(digest, ()) for digest in digests)):
                passes[name].append(image_pass)
        return {
            name: self.model_copy(update={"passes": tuple(passes[name])}).of_cells(tuple(of_name))
            for name, of_name in cells.items()
        }

    def of_backbones(self, names: Collection[str]) -> "Plan":
        """Return a plan of the cells of some backbones, with the passes that they need."""
        return self.of_cells(tuple(cell for cell in self.cells if cell.backbone in names))

    def narrowed(
        self,
        passes: tuple[Pass, ...] = (),
        texts: tuple[TextPass, ...] = (),
        cells: tuple[Cell, ...] = (),
    ) -> "Plan":
        """Return a plan of some of the work, with the specs that it names and nothing else."""
        backbones = {forward.backbone for image_pass in passes for forward in image_pass.forwards}
        readers: list[TextPass | Cell] = [*texts, *cells]
        backbones |= {work.backbone for work in readers}
        tasks = {work.task for work in readers}
        names = [image_pass.dataset for image_pass in passes] + [work.dataset for work in readers]
        return Plan(
            settings=self.settings,
            backbones={name: self.backbones[name] for name in self.backbones if name in backbones},
            tasks={name: self.tasks[name] for name in self.tasks if name in tasks},
            datasets=with_referred({**self.datasets}, names),
            runtimes={name: self.runtimes[name] for name in self.runtimes if name in backbones},
            passes=passes,
            texts=texts,
            cells=cells,
        )

    def earlier_digests(self) -> Iterator[str]:
        """Yield the digest of all statistics on which those of the passes depend."""
        for image_pass in self.passes:
            for forward in image_pass.forwards:
                for statistics in forward.statistics:
                    yield from (earlier.digest for earlier in statistics.after)

    def stored_digests(self) -> Iterator[str]:
        """Yield the digest of everything that the passes store."""
        for image_pass in self.passes:
            for forward in image_pass.forwards:
                yield from forward.digests()
        yield from (texts.digest for texts in self.texts)

    def of_cells(self, cells: tuple[Cell, ...]) -> "Plan":
        """Return a plan of some of the cells, with the passes that they need."""
        wanted = {digest for cell in cells for digest in cell.features}
        temporary = tuple(each for each in self.temporary if each.statistics.digest in wanted)
        changes = {"cells": cells, "temporary": temporary, **self._passes_for(wanted)}
        return self.model_copy(update=changes)

    def without_outputs(self, digests: Collection[str]) -> "Plan":
        """Return the plan with all cells, and without the passes for some features, by digest."""
        return self.model_copy(update=self._passes_for({*self.stored_digests()} - {*digests}))

    def _passes_for(self, wanted: set[str]) -> dict[str, Any]:
        """Return the passes narrowed to some features."""
        passes = []
        for image_pass in self.passes:
            forwards = tuple(filter(None, (each.narrowed(wanted) for each in image_pass.forwards)))
            if forwards:
                passes.append(image_pass.model_copy(update={"forwards": forwards}))
        return {
            "passes": tuple(passes),
            "texts": tuple(text for text in self.texts if text.digest in wanted),
        }


def with_referred(specs: Mapping[str, DatasetSpec], names: Iterable[str]) -> dict[str, DatasetSpec]:
    """Return the specs of some datasets, and of those to which their shifts refer."""
    wanted = dict.fromkeys(names)
    for name in list(wanted):
        if name in specs:
            shifts = specs[name].shifts.values()
            wanted |= dict.fromkeys(shift.dataset for shift in shifts if shift.dataset)
    return {name: specs[name] for name in wanted if name in specs}


def read_plan(text: str, where: str) -> Plan:
    """Return the plan of a JSON text; ConfigError, beginning with `where`, for another version."""
    try:
        values = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except ValueError as error:
        raise ConfigError(f"{where}: is not JSON ({error}).") from error
    if not isinstance(values, dict) or values.get("version") != PLAN_VERSION:
        version = values.get("version") if isinstance(values, dict) else None
        raise ConfigError(
            f"{where}: is not a plan of version {PLAN_VERSION} (version {version!r}); write it "
            "again with `bob-bench run ... --dry-run --json`."
        )
    return build(Plan, values, where)


def _finite(text: str) -> float:
    """Parse a JSON number; ValueError for Infinity, NaN and numbers above the float64 range."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value
