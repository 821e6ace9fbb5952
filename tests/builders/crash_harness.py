"""Kill runs at random changes of the disk, finish them, and compare with undisturbed ones.

`python -m tests.builders.crash_harness --seed 1 --kills 200` (`make crash`) takes the stages in
turn, and kills the command of each one to three times, just before a change that it would make on
the disk. Then it runs the command to its end. Shards, records, per-example arrays and tables must
be those of an undisturbed run, but for costs, times and dates, and nothing temporary may be left.
"""

import argparse
import itertools
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open
from safetensors.numpy import load_file

import bob.commands.cache
import bob.commands.leaderboard
import bob.commands.run
from bob.io.files import TEMPORARY_PREFIX
from bob.leaderboards.render.tidy_table import MACHINE
from tests.builders.killed_runs import run
from tests.builders.photos import make_photos

MOST_KILLS = 3
"""Kills of one command before it may end."""
RESULTS = ("--results", "{folder}/results")
CACHE = ("--cache-dir", "{folder}/cache")
LOADED = (bob.commands.cache, bob.commands.leaderboard, bob.commands.run)
"""Imported before the process forks."""


@dataclass(frozen=True)
class Stage:
    """A command, the folder that it begins with, and the one that it leaves undisturbed."""

    words: list[str]
    before: Path | None
    after: Path
    changes: int
    """Changes of the disk in an undisturbed run."""
    compare: Callable[[Path], Mapping[str, Any]]


def main() -> int:
    """Kill, finish and compare; return 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-class", type=int, default=20, help="images of each of two classes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = crash(Path(folder), options.seed, options.kills, options.per_class)
    sys.stdout.write("\n".join(report) + "\n")
    return 1 if len(report) > 1 else 0


def crash(folder: Path, seed: int, kills: int, per_class: int) -> list[str]:
    """Return the totals, and a line for each difference from an undisturbed run."""
    stages = _undisturbed(folder, per_class)
    rng, names = random.Random(seed), itertools.cycle(stages)
    counts, faults = dict.fromkeys(stages, 0), list[str]()
    while sum(counts.values()) < kills:
        name = next(names)
        stage, place = stages[name], folder / "killed"
        moments = [rng.randint(1, stage.changes) for _ in range(rng.randint(1, MOST_KILLS))]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir() if stage.before is None else shutil.copytree(stage.before, place)
        hits = [run(stage.words, str(place), moment)[0] for moment in moments]
        counts[name] += sum(hits)
        run(stage.words, str(place))
        faults += [f"{name}, killed at {moments}: {fault}" for fault in _faults(stage, place)]
    killed = ", ".join(f"{n} of {name}" for name, n in counts.items())
    total = f"{sum(counts.values())} kills with seed {seed}: {killed}; {len(faults)} faults"
    return [total, *faults]


def _undisturbed(folder: Path, per_class: int) -> dict[str, Stage]:
    """Run every stage undisturbed, in folders of its own."""
    photos = make_photos(folder / "photos", per_class=per_class, classes=2, side_px=6)
    words = ["run", "--data", str(photos), "--backbones", "raw_pixels"]
    words += ["--tasks", "knn,ridge", "--offline", *RESULTS, *CACHE]
    stages: dict[str, Stage] = {}

    def add(name: str, words: list[str], before: Path | None, compare: Any) -> Path:
        after = folder / name
        after.mkdir() if before is None else shutil.copytree(before, after)
        _, changes = run(words, str(after))
        stages[name] = Stage(words, before, after, changes, compare)
        return after

    complete = add("extraction", words, None, results_and_features)
    embedded = shutil.copytree(complete, folder / "embedded")
    shutil.rmtree(embedded / "results")
    add("scoring", words, embedded, results_and_features)
    scored = shutil.copytree(complete, folder / "scored")
    for path in (scored / "results").iterdir():
        shutil.rmtree(path) if path.is_dir() and path.name != "records" else None
        path.unlink() if path.is_file() else None
    add("publishing", ["leaderboard", *RESULTS], scored, _all_files)
    add(
        "moving",
        ["cache", "move", "--to", "{folder}/moved", *CACHE],
        complete,
        results_and_features,
    )
    return stages


def _faults(stage: Stage, place: Path) -> list[str]:
    """Return what differs from the undisturbed run, and what should not be left."""
    left = [path for path in place.rglob("*") if path.name.startswith(TEMPORARY_PREFIX)]
    left += place.rglob("*.lease")
    faults = [f"{path.relative_to(place)} is left" for path in left]
    expected, got = stage.compare(stage.after), stage.compare(place)
    for name in sorted({*expected, *got}):
        if expected.get(name) != got.get(name):
            faults.append(f"{name} differs")
    return faults


def results_and_features(folder: Path) -> dict[str, Any]:
    """Return all shards, records, arrays and tables below a folder, without costs and dates."""
    state: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        if "features" in path.parts and path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                header = file.metadata()
            arrays = {key: values.tobytes() for key, values in load_file(path).items()}
            state[name] = (header["place"], header["bad"], arrays)
        elif "records" in path.parts and path.suffix == ".json":
            values = json.loads(path.read_bytes())
            state[name] = {k: v for k, v in values.items() if k not in DATED}
        elif "records" in path.parts:
            state[name] = path.read_bytes()
        elif path.name == "leaderboard.csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            state[name] = table.drop(columns=[*MACHINE]).to_csv(index=False)
    return state


DATED = ("checksum", "cost", "provenance")
"""Entries of a record that differ between two runs."""


def _all_files(folder: Path) -> dict[str, bytes]:
    """Return all published files byte by byte: they depend on the records alone."""
    files = (path for path in sorted((folder / "results").rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


if __name__ == "__main__":
    sys.exit(main())
