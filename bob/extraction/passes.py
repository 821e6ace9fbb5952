"""One pass, many backbones: every image is decoded once and embedded by all backbones.

A pass has one worker per device. Each takes spans of images that nobody else computes, here or in
another process, decodes them a few blocks ahead of the block that it embeds, crops them once per
distinct geometry, and stores the features or sums statistics over them. Memory does not depend on
the number of images.

Statistics of one block are summed side by side, each on one thread: the threads of a product would
wait for each other and for the decoders (measured on two cores: ten times the processor time).
"""

import contextlib
import functools
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bob.backbones.backbone import Embedded
from bob.datasets.content.target_cache import forget_targets
from bob.datasets.dataset import Split
from bob.errors import BobError, ChangedImageError, StoreError, UnreadableImageError
from bob.extraction.accumulators import Accumulator
from bob.extraction.blocks import Decoders, ImageBlock, image_blocks
from bob.extraction.embedder import Embedder
from bob.extraction.messages import bad_images_message, changed_images_message
from bob.extraction.progress import ProgressListener, Spent
from bob.extraction.runtimes.memory import keep_freed_memory, release_freed_memory
from bob.extraction.work_queue import Span, SpanQueue
from bob.features.key import FeatureKey, StatisticsKey, StoreKey
from bob.features.shard import Effort, Shard, round_to
from bob.features.store import FeatureStore
from bob.specs import Output

MAX_WORKERS = 16
HOLD_SHARE = 0.2
"""Decoding is held while a forward pass computes if it takes at most this share of the forward
passes' time: more of it had better go on beside them."""
RELEASED_IMAGES = 256
"""Images after which freed memory is returned to the system. It is in pieces between arrays that
are still in use, which add up over thousands of images."""


@dataclass(frozen=True)
class Target:
    """Where one output goes: into shards of features, or into an accumulator."""

    output: Output
    key: StoreKey
    accumulator: Accumulator | None = None
    part: NDArray[np.int64] | None = None
    """Positions (M,) in the pass of the images over which to accumulate; None is all of them. The
    accumulator counts positions in the part."""


@dataclass(eq=False)
class Member:
    """One backbone of a pass. After a failure it takes no further part."""

    embedder: Embedder
    targets: Sequence[Target]
    failure: str | None = None
    failures: dict[StoreKey, str] = field(default_factory=dict)
    """Key of a target → why its features or statistics could not be stored. Others continue."""

    @property
    def outputs(self) -> list[Output]:
        return list(dict.fromkeys(target.output for target in self.targets))

    @property
    def name(self) -> str:
        return self.embedder.backbone.spec.name


def run_pass(
    split: Split,
    members: Sequence[Member],
    store: FeatureStore,
    listener: ProgressListener,
    *,
    workers: int,
    skip_bad: bool,
    spans: range | None = None,
) -> None:
    """Compute and store the missing shards of every member, of some spans or all.

    A failure of a backbone is left in its member. UnreadableImageError where images cannot be read
    and are not to be skipped; ChangedImageError where images are not those that were planned.
    """
    release_freed_memory()  # of backbones that were loaded to be checked
    keep_freed_memory()
    keys = [target.key for member in members for target in member.targets]
    queue = SpanQueue(
        store,
        keys,
        len(split),
        listener.waiting,
        lambda images: listener.embedded(images, Spent()),
        spans,
    )
    devices = min((len(member.embedder.backbones) for member in members), default=1)
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool,
        ThreadPoolExecutor(workers, thread_name_prefix="sum") as summing,
    ):
        decoders = Decoders(pool)
        run = [
            _DeviceWorker(
                device, split, members, store, listener, queue, decoders, summing, skip_bad, workers
            )
            for device in range(devices)
        ]
        try:
            if devices == 1:
                run[0].work()
            else:
                _run_together(run, queue)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            queue.close()
    for key in keys:
        store.sweep(key)
    forget_targets()
    release_freed_memory()  # each thread keeps its own, which the next pass's threads cannot use


