"""Commands on large inputs: wall seconds, processor seconds and peak memory.

    PYTHONPATH=. python benchmarks/load.py [CASE ...] [--scale 0.1] [--folder DIR]

Cases (all by default):
- `images`: plan a run over one folder of 100,000 tiny images, three times: first, again, and with
  one class more; the second and third read the cache of the first.
- `classes`: run k-NN and retrieval on 5,000 classes of four tiny images.
- `probe`: `evaluate --tasks linear` on 2,000 classes of about 8 train rows, 512 features.
- `records`: `leaderboard` of 20,160 records: 84 backbones, 40 datasets, 6 tasks.
- `table`: `leaderboard --external` of a table of 120 backbones and 282 columns.
- `features`: `evaluate --tasks knn,linear` on 1,000,000 rows of 512 features in float16, with 1,000
  of them as test rows.

`--scale` multiplies the numbers of images, classes, rows and datasets. Inputs are made in
`--folder` (default: a temporary folder), which needs 3 GB. Every command is a process of its own;
prints one line of JSON for each. Where other work shares the machine, processor seconds are the
figure to compare.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap


def command(case: str, *words: str | Path) -> None:
    """Run `bob-bench` with these arguments and print what it cost."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bob", *map(str, words)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        size = output.tell()
        output.seek(max(0, size - 300))
        last = output.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code
    cost = {
        "case": case,
        "wall_s": round(wall, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": usage.ru_maxrss // 1024,
        "printed_kib": round(size / 1024, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(cost | ({"exit": code, "output": last} if code else {})), flush=True)


def write_images(folder: Path, count: int, seed: int = 0) -> None:
    """Write different images of 4 × 4 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 48), dtype=np.uint8)
    for i, row in enumerate(pixels):
        (folder / f"{i:06d}.ppm").write_bytes(b"P6 4 4 255\n" + row.tobytes())


def images(folder: Path, scale: float) -> None:
    photos = folder / "photos"
    for label in range(10):
        write_images(photos / f"class_{label}", round(10_000 * scale), label)
    words = ("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn", "--dry-run")
    places = ("--cache-dir", folder / "cache", "--results", folder / "results")
    command("images: plan", *words, *places)
    command("images: plan again", *words, *places)
    write_images(photos / "class_new", 100, 99)
    command("images: plan with a class more", *words, *places)


def classes(folder: Path, scale: float) -> None:
    for label in range(round(5_000 * scale)):
        write_images(folder / "photos" / f"class_{label}", 4, label)
    words = ("run", "--data", folder / "photos", "--backbones", "raw_pixels")
    places = ("--cache-dir", folder / "cache", "--results", folder / "results")
    command("classes: plan", *words, "--tasks", "knn,retrieval", *places, "--dry-run")
    command("classes: knn, retrieval", *words, "--tasks", "knn,retrieval", *places)


def write_features(folder: Path, rows: int, width: int, classes: int, test: int) -> None:
    """Write x.npy (float16), y.npy and split.npy: normal clusters in random order."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((classes, width)).astype(np.float32)
    y = rng.permutation(np.arange(rows) % classes)
    x = open_memmap(folder / "x.npy", "w+", np.float16, (rows, width))
    for start in range(0, rows, 10_000):
        part = y[start : start + 10_000]
        noise = rng.standard_normal((len(part), width), np.float32)
        x[start : start + 10_000] = centres[part] + 4 * noise
    x.flush()
    np.save(folder / "y.npy", y)
    np.save(folder / "split.npy", np.where(np.arange(rows) < test, "test", "train"))


def probe(folder: Path, scale: float) -> None:
    count = round(2_000 * scale)
    write_features(folder / "many_classes", 10 * count, 512, count, 2 * count)
    places = ("--results", folder / "results")
    command("probe: linear", "evaluate", folder / "many_classes", "--tasks", "linear", *places)


def records(folder: Path, scale: float) -> None:
    sizes = ("--backbones", "84", "--datasets", str(round(40 * scale)))
    builder = ("-m", "tests.builders.synthetic_sweep", str(folder / "results"))
    subprocess.run([sys.executable, *builder, *sizes], check=True)
    command("records: leaderboard", "leaderboard", folder / "results")


def table(folder: Path, scale: float) -> None:
    values = np.random.default_rng(0).random((120, round(282 * scale)))
    header = ["model", *(f"benchmark {i}" for i in range(values.shape[1]))]
    lines = [f"backbone_{i}," + ",".join(f"{v:.4f}" for v in row) for i, row in enumerate(values)]
    path = folder / "table.csv"
    path.write_text("\n".join([",".join(header), *lines]))
    command("table: leaderboard", "leaderboard", "--external", path, "--results", folder / "board")


def features(folder: Path, scale: float) -> None:
    rows = round(1_000_000 * scale)
    write_features(folder / "many_rows", rows, 512, 10, 1_000)
    for task in ("knn", "linear"):
        words = ("evaluate", folder / "many_rows", "--tasks", task)
        command(f"features: {task}", *words, "--results", folder / "results")


CASES: dict[str, Callable[[Path, float], None]] = {
    case.__name__: case for case in (images, classes, probe, records, table, features)
}


def main() -> None:
    """Measure the named cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    for name in arguments.cases or CASES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            CASES[name](Path(folder), arguments.scale)


if __name__ == "__main__":
    main()
