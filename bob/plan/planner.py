"""From a request to a plan, without decoding images or loading backbones that have a card."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bob.datasets.image_sets import ImageSet
from bob.datasets.output_folders import require_images_apart
from bob.errors import (
    BackboneError,
    BobError,
    ConfigError,
    DatasetError,
    NotApplicableError,
    UnavailableError,
)
from bob.extraction.accumulators import AccumulatorSpec, temporary_arrays
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.io.digest import digest
from bob.metrics.score_ranges import score_problem
from bob.plan.keys import result_key
from bob.plan.plan import (
    Cell,
    Forward,
    Pass,
    Plan,
    Skip,
    StatisticsOutput,
    TemporaryOutput,
    TextPass,
    Unscored,
    with_referred,
)
from bob.plan.request import Request, RunSettings
from bob.plan.workspace import Workspace
from bob.protocols import Need, Needs, StatisticsNeed, TextNeed, needs_of_task
from bob.records.record import Record, lacks_scores
from bob.records.store import RecordStore
from bob.specs import BackboneSpec, DatasetSpec, Output, TaskSpec
from bob.specs.yaml import plain


def make_workspace(request: Request) -> Workspace:
    """Return the workspace of a request.

    ConfigError where the results or the cache would be written among images.
    """
    places = {"results": request.places.results, "cache": request.places.cache}
    local = {
        chosen.spec.name: chosen.spec for of_task in request.datasets.values() for chosen in of_task
    }
    for spec in local.values():
        require_images_apart(spec, places)
    datasets = {**request.entries, **local}
    return Workspace(request.places, request.settings, request.machine, datasets)


def make_plan(request: Request, workspace: Workspace | None = None) -> Plan:
    """Return the plan of a request: cells to score, cells that are done, and the passes needed.

    Unavailable backbones and datasets are skipped with a reason; broken ones make failed cells.
    DatasetError if no dataset can be read.
    """
    return _Planner(request, workspace or make_workspace(request)).plan()


@dataclass
class _Availability:
    """Backbones and datasets that can be used here, and why others cannot."""

    backbones: list[BackboneSpec] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Name of a backbone or dataset that is on this machine and does not work → the reason."""

    def has(self, backbone: BackboneSpec, dataset: str) -> bool:
        """Whether a cell of both can be computed here."""
        return backbone.name in self._backbones and dataset in self._datasets

    @cached_property
    def _backbones(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self.backbones)

    @cached_property
    def _datasets(self) -> frozenset[str]:
        return frozenset(self.datasets)


