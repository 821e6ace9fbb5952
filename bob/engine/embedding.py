"""The passes of a plan, carried out in this process.

Datasets are opened by name and keys made from the weights and images that are here. Where a key
differs from the plan's, the plan was made for other inputs, and the work is refused. What a pass
learns, a backbone that fails or images that cannot be read, reaches the cells through the store.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_planned, require_planned_text
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.engine.embedders import EmbedderCache, needed_mib
from bob.engine.engine import EngineListener
from bob.errors import BobError, PlanMismatchError
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target, run_pass
from bob.extraction.texts import store_texts
from bob.features.inventory import Description, describe
from bob.features.key import FeatureKey, StatisticsKey, StoreKey
from bob.features.shard import Arrays
from bob.features.sharding import images_of
from bob.features.store import FeatureStore
from bob.plan import Forward, Pass, Plan, TextPass, Workspace, statistics_need
from bob.protocols import StatisticsNeed, TextNeed
from bob.specs import BackboneSpec, Output


@dataclass(eq=False)
class Embedding:
    """Stores the features of a plan's passes."""

    plan: Plan
    workspace: Workspace
    embedders: EmbedderCache
    expected_images: Mapping[str, int]
    """Images that each forward pass embeds in the whole run, by its name in the plan."""
    spans: range | None = None
    """Spans of images to embed; None is all."""

    def __post_init__(self) -> None:
        self.store: FeatureStore = self.workspace.places.features()

    def do_pass(self, image_pass: Pass, listener: EngineListener) -> None:
        """Store the missing features of a pass; what fails leaves its reason in the store."""
        try:
            split = self.workspace.full_split(image_pass.dataset, image_pass.image_set())[1]
            require_planned(
                f"the images of {image_pass.split}",
                image_pass.fingerprint,
                split.images_fingerprint,
            )
        except BobError as error:
            self._fail(image_pass.forwards, str(error))
            return
        for forwards in self._fitting(image_pass):
            self._do_forwards(image_pass, forwards, listener)

    def _do_forwards(
        self, image_pass: Pass, forwards: Sequence[Forward], listener: EngineListener
    ) -> None:
        """Decode the images once for some forwards."""
        where = f"dataset {image_pass.dataset!r}, {image_pass.split}"
        members: dict[Member, Forward] = {}
        names = [forward.backbone for forward in forwards]
        for forward in forwards:
            try:
                members[self._member(image_pass, forward, names, listener)] = forward
            except BobError as error:
                self._fail([forward], str(error))
        images = image_pass.count if self.spans is None else images_of(self.spans, image_pass.count)
        listener.pass_begins(
            image_pass.dataset, image_pass.split, images, [member.name for member in members]
        )
        try:
            run_pass(
                self.workspace.full_split(image_pass.dataset, image_pass.image_set())[1],
                list(members),
                self.store,
                listener,
                workers=self.workspace.machine.workers,
                skip_bad=self.plan.settings.skip_bad,
                spans=self.spans,
            )
        except BobError as error:
            self._fail(members.values(), f"{where}: {error}")
        except Exception as error:  # a reader's own code can raise anything
            self._fail(members.values(), f"{where}: {type(error).__name__}: {error}")
        finally:
            listener.pass_ends()
        for member, forward in members.items():
            for key, reason in member.failures.items():
                self.store.record_failure(key.digest(), reason)
            if member.failure:
                self._fail([forward], member.failure)
                self.embedders.drop(forward.backbone)

    def do_texts(self, texts: TextPass) -> None:
        """Store the missing embeddings of a task's texts."""
        spec = self.plan.backbones[texts.backbone]
        try:
            need = next(
                need
                for need in self.workspace.needs(self.plan.tasks[texts.task], texts.dataset, spec)
                if isinstance(need, TextNeed)
            )
            key = self.workspace.key(texts.dataset, need)
            require_planned("the texts", texts.digest, key.digest())
            assert isinstance(key, FeatureKey)
            if self.store.missing(key):
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

    def forget(self, image_pass: Pass) -> None:
        """Remove the stored features of a pass."""
        for forward in image_pass.forwards:
            for target in self._targets(image_pass, forward):
                self.store.forget(target.key, self.spans)

    def _fitting(self, image_pass: Pass) -> Iterator[list[Forward]]:
        """Yield the forwards that lack features, as many at a time as fit in memory."""
        available_mib = self.embedders.available_mib()
        group: list[Forward] = []
        used_mib = 0.0
        for forward in filter(None, map(self._without_failed, image_pass.forwards)):
            try:
                keys = [target.key for target in self._targets(image_pass, forward)]
                if not any(self.store.missing(key, self.spans) for key in keys):
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

    def _member(
        self,
        image_pass: Pass,
        forward: Forward,
        together: Collection[str],
        listener: EngineListener,
    ) -> Member:
        """Return a backbone of a pass in which the forwards `together` take part."""
        spec = self.plan.backbones[forward.backbone]
        targets = self._targets(image_pass, forward)
        for target in targets:
            name = f"{spec.name} {target.output}"
            shards = len(target.key.sharding)
            description = Description(
                name, image_pass.dataset, image_pass.split, image_pass.count, shards
            )
            describe(self.store, target.key, description)
        return Member(self._embedder(forward.backbone, together, listener), targets)

    def _targets(self, image_pass: Pass, forward: Forward) -> list[Target]:
        """Return the outputs of a forward with the keys that this process makes of them."""
        spec, images = self.plan.backbones[forward.backbone], image_pass.image_set()
        targets = []
        for name, digest in forward.outputs.items():
            output = Output.model_validate(name)
            key: StoreKey = self.workspace.feature_key(
                image_pass.dataset, spec.variant(output=output), images
            )
            require_planned(f"the features of {spec.name}", digest, key.digest())
            targets.append(Target(output, key))
        for statistics in forward.statistics:
            need = statistics_need(spec, statistics)
            key = self.workspace.key(image_pass.dataset, need)
            require_planned(f"the statistics of {spec.name}", statistics.digest, key.digest())
            origin = self.workspace.images(image_pass.dataset, need.images).origin
            earlier = functools.partial(self._earlier, image_pass.dataset, need)
            targets.append(
                Target(
                    need.backbone.output,
                    key,
                    self.workspace.accumulator(image_pass.dataset, need, earlier),
                    origin.positions if origin else None,
                )
            )
        return targets

    def _earlier(self, dataset: str, need: StatisticsNeed) -> list[Arrays]:
        """Read the statistics on which others depend."""
        found = []
        for earlier in need.after:
            key = self.workspace.key(dataset, earlier)
            assert isinstance(key, StatisticsKey)
            accumulator = self.workspace.accumulator(dataset, earlier)
            found.append(self.store.read_statistics(key, accumulator).arrays)
        return found

    def _without_failed(self, forward: Forward) -> Forward | None:
        """Return a forward without outputs that failed or need failed ones; None if all did."""
        for statistics in forward.statistics:
            for earlier in statistics.after:
                if reason := self.store.failure(earlier.digest):
                    self.store.record_failure(statistics.digest, reason)
        return forward.narrowed({d for d in forward.digests() if not self.store.failure(d)})

    def _embedder(self, name: str, together: Collection[str], listener: EngineListener) -> Embedder:
        """Return the embedder of a forward pass, loaded on first use and kept for later passes."""
        machine, spec = self.workspace.machine, self.plan.backbones[name]
        weights_mib = self.workspace.card(spec).weights_mib

        def make() -> Embedder:
            listener.stage("loading", spec.name)
            self.embedders.make_room(needed_mib(weights_mib), keep=together)
            return Embedder(
                backbones=[self._ready(spec, device) for device in machine.devices],
                runtime=machine.runtime,
                batch_size=machine.batch_size,
                cache=self.workspace.places.cache,
                expected_images=self.expected_images.get(name, 0),
                shares_choice=machine.shares_runtimes,
                stated=self.plan.runtimes.get(name, {}),
                notice=listener.notice,
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

    def _fail(self, forwards: Iterable[Forward], reason: str) -> None:
        for forward in forwards:
            for digest in forward.digests():
                self.store.record_failure(digest, reason)


def require_planned(what: str, planned: str, here: str) -> None:
    """Raise PlanMismatchError where this process would make or read other features than planned."""
    if planned != here:
        raise PlanMismatchError(
            f"{what} here are not those of the plan ({here[:12]}, planned {planned[:12]}): "
            "other weights, images or library versions. Plan again on this machine."
        )
