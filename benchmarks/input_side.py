"""The input side of a pass: how many images a second decoding threads deliver, and what limits it.

    python benchmarks/input_side.py [--images N] [--workers 1,2,4,8,16] [--forward-ms MS]

Decoding on more cores than there are is simulated: an image sleeps for the time that one thread
takes to decode and crop a photograph (JPEG, 500 x 400 px, to 224 px), as decoders release Python's
lock, and then goes the way of a bitmap that needs no decoding and no resizing, through the blocks
of a pass. What is left is Python's own work on an image, which holds the lock. The forward pass
sleeps too (`--forward-ms`, of an image). The peer is a DataLoader of PyTorch with as many
processes, which sleep as long. `of ideal` is relative to workers / (time of an image); processor
time is that of this process. That decoding does release the lock is shown by the first line: its
speed with one thread and with two, which need two idle cores.

The last line is JSON.
"""

import argparse
import json
import tempfile
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
PHOTOGRAPHS, DECODED = 16, 1000
BATCH = 64


def decoding_speed(threads: int) -> float:
    """Return the photographs a second that some threads decode and crop."""
    files = [photograph(seed) for seed in range(PHOTOGRAPHS)]

    def work(i: int) -> None:
        GEOMETRY.crop(decode(files[i % PHOTOGRAPHS], "photograph"))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(DECODED // 4)))  # kernels are compiled
        start = time.perf_counter()
        list(pool.map(work, range(DECODED)))
        return DECODED / (time.perf_counter() - start)


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
    decoding_speed(2)
    one, two = decoding_speed(1), decoding_speed(2)
    seconds = 1 / one
    print(f"photographs: {one:.0f} images/s with one thread, {two:.0f} with two")
    rows = []
    for workers in map(int, arguments.workers.split(",")):
        ideal = min(workers * one, 1e3 / arguments.forward_ms if arguments.forward_ms else 1e9)
        images = min(arguments.images, BATCH * max(8, workers * 4))
        for name, parts in (("threads", by_threads), ("processes", by_processes)):
            rate, used = speed(parts(images, workers, seconds), arguments.forward_ms / 1e3)
            print(
                f"{workers:3} {name:9} {rate:7.0f} images/s, {rate / ideal:.2f} of ideal; "
                f"processor {used * 1e3:.2f} ms an image",
                flush=True,
            )
            rows.append({"workers": workers, "kind": name, "images_per_s": round(rate, 1)})
    print(json.dumps({"one_thread": one, "two_threads": two, "rows": rows}))


if __name__ == "__main__":
    main()
