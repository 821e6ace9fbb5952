"""The first run of a newcomer: a cold demo, by parts, against its bare forward passes.

    python benchmarks/first_run.py [--busy N] [--backbones LIST] [--datasets LIST] [--rounds N]

Runs the command of `make demo` in a process of its own, with an empty cache, and prints when its
stages began, the wall and processor seconds of its parts (the first cell after each pass counts as
embedding), and how wrong the time left was that it announced after a tenth of the run. Then each
backbone embeds crops that lie in memory, with every runtime that fits, at the batch size that the
run has chosen: the best of `--rounds` is its bare forward pass. The ratio is bare / in the run:
images per second of the run's forward passes, by the efforts that its shards state. Decoding shares
the cores with the forward passes, so that a ratio below 1 is no waste where all cores are busy: a
run cannot take less than its processor seconds divided by the cores. `--busy` is the number of
other processes that keep a core busy meanwhile. The last line is JSON; it says how much of the
machine others took.
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
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
LAST_PART = "leaderboard and end"
TIME_LEFT = re.compile(r"(\d{2,3}) % of the run.*about (\d+) (s|min|h) left")
"""Lines of progress after a tenth of the run."""
UNITS = {"s": 1, "min": 60, "h": 3600}


class Parts:
    """Wall and processor seconds of the parts of a run, by the lines that it prints."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self.left: list[tuple[float, float]] = []
        """When a time left was announced, and which, in seconds."""
        self._last, self._part = (0.0, 0.0), "start and plan"

    def printed(self, line: str, wall: float, processor: float) -> None:
        """Count the time since the line before, which said what was being done."""
        part = part_of(line)
        self._count(LAST_PART if part == LAST_PART else self._part, wall, processor)
        self._part = part
        if announced := TIME_LEFT.search(line):
            self.left.append((wall, int(announced[2]) * UNITS[announced[3]]))

    def end(self, wall: float, processor: float) -> None:
        """Count the time since the last line, and print all."""
        self._count(LAST_PART, wall, processor)
        for name, (of_wall, of_processor) in self.seconds.items():
            print(f"{name:20} {of_wall:7.1f} s, {of_processor:7.1f} s of the processor")
        wrong = [f"{left / (wall - at) - 1:+.0%}" for at, left in self.left]
        print("time left, announced against actual: " + (", ".join(wrong) or "never announced"))

    def _count(self, part: str, wall: float, processor: float) -> None:
        before = self.seconds.get(part, (0.0, 0.0))
        spent = (before[0] + wall - self._last[0], before[1] + processor - self._last[1])
        self.seconds[part], self._last = spent, (wall, processor)


def part_of(line: str) -> str:
    """Return the part of the run to which a line belongs."""
    if "top1 " in line and "·" in line:
        return "scoring"
    if "embedding " in line:
        return "embedding"
    if line.startswith(("preparing", "data ", "plan:", "      ")):
        return "start and plan"
    return LAST_PART


def processor_seconds(pid: int) -> float | None:
    """Return the processor seconds of a process and its children so far; None where it ended."""
    try:
        process = psutil.Process(pid)
        running = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    except psutil.Error:
        return None
    ended = running[0].children_user + running[0].children_system
    return ended + sum(each.user + each.system for each in running)


