"""Two million images stream through an extraction that is killed in the middle: `python benchmarks/streaming.py --rows 2000000`.

Makes tars of 8 px images (192 random bytes under a PPM header) and their labels, then starts a process that indexes them and embeds them with the
mean of their pixels, kills it (SIGKILL) once half of the shards are stored, and starts it again. Prints seconds and peak memory of each, and
checks that the second process embedded only what was missing. The data and the features lie below --folder, which is emptied.
"""

import argparse
import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bob.backbones.backbone import Backbone

PER_TAR = 10_000
SIDE_PX = 8
HEADER = f"P6 {SIDE_PX} {SIDE_PX} 255\n".encode()


def make_tars(folder: Path, rows: int) -> None:
    """Samples 0000000.ppm and 0000000.cls, ..., ten classes."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for t in range(-(-rows // PER_TAR)):
        first, end = t * PER_TAR, min(rows, (t + 1) * PER_TAR)
        pixels = rng.integers(0, 256, (end - first, SIDE_PX * SIDE_PX * 3), dtype=np.uint8)
        with tarfile.open(folder / f"{t:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in range(first, end):
                for extension, data in (("ppm", HEADER + pixels[row - first].tobytes()), ("cls", b"%d" % (row % 10))):
                    member = tarfile.TarInfo(f"{row:07d}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


class Silent:
    """A watcher that tells nothing."""

    def waiting(self) -> None: ...

    def embedded(self, *_: object) -> None: ...


def extract(folder: Path) -> dict[str, float]:
    """The child: opens the dataset and stores all rows."""
    from bob.datasets.open import open_dataset
    from bob.features.extract import Member, auto_workers, run_pass
    from bob.features.key import FeatureKey
    from bob.features.store import SHARD_ROWS, FeatureStore
    from bob.specs import DatasetSpec, WebDatasetSource

    start = time.perf_counter()
    source = WebDatasetSource(reader="webdataset", path=str(folder / "tars"), data_files={"test": "*.tar"})
    split = open_dataset(DatasetSpec(name="stream", source=source), folder / "cache").splits["test"]
    images = split.images_fingerprint()
    opened, after_opening = time.perf_counter() - start, peak_mib()
    key, store = FeatureKey("stream", {}, {}, {}, "default", "float32", images, "test"), FeatureStore(folder / "features")
    missing = len(store.missing(key, len(split)))
    run_pass(split, [Member(mean_colour(), {"default": key}, 64)], store, Silent(), workers=auto_workers(), skip_bad=False)
    assert not store.missing(key, len(split))
    seconds = {"open_seconds": opened, "all_seconds": time.perf_counter() - start}
    counts = {"rows": len(split), "rows_per_shard": SHARD_ROWS, "shards_missing": missing}
    return {**seconds, **counts, "mib_after_opening": after_opening, "peak_mib": peak_mib()}


def mean_colour() -> "Backbone":
    """A backbone that costs next to nothing, so that it is the stream that is measured."""
    import torch

    from bob.backbones.backbone import Backbone, Loaded
    from bob.backbones.geometry import Geometry, Normalisation
    from bob.registry import load_registry

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor, poolings: list[str]) -> dict[str, torch.Tensor]:
            return dict.fromkeys(poolings, x.mean((2, 3)))

    geometry = Geometry(SIDE_PX, SIDE_PX, 1.0, "center", "bilinear")
    loaded = Loaded(Mean(), geometry, Normalisation((0.5,) * 3, (0.5,) * 3), "benchmark")
    return Backbone(load_registry().backbones["channel_statistics"], loaded, "cpu")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def killed_in_the_middle(command: list[str], folder: Path, rows: int) -> dict[str, float]:
    """Runs the child until half of the shards are stored; its peak memory, and how many were."""
    from bob.features.store import SHARD_ROWS

    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None and stored(folder) < rows // SHARD_ROWS // 2:
            time.sleep(0.2)
        status = Path(f"/proc/{child.pid}/status").read_text()
        child.send_signal(signal.SIGKILL)
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    return {"all_seconds": time.perf_counter() - start, "shards_stored": stored(folder), "peak_mib": peak}


def stored(folder: Path) -> int:
    return len(list((folder / "features").rglob("*.safetensors")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="is emptied; 2 million rows take 6 GB")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(extract(arguments.folder)))
        return
    from bob.features.store import SHARD_ROWS

    shutil.rmtree(arguments.folder, ignore_errors=True)
    make_tars(arguments.folder / "tars", arguments.rows)
    command = [sys.executable, __file__, "--folder", str(arguments.folder), "--child"]
    first = killed_in_the_middle(command, arguments.folder, arguments.rows)
    second = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert second["rows"] == arguments.rows and second["shards_missing"] <= -(-arguments.rows // SHARD_ROWS) - first["shards_stored"], second
    print(json.dumps({"killed": first, "again": second}, indent=1))


if __name__ == "__main__":
    main()
