"""One pass, many backbones: every image is decoded once, cropped once per distinct geometry, and embedded by all backbones of the pass.

A pass has one lane per device. Each lane takes shards that nobody else computes, here or in another process, decodes their images a few blocks
ahead of the one that it embeds, and stores what comes out. Memory does not depend on the number of images.
"""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone
from bob.datasets.dataset import Split
from bob.errors import BadImageError, BobError
from bob.extraction.blocks import Block, blocks
from bob.extraction.device import device_name, peak_mib, threads
from bob.extraction.progress import Spent, Watcher
from bob.extraction.runtimes.autotune import Images, default_batch, make_ready
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.memory import keep_memory
from bob.extraction.runtimes.runtime import Runtime
from bob.extraction.work_queue import Job, Jobs
from bob.features.key import FeatureKey
from bob.features.store import Effort, FeatureStore, Shard
from bob.specs import Pooling

SHOWN_BAD = 5


@dataclass
class Member:
    """One backbone of a pass. `failure` is set when it fails, and it takes no further part."""

    backbone: Backbone
    keys: Mapping[Pooling, FeatureKey]
    """One stream of shards per pooling; one forward gives them all."""
    batch_size: int | None = None
    """None is found."""
    failure: str | None = None
    replicas: Sequence[Backbone] = ()
    """The same backbone on further devices, each a lane of the pass."""
    runtime: str = "eager"
    """One of bob.extraction.runtimes.autotune.RUNTIMES, or auto."""
    memory: Path | None = None
    """The file that remembers the fastest runtime and batch size."""
    ready: dict[int, Runtime] = field(default_factory=dict)
    """Lane → the backbone as it runs there, made ready at the lane's first block."""

    def on(self, lane: int) -> Backbone:
        return [self.backbone, *self.replicas][lane]


@dataclass
class _Growing:
    """A member's shard in the making, one per pooling."""

    member: Member
    rows: dict[Pooling, list[NDArray[np.float32]]]
    effort: Effort = field(default_factory=Effort)


def auto_batch(device: str) -> int:
    return default_batch(device.split(":")[0])


def run_pass(
    split: Split,
    members: Sequence[Member],
    store: FeatureStore,
    watcher: Watcher,
    *,
    workers: int,
    skip_bad: bool,
) -> None:
    """Stores the missing shards of every member. Bad images raise BadImageError unless they are to be skipped."""
    keep_memory()
    keys = [key for member in members for key in member.keys.values()]
    jobs = Jobs(
        store, keys, len(split), watcher.waiting, lambda images: watcher.embedded(images, Spent())
    )
    lanes = min((1 + len(member.replicas) for member in members), default=1)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        run = [
            _Lane(number, split, members, store, watcher, jobs, pool, skip_bad)
            for number in range(lanes)
        ]
        try:
            if lanes == 1:
                run[0].work()
            else:
                _together(run, jobs)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            jobs.close()
    for key in keys:
        store.sweep(key)


def _together(lanes: Sequence["_Lane"], jobs: Jobs) -> None:
    """Every lane in a thread of its own; the first error ends all."""
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
        running = [pool.submit(lane.work) for lane in lanes]
        try:
            wait(running, return_when="FIRST_EXCEPTION")
        finally:
            jobs.stop()
    for one in running:
        one.result()


