"""The input side of a pass: how many images a second decoding threads deliver, and what limits it.

    python benchmarks/input_side.py [--images N] [--workers 1,2,4,8,16] [--forward-ms MS]

1. One thread decodes and crops photographs (JPEG, 500 x 400 px, to 224 px), while another counts.
   The counting that is lost is the time for which decoding holds Python's lock. Its inverse bounds
   the images a second of one process, whatever the number of threads. Means nothing without two
   idle cores.
2. Decoding on more cores than there are is simulated: an image sleeps for the time that the first
   part found outside the lock, as decoders of C release it, and then goes the way of a bitmap that
   needs no decoding and no resizing, through the blocks of a pass. The forward pass sleeps too
   (`--forward-ms`, of an image). The peer is a DataLoader of PyTorch with as many processes, which
   sleep as long. `of ideal` is relative to workers / (time of an image); processor time is that of
   this process.

The last line is JSON.
"""

import argparse
import json
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from extraction import split_of
from extraction_peers import photograph
from pairs import machine
from passes import key_of
from PIL import Image

from bob.backbones.pixels.geometry import Geometry
from bob.datasets.content.images import decode
from bob.datasets.dataset import Split
from bob.extraction.blocks import Decoders, image_blocks
from bob.extraction.work_queue import SpanQueue
from bob.features.store import FeatureStore

SIDE_PX = 224
GEOMETRY = Geometry(SIDE_PX, SIDE_PX, 0.875, "center", "bicubic")
WHOLE = replace(GEOMETRY, crop_pct=1.0)
COUNTED_SECONDS = 2.0
BATCH = 64


class Counter:
    """A thread that counts for as long as it is open: what it loses, others held the lock."""

    def __enter__(self) -> "Counter":
        self.count, self._open = 0, True
        self._thread = threading.Thread(target=self._run)
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()
        self.seconds = time.perf_counter() - self._start

    def _run(self) -> None:
        while self._open:
            self.count += 1


def seconds_of_an_image() -> tuple[float, float]:
    """Return the seconds that one thread takes for an image, and those with Python's lock held."""
    files = [photograph(seed) for seed in range(16)]

    def crop_for(seconds: float) -> int:
        end, done = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            GEOMETRY.crop(decode(files[done % len(files)], "photograph"))
            done += 1
        return done

    crop_for(COUNTED_SECONDS)  # kernels are compiled
    alone = COUNTED_SECONDS / crop_for(COUNTED_SECONDS)
    with Counter() as undisturbed:
        time.sleep(COUNTED_SECONDS)
    with Counter() as disturbed:
        done = crop_for(2 * COUNTED_SECONDS)
    expected = undisturbed.count / undisturbed.seconds * disturbed.seconds
    held = max(1 - disturbed.count / expected, 0.0) * disturbed.seconds / done
    return alone, min(held, alone)


class Sleeping(torch.utils.data.Dataset[torch.Tensor]):
    """Images whose decoding sleeps, for PyTorch's DataLoader."""

    def __init__(self, images: int, seconds: float) -> None:
        self.images, self.seconds, self.bitmap = images, seconds, bitmap()

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, i: int) -> torch.Tensor:
        time.sleep(self.seconds)
        return WHOLE.crop(decode(self.bitmap, "bitmap"))


def bitmap() -> bytes:
    """Return a bitmap of the crop's size."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def sleeping_split(images: int, seconds: float) -> Split:
    """Return images whose reading sleeps."""
    content = bitmap()

    def read(_: int) -> bytes:
        time.sleep(seconds)
        return content

    return replace(split_of([Path()], images), read=read)


def by_threads(images: int, workers: int, seconds: float) -> Iterator[int]:
    """Yield the number of images of each block of a pass."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        queue = SpanQueue(FeatureStore(Path(folder)), [key_of("none", images, 8)], images)
        split = sleeping_split(images, seconds)
        for block in image_blocks(split, queue, [WHOLE], Decoders(pool), pinned=False):
            yield len(block.positions)


def by_processes(images: int, workers: int, seconds: float) -> Iterator[int]:
    """Yield the number of images of each batch of a DataLoader."""
    loader = torch.utils.data.DataLoader(Sleeping(images, seconds), BATCH, num_workers=workers)
    for batch in loader:
        yield len(batch)


def speed(parts: Iterator[int], forward_s: float) -> tuple[float, float]:
    """Return images a second after the first part, and processor seconds of an image."""
    next(parts)
    done, start, used = 0, time.perf_counter(), time.process_time()
    for count in parts:
        time.sleep(count * forward_s)
        done += count
    return done / (time.perf_counter() - start), (time.process_time() - used) / done


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--workers", default="1,2,4,8,16")
    parser.add_argument("--forward-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a DataLoader wants no more processes than cores
    print(machine())
    alone, held = seconds_of_an_image()
    print(
        f"an image takes {alone * 1e3:.2f} ms of a thread, {held * 1e3:.2f} ms of them with "
        f"Python's lock held: at most {1 / held:.0f} images/s in one process"
    )
    rows = []
    for workers in map(int, arguments.workers.split(",")):
        ideal = min(workers / alone, 1e3 / arguments.forward_ms if arguments.forward_ms else 1e9)
        images = min(arguments.images, BATCH * max(8, workers * 4))
        for name, parts in (("threads", by_threads), ("processes", by_processes)):
            rate, used = speed(parts(images, workers, alone - held), arguments.forward_ms / 1e3)
            print(
                f"{workers:3} {name:9} {rate:7.0f} images/s, {rate / ideal:.2f} of ideal; "
                f"processor {used * 1e3:.2f} ms an image",
                flush=True,
            )
            rows.append({"workers": workers, "kind": name, "images_per_s": round(rate, 1)})
    print(json.dumps({"image_s": alone, "lock_held_s": held, "rows": rows}))


if __name__ == "__main__":
    main()