class _Planner:
    """Collects the parts of one plan."""

    def __init__(self, request: Request, workspace: Workspace) -> None:
        self.request, self.workspace = request, workspace
        self.records: RecordStore = request.places.records()
        self.backbones: dict[str, BackboneSpec] = {}
        self.cells: list[Cell] = []
        self.done: list[Cell] = []
        self.lacking = 0
        self.failed: list[Unscored] = []
        self.not_applicable: list[Unscored] = []
        self.unsuited: dict[str, None] = {}
        self.passes = _Passes(workspace, self.backbones)

    def plan(self) -> Plan:
        available = self._find_available()
        for task in self.request.tasks:
            for dataset in self.request.datasets[task.name]:
                for backbone in self.request.backbones:
                    self._place(task, dataset.spec, backbone.spec, available)
        order = {name: i for i, name in enumerate(dict.fromkeys(c.dataset for c in self.cells))}
        cells = sorted(self.cells, key=lambda cell: order[cell.dataset])
        passes = self.passes.passes()
        return Plan(
            settings=self.request.settings,
            backbones=self.backbones,
            tasks={task.name: task for task in self.request.tasks},
            datasets=self._datasets(),
            runtimes=self._runtimes(passes),
            passes=passes,
            texts=tuple(self.passes.texts.values()),
            temporary=self.passes.temporary(),
            cells=tuple(cells),
            done=tuple(self.done),
            lacking=self.lacking,
            failed=tuple(self.failed),
            not_applicable=tuple(self.not_applicable),
            unsuited=tuple(self.unsuited),
            skipped=tuple(available.skipped),
            too_large=tuple(available.too_large),
        )

    def _runtimes(self, passes: Sequence[Pass]) -> dict[str, dict[str, RuntimeChoice]]:
        """Return the runtimes to state; none if other machines embed, whose devices are unknown."""
        if self.workspace.machine.is_remote:
            return {}
        from bob.plan.runtimes import stated_runtimes  # loads PyTorch

        return stated_runtimes(passes, self.backbones, self.workspace)

    def _find_available(self) -> _Availability:
        """Check which backbones and datasets are on this machine and work."""
        available = _Availability()
        for chosen in self.request.backbones:
            self._check_backbone(chosen.spec, chosen.exact, available)
        selected = {
            chosen.spec.name: chosen
            for of_task in self.request.datasets.values()
            for chosen in of_task
        }
        for name, dataset in selected.items():
            try:
                self.workspace.dataset(name)
                available.datasets.append(name)
            except UnavailableError as error:
                available.skipped.append(
                    Skip(kind="dataset", name=name, reason=str(error), exact=dataset.exact)
                )
            except DatasetError as error:
                available.broken[name] = str(error)
        if not available.datasets:
            broken = [available.broken[name] for name in selected if name in available.broken]
            if broken:
                raise DatasetError("\n".join(broken))
        return available

    def _check_backbone(self, spec: BackboneSpec, exact: bool, available: _Availability) -> None:
        if self._is_too_large(spec.params):
            available.too_large.append(spec.name)
            return
        try:
            if self._is_too_large(self.workspace.card(spec).params):
                available.too_large.append(spec.name)
            else:
                available.backbones.append(spec)
        except UnavailableError as error:
            available.skipped.append(
                Skip(kind="backbone", name=spec.name, reason=str(error), exact=exact)
            )
        except (BackboneError, ConfigError) as error:
            available.broken[spec.name] = str(error)

    def _is_too_large(self, params: int | None) -> bool:
        most = self.request.max_params
        return most is not None and params is not None and params > most

    def _place(
        self,
        task: TaskSpec,
        dataset: DatasetSpec,
        backbone: BackboneSpec,
        available: _Availability,
    ) -> None:
        """Add one cell to its list of the plan; none if its backbone or dataset is skipped."""
        broken = available.broken.get(backbone.name) or available.broken.get(dataset.name)
        if broken:
            self.failed.append(self._unscored(task, dataset, backbone, broken))
            return
        if not available.has(backbone, dataset.name):
            return
        try:
            needs = self.workspace.needs(task, dataset.name, backbone)
            if not self.request.settings.skip_bad:
                self.workspace.require_readable(dataset.name, needs)
            cell = self._cell(task, dataset.name, backbone, needs)
        except NotApplicableError as error:
            if error.subject == "backbone":
                self.not_applicable.append(self._unscored(task, dataset, backbone, str(error)))
            else:
                self.unsuited[str(error)] = None
        except BobError as error:
            self.failed.append(self._unscored(task, dataset, backbone, str(error)))
        else:
            self.backbones[backbone.name] = backbone
            if self._is_done(cell, task):
                self.done.append(cell)
                self.passes.add_leftovers(dataset.name, needs)
            else:
                self.cells.append(cell)
                self.passes.add(task, dataset.name, backbone, needs)

    def _unscored(
        self, task: TaskSpec, dataset: DatasetSpec, backbone: BackboneSpec, reason: str
    ) -> Unscored:
        """Return a cell without scores, and add its backbone to the plan."""
        self.backbones[backbone.name] = backbone
        key = digest(["no scores", plain(backbone), plain(task), dataset.name])
        cell = Cell(backbone=backbone.name, task=task.name, dataset=dataset.name, key=key)
        return Unscored(cell=cell, reason=reason)

    def _cell(self, task: TaskSpec, dataset: str, backbone: BackboneSpec, needs: Needs) -> Cell:
        features = [(need.name, self.workspace.key(dataset, need).digest()) for need in needs]
        fingerprint = self.workspace.dataset(dataset).fingerprint(name for name, _ in features)
        seeds = self.workspace.seeds(task, dataset)
        return Cell(
            backbone=backbone.name,
            task=task.name,
            dataset=dataset,
            key=result_key(features, fingerprint, task, seeds, self.request.settings.limit),
            fingerprint=fingerprint,
            features=tuple(key for _, key in features),
            seeds=seeds,
        )

    def _is_done(self, cell: Cell, task: TaskSpec) -> bool:
        """Whether a cell has a record with all scores; count records that lack some."""
        settings = self.request.settings
        record = None if settings.fresh else finished_record(self.records, cell, settings)
        if record is None:
            return False
        lacks = lacks_scores(record, task.additions)
        self.lacking += lacks
        return not lacks

    def _datasets(self) -> dict[str, DatasetSpec]:
        """Return the specs of the cells' datasets and of those to which their shifts refer."""
        cells = (*self.cells, *self.done, *(u.cell for u in (*self.failed, *self.not_applicable)))
        return with_referred(self.workspace.specs, dict.fromkeys(cell.dataset for cell in cells))


