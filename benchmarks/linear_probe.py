"""The linear probe against its peers, on the same features, in turn.

    python benchmarks/linear_probe.py path [--quick] [--features FILE.safetensors]
                                           [--peers called,best] [--values 0,3,6,9]
    python benchmarks/linear_probe.py probe [--quick] [--features FILE.safetensors]
                                            [--recipes adamw,sgd]

`path`: the cost of 10 values of C, each to a true relative gap of 1e-4. The reference is a float64
solution to 1e-6; its distance from the optimum is proven here, from the definition and by strong
convexity, not by the solver's certificate. Peers are given the optimum and stop as soon as they are
within the gap; values on which they are not timed are interpolated; a value that a peer has not
solved in `--limit` seconds, or at which it gave up, makes its ratio a lower bound (≥).

- `called`: scikit-learn's `LogisticRegression` in float64, cold, all threads. `own`: the same,
  stopped by its own rule, at whatever gap that leaves.
- `best`: scikit-learn in float32, one BLAS thread or all, whichever is faster, each value started
  at the exact optimum of the one before.
- `torch`: `torch.optim.LBFGS` from there too. `cuml`: on a GPU with cuML.

`probe`: the cost and the test accuracy of a probe with its strength chosen: 60 % of the rows are
fitted, 20 % decide, 20 % test. Ours is the held-out choice among 45 values of C and the refit.
`adamw`: CLIP_benchmark's sweep without its DataLoader, `adamw-loader` with it, `adamw-normalised`
on rows of length 1; `sgd`: DINOv2's 13 learning rates. Each round is another random split.
Ratios are also those of processor seconds, which hardly depend on what else the machine does. Last
come the evaluations that ours made and what they would take if nothing but products took time
(`linear_bound.py`): the bound of the ratios at this number of evaluations.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import linear_peers as peers
import numpy as np
import torch
from linear_bound import Work, bound
from linear_path import Data, path
from numpy.typing import NDArray
from pairs import Measured, machine, measured
from safetensors.numpy import load_file

from bob.numerics.linear.logistic_path import fit_path, scores
from bob.numerics.linear.selection import select_and_refit

RECIPES = {
    "adamw": peers.adamw_sweep,
    "adamw-loader": partial(peers.adamw_sweep, batches=peers.loaded),
    "adamw-normalised": peers.adamw_sweep_normalised,
    "sgd": peers.sgd_sweep,
}


def synthetic(n: int, d: int, classes: int) -> Data:
    """Return Gaussian clusters in a random basis, whose covariance has eigenvalues 1 / rank."""
    rng = np.random.default_rng(0)
    deviation = np.sqrt(d / (1 + np.arange(d)) / np.log(d))
    y = rng.integers(0, classes, n)
    x = (0.35 * rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))) * deviation
    return (x @ np.linalg.qr(rng.standard_normal((d, d)))[0]).astype(np.float32), y, classes


def probe(data: Data, args: argparse.Namespace) -> dict[str, Any]:
    x, y, classes = data
    runs: dict[str, list[Measured[float]]] = {name: [] for name in ("ours", *args.recipes)}
    works: list[Work] = []
    for turn in range(args.rounds):
        order = np.random.default_rng(turn).permutation(len(y))
        test, val, fit = np.split(order, [len(y) // 5, 2 * len(y) // 5])
        parts = [
            (torch.from_numpy(x[rows]), torch.from_numpy(y[rows])) for rows in (fit, val, test)
        ]
        for name in runs:
            if name == "ours":
                runs[name].append(
                    measured(
                        lambda val=val, fit=fit, test=test: ours(
                            data, fit, val, test, args.device, works
                        )
                    )
                )
            else:
                runs[name].append(measured(partial(RECIPES[name], *parts, classes, args.epochs)))
            last = runs[name][-1]
            print(
                f"  split {turn}: {name:18} {last.seconds:8.2f} s, test top-1 {last.result:.4f}",
                flush=True,
            )
    mine = runs["ours"]
    median = statistics.median(run.seconds for run in mine)
    result: dict[str, Any] = {
        "ours_s": round(median, 3),
        "ratios": {},
        "processor_ratios": {},
        "test_top1": {},
        "ours_minus": {},
    }
    for name, theirs in runs.items():
        seconds, top1 = [run.seconds for run in theirs], [run.result for run in theirs]
        pairs = list(zip(theirs, mine, strict=True))
        ratios = [run.seconds / our_run.seconds for run, our_run in pairs]
        processor = statistics.median(
            run.processor_seconds / our_run.processor_seconds for run, our_run in pairs
        )
        gains = [our_run.result - run.result for run, our_run in pairs]
        result["test_top1"][name] = round(statistics.mean(top1), 4)
        if name != "ours":
            result["ratios"][name] = round(statistics.median(ratios), 2)
            result["processor_ratios"][name] = round(processor, 2)
            result["ours_minus"][name] = round(statistics.mean(gains), 4)
        print(
            f"{name:18} {statistics.median(seconds):9.2f} s "
            f"({min(seconds):.2f}-{max(seconds):.2f})  "
            f"{max(run.peak_mib for run in theirs):5.0f} MiB  "
            f"{statistics.median(ratios):6.1f} times ours ({min(ratios):.1f}-{max(ratios):.1f}; "
            f"processor seconds {processor:.1f})  "
            f"test top-1 {statistics.mean(top1):.4f}, "
            f"ours minus it {statistics.mean(gains):+.4f} ({min(gains):+.4f} to {max(gains):+.4f})"
        )
    if args.device == "cpu":
        result["bound"] = _bound_report(runs, works)
    return result


def _bound_report(runs: dict[str, list[Measured[float]]], works: list[Work]) -> dict[str, Any]:
    """Print the bound for the median split's evaluations, and return its figures."""
    work = sorted(works, key=lambda work: work.passes_flop)[len(works) // 2]
    least = bound(work)
    seconds = {
        name: statistics.median(run.processor_seconds for run in theirs)
        for name, theirs in runs.items()
    }
    print(
        f"ours: {work.path_passes} evaluations of {work.fitted} rows and {work.refit_passes} of "
        f"{work.rows}, {seconds['ours']:.2f} processor s. Products alone, with the preparation: "
        f"{least.own_shape:.2f} s in their own shape ({least.own_gflops:.0f} GFLOP/s), "
        f"{least.square:.2f} s at the speed of a square product ({least.square_gflops:.0f})."
    )
    most = {name: s / least.own_shape for name, s in seconds.items() if name != "ours"}
    for name, ratio in most.items():
        print(f"  {name}: at most {ratio:.1f} times; reached {seconds[name] / seconds['ours']:.1f}")
    return {
        "path_passes": work.path_passes,
        "refit_passes": work.refit_passes,
        "own_shape_s": round(least.own_shape, 3),
        "square_s": round(least.square, 3),
        "largest_ratios": {name: round(ratio, 2) for name, ratio in most.items()},
    }


def ours(
    data: Data,
    fit: NDArray[np.int64],
    val: NDArray[np.int64],
    test: NDArray[np.int64],
    device: str,
    works: list[Work],
) -> float:
    """Return test top-1, and append the work to `works`."""
    x, y, classes = data
    train = np.concatenate((fit, val))
    selection = select_and_refit(
        x[train],
        y[train],
        classes,
        10.0 ** np.linspace(-6, 5, 45),
        np.arange(len(train)) >= len(fit),
        device=device,
    )
    works.append(
        Work(
            len(train),
            len(fit),
            x.shape[1],
            classes,
            selection.path_passes,
            selection.fit.passes,
        )
    )
    print(
        f"  C {selection.c:.1e} of {np.isfinite(selection.curve).sum()} tried, "
        f"held-out top-1 {selection.held_out_top1:.4f}",
        end="",
    )
    return float((scores(selection.fit, x[test]).argmax(1) == y[test]).mean())


def read(args: argparse.Namespace) -> Data:
    if not args.features:
        return synthetic(*args.size)
    stored = load_file(args.features)
    names, y = np.unique(stored["y"][: args.size[0]], return_inverse=True)
    return stored["x"].astype(np.float32)[: args.size[0]], y.astype(np.int64), len(names)


def words(text: str) -> list[str]:
    return text.split(",") if text else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("path", "probe"))
    parser.add_argument(
        "--quick", action="store_true", help="N = 1,500, D = 128, 10 classes, one round: under 45 s"
    )
    parser.add_argument(
        "--features",
        type=Path,
        help="safetensors file with x (N, D) and y (N,), as linear_features.py writes; default: "
        "synthetic",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=3,
        default=(10_000, 1280, 100),
        metavar=("N", "D", "C"),
        help="size of synthetic features; N also limits a file",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="rounds of ours; random splits of `probe`; 0 makes the reference alone (default: 3)",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--log10-c", type=float, nargs=2, default=(-4.0, 1.0), metavar=("FIRST", "LAST")
    )
    parser.add_argument(
        "--peers",
        type=words,
        default=["called", "best", "torch"],
        help="some of called, own, best, torch, cuml (default: called,best,torch)",
    )
    parser.add_argument(
        "--values",
        type=lambda text: [int(i) for i in words(text)],
        default=[0, 3, 6, 9],
        help="indices from 0 to 9 of the values of C on which peers are timed",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=60.0,
        help="seconds that a peer has for one value (default: 60)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        help="file that stores the reference, which takes minutes on real features",
    )
    parser.add_argument(
        "--recipes",
        type=words,
        default=list(RECIPES),
        help=f"some of {', '.join(RECIPES)} (default: all)",
    )
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    if args.quick:
        args.size, args.rounds, args.epochs, args.limit = (
            (1500, 128, 10),
            1,
            1,
            min(args.limit, 5.0),
        )
    data = read(args)
    # libraries load and threads start outside the clock
    list(fit_path(*synthetic(200, 16, 3), [1.0], device=args.device))
    shape = {"n": len(data[1]), "d": data[0].shape[1], "classes": data[2]}
    print(
        f"{args.features or 'synthetic'}: {shape}; {torch.get_num_threads()} threads; {machine()}",
        flush=True,
    )
    result = {"path": path, "probe": probe}[args.what](data, args)
    print(
        json.dumps(
            {
                "benchmark": f"linear_probe {args.what}",
                "features": args.features.name if args.features else "synthetic",
                **shape,
                **result,
            }
        )
    )


if __name__ == "__main__":
    main()
