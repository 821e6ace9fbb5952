"""The planner: from what was asked to the cells that are still to do, without loading a backbone that this machine knows or opening an image.

A cell needs features: splits as backbones see them. What several cells need is one key, and is embedded once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bob.backbones.card import Card, card
from bob.backbones.geometry import pixels_by
from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import limited, open_dataset
from bob.digest import digest
from bob.errors import BackboneError, BobError, ConfigError, DatasetError, NotApplicableError, UnavailableError
from bob.features.key import FeatureKey
from bob.features.store import FeatureStore
from bob.parse import plain
from bob.recordbook import RecordBook
from bob.registry import Chosen
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec
from bob.wiring import WIRING, Need, Needs, TextNeed


@dataclass(frozen=True)
class Request:
    """What was asked for, as plain values."""

    backbones: Sequence[Chosen[BackboneSpec]]
    tasks: Sequence[TaskSpec]
    datasets: Mapping[str, Sequence[Chosen[DatasetSpec]]]
    """Task name → its datasets."""
    entries: Mapping[str, DatasetSpec]
    """Every registered dataset, for those that refer to others."""
    cache: Path
    results: Path
    device: str = "cpu"
    more_devices: tuple[str, ...] = ()
    """Further devices of the same kind, which embed beside it."""
    precision: str = "float32"
    batch_size: int | None = None
    """None: chosen for the device."""
    workers: int = 1
    runtime: str = "eager"
    """One of bob.runtimes.race.RUNTIMES, or auto."""
    preprocessing: Literal["exact", "fast"] = "exact"
    stored: Literal["float32", "float16"] = "float32"
    limit: int | None = None
    max_params: int | None = None
    seeds: tuple[int, ...] = (0,)
    offline: bool = False
    fresh: bool = False
    skip_bad: bool = False
    fail_fast: bool = False

    def store(self) -> FeatureStore:
        return FeatureStore(self.cache / "features")

    def book(self) -> RecordBook:
        return RecordBook(self.results)


@dataclass(frozen=True, eq=False)
class Cell:
    """One backbone × task × dataset. `key` is the digest of everything its scores depend on."""

    backbone: BackboneSpec
    task: TaskSpec
    dataset: DatasetSpec
    key: str
    needs: Needs = ()
    """The features that it is made from."""


@dataclass(frozen=True)
class Skip:
    """A backbone or dataset that cannot be had here. `exact`: it was asked for by its own name, so that this is an error."""

    kind: str
    name: str
    reason: str
    exact: bool


@dataclass
class Plan:
    """What there is to do, and what is known about it."""

    todo: list[Cell] = field(default_factory=list)
    done: list[Cell] = field(default_factory=list)
    broken: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells that fail before they start, with the reason."""
    not_applicable: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells of backbones that cannot be asked this, with the reason."""
    unsuited: list[str] = field(default_factory=list)
    """Why a task does not run on a dataset that cannot carry it."""
    skipped: list[Skip] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)
    """Backbones with more parameters than were asked for."""
    backbones: list[BackboneSpec] = field(default_factory=list)
    """The registry's entries that are here and work."""
    cards: dict[BackboneSpec, Card] = field(default_factory=dict)
    """Of these, and of what differs from them in preprocessing or pooling."""
    refused: set[BackboneSpec] = field(default_factory=set)
    """Variants in preprocessing that a backbone does not take."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    stored: Literal["float32", "float16"] = "float32"
    """How feature rows are kept."""

    def datasets_to_do(self) -> list[str]:
        return list(dict.fromkeys(cell.dataset.name for cell in self.todo))

    def image_needs(self, dataset: str) -> dict[str, list[Need]]:
        """What the dataset's open cells need, each key once, by the images that are embedded: those in one list are decoded together."""
        needs = {self.key_of(need).digest(): need for need in self._open_needs(dataset) if isinstance(need, Need)}
        together: dict[str, list[Need]] = {}
        for need in needs.values():
            name, split = whole_of(need)
            together.setdefault(f"{name} {split.images_fingerprint()}", []).append(need)
        return together

    def text_needs(self, dataset: str) -> list[TextNeed]:
        """The sentences that the dataset's open cells need, each key once."""
        needs = {self.key_of(need).digest(): need for need in self._open_needs(dataset) if isinstance(need, TextNeed)}
        return list(needs.values())

    def _open_needs(self, dataset: str) -> list[Need | TextNeed]:
        return [need for cell in self.todo if cell.dataset.name == dataset for need in cell.needs]

    def key_of(self, need: Need | TextNeed) -> FeatureKey:
        """The key of the rows that a need is read from; a view's are those of the split that it is part of."""
        known = self.cards[need.backbone]
        if isinstance(need, TextNeed):
            return replace(text_key(known, need.texts), stored=self.stored)
        name, split = whole_of(need)
        return replace(feature_key(known, need.backbone.pooling, name, split), stored=self.stored)