@dataclass(eq=False)
class _Lane:
    """The work of one device."""

    number: int
    split: Split
    members: Sequence[Member]
    store: FeatureStore
    watcher: Watcher
    jobs: Jobs
    pool: ThreadPoolExecutor
    skip_bad: bool

    def work(self) -> None:
        geometries = list(dict.fromkeys(member.backbone.geometry for member in self.members))
        pinned = any(member.on(self.number).device.type == "cuda" for member in self.members)
        growing: list[_Growing] = []
        seen: list[Block] = []
        for block in blocks(self.split, self.jobs, geometries, self.pool, pinned=pinned):
            if not seen:
                growing = self._begun(block.job)
            forward = sum(self._embed(block, shard) for shard in growing)
            seen.append(block.without_crops())
            spent = Spent(block.decode_seconds, block.waited_seconds, forward)
            self.watcher.embedded(
                0 if block.job.again else len(block.positions) + len(block.bad), spent
            )
            if block.ends_shard:
                self._store(seen, growing)
                seen = []

    def _begun(self, job: Job) -> list[_Growing]:
        """The members that lack this shard, with the poolings of which they lack it."""
        lacking = {
            id(member): [pooling for pooling, key in member.keys.items() if key in job.claims]
            for member in self.members
        }
        return [
            _Growing(member, {pooling: [] for pooling in lacking[id(member)]})
            for member in self.members
            if lacking[id(member)]
        ]

    def _store(self, seen: Sequence[Block], growing: Sequence[_Growing]) -> None:
        """Writes the shard for each member that lived to its end."""
        bad = {str(position): why for block in seen for position, why in block.bad.items()}
        if bad and not self.skip_bad:
            raise BadImageError(bad_images_message(list(bad.values())))
        start, job = time.perf_counter(), seen[0].job
        positions = np.concatenate([block.positions for block in seen])
        for made in growing:
            for pooling, rows in made.rows.items() if not made.member.failure else ():
                self.store.write(
                    made.member.keys[pooling],
                    job.number,
                    Shard(_stacked(rows), positions, bad, made.effort),
                )
        self.jobs.finish(job)
        self.watcher.embedded(0, Spent(write_seconds=time.perf_counter() - start))

    def _embed(self, block: Block, growing: _Growing) -> float:
        """Appends the block's rows; seconds of the forward pass. Any error is the member's failure alone."""
        member = growing.member
        if member.failure or not len(block.positions):
            return 0.0
        try:
            runtime = member.ready.get(self.number) or self._ready(member, block)
            start = time.perf_counter()
            for pooling, rows in runtime.embed(
                block.crops[member.backbone.geometry], list(growing.rows)
            ).items():
                growing.rows[pooling].append(rows)
            seconds = time.perf_counter() - start
        except BobError as error:
            return self._fails(member, str(error))
        except (
            Exception
        ) as error:  # a backbone's own code can raise anything, and must not take the others down
            return self._fails(
                member,
                f"backbone {member.backbone.spec.name!r}: failed while embedding: {type(error).__name__}: {error}",
            )
        device = member.on(self.number).device
        growing.effort += Effort(
            images=len(block.positions),
            decode_seconds=block.decode_seconds,
            forward_seconds=seconds,
            device=str(device),
            batch_size=runtime.batch_size,
            runtime=runtime.name,
            device_name=device_name(device),
            threads=threads(device),
            peak_mib=peak_mib(device),
        )
        return seconds

    def _ready(self, member: Member, block: Block) -> Runtime:
        """The member's runtime on this lane's device, chosen on the lane's first images."""
        backbone = member.on(self.number)
        if member.runtime == "eager" and member.batch_size:
            member.ready[self.number] = Eager(backbone, member.batch_size)
        else:
            images = Images(block.crops[backbone.geometry], len(self.split), list(member.keys))
            member.ready[self.number] = make_ready(
                backbone, images, member.runtime, member.batch_size, member.memory
            )
        return member.ready[self.number]

    def _fails(self, member: Member, why: str) -> float:
        member.failure = why
        self.jobs.drop(member.keys.values())
        return 0.0


def bad_images_message(reasons: Sequence[str]) -> str:
    """One message for all unreadable images found so far."""
    more = f"\n  and {len(reasons) - SHOWN_BAD} more" if len(reasons) > SHOWN_BAD else ""
    shown = "".join(f"\n  {reason}" for reason in reasons[:SHOWN_BAD])
    count = f"{len(reasons)} image{'s' if len(reasons) > 1 else ''}"
    return f"{count} cannot be used:{shown}{more}\n  Mend or remove them, or leave them out with --skip-bad-images."


def _stacked(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)


def auto_workers() -> int:
    """Decoding threads: one per core that this process may use, 16 at most (decoders release Python's lock, the rest does not)."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(cores, 16)