def _run_together(workers: Sequence["_DeviceWorker"], queue: SpanQueue) -> None:
    """Run every worker in a thread of its own; the first error ends all."""
    with ThreadPoolExecutor(len(workers), thread_name_prefix="device") as pool:
        running = [pool.submit(worker.work) for worker in workers]
        try:
            wait(running, return_when="FIRST_EXCEPTION")
        finally:
            queue.stop()
    for future in running:
        future.result()


@dataclass(eq=False)
class _DeviceWorker:
    """The work of one device."""

    device: int
    split: Split
    members: Sequence[Member]
    store: FeatureStore
    listener: ProgressListener
    queue: SpanQueue
    decoders: Decoders
    summing: Executor
    """Threads that take the features of a block for one target each."""
    skip_bad: bool
    workers: int
    """Threads that decode."""
    _decode_seconds: float = 0.0
    _forward_seconds: float = 0.0
    _seconds: dict[Member, float] = field(default_factory=lambda: defaultdict(float))
    """Of each member's forward passes."""
    _turns: dict[Member, int] = field(default_factory=lambda: defaultdict(int))
    """How often each member came first in a block."""
    _unreleased: int = 0
    """Images since freed memory was returned to the system."""

    def work(self) -> None:
        backbones = [member.embedder.backbones[self.device] for member in self.members]
        geometries = list(dict.fromkeys(backbone.geometry for backbone in backbones))
        pinned = any(backbone.device.type == "cuda" for backbone in backbones)
        sinks: dict[Member, list[_Sink]] = {}
        bad: dict[int, str] = {}
        changed: dict[int, str] = {}
        unreadable: dict[int, str] = {}
        blocks = image_blocks(self.split, self.queue, geometries, self.decoders, pinned=pinned)
        for block in blocks:
            if not sinks:
                sinks = self._open_sinks(block.span)
            forward = 0.0
            for member in self._in_turn(sinks):
                seconds = self._embed(block, member, sinks[member])
                self._seconds[member] += seconds
                forward += seconds
            bad |= block.bad
            changed |= block.changed
            self._decode_seconds += block.decode_seconds
            self._forward_seconds += forward
            spent = Spent(block.decode_seconds, block.waited_seconds, forward)
            images = 0 if block.span.is_repeated else len(block.images)
            self.listener.embedded(images, spent)
            self._release_memory(len(block.images))
            self._store_complete(block, sinks, bad, changed)
            if block.ends_span:
                if changed:
                    raise ChangedImageError(changed_images_message(list(changed.values())))
                unreadable |= bad
                self.queue.finish(block.span)
                sinks, bad = {}, {}
        if unreadable and not self.skip_bad:
            raise UnreadableImageError(bad_images_message(list(unreadable.values())))

    def _in_turn(self, members: Iterable[Member]) -> list[Member]:
        """Return the members in the order of a block: the first in its turn, then the slowest.

        Decoders are busiest at the start of a block, and delay the first member. Each comes first
        in proportion to the time of its forward passes (D'Hondt's method), so that all are delayed
        by about the same share, and their speeds compare as they would without decoders.
        """
        slowest_first = sorted(members, key=lambda each: -self._seconds[each])
        first = max(slowest_first, key=lambda each: self._seconds[each] / (1 + self._turns[each]))
        self._turns[first] += 1
        return [first, *(each for each in slowest_first if each is not first)]

    def _release_memory(self, images: int) -> None:
        """Return freed memory to the system from time to time, after some more images."""
        self._unreleased += images
        if self._unreleased >= RELEASED_IMAGES:
            release_freed_memory()
            self._unreleased = 0

    def _open_sinks(self, span: Span) -> "dict[Member, list[_Sink]]":
        """Open what receives the features of a span, for the shards that each member lacks."""
        sinks: dict[Member, list[_Sink]] = {}
        for member in self.members:
            lacking = [target for target in member.targets if target.key in span.missing]
            if lacking:
                sinks[member] = [_sink(target, span) for target in lacking]
        return sinks

    def _store_complete(
        self,
        block: ImageBlock,
        sinks: "Mapping[Member, Sequence[_Sink]]",
        bad: Mapping[int, str],
        changed: Mapping[int, str],
    ) -> None:
        """Write the shards that end within the block, of members that have not failed.

        A shard with a changed image is not written: its key is that of the planned images.
        """
        start = time.perf_counter()
        for member, open_sinks in sinks.items():
            for sink in open_sinks if not member.failure else ():
                for number, shard in sink.complete(block.images.stop, bad):
                    images = sink.target.key.sharding.positions(number)
                    is_planned = not any(position in images for position in changed)
                    has_failed = sink.target.key in member.failures  # on another device
                    if is_planned and not has_failed and (self.skip_bad or not shard.bad):
                        self.store.write(sink.target.key, number, shard)
        seconds = time.perf_counter() - start
        self.listener.embedded(0, Spent(write_seconds=seconds))

    def _embed(self, block: ImageBlock, member: Member, sinks: "list[_Sink]") -> float:
        """Embed a block and return the seconds of the forward pass.

        Any error is a failure of the member alone, or of one of its targets: its code must not end
        the others' work. Sinks of such a target are removed.
        """
        if member.failure or not sinks or not len(block.positions):
            return 0.0
        outputs = list(dict.fromkeys(sink.target.output for sink in sinks))
        geometry = member.embedder.backbones[self.device].geometry
        try:
            embedded, effort = member.embedder.embed(
                self.device,
                block.crops[geometry],
                outputs,
                member.outputs,
                lambda: self._tuning(member),
                self.decoders.paused if self._holds_decoders() else contextlib.nullcontext,
            )
        except Exception as error:  # a backbone's own code can raise anything
            return self._fail(member, _reason(member, error))
        for sink, failure in self._add(sinks, block.positions, embedded):
            member.failures[sink.target.key] = _reason(member, failure)
            self.queue.drop([sink.target.key])
            sinks.remove(sink)
        effort = replace(effort, decode_seconds=block.decode_seconds)
        for sink in sinks:
            sink.effort += effort
        self.listener.forwarded(member.name, effort.images, effort.forward_seconds)
        return effort.forward_seconds

    def _add(
        self, sinks: "Sequence[_Sink]", positions: NDArray[np.int64], embedded: Embedded
    ) -> "list[tuple[_Sink, Exception]]":
        """Give every sink its features; return the sinks that could not take them, and why."""

        def add(sink: _Sink) -> Exception | None:
            try:
                sink.add(positions, embedded[sink.target.output])
            except Exception as error:  # an accumulator's own code can raise anything
                return error
            return None

        # with one sink, this thread would wait otherwise
        errors = map(add, sinks) if len(sinks) == 1 else self.summing.map(add, sinks)
        return [(sink, error) for sink, error in zip(sinks, errors, strict=True) if error]

    def _holds_decoders(self) -> bool:
        """Whether decoding has taken so little time so far that it can wait for forward passes."""
        decoding = self._decode_seconds / self.workers
        return 0 < decoding <= HOLD_SHARE * self._forward_seconds

    @contextlib.contextmanager
    def _tuning(self, member: Member) -> Iterator[None]:
        """Report that a member is tuned, and pause the decoders meanwhile."""
        self.listener.stage("tuning", member.name)
        with self.decoders.paused():
            yield
        self.listener.stage("embedding", member.name)

    def _fail(self, member: Member, reason: str) -> float:
        member.failure = reason
        self.queue.drop(target.key for target in member.targets)
        return 0.0