def run_demo(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Run the demo cold, print its lines with their times, and return seconds by part."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), "--tasks", "linear,knn"]
    command += ["--backbones", arguments.backbones, "--results", str(folder / "results")]
    if arguments.datasets:
        command += ["--datasets", arguments.datasets]
    environment = {**os.environ, "BOB_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    marks: dict[str, float] = {}
    parts = Parts()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seconds = time.perf_counter() - start
            shown = line.rstrip().replace(str(folder), "FOLDER")
            print(f"{seconds:7.1f}  {shown[:130]}", flush=True)
            if (processor := processor_seconds(process.pid)) is not None:
                parts.printed(line, seconds, processor)
            for mark, text in (("planned", "plan: "), ("first_score", "top1 ")):
                if text in line:
                    marks.setdefault(mark, seconds)
    if process.returncode:
        sys.exit(f"the demo ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = time.perf_counter() - start
    parts.end(total, used)
    return {**marks, "total": total, "processor": used}


def efforts(cache: Path) -> dict[str, dict[str, Any]]:
    """Return images, forward seconds, runtime and batch size by the hash of the weights."""
    totals: dict[str, dict[str, Any]] = defaultdict(lambda: {"images": 0, "seconds": 0.0})
    for path in (cache / "features").rglob("*.safetensors"):
        key = json.loads((path.parent / "key.json").read_text())
        with safe_open(path, "numpy") as shard:
            effort = json.loads(shard.metadata()["effort"])
        total = totals[f"{key['weights_hash']} {key['forward']}"]
        total["images"] += effort["images"]
        total["seconds"] += effort["forward_seconds"]
        total |= {"runtime": effort["runtime"], "batch": effort["batch_size"]}
    return totals


def bare_speed(backbone: Backbone, batch: int, rounds: int) -> tuple[str, float]:
    """Return the fastest runtime of a backbone and its images per second, on crops in memory."""
    height, width = backbone.geometry.height_px, backbone.geometry.width_px
    crops = torch.randint(256, (BARE_IMAGES, 3, height, width), dtype=torch.uint8)
    runtimes: list[Runtime] = [Eager(backbone, batch)]
    if backbone.spec.loader != "baseline":
        for candidate in usable_candidates("float32", "cpu"):
            fits = candidate.runs_onnx_files or backbone.spec.loader != "onnx"
            if fits and candidate.name not in SLOW_SETUP:
                with contextlib.suppress(Exception):  # a graph that it cannot run
                    runtimes.append(candidate.make(backbone, [DEFAULT], batch))
    speeds = {}
    for runtime in runtimes:
        runtime.embed(crops[:batch], [DEFAULT])
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            runtime.embed(crops, [DEFAULT])
            seconds.append(time.perf_counter() - start)
        speeds[runtime.name] = BARE_IMAGES / min(seconds)
    return max(speeds.items(), key=lambda item: item[1])


def compare(cache: Path, names: Sequence[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the speed of each backbone in the run and bare."""
    measured = efforts(cache)
    for name in names:
        backbone = load_backbone(load_registry().backbones[name], "cpu", "float32", offline=True)
        weights = tensor_hash(backbone.module.state_dict())  # before folding changes them
        effort = measured[f"{weights} {backbone.forward_facts()}"]
        fold_batchnorm(backbone)
        runtime, bare = bare_speed(backbone, effort["batch"], rounds)
        in_run = effort["images"] / effort["seconds"]
        yield {
            "backbone": name,
            "images": effort["images"],
            "in_run": [effort["runtime"], round(in_run, 1)],
            "bare": [runtime, round(bare, 1)],
            "ratio": round(in_run / bare, 3),
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
    others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(arguments.busy)]
    with tempfile.TemporaryDirectory() as folder:
        for other in others:
            other.start()
        keep_freed_memory()  # as the run does
        meter = LoadMeter()
        seconds = run_demo(arguments, Path(folder))
        load = meter.read()
        for other in others:
            other.terminate()
        rows = list(compare(Path(folder) / "cache", names, arguments.rounds))
    for row in rows:
        print("{backbone:28} in the run {in_run}, bare {bare}, ratio {ratio}".format(**row))
    images = max(row["images"] for row in rows)
    bare = sum(images / row["bare"][1] for row in rows)
    least = seconds["processor"] / (os.cpu_count() or 1)
    print(
        f"total {seconds['total']:.0f} s, bare forward passes {bare:.0f} s; the run's processor "
        f"seconds, divided by the cores, are {least:.0f} s: {least / seconds['total']:.0%} busy"
    )
    result = {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "busy": arguments.busy,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "bare_seconds": round(bare, 1),
        "busy_share": round(least / seconds["total"], 3),
        "ratio_to_bare": round(seconds["total"] / bare, 3),
        "cores_taken_by_others": round(load.others - seconds["processor"] / seconds["total"], 2),
        "backbones": rows,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