def make_plan(request: Request) -> Plan:
    """Cells to do and done; what cannot be had is skipped with its reason, what is broken fails with its own.

    Where every dataset is broken, that is the request's error.
    """
    plan = Plan(stored=request.stored)
    broken_backbones = _meet_backbones(request, plan)
    broken_datasets = _open_datasets(request, plan)
    if broken_datasets and not plan.datasets:
        raise DatasetError("\n".join(broken_datasets.values()))
    book = request.book()
    for task in request.tasks:
        for dataset in request.datasets[task.name]:
            for backbone in request.backbones:
                _place(request, plan, book, task, dataset.spec, backbone.spec, broken_backbones | broken_datasets)
    return plan


def feature_key(known: Card, pooling: str, split_name: str, split: Split) -> FeatureKey:
    return FeatureKey(
        weights_hash=known.weights_hash,
        forward=known.forward,
        geometry=known.geometry,
        normalisation=known.normalisation,
        pooling=pooling,
        precision=known.precision,
        images=split.images_fingerprint(),
        split=split_name,
        pixels=pixels_by(known.geometry),
    )


def text_key(known: Card, texts: Sequence[str]) -> FeatureKey:
    """Rows of the text tower, which lie in the space of the pooling `embedding`."""
    if known.text is None:
        raise NotApplicableError(known.text_problem or "the backbone has no text tower.", of="backbone")
    tower = known.text
    return FeatureKey(
        weights_hash=tower["weights_hash"],
        forward=known.forward | {name: value for name, value in tower.items() if name != "weights_hash"},
        geometry={},
        normalisation={},
        pooling="embedding",
        precision=known.precision,
        images=digest(list(texts)),
        split="texts",
    )


def whole_of(need: Need) -> tuple[str, Split]:
    """The name and the split whose rows are stored for a need."""
    origin = need.split.origin
    return (origin.name, origin.split) if origin else (need.name, need.split)


def unpooled(spec: BackboneSpec) -> BackboneSpec:
    """What a forward pass depends on: backbones that differ in pooling alone share one."""
    return spec.model_copy(update={"pooling": "default", "width": None})


def seeds_of(seeds: tuple[int, ...], task: TaskSpec, dataset: Dataset) -> tuple[int, ...]:
    """One seed where nothing is drawn: another would change nothing."""
    return seeds if WIRING[task.protocol].draws(task, dataset) else seeds[:1]


def _meet_backbones(request: Request, plan: Plan) -> dict[str, str]:
    """Fills in the cards; returns the backbones that are there and do not work, with the reason."""
    broken: dict[str, str] = {}
    for chosen in request.backbones:
        if _too_large(request, chosen.spec.params):
            plan.too_large.append(chosen.spec.name)
            continue
        try:
            known = card_of(request, chosen.spec)
            if _too_large(request, known.params):
                plan.too_large.append(chosen.spec.name)
                continue
            plan.cards[chosen.spec] = known
            plan.backbones.append(chosen.spec)
        except UnavailableError as error:
            plan.skipped.append(Skip("backbone", chosen.spec.name, str(error), chosen.exact))
        except (BackboneError, ConfigError) as error:
            broken[chosen.spec.name] = str(error)
    return broken


def card_of(request: Request, spec: BackboneSpec) -> Card:
    """The backbone's card, with the preprocessing that was asked for."""
    known = card(spec, request.cache, request.device, request.precision, offline=request.offline)
    fast = {"preprocessing": "fast"} if request.preprocessing == "fast" else {}
    return known.model_copy(update={"geometry": known.geometry | fast})