def specs_to_check(request: Request, workspace: Workspace) -> list[BackboneSpec]:
    """Return the backbones of a request, and their variants whose cards a plan reads.

    Datasets of one kind usually need the same variants, so that the first one of each kind stands
    for all; cards of other variants are made when they are needed.
    """
    specs = {chosen.spec: None for chosen in request.backbones}
    seen: set[tuple[str, str]] = set()
    for task in request.tasks:
        for chosen in request.datasets[task.name]:
            with contextlib.suppress(BobError):
                dataset = workspace.dataset(chosen.spec.name)
                if (task.name, dataset.kind) not in seen:
                    seen.add((task.name, dataset.kind))
                    for backbone in request.backbones:
                        with contextlib.suppress(NotApplicableError):
                            needs = needs_of_task(task, dataset, backbone.spec)
                            specs |= {need.backbone: None for need in needs}
    return list(specs)


def finished_record(records: RecordStore, cell: Cell, settings: RunSettings) -> Record | None:
    """Return the record of a scored cell; None if there is none, or if its scores cannot be right.

    A record without some unreadable images counts only if the settings allow leaving them out.
    """
    record = records.find(cell.task, cell.dataset, cell.backbone, cell.key)
    if record is None or record.status != "ok" or score_problem(record):
        return None
    bad = record.dataset is not None and bool(record.dataset.bad_images)
    return record if settings.skip_bad or not bad else None


