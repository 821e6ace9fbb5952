"""Images decoded and cropped by a pool of threads, a few blocks ahead of the one that is being embedded."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.pixels.geometry import Geometry
from bob.datasets.content.images import check_elongation, decode
from bob.datasets.dataset import Split
from bob.errors import BadImageError
from bob.extraction.work_queue import Job, Jobs
from bob.features.store import shard_range

BLOCK = 64
"""Images that are decoded, cropped and embedded together; with 2 blocks decoded ahead a lane holds about 30 MB per geometry at 224 px."""
PINNED_BLOCK = 256
"""The same for a graphics card, which wants larger batches."""
BLOCKS_AHEAD = 2
ELONGATION_PX = 512
"""An image so long and thin that it explodes when its short side is resized to this is unusable for every backbone alike, so that
backbones are always scored on the same images. Above the inputs of nearly all backbones."""


@dataclass(frozen=True, eq=False)
class Block:
    """Decoded images: `crops` holds (n, 3, H, W) uint8 per geometry for the readable ones."""

    job: Job
    positions: NDArray[np.int64]
    crops: Mapping[Geometry, torch.Tensor]
    bad: Mapping[int, str]
    decode_seconds: float
    """Summed over workers."""
    waited_seconds: float
    """For its last images, when it was wanted."""
    ends_shard: bool

    def without_crops(self) -> "Block":
        return replace(self, crops={})


@dataclass(frozen=True, eq=False)
class _Decoded:
    position: int
    bad: str | None
    seconds: float


@dataclass(frozen=True, eq=False)
class _Coming:
    """A block that is being decoded into `crops`."""

    job: Job
    ends_shard: bool
    crops: dict[Geometry, torch.Tensor]
    images: "list[Future[_Decoded]]"

    def block(self) -> Block:
        """Waits for the last image; the rows of bad ones are closed up."""
        start = time.perf_counter()
        images = [image.result() for image in self.images]
        waited = time.perf_counter() - start
        good = [i for i, image in enumerate(images) if image.bad is None]
        crops = (
            self.crops
            if len(good) == len(images)
            else {geometry: pixels[good] for geometry, pixels in self.crops.items()}
        )
        return Block(
            job=self.job,
            positions=np.array([images[i].position for i in good], np.int64),
            crops=crops,
            bad={image.position: image.bad for image in images if image.bad is not None},
            decode_seconds=sum(image.seconds for image in images),
            waited_seconds=waited,
            ends_shard=self.ends_shard,
        )


def blocks(
    split: Split,
    jobs: Jobs,
    geometries: Sequence[Geometry],
    pool: ThreadPoolExecutor,
    *,
    pinned: bool,
) -> Iterator[Block]:
    """Blocks in order, of the shards that `jobs` hands out. Pinned memory is what a graphics card copies from while it computes."""
    size = PINNED_BLOCK if pinned else BLOCK
    ahead: deque[_Coming] = deque()
    while (job := jobs.next(wait=not ahead)) or ahead:
        if not job:
            yield ahead.popleft().block()
            continue
        span = shard_range(job.number, len(split))
        for i in range(0, len(span), size):
            ahead.append(
                _begin(
                    split, job, span[i : i + size], i + size >= len(span), geometries, pool, pinned
                )
            )
            if len(ahead) > BLOCKS_AHEAD:
                yield ahead.popleft().block()


def _begin(
    split: Split,
    job: Job,
    span: range,
    ends_shard: bool,
    geometries: Sequence[Geometry],
    pool: ThreadPoolExecutor,
    pinned: bool,
) -> _Coming:
    """Starts decoding one block."""
    shape = {
        geometry: (len(span), 3, geometry.height_px, geometry.width_px) for geometry in geometries
    }
    crops = {
        geometry: torch.empty(shape[geometry], dtype=torch.uint8, pin_memory=pinned)
        for geometry in geometries
    }
    images = [
        pool.submit(_decode_one, split, position, crops, place)
        for place, position in enumerate(span)
    ]
    return _Coming(job, ends_shard, crops, images)


def _decode_one(
    split: Split, position: int, crops: Mapping[Geometry, torch.Tensor], place: int
) -> _Decoded:
    """Writes the image's crops into their place."""
    start = time.perf_counter()
    bad = None
    try:
        image = decode(split.read(position), split.ids[position])
        check_elongation(*image.size, ELONGATION_PX, split.ids[position])
        image = split.alter(position, image) if split.alter else image
        for geometry, pixels in crops.items():
            pixels.numpy()[place] = geometry.crop(
                image
            ).numpy()  # torch's copy would wake its own threads, against the forward's
    except BadImageError as error:
        bad = str(error)
    except OSError as error:
        bad = f"{split.ids[position]}: cannot be read ({error.strerror or error})."
    return _Decoded(position, bad, time.perf_counter() - start)
