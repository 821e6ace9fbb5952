"""How threads wait: forward passes and a probe under OpenMP's policies, idle and on a busy machine.

    python benchmarks/waiting.py [--busy 0,1,4] [--rounds N] [--policies default,passive,spin]

Each policy runs in a process of its own, since it is read when the OpenMP runtime is loaded; the
processes take turns. `--busy` is the number of other processes that keep a core busy meanwhile.
Work: `eager`, `openvino` and `onnxruntime` embed 64 images by EfficientNet-Lite0;
`probe` chooses C on 3,000 x 1,280, 14 classes. Prints wall and processor seconds.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from record import THREADS

POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin": {"GOMP_SPINCOUNT": "10000"},
    "one thread": dict.fromkeys(THREADS, "1"),
}
IMAGES = 64


def work() -> dict[str, tuple[float, float]]:
    """Return wall and processor seconds of each kind of work, in this process."""
    import numpy as np
    import torch
    from passes import load_folded

    from bob.extraction.runtimes.eager import Eager
    from bob.extraction.runtimes.onnx import OnnxRuntime
    from bob.extraction.runtimes.openvino import OpenVino
    from bob.numerics.linear.selection import select_and_refit
    from bob.registry import load_registry
    from bob.specs import DEFAULT

    backbone = load_folded(load_registry().backbones["efficientnet_lite0_in1k"])
    crops = torch.randint(256, (IMAGES, 3, 224, 224), dtype=torch.uint8)
    rng, rows = np.random.default_rng(0), np.arange(3_000)
    y = rows % 14
    x = rng.standard_normal((14, 1_280))[y] + 4 * rng.standard_normal((3_000, 1_280))
    x = (x / np.sqrt(1 + np.arange(1_280))).astype(np.float32)
    openvino = OpenVino(backbone, [DEFAULT], 4)
    onnxruntime = OnnxRuntime(backbone, [DEFAULT], 4)
    ways = {
        "eager": lambda: Eager(backbone, 4).embed(crops, [DEFAULT]),
        "openvino": lambda: openvino.embed(crops, [DEFAULT]),
        "onnxruntime": lambda: onnxruntime.embed(crops, [DEFAULT]),
        "probe": lambda: select_and_refit(x, y, 14, np.logspace(-3, 3, 13), rows % 5 == 0),
    }
    measured = {}
    for name, way in ways.items():
        if name != "probe":
            way()
        wall, processor = time.perf_counter(), time.process_time()
        way()
        measured[name] = time.perf_counter() - wall, time.process_time() - processor
    return measured


def burn() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))


def main() -> None:
    """Time every policy beside every number of busy processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", default="0,1,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(work()))
        return
    for busy in map(int, arguments.busy.split(",")):
        others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(busy)]
        for other in others:
            other.start()
        seconds: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for _ in range(arguments.rounds):
            for policy in arguments.policies.split(","):
                for name, pair in _in_process(policy).items():
                    seconds[name, policy].append(pair)
        for other in others:
            other.terminate()
        for (name, policy), pairs in sorted(seconds.items()):
            wall, processor = (statistics.median(values) for values in zip(*pairs, strict=True))
            spread = f"{min(p[0] for p in pairs):.2f}-{max(p[0] for p in pairs):.2f}"
            print(
                f"busy {busy}  {name:11} {policy:11} {wall:7.2f} s ({spread})  "
                f"processor {processor:7.2f} s"
            )


def _in_process(policy: str) -> dict[str, tuple[float, float]]:
    environment = {**os.environ, **POLICIES[policy]}
    command = [sys.executable, str(Path(__file__)), "--work"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    values = json.loads(done.stdout.splitlines()[-1])
    return {name: (pair[0], pair[1]) for name, pair in values.items()}


if __name__ == "__main__":
    main()
