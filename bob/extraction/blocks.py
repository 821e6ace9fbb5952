"""Images decoded and cropped by a pool of threads, ahead of the block that is being embedded."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.pixels.geometry import Geometry
from bob.datasets.content.images import check_elongation
from bob.datasets.dataset import Split
from bob.errors import ChangedImageError, UnreadableImageError
from bob.extraction.work_queue import Span, SpanQueue

T = TypeVar("T")

BLOCK_IMAGES = 64
"""Images that are decoded, cropped and embedded together. With two blocks decoded ahead, a device
holds about 30 MB per geometry at 224 px. Of larger images, a block on a CPU has no more pixels, nor
their maps more values, down to LEAST_BLOCK_IMAGES."""
LEAST_BLOCK_IMAGES = 8
PINNED_BLOCK_IMAGES = 256
"""The same for a graphics card, which wants larger batches."""
BLOCKS_AHEAD = 2
ELONGATION_PX = 512
"""An image so long and thin that it explodes when its short side is resized to this is refused for
every backbone alike, so that backbones are always scored on the same images. Above the input sizes
of nearly all backbones."""


class Decoders:
    """Threads that decode, and rest while something else is measured."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self._running = self._pauses = 0

    def submit(self, work: Callable[..., T], *arguments: object) -> "Future[T]":
        """Do some work in one of the threads, once nobody asks for a pause."""
        return self._pool.submit(self._do, work, *arguments)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until all work under way has ended, and let none begin."""
        with self._changed:
            self._pauses += 1
            self._changed.wait_for(lambda: not self._running)
        try:
            yield
        finally:
            with self._changed:
                self._pauses -= 1
                self._changed.notify_all()

    def _do(self, work: Callable[..., T], *arguments: object) -> T:
        with self._changed:
            self._changed.wait_for(lambda: not self._pauses)
            self._running += 1
        try:
            return work(*arguments)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()


@dataclass(frozen=True, eq=False)
class ImageBlock:
    """Decoded images of one span."""

    span: Span
    images: range
    """Positions of all images, unreadable ones included."""
    positions: NDArray[np.int64]
    """(n,) positions of the readable images."""
    crops: Mapping[Geometry, torch.Tensor]
    """(n, 3, H, W) uint8 per geometry."""
    bad: Mapping[int, str]
    """Position → why that image could not be read."""
    changed: Mapping[int, str]
    """Position → why an image is not the planned one: it has no features under this key."""
    decode_seconds: float
    """Summed over workers."""
    waited_seconds: float
    """Time from when the block was needed until its last image was decoded."""

    @property
    def ends_span(self) -> bool:
        return self.images.stop == self.span.images.stop

    def without_crops(self) -> "ImageBlock":
        return replace(self, crops={})


@dataclass(frozen=True, eq=False)
class _Decoded:
    position: int
    bad: str | None
    changed: str | None
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.bad is None and self.changed is None


@dataclass(frozen=True, eq=False)
class _PendingBlock:
    """A block that is being decoded into `crops`."""

    span: Span
    images: range
    crops: dict[Geometry, torch.Tensor]
    decoding: "list[Future[_Decoded]]"

    def wait(self) -> ImageBlock:
        """Wait for the last image and close the gaps that unreadable images leave."""
        start = time.perf_counter()
        images = [future.result() for future in self.decoding]
        waited = time.perf_counter() - start
        good = [i for i, image in enumerate(images) if image.is_good]
        crops = self.crops
        if len(good) < len(images):
            crops = {geometry: pixels[good] for geometry, pixels in self.crops.items()}
        return ImageBlock(
            span=self.span,
            images=self.images,
            positions=np.array([images[i].position for i in good], np.int64),
            crops=crops,
            bad={image.position: image.bad for image in images if image.bad is not None},
            changed={
                image.position: image.changed for image in images if image.changed is not None
            },
            decode_seconds=sum(image.seconds for image in images),
            waited_seconds=waited,
        )


def image_blocks(
    split: Split,
    queue: SpanQueue,
    geometries: Sequence[Geometry],
    decoders: Decoders,
    *,
    pinned: bool,
) -> Iterator[ImageBlock]:
    """Yield the blocks of all spans that the queue hands out, in order.

    Pinned memory is what a graphics card copies from while it computes.
    """
    size = PINNED_BLOCK_IMAGES if pinned else _block_images(geometries)
    pending: deque[_PendingBlock] = deque()
    while (span := queue.next(wait=not pending)) or pending:
        if not span:
            yield pending.popleft().wait()
            continue
        for first in range(span.images.start, span.images.stop, size):
            images = range(first, min(first + size, span.images.stop))
            pending.append(_begin(split, span, images, geometries, decoders, pinned))
            if len(pending) > BLOCKS_AHEAD:
                yield pending.popleft().wait()


def _block_images(geometries: Sequence[Geometry]) -> int:
    """Return the number of images of a block on a CPU."""
    most = max((geometry.usual_images for geometry in geometries), default=1.0)
    return min(BLOCK_IMAGES, max(LEAST_BLOCK_IMAGES, int(BLOCK_IMAGES / most)))


def _begin(
    split: Split,
    span: Span,
    images: range,
    geometries: Sequence[Geometry],
    decoders: Decoders,
    pinned: bool,
) -> _PendingBlock:
    """Start decoding one block."""
    crops = {
        geometry: torch.empty(
            (len(images), 3, geometry.height_px, geometry.width_px),
            dtype=torch.uint8,
            pin_memory=pinned,
        )
        for geometry in geometries
    }
    decoding = [
        decoders.submit(_decode_image, split, position, crops, place)
        for place, position in enumerate(images)
    ]
    return _PendingBlock(span, images, crops, decoding)


def _decode_image(
    split: Split, position: int, crops: Mapping[Geometry, torch.Tensor], place: int
) -> _Decoded:
    """Decode one image and write its crops to their place."""
    start = time.perf_counter()
    bad = changed = None
    try:
        image = split.decode(position)
        check_elongation(*image.size, ELONGATION_PX, split.ids[position])
        image = split.alter(position, image) if split.alter else image
        for geometry, pixels in crops.items():
            # numpy, since torch's copy would wake its own threads and disturb the forward pass
            pixels.numpy()[place] = geometry.crop(image).numpy()
    except ChangedImageError as error:
        changed = str(error)
    except UnreadableImageError as error:
        bad = str(error)
    except OSError as error:
        bad = f"{split.ids[position]}: cannot be read ({error.strerror or error})."
    return _Decoded(position, bad, changed, time.perf_counter() - start)
