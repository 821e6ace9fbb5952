"""Feature extraction: ours against the bare forward, a plain PyTorch loop and VisBench.

    python benchmarks/extraction.py [PART...] [--quick] [--backbones A,B] [--together 1,3,10]
                                    [--ways ours,bare,...] [--runtime NAME]

PARTS are `one` (each of --backbones alone), `together` (the first 1, 3, 10 of TEN in one pass),
`warm` (reading 100,000 stored rows) and `memory` (peak over 10,000 and 100,000 images); the first
three by default. WAYS, in turn in one process on the same JPEG files with the same weights:

    ours            the full pass into an empty store: decode, crop, forward, checksum, fsync
    ours warm       the stored rows, read and checked
    decoded         ours on bitmaps that need no decoding and no resizing: compared with `bare`, it
                    shows what the pass itself costs
    fast            ours with --preprocessing fast
    decode          decoding and cropping alone, by all threads
    bare            the forward alone, by the runtime of ours, on uint8 crops in memory
    eager           the forward alone, by eager PyTorch in inference mode, on normalised float32
                    images in memory, in its best layout and batch size
    plain           a usual script: PIL, timm's transform, a DataLoader with 2 workers, eager
                    PyTorch; once per backbone
    visbench cold   VisBench's feature cache, empty; once per backbone
    visbench warm   the same, full

VisBench takes part where it is installed (`pip install --no-deps visbench`, since it requires an
older Pillow).
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
from extraction_peers import EAGER_BATCHES, Eager, as_loaded, photograph, plain, spec_of, visbench
from pairs import finish, interleave, machine, table
from passes import key_of, load_folded, member_of, runtime_of, width_of
from PIL import Image

from bob.backbones.backbone import Backbone
from bob.backbones.pixels.geometry import Geometry
from bob.backbones.pixels.region import COMPILED_AFTER
from bob.datasets.content.images import decode
from bob.datasets.dataset import Split
from bob.extraction.passes import Target, auto_workers, run_pass
from bob.extraction.progress import SilentListener
from bob.extraction.runtimes import eager as eager_runtime
from bob.features.shard import Shard
from bob.features.store import FeatureStore
from bob.specs.output import DEFAULT

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
"""Ways that --quick skips where backbones share a pass."""
TEN = (
    *("efficientnet_lite0_in1k", "efficientnet_lite1_in1k", "efficientnet_lite2_in1k"),
    *("resnet18", "mobilenetv3_large_100", "vit_tiny_patch16_224", "regnety_004"),
    *("mnasnet_100", "resnet34", "convnext_atto"),
)
"""Backbones that share a pass: three with learned weights, then timm's architectures with random
ones."""
IN_MEMORY = 64
"""Number of distinct images on which the bare forwards run repeatedly."""


def split_of(files: Sequence[Path], n: int) -> Split:
    """Return a split of n images, which repeats the files where they are fewer."""
    names = tuple(f"{i:06d}" for i in range(n))
    return Split(
        ids=names,
        y=np.zeros(n, np.int64),
        content=names,
        read=lambda i: files[i % len(files)].read_bytes(),
    )


def bitmap(file: Path, geometry: Geometry) -> Path:
    """Save the photograph as a bitmap of the size to which the geometry resizes images."""
    side = int(geometry.height_px / geometry.crop_pct)
    path = file.with_name(f"{file.stem}-{side}.bmp")
    Image.open(file).resize((side, side)).save(path)
    return path


@dataclass
class Comparison:
    """Some backbones over the same photographs, in all ways."""

    names: Sequence[str]
    files: Sequence[Path]
    runtime: str
    folder: Path

    def __post_init__(self) -> None:
        """Prepare runtimes and kernels and choose batch sizes, so that no way is timed doing it."""
        self.n = len(self.files)
        self.backbones = {name: load_folded(spec_of(name)) for name in self.names}
        self.widths = {name: width_of(backbone) for name, backbone in self.backbones.items()}
        self.members = {
            name: member_of(backbone, key_of(name, self.n, self.widths[name]), self.runtime)
            for name, backbone in self.backbones.items()
        }
        self.split = split_of(self.files, self.n)
        image = decode(self.files[0].read_bytes(), "first")
        for _ in range(COMPILED_AFTER + 2):
            for backbone in self.backbones.values():
                backbone.geometry.crop(image)
        self._pass(split_of(self.files, min(self.n, IN_MEMORY)))

    def ways(self) -> dict[str, Callable[[], Any]]:
        return {
            "ours": lambda: self._pass(self.split),
            "ours warm": lambda: [self._stored(name, self.n) for name in self.names],
            "decoded": lambda: self._pass(self.bitmaps),
            "fast": self._fast,
            "decode": self._decode,
            "bare": lambda: [self._bare(name) for name in self.names],
            "eager": lambda: [forward.run(self.n) for forward in self.eagers],
            "plain": lambda: [plain(backbone, self.files, 2) for backbone in self.loaded.values()],
            "visbench cold": lambda: self._visbench(warm=False),
            "visbench warm": lambda: self._visbench(warm=True),
        }

    def prepare(self, ways: Iterable[str]) -> None:
        """Make what ways need before they are timed."""
        for way, attribute in {
            "decoded": "bitmaps",
            "eager": "eagers",
            "plain": "loaded",
            "visbench cold": "loaded",
            "bare": "crops",
            "decode": "crops",
        }.items():
            if way in ways:
                getattr(self, attribute)

    @property
    def first(self) -> Backbone:
        return self.backbones[self.names[0]]

    @cached_property
    def crops(self) -> Mapping[Geometry, torch.Tensor]:
        images = [decode(file.read_bytes(), file.name) for file in self.files[:IN_MEMORY]]
        geometries = {backbone.geometry for backbone in self.backbones.values()}
        return {
            geometry: torch.stack([geometry.crop(image) for image in images])
            for geometry in geometries
        }

    @cached_property
    def bitmaps(self) -> Split:
        files = [bitmap(file, self.first.geometry) for file in self.files[:IN_MEMORY]]
        return split_of(files, self.n)

    @cached_property
    def eagers(self) -> list[Eager]:
        # trying batch sizes takes longer than embedding so few images
        sizes = EAGER_BATCHES[: 1 if self.n <= IN_MEMORY else None]
        return [
            Eager(name, self.crops[backbone.geometry], sizes)
            for name, backbone in self.backbones.items()
        ]

    @cached_property
    def loaded(self) -> dict[str, Backbone]:
        return {name: as_loaded(name) for name in self.names}

    def difference(self, rows: np.ndarray) -> float:
        """Return the largest difference of the first backbone's rows from eager PyTorch's, relative
        to the largest value.
        """
        crops = self.crops[self.first.geometry]
        expected = eager_runtime.Eager(self.first, 4).embed(crops, [DEFAULT])[DEFAULT]
        return float(np.abs(rows[: len(expected)] - expected).max() / np.abs(expected).max())

    def _pass(self, split: Split) -> np.ndarray:
        """Run a full pass into an empty store, and return the first backbone's rows.

        Runtimes remain as the pass before prepared them.
        """
        shutil.rmtree(self.folder / "ours", ignore_errors=True)
        for name, member in self.members.items():
            key = key_of(name, len(split), self.widths[name])
            member.targets = [Target(DEFAULT, key)]
        members = list(self.members.values())
        store = FeatureStore(self.folder / "ours")
        run_pass(split, members, store, SilentListener(), workers=auto_workers(), skip_bad=False)
        if failures := [member.failure for member in members if member.failure]:
            raise SystemExit(failures[0])
        return self._stored(self.names[0], len(split))

    def _stored(self, name: str, count: int) -> np.ndarray:
        """Return the stored rows of a backbone."""
        store = FeatureStore(self.folder / "ours")
        return store.read(key_of(name, count, self.widths[name])).rows

    def _fast(self) -> None:
        exact = {name: backbone.geometry for name, backbone in self.backbones.items()}
        for backbone in self.backbones.values():
            backbone.geometry = replace(backbone.geometry, fast=True)
        self._pass(self.split)
        for name, geometry in exact.items():
            self.backbones[name].geometry = geometry

    def _decode(self) -> None:
        def crop(i: int) -> None:
            image = decode(self.split.read(i), self.split.ids[i])
            for geometry in self.crops:
                geometry.crop(image)

        with ThreadPoolExecutor(auto_workers()) as pool:
            list(pool.map(crop, range(self.n)))

    def _bare(self, name: str) -> None:
        crops, done = self.crops[self.backbones[name].geometry], 0
        runtime = runtime_of(self.members[name])
        while done < self.n:
            done += len(runtime.embed(crops[: self.n - done], [DEFAULT])[DEFAULT])

    def _visbench(self, *, warm: bool) -> None:
        for name, backbone in self.loaded.items():
            visbench(backbone, self.files, self.folder / name, warm=warm)


def compare(
    names: Sequence[str], files: Sequence[Path], rounds: int, wanted: Sequence[str], runtime: str
) -> dict[str, float]:
    """Return the seconds of every way relative to ours, and the overhead of ours."""
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(names, files, runtime, Path(folder))
        title = names[0] if len(names) == 1 else f"{len(names)} together"
        ways = {way: call for way, call in comparison.ways().items() if way in wanted}
        comparison.prepare(ways)
        seconds, results = interleave(ways, rounds)
        used = runtime_of(comparison.members[names[0]])
        print(
            f"\n{title}: {comparison.n} JPEGs of 500 x 400; {names[0]} runs by {used.name}, "
            f"batch {used.batch_size}"
        )
        speeds = {
            way: f"{comparison.n / min(times):.1f} images/s" for way, times in seconds.items()
        }
        ratios = table(seconds, "ours", speeds)
        figures = {f"{title}: {way}": ratio for way, ratio in ratios.items()}
        figures |= _overhead(title, seconds)
        if "eager" in wanted and len(names) == 1:
            best = comparison.eagers[0]
            print(f"eager at its best: {best.layout}, batches of {best.size}")
        if len(names) == 1:
            difference = comparison.difference(results["ours"])
            figures[f"{title}: millionths from eager"] = difference * 1e6
            print(f"largest difference from eager, of the largest value: {difference:.1e}")
    return figures


def _overhead(title: str, seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Return ours relative to the bare forwards and one decoding, as a median over rounds."""
    if not {"bare", "decode"} <= set(seconds):
        return {}
    rounds = zip(seconds["ours"], seconds["bare"], seconds["decode"], strict=True)
    ratio = statistics.median(ours / (bare + decode) for ours, bare, decode in rounds)
    print(f"ours is {ratio:.3f} of the bare forwards and one decoding")
    return {f"{title}: of forwards and one decoding": ratio}


