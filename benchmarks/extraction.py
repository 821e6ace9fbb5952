"""Feature extraction: ours against the bare forward and a plain PyTorch loop; one backbone and several in one pass.

    python benchmarks/extraction.py [--quick] [--backbones A,B] [--together A,B,C] [--rivals ours,bare,visbench...] [--runtime NAME] [--memory]

Ours is the whole pass: decode, crop, forward, checksum, fsync. The plain loop is what people write: PIL, timm's transform, a DataLoader, eager
PyTorch. Every way reads the same JPEG files with the same weights, in turn in one process; `decoded` is ours on bitmaps that need no decoding and no
resizing, so that its ratio to the bare forward is what the pass itself costs, and `fast` is ours with `--preprocessing fast`. VisBench is measured
where it is installed (`pip install --no-deps visbench`: it asks for an older Pillow), its cache empty and full, as is ours.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import finish, interleave, machine, table
from PIL import Image

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.fold import fold
from bob.backbones.geometry import Geometry
from bob.datasets.dataset import Split
from bob.features.extract import Member, auto_workers, run_pass
from bob.features.key import FeatureKey
from bob.features.store import FeatureStore
from bob.features.watch import Spent
from bob.registry import load_registry
from bob.runtimes.eager import Eager
from bob.specs import BackboneSpec

SIDE_PX = (500, 400)
PHOTOS = 64
"""Different photographs; more images are these again, each decoded anew. Where VisBench takes part all differ, since it knows equal ones."""


class Silent:
    def waiting(self) -> None: ...
    def embedded(self, images: int, spent: Spent) -> None: ...


def photograph(seed: int) -> bytes:
    """A JPEG of about 60 KB with smooth and rough parts."""
    rng = np.random.default_rng(seed)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (25, 31, 3), dtype=np.uint8)).resize(SIDE_PX, Image.Resampling.BICUBIC))
    pixels = np.clip(smooth.astype(int) + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def split_of(files: list[Path], n: int) -> Split:
    names = tuple(f"{i:06d}" for i in range(n))
    return Split(ids=names, y=np.zeros(n, np.int64), content=names, read=lambda i: files[i % len(files)].read_bytes())


def key_of(name: str) -> FeatureKey:
    return FeatureKey(name, {}, {}, {}, "default", "float32", "benchmark", "train")


def spec_of(name: str) -> BackboneSpec:
    """A registered backbone, or any architecture of timm's with weights from a seed: speed does not depend on them."""
    own = {"name": name, "family": "baseline", "loader": "timm", "architecture": name, "weights": {"random": 0}}
    return load_registry().backbones.get(name) or BackboneSpec.model_validate(own)


def member(name: str, runtime: str) -> Member:
    backbone = load_backbone(spec_of(name), "cpu", "float32", offline=True)
    fold(backbone)
    return Member(backbone, {"default": key_of(name)}, None, runtime=runtime)


def ours(members: list[Member], split: Split, folder: Path) -> np.ndarray:
    """A whole pass into an empty store; members stay as ready as the pass before left them."""
    shutil.rmtree(folder, ignore_errors=True)
    store = FeatureStore(folder)
    run_pass(split, members, store, Silent(), workers=auto_workers(), skip_bad=False)
    return store.read(members[0].keys["default"], len(split)).rows


def fast(one: Member, split: Split, folder: Path) -> None:
    exact = one.backbone.geometry
    one.backbone.geometry = replace(exact, fast=True)
    ours([one], split, folder)
    one.backbone.geometry = exact


def bitmap(file: Path, geometry: Geometry) -> Path:
    """The photograph as a bitmap whose sides are those that the geometry resizes to: nothing to decode, nothing to resize."""
    side = int(geometry.height_px / geometry.crop_pct)
    made = file.with_name(f"{file.stem}-{side}.bmp")
    Image.open(file).resize((side, side)).save(made)
    return made


def bare(one: Member, crops: torch.Tensor, n: int) -> None:
    """The forward alone, by the same runtime, on n crops that are in memory."""
    runtime = one.ready[0]
    for start in range(0, n, len(crops)):
        runtime.embed(crops[: n - start], ["default"])


def transform_of(backbone: Backbone) -> Any:
    """timm's, normalising on the processor."""
    from timm.data import create_transform

    return create_transform(
        input_size=(3, backbone.geometry.height_px, backbone.geometry.width_px),
        interpolation=backbone.geometry.interpolation,
        crop_pct=backbone.geometry.crop_pct,
        mean=backbone.normalisation.mean,
        std=backbone.normalisation.std,
    )