def _reason(member: Member, error: Exception) -> str:
    """Return why a backbone, or one of its targets, has failed."""
    if isinstance(error, StoreError):
        return f"backbone {member.name!r}: {error}"
    if isinstance(error, BobError):
        return str(error)
    kind = type(error).__name__
    return f"backbone {member.name!r}: failed while embedding: {kind}: {error}"


class _Sink(Protocol):
    """Receives the features of one span for one target."""

    target: Target
    effort: Effort

    def add(self, positions: NDArray[np.int64], features: NDArray[np.float32]) -> None: ...

    def complete(self, stop: int, bad: Mapping[int, str]) -> list[tuple[int, Shard]]:
        """Return the shards that end at or before the position `stop`, each once."""


def _sink(target: Target, span: Span) -> _Sink:
    numbers = list(span.missing[target.key])
    if isinstance(target.key, FeatureKey):
        return _RowSink(target, numbers, target.key.stored)
    assert isinstance(target.key, StatisticsKey) and target.accumulator is not None
    return _StatisticsSink(target, numbers, target.accumulator, target.key.features.shape)


@dataclass(eq=False)
class _RowSink:
    """Collects rows until a shard is complete."""

    target: Target
    numbers: list[int]
    """Shards that are missing, ascending."""
    stored: str
    """Data type in the store."""
    effort: Effort = field(default_factory=Effort)
    _rows: list[NDArray[Any]] = field(default_factory=list)
    _positions: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, positions: NDArray[np.int64], features: NDArray[np.float32]) -> None:
        wanted = np.isin(positions // self.target.key.sharding.images, self.numbers)
        if not wanted.all():  # shards that exist already, or none that is missing any more
            positions, features = positions[wanted], features[wanted]
        self._rows.append(round_to(features, self.stored))
        self._positions.append(positions)

    def complete(self, stop: int, bad: Mapping[int, str]) -> list[tuple[int, Shard]]:
        sharding = self.target.key.sharding
        ready = [number for number in self.numbers if sharding.positions(number).stop <= stop]
        if not ready:
            return []
        self.numbers = self.numbers[len(ready) :]
        positions = np.concatenate([*self._positions, np.zeros(0, np.int64)])
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 0), np.float32)
        shards = []
        for number in ready:
            images = sharding.positions(number)
            within = (positions >= images.start) & (positions < images.stop)
            effort = self.effort.share(int(within.sum()))
            shard = Shard.of_rows(rows[within], positions[within], _bad_of(images, bad), effort)
            shards.append((number, shard))
        later = positions >= sharding.positions(ready[-1]).stop
        self._rows, self._positions = [rows[later]], [positions[later]]
        self.effort = self.effort.share(int(later.sum()))
        return shards