def warm_read() -> float:
    """Return the seconds to read and check 100,000 rows of 1,024, with files in the page cache."""
    key, seconds = key_of("warm", 100_000, 1024), []
    with tempfile.TemporaryDirectory() as folder:
        store, rng = FeatureStore(Path(folder)), np.random.default_rng(0)
        rows = rng.normal(size=(key.sharding.images, 1024)).astype(np.float32)
        for number in range(len(key.sharding)):
            images = key.sharding.positions(number)
            shard = Shard.of_rows(rows[: len(images)], np.arange(images.start, images.stop))
            store.write(key, number, shard)
        for _ in range(5):
            start = time.perf_counter()
            assert len(store.read(key).rows) == key.count
            seconds.append(time.perf_counter() - start)
    print(f"\n100,000 x 1,024 read and checked: {min(seconds):.3f} s")
    return min(seconds)


def peak_of(n: int) -> float:
    """Return the peak MiB of a process that embeds n images by the cheapest backbone.

    This is what the pass itself holds.
    """
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(n)], capture_output=True, text=True, check=True
    )
    peak = float(done.stdout.split()[-1])
    print(f"{n:,} images: {peak:.0f} MiB at most, libraries included")
    return peak


def print_peak(n: int) -> None:
    """Embed n images in this process, and print its peak MiB."""
    name = "channel_statistics"
    backbone = load_folded(spec_of(name))
    member = member_of(backbone, key_of(name, n, width_of(backbone)))
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder) / "0.jpg", FeatureStore(Path(folder) / "store")
        Image.new("RGB", (64, 64), "red").save(file)
        split = split_of([file], n)
        run_pass(split, [member], store, SilentListener(), workers=auto_workers(), skip_bad=False)
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
        help="registered backbones whose weights are available; or timm's, with random weights",
    )
    parser.add_argument(
        "--together", help="how many of TEN share a pass (default: 1,3,10; with --quick 3)"
    )
    parser.add_argument(
        "--ways", help="some of the ways above, separated by commas; `ours` is always included"
    )
    parser.add_argument("--images", type=int, help="default 512, with --quick 64")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for kind, names, valid in (
        ("part", args.parts, PARTS),
        ("way", (args.ways or "ours").split(","), WAYS),
    ):
        if unknown := [name for name in names if name not in valid]:
            parser.error(f"unknown {kind} {unknown[0]!r}; known: {', '.join(valid)}")
    return args


