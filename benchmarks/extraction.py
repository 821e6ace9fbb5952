"""Feature extraction: ours against the bare forward, a plain PyTorch loop and VisBench; one backbone, and several in one pass.

    python benchmarks/extraction.py [PART...] [--quick] [--backbones A,B] [--together 1,3,10] [--ways ours,bare,...] [--runtime NAME]

PARTS are `one` (each of --backbones alone), `together` (the first 1, 3, 10 of TEN in one pass), `warm` (reading 100,000 stored rows) and `memory`
(peak over 10,000 and 100,000 images); without any, the first three. WAYS, in turn in one process on the same JPEG files with the same weights:

    ours            the whole pass into an empty store: decode, crop, forward, checksum, fsync
    ours warm       the stored rows, read and checked
    decoded         ours on bitmaps that need no decoding and no resizing: to `bare` it is what the pass itself costs
    fast            ours with --preprocessing fast
    decode          decoding and cropping alone, by all threads
    bare            the forward alone, by the runtime of ours, on uint8 crops in memory
    eager           the forward alone, by eager PyTorch in inference mode, on normalised float32 images in memory, in its best layout and batch size
    plain           what people write: PIL, timm's transform, a DataLoader with 2 workers, eager PyTorch; once per backbone
    visbench cold   VisBench's feature cache, empty; once per backbone
    visbench warm   the same, full

VisBench takes part where it is installed (`pip install --no-deps visbench`: it asks for an older Pillow).
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from extraction_peers import EAGER_BATCHES, Eager, as_written, photograph, plain, spec_of, visbench
from pairs import finish, interleave, machine, table
from PIL import Image

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.fold import fold
from bob.backbones.pixels.geometry import Geometry
from bob.backbones.pixels.region import COMPILED_AFTER
from bob.datasets.content.images import decode
from bob.datasets.dataset import Split
from bob.extraction.passes import Member, auto_workers, run_pass
from bob.extraction.progress import Spent
from bob.extraction.runtimes import eager as eager_runtime
from bob.features.key import FeatureKey
from bob.features.store import SHARD_ROWS, FeatureStore, Shard, shard_count, shard_range

PARTS = ("one", "together", "warm", "memory")
WAYS = (
    "ours",
    "ours warm",
    "decoded",
    "fast",
    "decode",
    "bare",
    "eager",
    "plain",
    "visbench cold",
    "visbench warm",
)
SLOW = ("decoded", "fast", "eager", "plain", "visbench cold", "visbench warm")
"""Left out where several go together and time is short."""
TEN = (
    *("efficientnet_lite0_in1k", "efficientnet_lite1_in1k", "efficientnet_lite2_in1k"),
    *(
        "resnet18",
        "mobilenetv3_large_100",
        "vit_tiny_patch16_224",
        "regnety_004",
        "mnasnet_100",
        "resnet34",
        "convnext_atto",
    ),
)
"""Backbones that go together: three with learned weights, then architectures of timm's with random ones."""
IN_MEMORY = 64
"""Different images that the bare forwards run on, again and again."""


class Silent:
    def waiting(self) -> None: ...
    def embedded(self, images: int, spent: Spent) -> None: ...


def split_of(files: Sequence[Path], n: int) -> Split:
    names = tuple(f"{i:06d}" for i in range(n))
    return Split(
        ids=names,
        y=np.zeros(n, np.int64),
        content=names,
        read=lambda i: files[i % len(files)].read_bytes(),
    )


def key_of(name: str) -> FeatureKey:
    return FeatureKey(name, {}, {}, {}, "default", "float32", "benchmark", "train")


def member(name: str, runtime: str) -> Member:
    backbone = load_backbone(spec_of(name), "cpu", "float32", offline=True)
    fold(backbone)
    return Member(backbone, {"default": key_of(name)}, None, runtime=runtime)


def bitmap(file: Path, geometry: Geometry) -> Path:
    """The photograph as a bitmap whose sides are those that the geometry resizes to: nothing to decode, nothing to resize."""
    side = int(geometry.height_px / geometry.crop_pct)
    made = file.with_name(f"{file.stem}-{side}.bmp")
    Image.open(file).resize((side, side)).save(made)
    return made