@dataclass(eq=False)
class _StatisticsSink:
    """Sums statistics over a span, which is one shard."""

    target: Target
    numbers: list[int]
    accumulator: Accumulator
    shape: tuple[int, ...]
    """Shape of the features of one image."""
    effort: Effort = field(default_factory=Effort)
    _images: int = 0

    @functools.cached_property
    def within(self) -> Mapping[int, int] | None:
        """Position in the pass → position in the part; None where the part is the whole."""
        part = self.target.part
        return None if part is None else {at: i for i, at in enumerate(part.tolist())}

    @functools.cached_property
    def statistics(self) -> dict[str, NDArray[Any]]:
        """Sums so far; empty ones where no image of the span can be read."""
        return self.accumulator.start(self.shape)

    def add(self, positions: NDArray[np.int64], features: NDArray[np.float32]) -> None:
        if self.within is not None:
            wanted = [i for i, at in enumerate(positions.tolist()) if at in self.within]
            positions = np.array([self.within[at] for at in positions[wanted].tolist()], np.int64)
            features = features[wanted]
        self._images += len(positions)
        if len(positions):
            self.accumulator.update(self.statistics, positions, features)

    def complete(self, stop: int, bad: Mapping[int, str]) -> list[tuple[int, Shard]]:
        (number,) = self.numbers or (None,)
        if number is None or self.target.key.sharding.positions(number).stop > stop:
            return []
        self.numbers = []
        unreadable = _bad_of(self.target.key.sharding.positions(number), bad)
        if self.within is not None:
            unreadable = {
                str(self.within[int(at)]): reason
                for at, reason in unreadable.items()
                if int(at) in self.within
            }
        effort = self.effort.share(self._images)
        return [(number, Shard(self.statistics, unreadable, effort))]


def _bad_of(images: range, bad: Mapping[int, str]) -> dict[str, str]:
    return {str(position): why for position, why in bad.items() if position in images}


def auto_workers() -> int:
    """Return the number of decoding threads: one per available core, at most 16.

    Decoders release Python's lock, the rest of the work on an image does not.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, MAX_WORKERS)
