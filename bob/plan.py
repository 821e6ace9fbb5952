"""The planner: from what was asked to the cells that are still to do, without loading a backbone that this machine knows or opening an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bob.backbones.card import Card, card
from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import limited, open_dataset
from bob.digest import digest
from bob.errors import BackboneError, ConfigError, DatasetError, UnavailableError
from bob.features.key import FeatureKey
from bob.features.store import FeatureStore
from bob.parse import plain
from bob.recordbook import RecordBook
from bob.registry import Chosen
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

DECODE_SECONDS = 0.004
"""Core-seconds that an image is assumed to need for decoding and cropping in estimates; photographs of 500 px take about this."""
PROBE_SECONDS = 1.0
"""Seconds that a cell is assumed to need once its features are stored; thousands of images take about this."""


@dataclass(frozen=True)
class Request:
    """What was asked for, as plain values."""

    backbones: Sequence[Chosen[BackboneSpec]]
    tasks: Sequence[TaskSpec]
    datasets: Mapping[str, Sequence[Chosen[DatasetSpec]]]
    """Task name → its datasets."""
    cache: Path
    results: Path
    device: str = "cpu"
    precision: str = "float32"
    batch_size: int | None = None
    """None: chosen for the device."""
    workers: int = 1
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


@dataclass(frozen=True)
class Cell:
    """One backbone × task × dataset. `key` is the digest of everything its scores depend on."""

    backbone: BackboneSpec
    task: TaskSpec
    dataset: DatasetSpec
    key: str


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
    broken: dict[Cell, str] = field(default_factory=dict)
    """Cells that fail before they start, with the reason."""
    skipped: list[Skip] = field(default_factory=list)
    cards: dict[str, Card] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def datasets_to_do(self) -> list[str]:
        return list(dict.fromkeys(cell.dataset.name for cell in self.todo))

    def backbones_to_do(self, dataset: str) -> list[BackboneSpec]:
        return list({cell.backbone.name: cell.backbone for cell in self.todo if cell.dataset.name == dataset}.values())


@dataclass(frozen=True)
class Estimate:
    """What the plan will roughly take."""

    images_to_embed: int
    """Summed over backbones."""
    seconds: float
    disk_bytes: int


def make_plan(request: Request) -> Plan:
    """Cells to do and done; what cannot be had is skipped with its reason, what is broken fails with its own.

    Where every dataset is broken, that is the request's error.
    """
    plan = Plan()
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


def estimate(request: Request, plan: Plan) -> Estimate:
    """From the cards' measured speeds; decoding and probes at nominal ones."""
    store = request.store()
    images, seconds, disk = 0, len(plan.todo) * PROBE_SECONDS, 0
    for name in plan.datasets_to_do():
        for split_name, split in plan.datasets[name].splits.items():
            left = {spec.name: _images_left(request, store, plan.cards[spec.name], spec, split_name, split) for spec in plan.backbones_to_do(name)}
            images += sum(left.values())
            seconds += max(left.values(), default=0) * DECODE_SECONDS / request.workers
            seconds += sum(n * plan.cards[backbone].seconds_per_image for backbone, n in left.items())
            disk += sum(4 * n * max(plan.cards[backbone].widths.values()) for backbone, n in left.items())
    return Estimate(images, seconds, disk)


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
    )


def seeds_of(request: Request, task: TaskSpec, dataset: Dataset) -> tuple[int, ...]:
    """One seed where nothing is drawn: another would change nothing."""
    return request.seeds if draws(task, dataset) else request.seeds[:1]


def draws(task: TaskSpec, dataset: Dataset) -> bool:
    """Whether the task draws held-out examples from train: one that chooses nothing does not, nor any where there is a val split."""
    return task.settings.held_out is not None and "val" not in dataset.splits


def _meet_backbones(request: Request, plan: Plan) -> dict[str, str]:
    """Fills in the cards; returns the backbones that are there and do not work, with the reason."""
    broken: dict[str, str] = {}
    for chosen in request.backbones:
        if _too_large(request, chosen.spec.params):
            continue
        try:
            known = card(chosen.spec, request.cache, request.device, request.precision, offline=request.offline)
            if not _too_large(request, known.params):
                plan.cards[chosen.spec.name] = known
        except UnavailableError as error:
            plan.skipped.append(Skip("backbone", chosen.spec.name, str(error), chosen.exact))
        except (BackboneError, ConfigError) as error:
            broken[chosen.spec.name] = str(error)
    return broken


def _too_large(request: Request, params: int | None) -> bool:
    return request.max_params is not None and params is not None and params > request.max_params


def _open_datasets(request: Request, plan: Plan) -> dict[str, str]:
    """Opens each dataset once; returns those that are there and are wrong, with the reason."""
    broken: dict[str, str] = {}
    for chosen in {chosen.spec.name: chosen for several in request.datasets.values() for chosen in several}.values():
        try:
            dataset = open_dataset(chosen.spec, request.cache, request.offline)
            plan.datasets[chosen.spec.name] = limited(dataset, request.limit, seed=0) if request.limit else dataset
        except UnavailableError as error:
            plan.skipped.append(Skip("dataset", chosen.spec.name, str(error), chosen.exact))
        except DatasetError as error:
            broken[chosen.spec.name] = str(error)
    return broken


def _place(
    request: Request, plan: Plan, book: RecordBook, task: TaskSpec, dataset: DatasetSpec, backbone: BackboneSpec, broken: Mapping[str, str]
) -> None:
    """One cell into the plan: broken, done, to do, or nowhere where its backbone or dataset is skipped."""
    if reason := broken.get(backbone.name) or broken.get(dataset.name):
        plan.broken[Cell(backbone, task, dataset, digest(["broken", backbone.name, task.name, dataset.name]))] = reason
        return
    if backbone.name not in plan.cards or dataset.name not in plan.datasets:
        return
    cell = Cell(backbone, task, dataset, record_key(request, plan.cards[backbone.name], backbone, task, plan.datasets[dataset.name]))
    record = None if request.fresh else book.find(task.name, dataset.name, backbone.name, cell.key)
    done = record is not None and record.status == "ok" and (request.skip_bad or not (record.dataset and record.dataset.bad_images))
    (plan.done if done else plan.todo).append(cell)


def record_key(request: Request, known: Card, backbone: BackboneSpec, task: TaskSpec, dataset: Dataset) -> str:
    """Everything that the scores depend on: the rows, the labels and splits, the task's settings and version, the seeds, the limit."""
    return digest(
        {
            "features": {name: feature_key(known, backbone.pooling, name, split).digest() for name, split in dataset.splits.items()},
            "dataset": dataset.fingerprint(),
            "task": {name: value for name, value in plain(task).items() if name not in ("summary", "datasets")},
            "seeds": seeds_of(request, task, dataset),
            "limit": request.limit,
        }
    )


def _images_left(request: Request, store: FeatureStore, known: Card, spec: BackboneSpec, split_name: str, split: Split) -> int:
    if request.fresh:
        return len(split)
    return len(split) - store.begun(feature_key(known, spec.pooling, split_name, split), len(split))
