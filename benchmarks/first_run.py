"""The first run of a newcomer: a cold demo, by parts, against its bare forward passes.

    python benchmarks/first_run.py [--busy N] [--backbones LIST] [--datasets LIST] [--rounds N]

Runs the command of `make demo` in a process of its own, with an empty cache, and prints each line
with its time, the wall and processor seconds of the parts of the run, the share of the cores that
was busy in each, and how wrong the time left was that it announced after a tenth of the run. The
embedding ends when the last features are stored; cells that are scored beside it are part of it.

Then each backbone embeds crops that lie in memory, with every runtime that fits, at the batch size
that the run has chosen: the best of `--rounds` is its bare forward pass. The ratio of a backbone is
that of images per second, in the run's forward passes, by the efforts that its shards state, to
those of the bare one. Decoding shares the cores with the forward passes, so that a ratio below 1 is
no waste where all cores are busy.

A run cannot take less than its processor seconds divided by the cores: the least ratio is that time
divided by the bare forward passes, for a run that does the same work and lets no core wait. The
processor seconds of the bare passes show how much of them is anything else.

`--busy` is the number of other processes that keep a core busy during the run, but not during the
bare forward passes: divide `total` by that of a run without it. The last line is JSON; it says how
much of the machine others took, these processes among them.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors import safe_open
from waiting import burn

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.weights.tensors import tensor_hash
from bob.extraction.machine_load import LoadMeter
from bob.extraction.runtimes.candidates import usable_candidates
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.memory import keep_freed_memory
from bob.extraction.runtimes.runtime import Runtime
from bob.io.waiting import WAIT_POLICY, WAIT_VARIABLES
from bob.registry import load_registry
from bob.registry.selection import backbone_labels, select
from bob.specs import DEFAULT

ROOT = Path(__file__).resolve().parents[1]
BARE_IMAGES = 64
SLOW_SETUP = {"compile"}
"""Runtimes whose preparation takes longer than the demo saves."""
MARKS = {"planned": "plan: ", "embedding": "embedding ", "first_score": "top1 "}
"""What is noted when a text is first printed."""
TIME_LEFT = re.compile(r"(\d{2,3}) % of the run.*about (\d+) (s|min|h) left")
"""Lines of progress after a tenth of the run."""
UNITS = {"s": 1, "min": 60, "h": 3600}


PARTS = ("start and plan", "embedding", "last cells", "leaderboard and end")
SAMPLE_SECONDS = 0.25


class Samples(threading.Thread):
    """Processor seconds of a process and its children, read again and again until it ends."""

    def __init__(self, pid: int, start: float) -> None:
        """Count the time from `start`, a reading of `time.perf_counter`."""
        super().__init__(daemon=True)
        self._pid, self._start = pid, start
        self.walls, self.processors = [0.0], [0.0]

    def run(self) -> None:
        while (processor := processor_seconds(self._pid)) is not None:
            self.add(time.perf_counter() - self._start, processor)
            time.sleep(SAMPLE_SECONDS)

    def add(self, wall: float, processor: float) -> None:
        """Take a sample; a child that ends unobserved takes its last seconds along."""
        self.walls.append(wall)
        self.processors.append(max(processor, self.processors[-1]))

    def at(self, wall: float) -> float:
        """Return the processor seconds at a time since the start."""
        return float(np.interp(wall, self.walls, self.processors))


def print_parts(samples: Samples, ends: Sequence[float], cores: int) -> dict[str, list[float]]:
    """Print, and return by name, wall and processor seconds of parts that end at some times."""
    parts = {}
    for name, (start, end) in zip(PARTS, pairwise((0.0, *ends)), strict=True):
        wall, processor = end - start, samples.at(end) - samples.at(start)
        busy = processor / cores / max(wall, 1e-9)
        print(f"{name:20} {wall:7.1f} s, {processor:7.1f} s of the processor, {busy:4.0%} busy")
        parts[name] = [round(wall, 1), round(processor, 1)]
    return parts


def processor_seconds(pid: int) -> float | None:
    """Return the processor seconds of a process and its children so far; None where it ended."""
    try:
        process = psutil.Process(pid)
        running = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    except psutil.Error:
        return None
    ended = running[0].children_user + running[0].children_system
    return ended + sum(each.user + each.system for each in running)


def run_demo(arguments: argparse.Namespace, folder: Path, cores: int) -> dict[str, Any]:
    """Run the demo cold, print its lines with their times, and return seconds by part."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), "--tasks", "linear,knn"]
    command += ["--backbones", arguments.backbones, "--results", str(folder / "results")]
    if arguments.datasets:
        command += ["--datasets", arguments.datasets]
    environment = {**os.environ, "BOB_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.time()
    marks: dict[str, float] = {}
    left: list[tuple[float, float]] = []
    """When a time left was announced, and which, in seconds."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        samples = Samples(process.pid, start)
        samples.start()
        assert process.stdout is not None
        for line in process.stdout:
            seconds = time.perf_counter() - start
            shown = line.rstrip().replace(str(folder), "FOLDER")
            print(f"{seconds:7.1f}  {shown[:130]}", flush=True)
            for mark, text in MARKS.items():
                if text in line:
                    marks.setdefault(mark, seconds)
            if announced := TIME_LEFT.search(line):
                left.append((seconds, int(announced[2]) * UNITS[announced[3]]))
            if "top1 " in line and " · " in line:
                marks["last_score"] = seconds
    samples.join()
    if process.returncode:
        sys.exit(f"the demo ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = time.perf_counter() - start
    samples.add(total, used)
    stored = (folder / "cache" / "features").rglob("*.safetensors")
    embedded = max(path.stat().st_mtime for path in stored) - started_at
    ends = (marks.pop("embedding"), embedded, max(marks.pop("last_score"), embedded), total)
    parts = print_parts(samples, ends, cores)
    wrong = [f"{seconds / (total - at) - 1:+.0%}" for at, seconds in left]
    print("time left, announced against actual: " + (", ".join(wrong) or "never announced"))
    rounded = {name: round(seconds, 1) for name, seconds in marks.items()}
    return {**rounded, "total": round(total, 1), "processor": round(used, 1), "parts": parts}


def efforts(cache: Path) -> dict[str, dict[str, Any]]:
    """Return images, forward seconds, runtimes and batch size by the hash of the weights."""
    totals: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"images": 0, "seconds": 0.0, "runtimes": set()}
    )
    for path in (cache / "features").rglob("*.safetensors"):
        key = json.loads((path.parent / "key.json").read_text())
        with safe_open(path, "numpy") as shard:
            effort = json.loads(shard.metadata()["effort"])
        total = totals[f"{key['weights_hash']} {key['forward']}"]
        total["images"] += effort["images"]
        total["seconds"] += effort["forward_seconds"]
        total["runtimes"].add(effort["runtime"])
        total["batch"] = effort["batch_size"]
    return totals


def bare_pass(backbone: Backbone, batch: int, rounds: int) -> tuple[str, float, float]:
    """Return the fastest runtime of a backbone, its wall and its processor seconds per image.

    Crops are in memory.
    """
    height, width = backbone.geometry.height_px, backbone.geometry.width_px
    crops = torch.randint(256, (BARE_IMAGES, 3, height, width), dtype=torch.uint8)
    runtimes: list[Runtime] = [Eager(backbone, batch)]
    if backbone.spec.loader != "baseline":
        for candidate in usable_candidates("float32", "cpu"):
            fits = candidate.runs_onnx_files or backbone.spec.loader != "onnx"
            if fits and candidate.name not in SLOW_SETUP:
                with contextlib.suppress(Exception):  # a graph that it cannot run
                    runtimes.append(candidate.make(backbone, [DEFAULT], batch))
    passes = []
    for runtime in runtimes:
        runtime.embed(crops[:batch], [DEFAULT])
        for _ in range(rounds):
            start, processor = time.perf_counter(), time.process_time()
            runtime.embed(crops, [DEFAULT])
            wall = time.perf_counter() - start
            passes.append((wall, time.process_time() - processor, runtime.name))
    wall, processor, name = min(passes)
    return name, wall / BARE_IMAGES, processor / BARE_IMAGES


def compare(cache: Path, names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the speed of each backbone in the run and bare."""
    measured = efforts(cache)
    for name in names:
        backbone = load_backbone(load_registry().backbones[name], "cpu", "float32", offline=True)
        weights = tensor_hash(backbone.module.state_dict())  # before folding changes them
        effort = measured[f"{weights} {backbone.forward_facts()}"]
        fold_batchnorm(backbone)
        runtime, bare, processor = bare_pass(backbone, effort["batch"], rounds)
        in_run = effort["images"] / effort["seconds"]
        yield {
            "backbone": name,
            "images": effort["images"],
            "in_run": ["+".join(sorted(effort["runtimes"])), round(in_run, 1)],
            "bare": [runtime, round(1 / bare, 1)],
            "bare_processor_ms": round(1000 * processor, 2),
            "ratio": round(in_run * bare, 3),
        }


def main() -> None:
    """Run the demo, then the bare forward passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backbones",
        default="efficientnet_lite[01]_in1k,resnet50thin_opennsfw,"
        "raw_pixels,channel_statistics,random_convolution",
    )
    parser.add_argument("--datasets")
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not any(name in os.environ for name in WAIT_VARIABLES):
        # bare forward passes wait as the run does, by what PyTorch reads when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WAIT_POLICY})
    backbones = load_registry().backbones
    selected = select(arguments.backbones, backbones, "backbone", backbone_labels)
    names = [each.spec.name for each in selected]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(arguments.busy)]
    with tempfile.TemporaryDirectory() as folder:
        for other in others:
            other.start()
        keep_freed_memory()  # as the run does
        meter = LoadMeter()
        seconds = run_demo(arguments, Path(folder), cores)
        load = meter.read()
        for other in others:
            other.terminate()
        rows = list(compare(Path(folder) / "cache", names, arguments.rounds))
    for row in rows:
        print("{backbone:28} in the run {in_run}, bare {bare}, ratio {ratio}".format(**row))
    images = max(row["images"] for row in rows)
    bare = sum(images / row["bare"][1] for row in rows)
    bare_processor = sum(images * row["bare_processor_ms"] / 1000 for row in rows)
    total, processor = seconds["total"], seconds["processor"]
    least = processor / cores
    print(
        f"total {total:.0f} s with {processor:.0f} s of the processor, "
        f"{least / total:.0%} of {cores} cores; bare forward passes {bare:.0f} s with "
        f"{bare_processor:.0f} s of the processor\n"
        f"ratio {total / bare:.2f}; the same work without a core that waits: {least:.0f} s, "
        f"ratio {least / bare:.2f}"
    )
    result = {
        "cores": cores,
        "processor": platform.processor() or platform.machine(),
        "busy": arguments.busy,
        "seconds": seconds,
        "bare_seconds": round(bare, 1),
        "bare_processor_seconds": round(bare_processor, 1),
        "busy_share": round(least / total, 3),
        "ratio_to_bare": round(total / bare, 3),
        "least_ratio": round(least / bare, 3),
        "cores_taken_by_others": round(load.others - processor / total, 2),
        "backbones": rows,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
