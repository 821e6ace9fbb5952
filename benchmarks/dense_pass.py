"""Eight backbones × `segment`, `depth` and `correspondence` by one command: time, memory, files.

    PYTHONPATH=. python benchmarks/dense_pass.py [--limit N] [--backbones NAME,NAME] [--folder DIR]
        [--datasets NAME,NAME] [--runtime auto]

Runs `bob-bench run` with an empty cache in a process of its own, on the scenes of `openmoji_depth`,
which have classes and depth, and on the pairs of `openmoji_pairs`. Both tasks on scenes share one
decoding and one forward pass of each image. The backbones are the four networks of the samples, the
random twins of three, and an untrained baseline.

Prints wall and processor seconds and the peak memory of the process; then the bytes that were
stored, by kind, beside those of all feature maps that were computed; then how many scores there
are, and a line of JSON. `--limit` takes N images of each split.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from dense import REAL
from detectors import twin_of
from load import command

from bob.registry import load_registry
from bob.specs.yaml import plain

MIB = 2**20
TASKS = "segment,depth,correspondence"


def main() -> None:
    """Run the command, and print what it cost."""
    arguments = parse()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        twins = twin_entries(folder / "twins.yaml")
        backbones = arguments.backbones or ",".join([REAL, *twins, "raw_pixels"])
        words = ["--registry", folder / "twins.yaml", "--backbones", backbones, "--tasks", TASKS]
        words += ["--datasets", arguments.datasets, "--runtime", arguments.runtime, "--offline"]
        words += ["--limit", arguments.limit] if arguments.limit else []
        places = ("--cache-dir", folder / "cache", "--results", folder / "results")
        print(f"{len(backbones.split(','))} backbones, {os.cpu_count()} cores", flush=True)
        command("run", "run", *words, *places)
        facts = {**stored(folder / "cache"), **scores(folder / "results")}
    for fact, value in facts.items():
        print(f"{fact:>24}: {value}")
    print(json.dumps(facts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=str)
    parser.add_argument("--backbones")
    parser.add_argument("--datasets", default="openmoji_depth,openmoji_pairs")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


def twin_entries(path: Path) -> list[str]:
    """Write entries of the random twins of three networks, and return their names."""
    registered = load_registry().backbones
    twins = [twin_of(registered[name]) for name in REAL.split(",")[:3]]
    path.write_text(json.dumps({f"{twin.name}_twin": entry(plain(twin)) for twin in twins}))
    return [f"{twin.name}_twin" for twin in twins]


def entry(values: dict[str, Any]) -> dict[str, Any]:
    """Return what an entry of an untrained network states."""
    return {name: values[name] for name in ("family", "loader", "architecture", "weights")}


def stored(cache: Path) -> dict[str, Any]:
    """Return MiB of files by kind, and those of the maps that were read, in float32."""
    kinds: Counter[str] = Counter()
    maps: dict[str, float] = {}
    for path in (cache / "features").rglob("key.json"):
        key = json.loads(path.read_text())
        kind = key.get("accumulator", {}).get("name", "rows")
        kinds[kind] += sum(file.stat().st_size for file in path.parent.glob("*.safetensors"))
        features = key.get("features", key)
        height, width, depth = features["shape"]
        maps[json.dumps(features, sort_keys=True)] = 4 * features["count"] * height * width * depth
    by_kind = {f"MiB of {name}": round(size / MIB, 1) for name, size in sorted(kinds.items())}
    return {**by_kind, "MiB of maps, not stored": round(sum(maps.values()) / MIB)}


def scores(results: Path) -> dict[str, int]:
    """Return the number of cells by task."""
    records = [json.loads(path.read_text()) for path in (results / "records").rglob("*.json")]
    counts = Counter(record["task"]["name"] for record in records if record.get("scores"))
    return {f"records of {name}": count for name, count in sorted(counts.items())}


if __name__ == "__main__":
    main()
