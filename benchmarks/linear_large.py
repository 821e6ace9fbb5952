"""The linear probe on features that are stored on disk in float16.

    python benchmarks/linear_large.py [--quick] [--seconds 120]

The file is made in bounded memory (synthetic clusters, decaying spectrum). From its memory map a
path of C is fitted, strong regularisation first, until the seconds are spent: a value that was
begun is finished. Printed are passes, time and certificate per value; the time of a pass over the
data, with rows in memory and streamed from disk, beside that of the two matrix products that it
needs, on blocks of the same size; and peak memory of the process, libraries included (and of the
GPU, where there is one).
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import machine

from bob.numerics.linear.eigenbasis import FeatureBlocks
from bob.numerics.linear.logistic_path import solve_path
from bob.numerics.linear.path_solver import LogisticProblem, prepare, start_solver
from bob.numerics.linear.softmax import evaluate
from bob.numerics.matmul import product
from bob.numerics.threads import map_stripes

ROWS_AT_ONCE = 8192
ROUNDS = 3
GRID = 10.0 ** np.linspace(-6, 0, 7)


def stored(
    path: Path, n: int, d: int, classes: int
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Return a memory map of (N, D) rows, and labels."""
    rng = np.random.default_rng(0)
    y, centres = rng.integers(0, classes, n), rng.standard_normal((classes, d), np.float32)
    deviation = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    rows = np.memmap(path, np.float16, "w+", shape=(n, d))
    for start in range(0, n, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows[part] = (
            0.5 * centres[y[part]] + rng.standard_normal((len(y[part]), d), np.float32)
        ) * deviation
    rows.flush()
    return np.memmap(path, np.float16, "r", shape=(n, d)), y


def fitted(
    problem: LogisticProblem, seconds: float, started: float
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the last θ, and the cost of the path per value."""
    solver, values = start_solver(problem, problem.evaluate_origin()), []
    for c, gap, passes in solve_path(solver, GRID.tolist(), 1e-4):
        values.append(
            {
                "c": c,
                "passes": passes,
                "gap": float(f"{gap:.2g}"),
                "at_s": round(time.perf_counter() - started, 1),
            }
        )
        print(
            f"  C={c:.0e}: {passes} passes, certificate {gap:.1e}, after {values[-1]['at_s']} s",
            flush=True,
        )
        if time.perf_counter() - started > seconds:
            break
    return solver.current.theta, {"values": values}


def products_alone(blocks: FeatureBlocks, classes: int, workers: int) -> None:
    """Compute the two products of a pass on its blocks."""
    weight = torch.randn(
        classes, blocks.eigenbasis.vectors.shape[1], device=blocks.eigenbasis.vectors.device
    )

    def part(cuts: Any) -> None:
        for rows in cuts:
            block = blocks.block(rows)
            product(product(weight, block), block.T)

    map_stripes(part, blocks.slices, workers)


def seconds_of(way: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    way()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rounds(
    problem: LogisticProblem, theta: torch.Tensor, x: NDArray[np.float16], classes: int, device: str
) -> dict[str, float]:
    """Return the median seconds of a pass over all rows and of its products, timed in turn."""
    streamed = FeatureBlocks(x, problem.eigenbasis, torch.float32, rotated=False)
    ways: dict[str, Callable[[], Any]] = {
        "pass_s": lambda: evaluate(problem.fast, problem.y, theta, problem.workers),
        "products_s": lambda: products_alone(problem.fast, classes, problem.workers),
        "streamed_pass_s": lambda: evaluate(streamed, problem.y, theta, problem.workers),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(seconds_of(way, device))
    for name, times in taken.items():
        print(f"{name:16} {statistics.median(times):8.3f} ({min(times):.3f}-{max(times):.3f})")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return medians | {
        f"{name}_over_products": medians[f"{name}_s"] / medians["products_s"]
        for name in ("pass", "streamed_pass")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="N = 20,000, C = 100: under 45 s")
    parser.add_argument(
        "--size", type=int, nargs=3, default=(200_000, 768, 1000), metavar=("N", "D", "C")
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        help="seconds after which no further value of C is begun (default: 120)",
    )
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    n, d, classes = (20_000, 768, 100) if args.quick else args.size
    seconds = min(args.seconds, 15.0) if args.quick else args.seconds
    print(f"N={n} D={d} C={classes}, float16 on disk; {machine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        x, y = stored(Path(folder) / "x", n, d, classes)
        start = time.perf_counter()
        problem = prepare(x, y, classes, args.device)
        prepared = time.perf_counter() - start
        print(f"prepared in {prepared:.1f} s", flush=True)
        theta, cost = fitted(problem, seconds, start)
        figures = {"prepare_s": prepared, **rounds(problem, theta, x, classes, args.device)}
    figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if args.device != "cpu":
        figures["device_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
    print(
        json.dumps(
            {"benchmark": "linear_large", "n": n, "d": d, "classes": classes, **rounded, **cost}
        )
    )


if __name__ == "__main__":
    main()