class Files(torch.utils.data.Dataset):
    """As people write it."""

    def __init__(self, files: list[Path], n: int, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files, self.n, self.transform = files, n, transform

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[i % len(self.files)]).convert("RGB"))


def plain(backbone: Backbone, files: list[Path], n: int, workers: int) -> np.ndarray:
    """PIL, timm's transform, DataLoader, batches of 64, eager PyTorch under no_grad: contiguous, nothing folded."""
    transform, rows = transform_of(backbone), []
    with torch.no_grad():
        for x in torch.utils.data.DataLoader(Files(files, n, transform), batch_size=64, num_workers=workers):
            rows.append(backbone.module(x, ["default"])["default"].numpy())
    return np.concatenate(rows)


class Photographs:
    """The images as VisBench asks for them: it knows an image that it has seen by `cache_identity`, and does not decode it again."""

    def __init__(self, files: list[Path], n: int) -> None:
        self.files = [files[i % len(files)] for i in range(n)]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.open(self.files[i]).convert("RGB")

    def cache_identity(self, i: int) -> str:
        return f"{self.files[i]} {self.files[i].stat().st_mtime_ns}"


def visbench(backbone: Backbone, files: list[Path], n: int, folder: Path, *, warm: bool) -> np.ndarray:
    """VisBench's feature cache around the same module and the same transform, in its own batches of 32."""
    from visbench import CustomBackbone
    from visbench.cache.feature_cache import FeatureCache

    def rows(module: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, None, tuple[int, int]]:
        return module(x, ["default"])["default"][:, None], None, (1, 1)

    if not warm:
        shutil.rmtree(folder, ignore_errors=True)
    own = CustomBackbone(backbone.module, transform_of(backbone), feature_fn=rows, weights_id="benchmark", device="cpu")
    found = FeatureCache(folder).extract_dataset(own, Photographs(files, n), keep="pooled")
    return found["pooled"].numpy()


def as_written(name: str) -> Backbone:
    """The backbone as its library gives it."""
    backbone = load_backbone(spec_of(name), "cpu", "float32", offline=True)
    backbone.module = backbone.module.to(memory_format=torch.contiguous_format)
    return backbone


def compare(name: str, files: list[Path], n: int, rounds: int, rivals: list[str], runtime: str) -> dict[str, float]:
    """One backbone, every way."""
    folder = Path(tempfile.mkdtemp())
    split, one, written = split_of(files, n), member(name, runtime), as_written(name)
    first = Eager(one.backbone, 4)
    one.ready = {}
    ours([one], replace(split, ids=split.ids[:64]), folder)  # chooses the runtime, warm
    crops = torch.stack([one.backbone.geometry.crop(Image.open(file).convert("RGB")) for file in files[:PHOTOS]])
    decoded = split_of([bitmap(file, one.backbone.geometry) for file in files[:PHOTOS]], n)
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours([one], split, folder / "ours"),
        "decoded": lambda: ours([one], decoded, folder / "decoded"),
        "fast": lambda: fast(one, split, folder / "fast"),
        "bare": lambda: bare(one, crops, n),
        "plain": lambda: plain(written, files, n, 2),
        "visbench cold": lambda: visbench(written, files, n, folder / "visbench", warm=False),
        "visbench warm": lambda: visbench(written, files, n, folder / "visbench", warm=True),
        "ours warm": lambda: FeatureStore(folder / "ours").read(one.keys["default"], n).rows,
    }
    seconds, results = interleave({way: ways[way] for way in ways if way in rivals}, rounds)
    print(f"\n{name}, {n} JPEGs of {SIDE_PX[0]} x {SIDE_PX[1]}, runtime {one.ready[0].name}, batch {one.ready[0].batch_size}")
    ratios = table(seconds, "ours", {way: f"{n / min(times):.1f} images/s" for way, times in seconds.items()})
    reference = first.embed(crops, ["default"])["default"]
    apart = np.abs(results["ours"][: len(crops)] - reference).max() / np.abs(reference).max()
    print(f"largest difference from eager, of the largest value: {apart:.1e}")
    shutil.rmtree(folder)
    return {f"{name} {way}": ratio for way, ratio in ratios.items()} | {f"{name} apart, millionths": float(apart) * 1e6}


