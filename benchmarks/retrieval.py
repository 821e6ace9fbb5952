"""Retrieval metrics against loops over queries: `python benchmarks/retrieval.py [--quick] [--features FILE.safetensors]`.

Leave-one-out among all rows, each class's other rows its positives: whole rankings, mAP, MAP@R, R-precision, MRR and the shortlists of 1, 5 and 10.

- `ours`: `bob.numerics.search.rankings`, whose order is that of float64 similarities.
- `loop`: the recipe of evaluation scripts, written anew: for each query its similarities by one matrix-vector product in float32, a stable argsort,
  the query taken out, and the metrics from cumulative sums. It is timed on some of the queries.
- `loop, products shared`: the same after one matrix product in float32 for all those queries together.
- `ranks alone`, `argsort alone`: on one core, from given similarities to the ranks of positives.

All run `--rounds` times in turn, ours on all queries or on `--queries` of them; medians, and medians of the ratios. Peak memory is the most that the
process held during ours above what it held before. Metrics must agree to 1e-5 in the mean over the loop's queries.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from pairs import machine
from safetensors.numpy import load_file

from bob.numerics.search.distances import ExactDistances
from bob.numerics.search.rankings import ranking_statistics, rankings, top_k_statistics
from bob.numerics.search.ranks import ranks
from bob.numerics.search.relevance import Labelled
from bob.numerics.search.similarity import unit

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
KS = (1, 5, 10)
SAMPLING_SECONDS = 0.005


def synthetic(n: int, d: int, classes: int) -> tuple[Floats, Ints]:
    """Gaussian classes in a decaying spectrum."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=n)
    x = (
        rng.normal(size=(n, d)).astype(np.float32)
        + rng.normal(size=(classes, d)).astype(np.float32)[y]
    )
    return x * (np.arange(1, d + 1) ** -0.5).astype(np.float32), y


def ours(x: Floats, y: Ints, queries: Ints) -> NDArray[np.float64]:
    """(Q, 4): of each query AP, AP at R, R-precision and the rank of the first positive."""
    found = rankings(
        x[queries], x, {"": Labelled((y[queries], y), (queries, np.arange(len(x))))}, "cosine"
    )[""]
    for k in KS:
        top_k_statistics(found, k, full=True)
    _, _, first, ap, _, r_precision, ap_at_r = ranking_statistics(found)
    return np.stack([ap, ap_at_r, r_precision, first], 1)


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
        answers[i] = (
            precision[hit].mean(),
            (precision[:r] * hit[:r]).sum() / r,
            hit[:r].mean(),
            hit.argmax(),
        )
        for k in KS:
            (
                hit[:k].any(),
                hit[:k].mean(),
                hit[:k].sum() / r,
                (precision[:k] * hit[:k]).sum() / min(r, k),
            )
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


def ranking_alone(x: Floats, y: Ints, queries: Ints) -> tuple[float, float]:
    """Seconds per query, on one core, from a row of similarities to the ranks of the positives: (ours, by a stable argsort)."""
    far, positive = torch.from_numpy(-(x[queries] @ x.T)), y[queries, None] == y
    nothing = np.zeros_like(positive)
    mine, _, placed = timed(lambda: ranks(ExactDistances(far), positive, nothing))
    theirs, _, expected = timed(
        lambda: [
            np.flatnonzero(hit[np.argsort(row, kind="stable")])
            for row, hit in zip(far.numpy(), positive, strict=True)
        ]
    )
    assert placed is not None and np.array_equal(placed[1], np.concatenate(expected))
    return mine / len(queries), theirs / len(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="8,000 × 8,000 × 384 in place of 50,000 × 50,000 × 768: under 45 s",
    )
    parser.add_argument(
        "--features", type=Path, help="a safetensors file with x (N, D), float, and y (N,), int"
    )
    parser.add_argument(
        "--loop-queries",
        type=int,
        default=100,
        help="queries on which the loops are timed (default: 100)",
    )
    parser.add_argument("--queries", type=int, help="queries on which ours is timed (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.features:
        arrays = load_file(args.features)
        x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    else:
        x, y = synthetic(8_000, 384, 100) if args.quick else synthetic(50_000, 768, 100)
    looped = np.linspace(0, len(x) - 1, args.loop_queries).astype(np.int64)
    asking = np.union1d(looped, np.linspace(0, len(x) - 1, args.queries or len(x)).astype(np.int64))
    print(
        f"{len(x):,} × {len(x):,} × {x.shape[1]}, {int(y.max()) + 1} classes; ours on {len(asking):,} queries; {machine()}"
    )
    rows = unit(x)
    ours(x[:500], y[:500], np.arange(500))
    rounds = [race(x, y, rows, looped, asking) for _ in range(args.rounds)]
    peak = max(each.pop("peak_mib") for each in rounds)
    for name in rounds[0]:
        several = [each[name] for each in rounds]
        print(
            f"{name:26}{statistics.median(several):10.3f} ms a query ({min(several):.3f} to {max(several):.3f})"
        )
    ratios = {
        name: round(statistics.median(each[name] / each[own] for each in rounds), 2)
        for name, own in (
            ("loop", "ours"),
            ("loop, products shared", "ours"),
            ("argsort alone", "ranks alone"),
        )
    }
    print(f"peak {peak:.0f} MiB above the features")
    print(
        json.dumps(
            {
                "benchmark": "retrieval",
                "rows": len(x),
                "width": x.shape[1],
                "peak_mib": round(peak),
                "times_ours": ratios,
            }
        )
    )


def race(x: Floats, y: Ints, rows: Floats, looped: Ints, asking: Ints) -> dict[str, float]:
    """Milliseconds a query of each, one after the other, and the peak of ours."""
    seconds, peak_mib, answers = timed(lambda: ours(x, y, asking))
    mine = answers[np.searchsorted(asking, looped)]
    found = {"ours": seconds / len(asking) * 1e3, "peak_mib": peak_mib}
    for name, shared in (("loop", False), ("loop, products shared", True)):
        spent, _, theirs = timed(lambda shared=shared: loop(rows, y, looped, shared))  # type: ignore[misc]
        assert (
            np.abs((mine - theirs)[:, :3]).max() < 1e-3
            and np.abs((mine - theirs)[:, :3].mean(0)).max() < 1e-5
        ), "the metrics differ"
        found[name] = spent / len(looped) * 1e3
    ranked, argsorted = ranking_alone(rows, y, looped)
    return {**found, "ranks alone": ranked * 1e3, "argsort alone": argsorted * 1e3}


if __name__ == "__main__":
    main()
