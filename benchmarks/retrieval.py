"""Retrieval metrics against loops over queries.

    python benchmarks/retrieval.py [--quick] [--features FILE.safetensors]

Leave-one-out among all rows, where the other rows of a class are positives: full rankings, mAP,
MAP@R, R-precision, MRR and the shortlists of 1, 5 and 10.

- `ours`: `bob.numerics.search.rankings`, whose order is that of float64 similarities.
- `loop`: the recipe of evaluation scripts, written anew: for each query its similarities by one
  matrix-vector product in float32, a stable argsort, the query removed, and the metrics from
  cumulative sums. It is timed on some of the queries.
- `loop, products shared`: the same after one matrix product in float32 for all those queries.
- `ranks alone`, `argsort alone`: on one core, from similarities to the ranks of positives.

All run `--rounds` times in turn, ours on all queries or on `--queries` of them; medians, and
medians of the ratios. Peak memory is the most that the process held during ours above what it held
before. Metrics must agree to 1e-5 in the mean over the loop's queries.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from pairs import machine, measured
from safetensors.numpy import load_file

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.distances import Gallery
from bob.numerics.search.per_query import ranking_statistics, top_k_statistics
from bob.numerics.search.rankings import rankings
from bob.numerics.search.ranks import ranks
from bob.numerics.search.relevance import Labelled
from bob.numerics.search.similarity import unit

KS = (1, 5, 10)


def synthetic(n: int, d: int, classes: int) -> tuple[Floats, Ints]:
    """Return Gaussian classes in a decaying spectrum."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=n)
    x = (
        rng.normal(size=(n, d)).astype(np.float32)
        + rng.normal(size=(classes, d)).astype(np.float32)[y]
    )
    return x * (np.arange(1, d + 1) ** -0.5).astype(np.float32), y


def ours(x: Floats, y: Ints, queries: Ints) -> Doubles:
    """Return (Q, 4) per query: AP, AP at R, R-precision and the reciprocal rank."""
    relevance = Labelled((y[queries], y), (queries, np.arange(len(x))))
    ranked = rankings(x[queries], x, {"": relevance}, "cosine")[""]
    for k in KS:
        top_k_statistics(ranked, k, full=True)
    _, _, first, ap, _, r_precision, ap_at_r = ranking_statistics(ranked)
    return np.stack([ap, ap_at_r, r_precision, first], 1)


def loop(unit_rows: Floats, y: Ints, queries: Ints, shared: bool) -> Doubles:
    """Return the same values of some queries, computed one after the other."""
    products = unit_rows[queries] @ unit_rows.T if shared else None
    answers = np.empty((len(queries), 4))
    for i, query in enumerate(queries):
        similarity = unit_rows @ unit_rows[query] if products is None else products[i]
        order = np.argsort(-similarity, kind="stable")
        hit = y[order[order != query]] == y[query]
        precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
        r = int(hit.sum())
        answers[i] = (
            precision[hit].mean(),
            (precision[:r] * hit[:r]).sum() / r,
            hit[:r].mean(),
            1 / (hit.argmax() + 1),
        )
        for k in KS:
            (
                hit[:k].any(),
                hit[:k].mean(),
                hit[:k].sum() / r,
                (precision[:k] * hit[:k]).sum() / min(r, k),
            )
    return answers


def ranking_alone(x: Floats, y: Ints, queries: Ints) -> tuple[float, float]:
    """Return seconds per query from similarities to the ranks of positives, on one core.

    The first number is ours, the second that of a stable argsort.
    """
    gallery, positive = Gallery(x, "cosine", "cpu"), y[queries, None] == y
    distances = gallery.approximate(x[queries], gallery.buffer(len(queries)))
    nothing = np.zeros_like(positive)
    mine = measured(lambda: ranks(distances, positive, nothing))
    theirs = measured(
        lambda: [
            np.flatnonzero(hit[np.argsort(row, kind="stable")])
            for row, hit in zip(distances.values.numpy(), positive, strict=True)
        ]
    )
    assert mine.result is not None
    assert (mine.result.rank == np.concatenate(theirs.result)).mean() > 0.999
    return mine.seconds / len(queries), theirs.seconds / len(queries)


def measure(x: Floats, y: Ints, rows: Floats, looped: Ints, queries: Ints) -> dict[str, float]:
    """Return the milliseconds per query of each way, measured in turn, and the peak of ours."""
    mine = measured(lambda: ours(x, y, queries))
    answers = mine.result[np.searchsorted(queries, looped)]
    milliseconds = {"ours": mine.seconds / len(queries) * 1e3, "peak_mib": max(0.0, mine.peak_mib)}
    for name, shared in (("loop", False), ("loop, products shared", True)):
        theirs = measured(lambda shared=shared: loop(rows, y, looped, shared))  # type: ignore[misc]
        difference = (answers - theirs.result)[:, :3]
        assert np.abs(difference).max() < 1e-3, "the metrics differ"
        assert np.abs(difference.mean(0)).max() < 1e-5, "the metrics differ"
        milliseconds[name] = theirs.seconds / len(looped) * 1e3
    ranked, argsorted = ranking_alone(rows, y, looped)
    return {**milliseconds, "ranks alone": ranked * 1e3, "argsort alone": argsorted * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="8,000 × 8,000 × 384 in place of 50,000 × 50,000 × 768: under 45 s",
    )
    parser.add_argument(
        "--features", type=Path, help="safetensors file with x (N, D), float, and y (N,), int"
    )
    parser.add_argument(
        "--loop-queries",
        type=int,
        default=100,
        help="number of queries on which the loops are timed (default: 100)",
    )
    parser.add_argument(
        "--queries", type=int, help="number of queries on which ours is timed (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.features:
        arrays = load_file(args.features)
        x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    else:
        x, y = synthetic(8_000, 384, 100) if args.quick else synthetic(50_000, 768, 100)
    looped = np.linspace(0, len(x) - 1, args.loop_queries).astype(np.int64)
    spread = np.linspace(0, len(x) - 1, args.queries or len(x)).astype(np.int64)
    queries = np.union1d(looped, spread)
    print(
        f"{len(x):,} × {len(x):,} × {x.shape[1]}, {int(y.max()) + 1} classes; ours on "
        f"{len(queries):,} queries; {machine()}"
    )
    rows = unit(x)
    ours(x[:500], y[:500], np.arange(500))  # threads start outside the clock
    rounds = [measure(x, y, rows, looped, queries) for _ in range(args.rounds)]
    peak = max(figures.pop("peak_mib") for figures in rounds)
    for name in rounds[0]:
        times = [figures[name] for figures in rounds]
        print(
            f"{name:26}{statistics.median(times):10.3f} ms a query "
            f"({min(times):.3f} to {max(times):.3f})"
        )
    ratios = {
        name: round(statistics.median(figures[name] / figures[mine] for figures in rounds), 2)
        for name, mine in (
            ("loop", "ours"),
            ("loop, products shared", "ours"),
            ("argsort alone", "ranks alone"),
        )
    }
    print(f"peak {peak:.0f} MiB above the features")
    facts = {"rows": len(x), "width": x.shape[1], "peak_mib": round(peak)}
    print(json.dumps({"benchmark": "retrieval", **facts, "times_ours": ratios}))


if __name__ == "__main__":
    main()