def several(names: list[str], files: list[Path], n: int, runtime: str) -> dict[str, float]:
    """One pass against the sum of its backbones' bare forwards plus decoding once."""
    folder = Path(tempfile.mkdtemp())
    members, split = [member(name, runtime) for name in names], split_of(files, n)
    ours(members, replace(split, ids=split.ids[:64]), folder)
    geometries = {one.backbone.geometry for one in members}
    crops = {geometry: torch.stack([geometry.crop(Image.open(file).convert("RGB")) for file in files[:PHOTOS]]) for geometry in geometries}
    start = time.perf_counter()
    ours(members, split, folder)
    passed = time.perf_counter() - start
    start = time.perf_counter()
    for one in members:
        bare(one, crops[one.backbone.geometry], n)
    forwards = time.perf_counter() - start
    decode = decode_seconds(split, list(geometries))
    print(f"\n{len(names)} backbones in one pass: {passed:.2f} s; their forwards alone {forwards:.2f} s, decoding once {decode:.2f} s")
    shutil.rmtree(folder)
    return {f"{len(names)} in one pass": passed / (forwards + decode)}


def decode_seconds(split: Split, geometries: list[Any]) -> float:
    """Decoding and cropping alone, by all workers."""
    from concurrent.futures import ThreadPoolExecutor

    from bob.datasets.images import decode

    def one(i: int) -> None:
        image = decode(split.read(i), split.ids[i])
        for geometry in geometries:
            geometry.crop(image)

    start = time.perf_counter()
    with ThreadPoolExecutor(auto_workers()) as pool:
        list(pool.map(one, range(len(split))))
    return time.perf_counter() - start


def warm_read() -> float:
    """Seconds until 100,000 rows of 1,024 are there, checked, for a protocol; the files in the page cache."""
    from bob.features.store import SHARD_ROWS, Shard, shard_range

    n, folder = 100_000, Path(tempfile.mkdtemp())
    store, rows = FeatureStore(folder), np.random.default_rng(0).normal(size=(SHARD_ROWS, 1024)).astype(np.float32)
    for number in range(-(-n // SHARD_ROWS)):
        at = shard_range(number, n)
        store.write(key_of("warm"), number, Shard(rows[: len(at)], np.arange(at.start, at.stop)))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        store.read(key_of("warm"), n)
        seconds.append(time.perf_counter() - start)
    shutil.rmtree(folder)
    print(f"\n100,000 x 1,024 read and checked: {min(seconds):.3f} s")
    return min(seconds)


def peak_of(n: int) -> float:
    """Peak MiB of a process that embeds n images by the cheapest backbone: what the pass itself holds."""
    done = subprocess.run([sys.executable, __file__, "--peak", str(n)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def embed_and_tell_peak(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "0.jpg"
        Image.new("RGB", (64, 64), "red").save(file)
        ours([member("channel_statistics", "eager")], split_of([file], n), Path(folder) / "store")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images, under 45 s")
    parser.add_argument(
        "--backbones", default="efficientnet_lite0_in1k", help="registered, with weights that are here; or names of timm's, then with random weights"
    )
    parser.add_argument("--together", default="efficientnet_lite0_in1k,efficientnet_lite1_in1k,efficientnet_lite2_in1k")
    parser.add_argument(
        "--rivals", default="ours,ours warm,decoded,fast,bare,plain" + (",visbench cold,visbench warm" if find_spec("visbench") else "")
    )
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--memory", action="store_true", help="peak memory over 10,000 and 100,000 images")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        return embed_and_tell_peak(asked.peak)
    print(machine())
    n, rounds = (128, 1) if asked.quick else (1024, 3)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.jpg" for i in range(n if "visbench" in asked.rivals else PHOTOS)]
        for i, file in enumerate(files):
            file.write_bytes(photograph(i))
        found: dict[str, float] = {}
        for name in asked.backbones.split(","):
            found |= compare(name, files, n, rounds, asked.rivals.split(","), asked.runtime)
        found |= several(asked.together.split(","), files, n, asked.runtime)
    found["warm read s"] = warm_read()
    if asked.memory:
        found |= {f"peak MiB, {n:,} images": peak_of(n) for n in (10_000, 100_000)}
    return finish(found)


if __name__ == "__main__":
    main()