@dataclass
class Comparison:
    """Some backbones over the same photographs, all ways."""

    names: Sequence[str]
    files: Sequence[Path]
    runtime: str
    folder: Path

    def __post_init__(self) -> None:
        """Runtimes and loops are made ready and batch sizes found here, so that no way pays for it."""
        self.n, self.members = len(self.files), [member(name, self.runtime) for name in self.names]
        self.split = split_of(self.files, self.n)
        image = decode(self.files[0].read_bytes(), "first")
        for _ in range(COMPILED_AFTER + 2):
            [one.backbone.geometry.crop(image) for one in self.members]
        self._pass(split_of(self.files, min(self.n, IN_MEMORY)))

    def ways(self) -> dict[str, Callable[[], Any]]:
        return {
            "ours": lambda: self._pass(self.split),
            "ours warm": lambda: [
                FeatureStore(self.folder / "ours").read(key_of(name), self.n) for name in self.names
            ],
            "decoded": lambda: self._pass(self.bitmaps),
            "fast": self._fast,
            "decode": self._decode,
            "bare": lambda: [self._bare(one) for one in self.members],
            "eager": lambda: [one.run(self.n) for one in self.eagers],
            "plain": lambda: [plain(one, self.files, 2) for one in self.written.values()],
            "visbench cold": lambda: [
                visbench(one, self.files, self.folder / name, warm=False)
                for name, one in self.written.items()
            ],
            "visbench warm": lambda: [
                visbench(one, self.files, self.folder / name, warm=True)
                for name, one in self.written.items()
            ],
        }

    def prepare(self, ways: Iterable[str]) -> None:
        """What ways need before they are timed."""
        for way in {
            "decoded": "bitmaps",
            "eager": "eagers",
            "plain": "written",
            "visbench cold": "written",
            "bare": "crops",
            "decode": "crops",
        }.items():
            if way[0] in ways:
                getattr(self, way[1])

    @cached_property
    def crops(self) -> Mapping[Geometry, torch.Tensor]:
        images = [decode(file.read_bytes(), file.name) for file in self.files[:IN_MEMORY]]
        return {
            one.backbone.geometry: torch.stack(
                [one.backbone.geometry.crop(image) for image in images]
            )
            for one in self.members
        }

    @cached_property
    def bitmaps(self) -> Split:
        return split_of(
            [bitmap(file, self.members[0].backbone.geometry) for file in self.files[:IN_MEMORY]],
            self.n,
        )

    @cached_property
    def eagers(self) -> list[Eager]:
        sizes = EAGER_BATCHES[
            : 1 if self.n <= IN_MEMORY else None
        ]  # trying them takes longer than so few images
        return [
            Eager(name, self.crops[one.backbone.geometry], sizes)
            for name, one in zip(self.names, self.members, strict=True)
        ]

    @cached_property
    def written(self) -> dict[str, Backbone]:
        return {name: as_written(name) for name in self.names}

    def apart(self, rows: np.ndarray) -> float:
        """The largest difference of the first backbone's rows from eager's, relative to the largest value."""
        first = self.members[0].backbone
        wanted = eager_runtime.Eager(first, 4).embed(self.crops[first.geometry], ["default"])[
            "default"
        ]
        return float(np.abs(rows[: len(wanted)] - wanted).max() / np.abs(wanted).max())

    def _pass(self, split: Split) -> np.ndarray:
        """A whole pass into an empty store, and the first backbone's rows; members stay as ready as the pass before left them."""
        shutil.rmtree(self.folder / "ours", ignore_errors=True)
        store = FeatureStore(self.folder / "ours")
        run_pass(split, self.members, store, Silent(), workers=auto_workers(), skip_bad=False)
        if failed := [one.failure for one in self.members if one.failure]:
            raise SystemExit(failed[0])
        return store.read(key_of(self.names[0]), len(split)).rows

    def _fast(self) -> None:
        exact = [one.backbone.geometry for one in self.members]
        for one in self.members:
            one.backbone.geometry = replace(one.backbone.geometry, fast=True)
        self._pass(self.split)
        for one, geometry in zip(self.members, exact, strict=True):
            one.backbone.geometry = geometry

    def _decode(self) -> None:
        def one(i: int) -> None:
            image = decode(self.split.read(i), self.split.ids[i])
            for geometry in self.crops:
                geometry.crop(image)

        with ThreadPoolExecutor(auto_workers()) as pool:
            list(pool.map(one, range(self.n)))

    def _bare(self, one: Member) -> None:
        crops, done = self.crops[one.backbone.geometry], 0
        while done < self.n:
            done += len(one.ready[0].embed(crops[: self.n - done], ["default"])["default"])


def compare(
    names: Sequence[str], files: Sequence[Path], rounds: int, wanted: Sequence[str], runtime: str
) -> dict[str, float]:
    """Seconds of every way relative to ours, and what ours costs above its forwards and one decoding."""
    with tempfile.TemporaryDirectory() as folder:
        made = Comparison(names, files, runtime, Path(folder))
        called = names[0] if len(names) == 1 else f"{len(names)} together"
        ways = {way: call for way, call in made.ways().items() if way in wanted}
        made.prepare(ways)
        seconds, results = interleave(ways, rounds)
        how = made.members[0].ready[0]
        print(
            f"\n{called}: {made.n} JPEGs of 500 x 400; {names[0]} runs by {how.name}, batch {how.batch_size}"
        )
        ratios = table(
            seconds,
            "ours",
            {way: f"{made.n / min(times):.1f} images/s" for way, times in seconds.items()},
        )
        found = {f"{called}: {way}": ratio for way, ratio in ratios.items()} | _overhead(
            called, seconds
        )
        if "eager" in wanted and len(names) == 1:
            print(f"eager at its best: {made.eagers[0].layout}, batches of {made.eagers[0].size}")
        if len(names) == 1:
            found |= {f"{called}: millionths from eager": made.apart(results["ours"]) * 1e6}
            print(
                f"largest difference from eager, of the largest value: {found[f'{called}: millionths from eager'] / 1e6:.1e}"
            )
    return found


