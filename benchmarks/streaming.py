"""Two million images stream through an extraction that is killed in the middle.

    python benchmarks/streaming.py --rows 2000000 --folder FOLDER [--layout tars|parquet]

Makes tars of 8 px images (192 random bytes after a PPM header) with labels, then starts a process
that indexes them and embeds them with the mean of their pixels, kills it (SIGKILL) once half of the
shards are stored, and starts it again. Prints seconds and peak memory of each, and checks that the
second process embedded the missing images only. The data and the features are below --folder, which
is emptied.

With --layout parquet the images are parquet files of a hub on the loopback interface, of which at
most a tenth may be on the disk at a time.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bob.backbones.backbone import Backbone

PER_FILE = 10_000
SIDE_PX = 8
COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Revision of the repository on the loopback interface."""
HEADER = f"P6 {SIDE_PX} {SIDE_PX} 255\n".encode()


def make_tars(folder: Path, rows: int) -> None:
    """Write samples 0000000.ppm and 0000000.cls, ..., of ten classes."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for t in range(-(-rows // PER_FILE)):
        first, end = t * PER_FILE, min(rows, (t + 1) * PER_FILE)
        pixels = rng.integers(0, 256, (end - first, SIDE_PX * SIDE_PX * 3), dtype=np.uint8)
        with tarfile.open(folder / f"{t:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in range(first, end):
                for extension, data in (
                    ("ppm", HEADER + pixels[row - first].tobytes()),
                    ("cls", b"%d" % (row % 10)),
                ):
                    member = tarfile.TarInfo(f"{row:07d}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def make_parquet(folder: Path, rows: int) -> None:
    """Write the same images as {"bytes", "path"} in row groups of 1,000, of ten classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    files = -(-rows // PER_FILE)
    for f in range(files):
        first, end = f * PER_FILE, min(rows, (f + 1) * PER_FILE)
        pixels = rng.integers(0, 256, (end - first, SIDE_PX * SIDE_PX * 3), dtype=np.uint8)
        images = [{"bytes": HEADER + row.tobytes(), "path": None} for row in pixels]
        table = pa.table({"image": images, "label": np.arange(first, end) % 10})
        pq.write_table(table, folder / f"test-{f:05d}-of-{files:05d}.parquet", row_group_size=1_000)


@contextlib.contextmanager
def served(folder: Path, layout: str) -> Iterator[dict[str, str]]:
    """Serve parquet files on a hub, and yield the environment of a process that may store a tenth
    of them; tars are on the disk.
    """
    if layout == "tars":
        yield {}
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.builders.loopback_hub import serving_all

    files = {f"data/{path.name}": path.read_bytes() for path in sorted(folder.glob("parquet/*"))}
    stored_bytes = max(sum(map(len, files.values())) / 10, max(map(len, files.values())))
    with serving_all({"owner/Stream": files}) as address:
        yield {
            "HF_ENDPOINT": address,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_OFFLINE": "0",
            "BOB_SHARDS_GB": str(stored_bytes / 1e9),
        }


def extract(folder: Path, layout: str) -> dict[str, float]:
    """Open the dataset and store all features: the work of the process that is killed."""
    from passes import key_of, member_of

    from bob.datasets.open import open_dataset
    from bob.extraction.passes import auto_workers, run_pass
    from bob.extraction.progress import SilentListener
    from bob.features.store import FeatureStore
    from bob.specs import DatasetSpec, HuggingFaceSource, WebDatasetSource

    start = time.perf_counter()
    tars = WebDatasetSource(
        reader="webdataset", path=str(folder / "tars"), data_files={"test": "*.tar"}
    )
    parquet = HuggingFaceSource(
        reader="huggingface",
        hub="owner/Stream",
        revision=COMMIT,
        image="image",
        label="label",
        splits={"test": "test"},
    )
    source = tars if layout == "tars" else parquet
    split = open_dataset(DatasetSpec(name="stream", source=source), folder / "cache").splits["test"]
    images = split.images_fingerprint
    opened, after_opening = time.perf_counter() - start, peak_mib()
    key, store = key_of("stream", len(split), 3, images), FeatureStore(folder / "features")
    missing = len(store.missing(key))
    member = member_of(mean_colour(), key, batch_size=64)
    run_pass(split, [member], store, SilentListener(), workers=auto_workers(), skip_bad=False)
    assert not store.missing(key)
    seconds = {"open_seconds": opened, "all_seconds": time.perf_counter() - start}
    counts = {
        "rows": len(split),
        "rows_per_shard": key.sharding.images,
        "shards_missing": missing,
    }
    return {**seconds, **counts, "mib_after_opening": after_opening, "peak_mib": peak_mib()}


def mean_colour() -> "Backbone":
    """Return a backbone that costs almost nothing, so that the stream is measured."""
    import torch

    from bob.backbones.backbone import Backbone, Loaded
    from bob.backbones.pixels.geometry import Geometry, Normalisation
    from bob.registry import load_registry
    from bob.specs import Output

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor, outputs: list[Output]) -> dict[Output, torch.Tensor]:
            return dict.fromkeys(outputs, x.mean((2, 3)))

    geometry = Geometry(SIDE_PX, SIDE_PX, 1.0, "center", "bilinear")
    loaded = Loaded(Mean(), geometry, Normalisation((0.5,) * 3, (0.5,) * 3), "benchmark")
    return Backbone(load_registry().backbones["channel_statistics"], loaded, "cpu")


def shards_of(rows: int) -> int:
    """Return the number of shards of the features of all rows."""
    from passes import key_of

    return len(key_of("stream", rows, 3).sharding)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def killed_in_the_middle(
    command: list[str], environment: Mapping[str, str], folder: Path, rows: int
) -> dict[str, float]:
    """Run a process until half of the shards are stored, and kill it.

    Returns its seconds, its peak memory and the number of stored shards.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as child:
        while child.poll() is None and stored(folder) < shards_of(rows) // 2:
            time.sleep(0.2)
        status = Path(f"/proc/{child.pid}/status").read_text()
        child.send_signal(signal.SIGKILL)
    peak_kib = next(
        int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")
    )
    return {
        "all_seconds": time.perf_counter() - start,
        "shards_stored": stored(folder),
        "peak_mib": peak_kib / 1024,
    }


def stored(folder: Path) -> int:
    return len(list((folder / "features").rglob("*.safetensors")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="folder that is emptied; 2 million rows take 6 GB",
    )
    parser.add_argument("--layout", choices=("tars", "parquet"), default="tars")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(extract(arguments.folder, arguments.layout)))
        return
    shutil.rmtree(arguments.folder, ignore_errors=True)
    make = {"tars": make_tars, "parquet": make_parquet}[arguments.layout]
    make(arguments.folder / arguments.layout, arguments.rows)
    command = [
        sys.executable,
        __file__,
        "--folder",
        str(arguments.folder),
        "--layout",
        arguments.layout,
        "--child",
    ]
    with served(arguments.folder, arguments.layout) as settings:
        environment = {**os.environ, **settings}
        first = killed_in_the_middle(command, environment, arguments.folder, arguments.rows)
        second = json.loads(
            subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            ).stdout
        )
    missing = shards_of(arguments.rows) - first["shards_stored"]
    assert second["rows"] == arguments.rows and second["shards_missing"] <= missing, second
    print(json.dumps({"killed": first, "again": second}, indent=1))


if __name__ == "__main__":
    main()