def main() -> None:
    args = arguments()
    if args.peak:
        return print_peak(args.peak)
    print(machine())
    parts, figures = args.parts or PARTS[:3], {}
    n = args.images or (64 if args.quick else 512)
    rounds = args.rounds or (1 if args.quick else 3)
    ways = ["ours", *(args.ways.split(",") if args.ways else WAYS)]
    ways = [way for way in ways if find_spec("visbench") or not way.startswith("visbench")]
    skipped = SLOW if args.quick else ("decoded", "fast", "eager")
    shared = [way for way in ways if way not in skipped]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i:06d}.jpg" for i in range(n)]
        for i, file in enumerate(files if {"one", "together"} & set(parts) else ()):
            file.write_bytes(photograph(i))
        if "one" in parts:
            for name in args.backbones.split(","):
                figures |= compare([name], files, rounds, ways, args.runtime)
        if "together" in parts:
            for count in (args.together or ("3" if args.quick else "1,3,10")).split(","):
                figures |= compare(TEN[: int(count)], files, rounds, shared, args.runtime)
    if "warm" in parts:
        figures["warm read s"] = warm_read()
    if "memory" in parts:
        for images in (10_000, 100_000):
            figures[f"peak MiB, {images:,} images"] = peak_of(images)
    return finish(figures)


if __name__ == "__main__":
    main()
