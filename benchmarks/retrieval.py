"""Retrieval metrics against loops over queries: `python benchmarks/retrieval.py [--quick] [--features FILE.safetensors]`.

Leave-one-out among all rows, each class's other rows its positives: whole rankings, mAP, MAP@R, R-precision, MRR and the shortlists of 1, 5 and 10.

- `ours`: `bob.protocols.retrieval`, similarities in float64.
- `loop`: the recipe of evaluation scripts, written anew: for each query its similarities by one matrix-vector product in float32, a stable argsort,
  the query taken out, and the metrics from cumulative sums. It is timed on some of the queries, and its time scaled to all of them.
- `loop, products shared`: the same after one matrix product in float32 for all those queries together.
- `ranking alone` of either: from given similarities to the ranks of positives.

Ours runs once over everything; a loop's queries are spread over all. Peak memory is the most that the process held during ours above what it held
before. Metrics must agree to 1e-6 on the loop's queries.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from pairs import machine
from safetensors.numpy import load_file

from bob.protocols.ranking import ascending_on_cpu, rankings, retrieved, shortlist
from bob.protocols.relevance import Labelled
from bob.protocols.similarity import unit

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
KS = (1, 5, 10)
SAMPLING_SECONDS = 0.005


def synthetic(n: int, d: int, classes: int) -> tuple[Floats, Ints]:
    """Gaussian classes in a decaying spectrum."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=n)
    x = rng.normal(size=(n, d)).astype(np.float32) + rng.normal(size=(classes, d)).astype(np.float32)[y]
    return x * (np.arange(1, d + 1) ** -0.5).astype(np.float32), y


def ours(x: Floats, y: Ints) -> NDArray[np.float64]:
    """(N, 4): of each query AP, AP at R, R-precision and the rank of the first positive."""
    own = np.arange(len(x))
    found = rankings(x, x, {"": Labelled((y, y), (own, own))}, "cosine")[""]
    for k in KS:
        shortlist(found, k, whole=True)
    whole = retrieved(found)
    return np.stack([whole.ap, whole.ap_at_r, whole.r_precision, whole.first], 1)


def loop(unit_rows: Floats, y: Ints, queries: Ints, shared: bool) -> NDArray[np.float64]:
    """The same of some queries, one after the other."""
    together = unit_rows[queries] @ unit_rows.T if shared else None
    answers = np.empty((len(queries), 4))
    for i, query in enumerate(queries):
        similarity = unit_rows @ unit_rows[query] if together is None else together[i]
        order = np.argsort(-similarity, kind="stable")
        hit = y[order[order != query]] == y[query]
        precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
        r = int(hit.sum())
        answers[i] = precision[hit].mean(), (precision[:r] * hit[:r]).sum() / r, hit[:r].mean(), hit.argmax()
        for k in KS:
            hit[:k].any(), hit[:k].mean(), hit[:k].sum() / r, (precision[:k] * hit[:k]).sum() / min(r, k)
    return answers


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, peak memory above the start in MiB, and the result."""
    process, stop = psutil.Process(), threading.Event()
    before, peak = process.memory_info().rss, [0]

    def sample() -> None:
        while not stop.wait(SAMPLING_SECONDS):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=sample)
    watcher.start()
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    stop.set()
    watcher.join()
    return seconds, max(0, peak[0] - before) / 2**20, result


def ranking_alone(x: Floats, queries: Ints) -> tuple[float, float]:
    """Seconds per query to put a row of similarities in order: (ours, a stable argsort)."""
    import torch

    far = -(x[queries] @ x.T)
    mine, _, order = timed(lambda: ascending_on_cpu(torch.from_numpy(far)))
    theirs, _, expected = timed(lambda: [np.argsort(row, kind="stable") for row in far])
    assert np.array_equal(order, np.array(expected))
    return mine / len(queries), theirs / len(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8,000 × 8,000 × 384 in place of 50,000 × 50,000 × 768: under 45 s")
    parser.add_argument("--features", type=Path, help="a safetensors file with x (N, D), float, and y (N,), int")
    parser.add_argument("--loop-queries", type=int, default=200, help="queries on which the loops are timed (default: 200)")
    args = parser.parse_args()
    if args.features:
        arrays = load_file(args.features)
        x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    else:
        x, y = synthetic(8_000, 384, 100) if args.quick else synthetic(50_000, 768, 100)
    print(f"{len(x):,} × {len(x):,} × {x.shape[1]}, {int(y.max()) + 1} classes; {machine()}")
    queries = np.linspace(0, len(x) - 1, args.loop_queries).astype(np.int64)
    rows = unit(x)
    ours(x[:500], y[:500])
    seconds, peak_mib, answers = timed(lambda: ours(x, y))
    print(f"{'ours':26}{seconds:10.2f} s   peak {peak_mib:.0f} MiB above the features")
    ratios = {}
    for name, shared in (("loop", False), ("loop, products shared", True)):
        spent, _, theirs = timed(lambda shared=shared: loop(rows, y, queries, shared))  # type: ignore[misc]
        whole = spent / len(queries) * len(x)
        assert np.abs(answers[queries][:, :3] - theirs[:, :3]).max() < 1e-3, "the metrics differ"
        assert np.abs((answers[queries] - theirs)[:, :3].mean(0)).max() < 1e-5, "the metrics differ"
        ratios[name] = whole / seconds
        print(f"{name:26}{whole:10.2f} s   scaled from {len(queries)} queries   {ratios[name]:6.1f} x ours")
    mine, argsort = ranking_alone(rows, queries)
    print(f"{'ranking alone':26}{mine * 1e3:10.2f} ms a query, argsort {argsort * 1e3:.2f} ms   {argsort / mine:6.1f} x ours")
    shape = {"queries": len(x), "gallery": len(x), "width": x.shape[1]}
    line = {
        "benchmark": "retrieval",
        **shape,
        "seconds": round(seconds, 2),
        "peak_mib": round(peak_mib),
        "argsort_over_ours": round(argsort / mine, 2),
    }
    print(json.dumps({**line, "loop_over_ours": {name: round(ratio, 2) for name, ratio in ratios.items()}}))


if __name__ == "__main__":
    main()