def _too_large(request: Request, params: int | None) -> bool:
    return request.max_params is not None and params is not None and params > request.max_params


def _open_datasets(request: Request, plan: Plan) -> dict[str, str]:
    """Opens each dataset once; returns those that are there and are wrong, with the reason."""
    broken: dict[str, str] = {}
    for chosen in {chosen.spec.name: chosen for several in request.datasets.values() for chosen in several}.values():
        try:
            dataset = open_dataset(chosen.spec, request.cache, request.offline, request.entries)
            plan.datasets[chosen.spec.name] = limited(dataset, request.limit, seed=0) if request.limit else dataset
        except UnavailableError as error:
            plan.skipped.append(Skip("dataset", chosen.spec.name, str(error), chosen.exact))
        except DatasetError as error:
            broken[chosen.spec.name] = str(error)
    return broken


def _place(
    request: Request, plan: Plan, book: RecordBook, task: TaskSpec, dataset: DatasetSpec, backbone: BackboneSpec, broken: Mapping[str, str]
) -> None:
    """One cell into the plan: broken, not applicable, done, to do, or nowhere where its backbone or dataset is skipped."""
    without = Cell(backbone, task, dataset, digest(["no scores", plain(backbone), plain(task), dataset.name]))
    if reason := broken.get(backbone.name) or broken.get(dataset.name):
        plan.broken.append((without, reason))
        return
    if backbone not in plan.cards or dataset.name not in plan.datasets:
        return
    try:
        cell = _cell(request, plan, task, dataset, backbone)
    except NotApplicableError as error:
        _set_aside(plan, without, error)
    except BobError as error:
        plan.broken.append((without, str(error)))
    else:
        (plan.done if _is_done(request, book, cell) else plan.todo).append(cell)


def _cell(request: Request, plan: Plan, task: TaskSpec, spec: DatasetSpec, backbone: BackboneSpec) -> Cell:
    dataset = plan.datasets[spec.name]
    needs = [need for need in WIRING[task.protocol].needs(task, dataset, backbone) if _can_be_made(request, plan, need)]
    read = dataset.with_shifts({need.name for need in needs})
    return Cell(backbone, task, spec, record_key(request, plan, needs, task, read), needs)


def _can_be_made(request: Request, plan: Plan, need: Need | TextNeed) -> bool:
    """Whether the need's backbone works, filling in its card; raises where it does not and the task cannot do without."""
    try:
        if need.backbone not in plan.cards and need.backbone not in plan.refused:
            plan.cards[need.backbone] = card_of(request, need.backbone)
    except BackboneError:
        if not (isinstance(need, Need) and need.optional):
            raise
        plan.refused.add(need.backbone)
    return need.backbone in plan.cards


def _set_aside(plan: Plan, cell: Cell, error: NotApplicableError) -> None:
    if error.of == "backbone":
        plan.not_applicable.append((cell, str(error)))
    elif str(error) not in plan.unsuited:
        plan.unsuited.append(str(error))


def _is_done(request: Request, book: RecordBook, cell: Cell) -> bool:
    record = None if request.fresh else book.find(cell.task.name, cell.dataset.name, cell.backbone.name, cell.key)
    return record is not None and record.status == "ok" and (request.skip_bad or not (record.dataset and record.dataset.bad_images))


def record_key(request: Request, plan: Plan, needs: Iterable[Need | TextNeed], task: TaskSpec, dataset: Dataset) -> str:
    """Everything that the scores depend on: the rows, the labels and splits, the task's settings and version, the seeds, the limit."""
    features = [(need.name, plan.key_of(need).digest()) for need in needs]
    return result_key(features, dataset, task, seeds_of(request.seeds, task, dataset), request.limit)


def result_key(features: Iterable[tuple[str, str]], dataset: Dataset, task: TaskSpec, seeds: Sequence[int], limit: int | None = None) -> str:
    """The same, of the name and the digest of the rows of each need."""
    return digest(
        {
            "features": [[name, rows] for name, rows in features],
            "dataset": dataset.fingerprint(),
            "task": {name: value for name, value in plain(task).items() if name not in ("summary", "datasets", "groups")},
            "seeds": tuple(seeds),
            "limit": limit,
        }
    )