class _Passes:
    """The passes that open cells need, each feature key once."""

    def __init__(self, workspace: Workspace, backbones: dict[str, BackboneSpec]) -> None:
        self.workspace, self.backbones = workspace, backbones
        self.texts: dict[str, TextPass] = {}
        self._seen: set[str] = set()
        self._groups: dict[tuple[str, str], Pass] = {}
        self._forwards: dict[tuple[str, str], dict[str, Forward]] = {}
        self._temporary: dict[str, TemporaryOutput] = {}

    def add(self, task: TaskSpec, dataset: str, backbone: BackboneSpec, needs: Needs) -> None:
        """Add what a cell needs."""
        for need in needs:
            if isinstance(need, StatisticsNeed) and temporary_arrays(need.accumulator.name):
                self._add_temporary(dataset, need, needs)
            key = self.workspace.key(dataset, need).digest()
            if key in self._seen:
                continue
            self._seen.add(key)
            if isinstance(need, TextNeed):
                self.texts[key] = TextPass(
                    dataset=dataset,
                    task=task.name,
                    backbone=backbone.name,
                    digest=key,
                    count=len(need.texts),
                )
            else:
                self._add_images(dataset, need, key)

    def add_leftovers(self, dataset: str, needs: Needs) -> None:
        """Add the temporary arrays that the runs of a finished cell have left behind.

        Such a run was killed, or another process was reading the arrays.
        """
        store = self.workspace.places.features()
        for need in needs:
            if isinstance(need, StatisticsNeed) and temporary_arrays(need.accumulator.name):
                key = self.workspace.key(dataset, need)
                if len(store.missing(key)) < len(key.sharding):
                    self._add_temporary(dataset, need, ())

    def _add_temporary(self, dataset: str, need: StatisticsNeed, needs: Needs) -> None:
        """Add statistics with temporary arrays, and the statistics in `needs` that read them."""
        statistics = self._statistics(dataset, need)
        readers = [
            self._statistics(dataset, other)
            for other in needs
            if isinstance(other, StatisticsNeed) and need in other.after
        ]
        earlier = self._temporary.get(statistics.digest)
        until = {
            reader.digest: reader for reader in (*(earlier.until if earlier else ()), *readers)
        }
        self._temporary[statistics.digest] = TemporaryOutput(
            dataset=dataset,
            backbone=self._name(need.backbone),
            statistics=statistics,
            until=tuple(until.values()),
        )

    def temporary(self) -> tuple[TemporaryOutput, ...]:
        """Return the statistics with temporary arrays: of open cells, and of earlier runs."""
        return tuple(self._temporary.values())

    def passes(self) -> tuple[Pass, ...]:
        """Return the passes in the order in which cells asked for them."""
        return tuple(
            image_pass.model_copy(update={"forwards": tuple(self._forwards[group].values())})
            for group, image_pass in self._groups.items()
        )

    def _add_images(self, dataset: str, need: Need, key: str) -> None:
        assert not isinstance(need, TextNeed)
        name, split = self.workspace.full_split(dataset, need.images)
        group = name, split.images_fingerprint
        if group not in self._groups:
            self._groups[group] = Pass(
                dataset=dataset,
                images=need.images.plain(),
                split=name,
                fingerprint=split.images_fingerprint,
                count=len(split),
                forwards=(),
            )
            self._forwards[group] = {}
        backbone = self._name(need.backbone)
        forward = self._forwards[group].get(backbone, Forward(backbone=backbone))
        output = str(need.backbone.output)
        if isinstance(need, StatisticsNeed):
            statistics = self._statistics(dataset, need)
            changes: Mapping[str, object] = {"statistics": (*forward.statistics, statistics)}
        else:
            changes = {"outputs": {**forward.outputs, output: key}}
        self._forwards[group][backbone] = forward.model_copy(update=changes)

    def _statistics(self, dataset: str, need: StatisticsNeed) -> StatisticsOutput:
        return StatisticsOutput(
            output=str(need.backbone.output),
            images=need.images.plain(),
            accumulator=need.accumulator.facts(),
            digest=self.workspace.key(dataset, need).digest(),
            after=tuple(self._statistics(dataset, earlier) for earlier in need.after),
        )

    def _name(self, backbone: BackboneSpec) -> str:
        """Return the name of a backbone's forward pass in the plan.

        A variant whose forward pass differs from that of its entry gets another name.
        """
        entry = self.backbones.get(backbone.name)
        if entry is not None and entry.forward == backbone.forward:
            return backbone.name
        name = f"{backbone.name}~{digest(plain(backbone.forward))[:8]}"
        self.backbones.setdefault(name, backbone)
        return name


def statistics_need(spec: BackboneSpec, statistics: StatisticsOutput) -> StatisticsNeed:
    """Return the need of statistics that a plan states as plain data."""
    facts = statistics.accumulator
    settings = tuple(sorted(facts["settings"].items()))
    return StatisticsNeed(
        spec.variant(output=Output.model_validate(statistics.output)),
        ImageSet.from_plain(statistics.images),
        AccumulatorSpec(facts["name"], facts["version"], settings),
        after=tuple(statistics_need(spec, earlier) for earlier in statistics.after),
    )
