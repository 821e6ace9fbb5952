"""The cells of a plan, scored in this process on features that are stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from numpy.typing import NDArray

from bob.engine.cell_records import facts_of_dataset, identity, unscored_record
from bob.engine.embedding import require_planned
from bob.engine.facts import cost_of
from bob.engine.solve import solve_task
from bob.errors import BobError, StoreError, UnreadableImageError
from bob.extraction.accumulators import temporary_arrays
from bob.extraction.messages import bad_images_message
from bob.features.key import FeatureKey, StatisticsKey, StoreKey
from bob.features.shard import Effort
from bob.features.store import Features, FeatureStore, Statistics
from bob.plan import Cell, Plan, Workspace
from bob.protocols import FeatureNeed, Inputs, Need, StatisticsNeed, TextNeed
from bob.records.record import Record

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(eq=False)
class Scoring:
    """Makes the records of a plan's cells; features that several cells read are read once."""

    plan: Plan
    workspace: Workspace
    _features_read: dict[str, Features] = field(default_factory=dict)
    """By the digest of their key."""

    def __post_init__(self) -> None:
        self.store: FeatureStore = self.workspace.places.features()

    def record_of(self, cell: Cell) -> tuple[Record, Arrays]:
        """Return the record of a cell, and its per-example arrays; a failure is a record too."""
        try:
            return self._scored(cell)
        except BobError as error:
            return self._failed(cell, str(error))
        except Exception as error:  # a failed cell is a failed record; the others continue
            return self._failed(cell, f"{type(error).__name__}: {error}")

    def _failed(self, cell: Cell, reason: str) -> tuple[Record, Arrays]:
        return unscored_record(self.plan, self.workspace, cell, "failed", reason), {}

    def _scored(self, cell: Cell) -> tuple[Record, Arrays]:
        task, spec = self.plan.tasks[cell.task], self.plan.backbones[cell.backbone]
        dataset = self.workspace.dataset(cell.dataset)
        needs = self.workspace.needs(task, cell.dataset, spec)
        keys = {need: self.workspace.key(cell.dataset, need) for need in needs}
        read = [need.name for need in needs]
        require_planned("the dataset's labels", cell.fingerprint, dataset.fingerprint(read))
        for planned, key in zip(cell.features, keys.values(), strict=True):
            require_planned("the features", planned, key.digest())
        features, statistics = self._read_needs(cell, keys)
        inputs = Inputs(
            features=features.__getitem__,
            statistics=lambda need: statistics[need].arrays,
        )
        machine = self.workspace.machine
        device = machine.scoring_device or machine.device
        solution = solve_task(task, dataset, needs, inputs, self.plan.settings.seeds, device)
        read_from: list[tuple[Need, Features | Statistics]] = [
            *features.items(),
            *statistics.items(),
        ]
        bad = _bad_by_split(read_from)
        record = Record(
            **identity(self.plan, self.workspace, cell),
            status="ok",
            dataset=facts_of_dataset(self.plan, self.workspace, cell, read, bad),
            seeds=cell.seeds,
            scores=solution.scores,
            details=solution.details(),
            cost=cost_of(_efforts(read_from), solution.seconds, device),
        )
        return record, solution.arrays()

    def _read_needs(
        self, cell: Cell, keys: Mapping[Need, StoreKey]
    ) -> tuple[dict[Need, Features], dict[Need, Statistics]]:
        """Read what a cell needs. StoreError or UnreadableImageError with all reasons that differ.

        Unreadable images of all splits are in one message, so that they can be repaired at once.
        """
        features: dict[Need, Features] = {}
        statistics: dict[Need, Statistics] = {}
        errors: list[StoreError | UnreadableImageError] = []
        for need, key in keys.items():
            try:
                if isinstance(need, StatisticsNeed):
                    statistics[need] = self._statistics(cell, need, key)
                else:
                    features[need] = self._features(cell, need, key)
            except (StoreError, UnreadableImageError) as error:
                errors.append(error)
        if errors:
            raise type(errors[0])("\n".join(dict.fromkeys(map(str, errors)))) from errors[0]
        return features, statistics

    def _features(self, cell: Cell, need: FeatureNeed | TextNeed, key: StoreKey) -> Features:
        """Read the features of a need; positions count in the need's own images."""
        assert isinstance(key, FeatureKey)
        digest = key.digest()
        if digest not in self._features_read:
            self._features_read[digest] = self._read(key, lambda: self.store.read(key))
            self.store.sweep(key)
        features = self._features_read[digest]
        if isinstance(need, TextNeed):
            return features
        split = self.workspace.images(cell.dataset, need.images)
        if split.origin is not None:
            features = features.view(split.origin.positions)
        self._require_readable(cell, need, features.bad)
        return features

    def _statistics(self, cell: Cell, need: StatisticsNeed, key: StoreKey) -> Statistics:
        assert isinstance(key, StatisticsKey)
        accumulator = self.workspace.accumulator(cell.dataset, need)
        temporary = temporary_arrays(need.accumulator.name)
        statistics = self._read(
            key, lambda: self.store.read_statistics(key, accumulator, without=temporary)
        )
        self.store.sweep(key)
        self._require_readable(cell, need, statistics.bad)
        return statistics

    def _require_readable(
        self, cell: Cell, need: FeatureNeed | StatisticsNeed, bad: Mapping[int, str]
    ) -> None:
        """Raise UnreadableImageError for images that may not be left out, or if none is left."""
        images, bad = need.images.whole, need.images.by_image(bad)
        where = f"dataset {cell.dataset!r}, {images.name}"
        if bad and not self.plan.settings.skip_bad:
            raise UnreadableImageError(f"{where}: {bad_images_message(list(bad.values()))}")
        if bad and len(bad) == len(self.workspace.images(cell.dataset, images)):
            raise UnreadableImageError(
                f"{where}: none of the {len(bad):,} images can be read: {next(iter(bad.values()))}"
            )

    def _read(self, key: StoreKey, read: Callable[[], T]) -> T:
        """Read from the store; where shards are missing, say why they could not be computed."""
        try:
            return read()
        except StoreError as error:
            if reason := self.store.failure(key.digest()):
                raise StoreError(reason) from error
            raise


def _efforts(read_from: Sequence[tuple[Need, Features | Statistics]]) -> list[Effort]:
    """Return what each set of images cost, once however many statistics were made of it."""
    efforts: dict[object, Effort] = {}
    for need, of_need in read_from:
        images = need if isinstance(need, TextNeed) else (need.backbone, need.images)
        efforts.setdefault(images, of_need.effort)
    return list(efforts.values())


def _bad_by_split(
    read_from: Sequence[tuple[Need, Features | Statistics]],
) -> dict[str, dict[int, str]]:
    """Return the reasons for unreadable images by split; parts of a split are joined."""
    by_images = {
        need.images.whole: need.images.by_image(of_need.bad)
        for need, of_need in read_from
        if not isinstance(need, TextNeed)
    }
    bad: dict[str, dict[int, str]] = {}
    for images, reasons in by_images.items():
        if images.part is None:
            bad[images.name] = dict(reasons)
        else:
            joined = bad.setdefault(images.split, {})
            joined |= {len(joined) + i: reason for i, reason in enumerate(reasons.values())}
    return bad
