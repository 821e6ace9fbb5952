"""The linear probe on features that lie on disk in float16: `python benchmarks/linear_large.py [--quick]`.

The file is made in bounded memory (synthetic clusters, decaying spectrum), then a value of C is fitted from its memory map. Printed: the time of a
pass over the data beside that of the two matrix products that it needs, as torch computes them on blocks of the same size, and peak memory.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import machine

from bob.protocols.descent import Walker, prepare, walker_at
from bob.protocols.logistic import walk
from bob.protocols.products import product
from bob.protocols.spectrum import Source
from bob.protocols.threads import striped

ROWS_AT_ONCE = 8192


def stored(path: Path, n: int, d: int, classes: int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """A memory map of (N, D) rows, and labels."""
    rng = np.random.default_rng(0)
    y, centres = rng.integers(0, classes, n), rng.standard_normal((classes, d), np.float32)
    deviation = (np.arange(1, d + 1) ** -0.5).astype(np.float32)
    rows = np.memmap(path, np.float16, "w+", shape=(n, d))
    for start in range(0, n, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows[part] = (0.5 * centres[y[part]] + rng.standard_normal((len(y[part]), d), np.float32)) * deviation
    rows.flush()
    return np.memmap(path, np.float16, "r", shape=(n, d)), y


def products_alone(source: Source, classes: int, workers: int) -> float:
    """Seconds of a pass's two products on its own blocks."""
    weight = torch.randn(classes, source.spectrum.basis.shape[1])

    def part(cuts: Any) -> None:
        for rows in cuts:
            block = source.block(rows)
            product(product(weight, block), block.T)

    start = time.perf_counter()
    striped(part, source.cuts, workers)
    return time.perf_counter() - start


def seconds_per_pass(walker: Walker) -> float:
    start = time.perf_counter()
    walker.problem.evaluate(walker.point.theta)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="N = 20,000, C = 100")
    parser.add_argument("--size", type=int, nargs=3, default=(200_000, 768, 1000), metavar=("N", "D", "C"))
    parser.add_argument("--c", type=float, default=1e-3, help="the value of C")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    n, d, classes = (20_000, 768, 100) if args.quick else args.size
    print(f"N={n} D={d} C={classes}, float16 on disk; {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        x, y = stored(Path(folder) / "x", n, d, classes)
        start = time.perf_counter()
        task = prepare(x, y, classes, args.device)
        walker = walker_at(task, task.origin())
        prepared = time.perf_counter() - start
        ((_, gap, passes),) = walk(walker, [args.c], 1e-4)
        fitted = time.perf_counter() - start
        rounds = [(seconds_per_pass(walker), products_alone(task.fast, classes, task.workers)) for _ in range(3)]
    of_pass, of_products = (float(np.median(times)) for times in zip(*rounds, strict=True))
    found = {
        "prepare_s": prepared, "fit_s": fitted, "passes": passes, "gap": gap, "pass_s": of_pass, "products_s": of_products,
        "pass_over_products": of_pass / of_products, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    print(json.dumps({"benchmark": "linear_large", "n": n, "d": d, "classes": classes, **{name: float(f"{v:.4g}") for name, v in found.items()}}))


if __name__ == "__main__":
    main()
