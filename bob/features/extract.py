"""One pass, many backbones: every image is decoded once, cropped once per distinct geometry, and embedded by all backbones of the pass."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone
from bob.backbones.geometry import Geometry
from bob.datasets.dataset import Split
from bob.datasets.images import check_elongation, decode
from bob.errors import BadImageError, BobError
from bob.features.key import FeatureKey
from bob.features.store import Effort, FeatureStore, Shard, shard_count, shard_range

BLOCK = 64
"""Images that are decoded, cropped and embedded together; with 2 blocks decoded ahead a pass holds about 30 MB per geometry at 224 px."""
BLOCKS_AHEAD = 2
CPU_BATCH, DEVICE_BATCH = 4, 64
"""On a CPU small batches are the fastest, since their activations stay in its caches: EfficientNet-Lite at 4 runs about twice as fast as at 16."""
SHOWN_BAD = 5
ELONGATION_PX = 512
"""An image so long and thin that it explodes when its short side is resized to this is unusable for every backbone alike, so that
backbones are always scored on the same images. Above the inputs of nearly all backbones."""


class Watcher(Protocol):
    """What a pass tells while it works."""

    def waiting(self) -> None:
        """Another process is computing the same features."""

    def embedded(self, images: int, decode_seconds: float, forward_seconds: float) -> None:
        """Some more images went through every backbone of the pass."""


@dataclass
class Member:
    """One backbone of a pass. `failure` is set when it fails, and it takes no further part."""

    backbone: Backbone
    key: FeatureKey
    batch_size: int
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Decoded images: `crops` holds (n, 3, H, W) uint8 per geometry for the readable ones."""

    shard: int
    positions: NDArray[np.int64]
    crops: Mapping[Geometry, torch.Tensor]
    bad: Mapping[int, str]
    decode_seconds: float
    ends_shard: bool


@dataclass
class _Growing:
    """A member's shard in the making."""

    rows: list[NDArray[np.float32]] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)


def auto_batch(device: str) -> int:
    return CPU_BATCH if device == "cpu" else DEVICE_BATCH


def run_pass(split: Split, members: Sequence[Member], store: FeatureStore, watcher: Watcher, *, workers: int, skip_bad: bool) -> None:
    """Stores the missing shards of every member. Bad images raise BadImageError unless they are to be skipped."""
    with store.locked([member.key for member in members], watcher.waiting):
        todo = {id(member): set(store.missing(member.key, len(split))) for member in members}
        wanted = sorted(set().union(*todo.values()))
        done = sum(len(shard_range(number, len(split))) for number in set(range(shard_count(len(split)))) - set(wanted))
        watcher.embedded(done, 0.0, 0.0)
        geometries = list(dict.fromkeys(member.backbone.geometry for member in members))
        blocks = _blocks(split, wanted, geometries, workers)
        for number in wanted:
            taking_part = [member for member in members if number in todo[id(member)] and not member.failure]
            _embed_shard(blocks, taking_part, store, number, watcher, skip_bad=skip_bad)


def _embed_shard(blocks: Iterator[Block], members: Sequence[Member], store: FeatureStore, number: int, watcher: Watcher, *, skip_bad: bool) -> None:
    """Takes the shard's blocks from the stream, and stores it for each member that lives to its end."""
    growing = {id(member): _Growing() for member in members}
    positions: list[NDArray[np.int64]] = []
    bad: dict[str, str] = {}
    for block in blocks:
        positions.append(block.positions)
        bad |= {str(position): why for position, why in block.bad.items()}
        forward = sum(_embed_block(block, member, growing[id(member)]) for member in members)
        watcher.embedded(len(block.positions) + len(block.bad), block.decode_seconds, forward)
        if block.ends_shard:
            break
    if bad and not skip_bad:
        raise BadImageError(bad_images_message(list(bad.values())))
    for member in members:
        if not member.failure:
            made = growing[id(member)]
            store.write(member.key, number, Shard(_stacked(made.rows), np.concatenate(positions), bad, made.effort))


