"""Carries out the passes and cells of a plan in one process.

A worker opens datasets by name and makes every key from its own weights and images. Where a key
differs from the plan's, the plan was made for other inputs, and the work is refused. What a pass
learns, a backbone that fails or images that cannot be read, reaches the cells through the store.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from numpy.typing import NDArray

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_planned, require_planned_text
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.datasets.image_sets import ImageSet
from bob.engine.embedders import EmbedderCache, needed_mib
from bob.engine.engine import EngineListener
from bob.engine.facts import backbone_facts, cost_of, dataset_facts, task_facts
from bob.engine.solve import solve_task
from bob.errors import BobError, PlanMismatchError, StoreError, UnreadableImageError
from bob.extraction.accumulators import AccumulatorSpec
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target, bad_images_message, run_pass
from bob.extraction.texts import store_texts
from bob.features.inventory import Description, describe
from bob.features.key import FeatureKey, StatisticsKey, StoreKey
from bob.features.store import Features, FeatureStore, Statistics
from bob.plan import Cell, Forward, Pass, Plan, TextPass, Workspace
from bob.protocols import FeatureNeed, Inputs, Need, StatisticsNeed, TextNeed
from bob.records.provenance import provenance
from bob.records.record import Record
from bob.specs import BackboneSpec, Output

T = TypeVar("T")


class Worker:
    """Does the passes and cells of one plan."""

    def __init__(self, plan: Plan, workspace: Workspace) -> None:
        self.plan, self.workspace = plan, workspace
        self.store: FeatureStore = workspace.places.features()
        self.embedders = EmbedderCache(workspace.machine.device)
        self._planned_images: Counter[str] = Counter()
        for whole in plan.passes:
            for forward in whole.forwards:
                self._planned_images[forward.backbone] += whole.count

    def do_pass(self, whole: Pass, listener: EngineListener) -> None:
        """Store the missing features of a pass; what fails leaves its reason in the store."""
        try:
            split = self.workspace.full_split(whole.dataset, whole.image_set())[1]
            self._check(f"the images of {whole.split}", whole.fingerprint, split.images_fingerprint)
        except BobError as error:
            self._fail(whole.forwards, str(error))
            return
        for forwards in self._fitting(whole):
            self._do_forwards(whole, forwards, listener)

    def _do_forwards(
        self, whole: Pass, forwards: Sequence[Forward], listener: EngineListener
    ) -> None:
        """Decode the images once for some forwards."""
        where = f"dataset {whole.dataset!r}, {whole.split}"
        members: dict[Member, Forward] = {}
        names = [forward.backbone for forward in forwards]
        for forward in forwards:
            self._clear_failures(forward)
            try:
                members[self._member(whole, forward, names)] = forward
            except BobError as error:
                self._fail([forward], str(error))
        listener.pass_begins(
            whole.dataset, whole.split, whole.count, [member.name for member in members]
        )
        try:
            run_pass(
                self.workspace.full_split(whole.dataset, whole.image_set())[1],
                list(members),
                self.store,
                listener,
                workers=self.workspace.machine.workers,
                skip_bad=self.plan.settings.skip_bad,
            )
        except BobError as error:
            self._fail(members.values(), f"{where}: {error}")
        except Exception as error:  # a reader's own code can raise anything
            self._fail(members.values(), f"{where}: {type(error).__name__}: {error}")
        finally:
            listener.pass_ends()
        for member, forward in members.items():
            if member.failure:
                self._fail([forward], member.failure)
                self.embedders.drop(forward.backbone)

    def do_texts(self, texts: TextPass) -> None:
        """Store the missing embeddings of a task's texts."""
        spec = self.plan.backbones[texts.backbone]
        try:
            need = next(
                need
                for need in self._needs(texts.task, texts.dataset, spec)
                if isinstance(need, TextNeed)
            )
            key = self.workspace.key(texts.dataset, need)
            self._check("the texts", texts.digest, key.digest())
            assert isinstance(key, FeatureKey)
            if self.store.missing(key):
                self.store.clear_failure(texts.digest)
                embedder = self.embedders.loaded(texts.backbone)
                backbone = embedder.backbone if embedder else self._load(need.backbone)
                require_planned_text(backbone, self.workspace.card(need.backbone))
                store_texts(self.store, key, backbone, need.texts)
        except BobError as error:
            self.store.record_failure(texts.digest, str(error))
        except Exception as error:  # a text tower's own code
            kind = type(error).__name__
            self.store.record_failure(
                texts.digest,
                f"backbone {spec.name!r}: failed while embedding text: {kind}: {error}",
            )

    def do_cell(self, cell: Cell) -> tuple[Record, Mapping[str, NDArray[Any]]]:
        """Return the record of a cell, and its per-example arrays; a failure is a record too."""
        try:
            return self._scored(cell)
        except BobError as error:
            return self.unscored(cell, "failed", str(error)), {}
        except Exception as error:  # a failed cell is a failed record; the others continue
            return self.unscored(cell, "failed", f"{type(error).__name__}: {error}"), {}

    def unscored(self, cell: Cell, status: str, reason: str) -> Record:
        """Return the record of a cell that has no scores."""
        facts = None
        with contextlib.suppress(BobError):
            facts = self._dataset_facts(cell, (), {})
        values = {"status": status, "reason": reason, "dataset": facts}
        return Record.model_validate(
            {**self._identity(cell), **values, "seeds": self.plan.settings.seeds}
        )

    def forget(self, whole: Pass) -> None:
        """Remove the stored features of a pass."""
        for forward in whole.forwards:
            for target in self._targets(whole, forward):
                self.store.forget(target.key)

    # --- passes

    def _fitting(self, whole: Pass) -> Iterator[list[Forward]]:
        """Yield the forwards that lack features, as many at a time as fit in memory."""
        available_mib = self.embedders.available_mib()
        group: list[Forward] = []
        used_mib = 0.0
        for forward in whole.forwards:
            try:
                if not any(
                    self.store.missing(target.key) for target in self._targets(whole, forward)
                ):
                    continue
                card = self.workspace.card(self.plan.backbones[forward.backbone])
            except BobError as error:
                self._fail([forward], str(error))
                continue
            needed = needed_mib(card.weights_mib)
            if group and used_mib + needed > available_mib:
                yield group
                group, used_mib = [], 0.0
            group.append(forward)
            used_mib += needed
        if group:
            yield group

    def _member(self, whole: Pass, forward: Forward, together: Collection[str]) -> Member:
        """Return a backbone of a pass in which the forwards `together` take part."""
        spec = self.plan.backbones[forward.backbone]
        targets = self._targets(whole, forward)
        for target in targets:
            name = f"{spec.name} {target.output}"
            shards = len(target.key.sharding)
            description = Description(name, whole.dataset, whole.split, whole.count, shards)
            describe(self.store, target.key, description)
        return Member(self._embedder(forward.backbone, together), targets)

    def _targets(self, whole: Pass, forward: Forward) -> list[Target]:
        """Return the outputs of a forward with the keys that this process makes of them."""
        spec, images = self.plan.backbones[forward.backbone], whole.image_set()
        targets = []
        for name, digest in forward.outputs.items():
            output = Output.model_validate(name)
            key: StoreKey = self.workspace.feature_key(
                whole.dataset, spec.variant(output=output), images
            )
            self._check(f"the features of {spec.name}", digest, key.digest())
            targets.append(Target(output, key))
        for statistics in forward.statistics:
            output = Output.model_validate(statistics.output)
            facts = statistics.accumulator
            accumulator = AccumulatorSpec(
                facts["name"], facts["version"], tuple(sorted(facts["settings"].items()))
            )
            over = ImageSet.from_plain(statistics.images)
            need = StatisticsNeed(spec.variant(output=output), over, accumulator)
            key = self.workspace.key(whole.dataset, need)
            self._check(f"the statistics of {spec.name}", statistics.digest, key.digest())
            origin = self.workspace.images(whole.dataset, over).origin
            targets.append(
                Target(
                    output,
                    key,
                    self.workspace.accumulator(whole.dataset, need),
                    origin.positions if origin else None,
                )
            )
        return targets

    def _embedder(self, name: str, together: Collection[str]) -> Embedder:
        """Return the embedder of a forward pass, loaded on first use and kept for later passes."""
        machine, spec = self.workspace.machine, self.plan.backbones[name]
        weights_mib = self.workspace.card(spec).weights_mib

        def make() -> Embedder:
            self.embedders.make_room(needed_mib(weights_mib), keep=together)
            return Embedder(
                backbones=[self._ready(spec, device) for device in machine.devices],
                runtime=machine.runtime,
                batch_size=machine.batch_size,
                cache=self.workspace.places.cache,
                expected_images=self._planned_images[name],
            )

        return self.embedders.get(name, weights_mib, make)

    def _ready(self, spec: BackboneSpec, device: str) -> Backbone:
        """Load a backbone as passes run it: the one that was planned, whose key its rows get."""
        backbone = self._load(spec, device)
        fast = self.plan.settings.preprocessing == "fast"
        backbone.geometry = replace(backbone.geometry, fast=fast)
        fold_batchnorm(backbone)
        return backbone

    def _load(self, spec: BackboneSpec, device: str | None = None) -> Backbone:
        machine = self.workspace.machine
        return load_planned(
            spec,
            self.workspace.card(spec),
            self.workspace.places.cache,
            device or machine.device,
            self.plan.settings.precision,
            offline=machine.offline,
        )

    def _clear_failures(self, forward: Forward) -> None:
        for digest in _digests(forward):
            self.store.clear_failure(digest)

    def _fail(self, forwards: Iterable[Forward], reason: str) -> None:
        for forward in forwards:
            for digest in _digests(forward):
                self.store.record_failure(digest, reason)

    def _check(self, what: str, planned: str, here: str) -> None:
        """Raise PlanMismatchError where this process would make other features than planned."""
        if planned != here:
            raise PlanMismatchError(
                f"{what} here are not those of the plan ({here[:12]}, planned {planned[:12]}): "
                "other weights, images or library versions. Plan again on this machine."
            )

    # --- cells

    def _needs(self, task: str, dataset: str, spec: BackboneSpec) -> Sequence[Need]:
        return self.workspace.needs(self.plan.tasks[task], dataset, spec)

    def _scored(self, cell: Cell) -> tuple[Record, Mapping[str, NDArray[Any]]]:
        task, spec = self.plan.tasks[cell.task], self.plan.backbones[cell.backbone]
        dataset = self.workspace.dataset(cell.dataset)
        needs = self._needs(cell.task, cell.dataset, spec)
        keys = {need: self.workspace.key(cell.dataset, need) for need in needs}
        read = [need.name for need in needs]
        self._check("the dataset's labels", cell.fingerprint, dataset.fingerprint(read))
        for planned, key in zip(cell.features, keys.values(), strict=True):
            self._check("the features", planned, key.digest())
        features = {
            need: self._features(cell, need, keys[need])
            for need in needs
            if not isinstance(need, StatisticsNeed)
        }
        statistics = {
            need: self._statistics(cell, need, keys[need])
            for need in needs
            if isinstance(need, StatisticsNeed)
        }
        inputs = Inputs(
            features=features.__getitem__,
            statistics=lambda need: statistics[need].arrays,
        )
        device = self.workspace.machine.device
        solution = solve_task(task, dataset, needs, inputs, self.plan.settings.seeds, device)
        read_from: list[tuple[Need, Features | Statistics]] = [
            *features.items(),
            *statistics.items(),
        ]
        bad = {
            need.images.name: of_need.bad
            for need, of_need in read_from
            if not isinstance(need, TextNeed)
        }
        record = Record(
            **self._identity(cell),
            status="ok",
            dataset=self._dataset_facts(cell, read, bad),
            seeds=cell.seeds,
            scores=solution.scores,
            details=solution.details(),
            cost=cost_of((of_need.effort for _, of_need in read_from), solution.seconds, device),
        )
        return record, solution.arrays()

    def _features(self, cell: Cell, need: FeatureNeed | TextNeed, key: StoreKey) -> Features:
        """Read the features of a need; positions count in the need's own images."""
        assert isinstance(key, FeatureKey)
        features = self._read(key, lambda: self.store.read(key))
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
        statistics = self._read(key, lambda: self.store.read_statistics(key, accumulator))
        self._require_readable(cell, need, statistics.bad)
        return statistics

    def _require_readable(
        self, cell: Cell, need: FeatureNeed | StatisticsNeed, bad: Mapping[int, str]
    ) -> None:
        """Raise UnreadableImageError for images that may not be left out."""
        if bad and not self.plan.settings.skip_bad:
            message = bad_images_message(list(bad.values()))
            raise UnreadableImageError(f"dataset {cell.dataset!r}, {need.images.name}: {message}")

    def _read(self, key: StoreKey, read: Callable[[], T]) -> T:
        """Read from the store; where shards are missing, say why they could not be computed."""
        try:
            return read()
        except StoreError as error:
            if reason := self.store.failure(key.digest()):
                raise StoreError(reason) from error
            raise

    def _dataset_facts(
        self, cell: Cell, read: Sequence[str], bad: Mapping[str, Mapping[int, str]]
    ) -> Any:
        spec = self.plan.datasets.get(cell.dataset)
        return dataset_facts(
            self.workspace.dataset(cell.dataset),
            read,
            bad,
            self.plan.settings.limit,
            spec.licence if spec else None,
        )

    def _identity(self, cell: Cell) -> dict[str, Any]:
        spec = self.plan.backbones[cell.backbone]
        facts = None
        with contextlib.suppress(BobError):
            facts = backbone_facts(spec, self.workspace.card(spec))
        return {
            "key": cell.key,
            "backbone": facts,
            "backbone_name": cell.backbone,
            "family": spec.family,
            "task": task_facts(self.plan.tasks[cell.task]),
            "dataset_name": cell.dataset,
            "provenance": provenance(),
        }


def _digests(forward: Forward) -> list[str]:
    return [*forward.outputs.values(), *(output.digest for output in forward.statistics)]