def _overhead(called: str, seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Ours relative to the bare forwards and one decoding, each round by itself."""
    if not {"bare", "decode"} <= set(seconds):
        return {}
    rounds = zip(seconds["ours"], seconds["bare"], seconds["decode"], strict=True)
    ratio = statistics.median(ours / (bare + decode) for ours, bare, decode in rounds)
    print(f"ours is {ratio:.3f} of the bare forwards and one decoding")
    return {f"{called}: of forwards and one decoding": ratio}


def warm_read() -> float:
    """Seconds until 100,000 rows of 1,024 are there, checked, for a protocol; the files in the page cache."""
    n, seconds = 100_000, []
    with tempfile.TemporaryDirectory() as folder:
        store, rows = (
            FeatureStore(Path(folder)),
            np.random.default_rng(0).normal(size=(SHARD_ROWS, 1024)).astype(np.float32),
        )
        for number in range(shard_count(n)):
            at = shard_range(number, n)
            store.write(
                key_of("warm"), number, Shard(rows[: len(at)], np.arange(at.start, at.stop))
            )
        for _ in range(5):
            start = time.perf_counter()
            store.read(key_of("warm"), n)
            seconds.append(time.perf_counter() - start)
    print(f"\n100,000 x 1,024 read and checked: {min(seconds):.3f} s")
    return min(seconds)


def peak_of(n: int) -> float:
    """Peak MiB of a process that embeds n images by the cheapest backbone: what the pass itself holds."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(n)], capture_output=True, text=True, check=True
    )
    peak = float(done.stdout.split()[-1])
    print(f"{n:,} images: {peak:.0f} MiB at most, libraries included")
    return peak


def embed_and_tell_peak(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "0.jpg"
        Image.new("RGB", (64, 64), "red").save(file)
        one = member("channel_statistics", "eager")
        run_pass(
            split_of([file], n),
            [one],
            FeatureStore(Path(folder) / "store"),
            Silent(),
            workers=auto_workers(),
            skip_bad=False,
        )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few images, one round, under 45 s")
    parser.add_argument(
        "--backbones",
        default=TEN[0],
        help="registered, with weights that are here; or names of timm's, then with random weights",
    )
    parser.add_argument(
        "--together", help="how many of TEN in one pass (default: 1,3,10; with --quick 3)"
    )
    parser.add_argument(
        "--ways", help="some of the ways above, separated by commas; `ours` is always there"
    )
    parser.add_argument("--images", type=int, help="default 512, with --quick 64")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for kind, given, known in (
        ("part", asked.parts, PARTS),
        ("way", (asked.ways or "ours").split(","), WAYS),
    ):
        if other := [name for name in given if name not in known]:
            parser.error(f"unknown {kind} {other[0]!r}; known: {', '.join(known)}")
    return asked


def main() -> None:
    asked = arguments()
    if asked.peak:
        return embed_and_tell_peak(asked.peak)
    print(machine())
    parts, found = asked.parts or PARTS[:3], {}
    n, rounds = (
        asked.images or (64 if asked.quick else 512),
        asked.rounds or (1 if asked.quick else 3),
    )
    ways = ["ours", *(asked.ways.split(",") if asked.ways else WAYS)]
    ways = [way for way in ways if find_spec("visbench") or not way.startswith("visbench")]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i:06d}.jpg" for i in range(n)]
        for i, file in enumerate(files if {"one", "together"} & set(parts) else ()):
            file.write_bytes(photograph(i))
        for name in asked.backbones.split(",") if "one" in parts else ():
            found |= compare([name], files, rounds, ways, asked.runtime)
        for count in (
            (asked.together or ("3" if asked.quick else "1,3,10")).split(",")
            if "together" in parts
            else ()
        ):
            shared = [
                way
                for way in ways
                if way not in (SLOW if asked.quick else ("decoded", "fast", "eager"))
            ]
            found |= compare(TEN[: int(count)], files, rounds, shared, asked.runtime)
    if "warm" in parts:
        found["warm read s"] = warm_read()
    if "memory" in parts:
        found |= {f"peak MiB, {images:,} images": peak_of(images) for images in (10_000, 100_000)}
    return finish(found)


if __name__ == "__main__":
    main()