def bad_images_message(reasons: Sequence[str]) -> str:
    """One message for all unreadable images found so far."""
    more = f"\n  and {len(reasons) - SHOWN_BAD} more" if len(reasons) > SHOWN_BAD else ""
    shown = "".join(f"\n  {reason}" for reason in reasons[:SHOWN_BAD])
    count = f"{len(reasons)} image{'s' if len(reasons) > 1 else ''}"
    return f"{count} cannot be used:{shown}{more}\n  Mend or remove them, or leave them out with --skip-bad-images."


def _stacked(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)


def _embed_block(block: Block, member: Member, growing: _Growing) -> float:
    """Appends the block's rows; seconds of the forward pass. Any error is the member's failure alone."""
    if member.failure or not len(block.positions):
        return 0.0
    start = time.perf_counter()
    try:
        growing.rows.append(_embed(member, block.crops[member.backbone.geometry]))
    except BobError as error:
        member.failure = str(error)
    except Exception as error:  # a backbone's own code can raise anything, and must not take the others down
        member.failure = f"backbone {member.backbone.spec.name!r}: failed while embedding: {type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    growing.effort += Effort(len(block.positions), block.decode_seconds, seconds, str(member.backbone.device), member.batch_size)
    return seconds


def _embed(member: Member, crops: torch.Tensor) -> NDArray[np.float32]:
    """(n, 3, H, W) → (n, D) in batches; a batch that does not fit in memory is halved, and stays halved."""
    pooling = member.backbone.spec.pooling
    rows: list[NDArray[np.float32]] = []
    start = 0
    while start < len(crops):
        try:
            rows.append(member.backbone.embed(crops[start : start + member.batch_size], [pooling])[pooling])
            start += member.batch_size
        except (MemoryError, RuntimeError) as error:
            if member.batch_size == 1 or not _out_of_memory(error):
                raise
            member.batch_size //= 2
            if member.backbone.device.type == "cuda":
                torch.cuda.empty_cache()
    return np.concatenate(rows)


def _out_of_memory(error: Exception) -> bool:
    """CUDA, MPS and the CPU allocator each say it in another way."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in ("out of memory", "can't allocate memory"))


def _blocks(split: Split, shards: Sequence[int], geometries: Sequence[Geometry], workers: int) -> Iterator[Block]:
    """Decoded blocks in order, a few ahead of the one being embedded, so that decoding and embedding overlap."""
    spans = [(shard, shard_range(shard, len(split))) for shard in shards]
    cuts = [(shard, span[i : i + BLOCK], i + BLOCK >= len(span)) for shard, span in spans for i in range(0, len(span), BLOCK)]
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        ahead: deque[tuple[int, bool, list[Future[_Decoded]]]] = deque()
        try:
            for shard, span, ends in cuts:
                ahead.append((shard, ends, [pool.submit(_decode_one, split, position, geometries) for position in span]))
                if len(ahead) > BLOCKS_AHEAD:
                    yield _assembled(*ahead.popleft())
            while ahead:
                yield _assembled(*ahead.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Decoded:
    position: int
    crops: Mapping[Geometry, torch.Tensor]
    bad: str | None
    seconds: float


def _decode_one(split: Split, position: int, geometries: Sequence[Geometry]) -> _Decoded:
    start = time.perf_counter()
    crops: dict[Geometry, torch.Tensor] = {}
    bad = None
    try:
        image = decode(split.read(position), split.ids[position])
        check_elongation(*image.size, ELONGATION_PX, split.ids[position])
        crops = {geometry: geometry.crop(image) for geometry in geometries}
    except BadImageError as error:
        bad = str(error)
    except OSError as error:
        bad = f"{split.ids[position]}: cannot be read ({error.strerror or error})."
    return _Decoded(position, crops, bad, time.perf_counter() - start)


def _assembled(shard: int, ends_shard: bool, futures: Sequence["Future[_Decoded]"]) -> Block:
    decoded = [future.result() for future in futures]
    good = [image for image in decoded if image.bad is None]
    return Block(
        shard=shard,
        positions=np.array([image.position for image in good], np.int64),
        crops={geometry: torch.stack([image.crops[geometry] for image in good]) for geometry in good[0].crops} if good else {},
        bad={image.position: image.bad for image in decoded if image.bad is not None},
        decode_seconds=sum(image.seconds for image in decoded),
        ends_shard=ends_shard,
    )


def auto_workers() -> int:
    """Decoding threads: one per core that this process may use, 16 at most (decoders release Python's lock, the rest does not)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)
