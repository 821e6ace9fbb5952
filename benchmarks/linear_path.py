"""A path of C at equal objective, ours and that of peers: the part `path` of `linear_probe.py`.

See there for how it is measured.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import linear_peers as peers
import numpy as np
from linear_peers import Solved, Task, Weights, objective
from numpy.typing import NDArray
from pairs import Measured, measured
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from bob.numerics.linear.logistic_path import LogisticFit, fit_path
from bob.numerics.linear.path_solver import MIN_OBJECTIVE, penalty_of

TOLERANCE = 1e-4
REFERENCE_TOLERANCE = 1e-6
VALUES = 10
Data = tuple[NDArray[np.float32], NDArray[np.int64], int]
"""Features, labels and the number of classes."""


class Reference:
    """Near-optimal weights per value of C in float64, and bounds of each optimum.

    A file stores them, value by value.
    """

    def __init__(self, data: Data, grid: list[float], file: Path | None) -> None:
        x, y, classes = data
        facts = {
            "of": json.dumps(
                [
                    x.shape,
                    classes,
                    float(x.astype(np.float64).sum()),
                    int(y @ np.arange(len(y))),
                    grid,
                ]
            )
        }
        valid = file is not None and file.exists() and safe_open(file, "numpy").metadata() == facts
        stored: dict[str, NDArray[Any]] = load_file(file) if file and valid else {}
        missing = [i for i in range(len(grid)) if f"bounds{i}" not in stored]
        fits = fit_path(x, y, classes, [grid[i] for i in missing], tolerance=REFERENCE_TOLERANCE)
        for i, fit in zip(missing, fits, strict=True) if missing else ():
            stored[f"w{i}"], stored[f"b{i}"], stored[f"bounds{i}"] = proven(fit, x, y)
            if file:
                save_file(stored, file, facts)
        self.weights: list[Weights] = [(stored[f"w{i}"], stored[f"b{i}"]) for i in range(len(grid))]
        self.low, self.high = np.array([stored[f"bounds{i}"] for i in range(len(grid))]).T
        self.scale = np.maximum(self.high, MIN_OBJECTIVE * np.log(classes))
        self.goal = self.high + TOLERANCE * self.scale


def proven(
    fit: LogisticFit, x: NDArray[Any], y: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return weights, the best bias for them (Newton's method), and bounds of the optimum.

    With the bias at its best the objective is λ-strongly convex in W alone, so that the optimum is
    at most ‖gradient‖² / 2λ below.
    """
    wide, targets = x.astype(np.float64), np.eye(len(fit.bias))[y]
    projected, bias, penalty = (
        wide @ fit.weight.T,
        fit.bias,
        penalty_of(fit.c, len(y), len(fit.bias)),
    )
    for _ in range(20):
        p = softmax(projected + bias, 1)
        slope = (p - targets).mean(0)
        bias = bias - np.linalg.lstsq(np.diag(p.mean(0)) - p.T @ p / len(y), slope, rcond=1e-12)[0]
    gradient = (softmax(projected + bias, 1) - targets).T @ wide / len(y) + penalty * fit.weight
    value = objective((fit.weight, bias), x, y, penalty)
    return fit.weight, bias, np.array([value - (gradient**2).sum() / (2 * penalty), value])


@dataclass
class Peers:
    """Solves single values of C by other solvers."""

    data: Data
    grid: list[float]
    reference: Reference
    limit_s: float
    device: str
    threads: tuple[int | None] | None = None
    """Threads of `best`, once determined: one BLAS thread, or all (None)."""

    def run(self, name: str, i: int) -> Measured[Solved]:
        task = self._task(name, i)
        if name == "best" and self.threads is None:
            self.threads = (peers.faster_threads(task),)
        ways: dict[str, Callable[[Task], Solved]] = {
            "called": peers.scikit_learn,
            "own": partial(peers.scikit_learn, own=True),
            "best": partial(peers.scikit_learn, threads=self.threads[0] if self.threads else None),
            "torch": partial(peers.torch_lbfgs, device=self.device),
            "cuml": peers.cuml_qn,
        }
        measurement = measured(partial(ways[name], task))
        solved, x, y = measurement.result, self.data[0], self.data[1]
        distance = objective(solved.weights, x, y, task.penalty) - self.reference.low[i]
        gap = distance / self.reference.scale[i]
        late = "" if solved.reached or name == "own" else "  NOT REACHED"
        print(
            f"  {name:8} C={task.c:.1e} {solved.seconds:8.2f} s {solved.iterations:6} iterations, "
            f"gap {gap:.1e}{late}",
            flush=True,
        )
        return measurement

    def _task(self, name: str, i: int) -> Task:
        x, y, classes = self.data
        goal = -np.inf if name == "own" else float(self.reference.goal[i])
        start = self.reference.weights[i - 1] if i and name in ("best", "torch") else None
        rows = x.astype(np.float64) if name in ("called", "own") else x
        return Task(
            rows,
            y,
            classes,
            self.grid[i],
            penalty_of(self.grid[i], len(y), classes),
            goal,
            self.limit_s,
            start,
        )


def path(data: Data, args: argparse.Namespace) -> dict[str, Any]:
    x, y, classes = data
    first, last = args.log10_c
    grid = (10.0 ** np.linspace(first, last, VALUES)).tolist()
    reference = Reference(data, grid, args.reference)
    width = ((reference.high - reference.low) / reference.scale).max()
    print(f"{VALUES} values of C in 10^[{first}, {last}]; the reference is within {width:.0e}")
    if not args.rounds:
        return {"reference": str(args.reference)}
    solvers = Peers(data, grid, reference, args.limit, args.device)
    grids = {
        f"ours, {count} values": 10.0 ** np.linspace(first, last, count) for count in (VALUES, 45)
    }
    jobs = [(name, i) for i in args.values for name in args.peers]
    ours: dict[str, list[Measured[list[LogisticFit]]]] = {name: [] for name in grids}
    theirs: dict[str, dict[int, Measured[Solved]]] = {name: {} for name in args.peers}
    for turn in range(args.rounds):
        for name, values in grids.items():
            ours[name].append(
                measured(
                    lambda values=values: list(
                        fit_path(x, y, classes, values, tolerance=TOLERANCE, device=args.device)
                    )
                )
            )
        for name, i in jobs[turn :: args.rounds]:
            theirs[name][i] = solvers.run(name, i)
    return _path_report(ours, theirs, reference, data, solvers.threads)


def _path_report(
    ours: dict[str, list[Measured[list[LogisticFit]]]],
    theirs: dict[str, dict[int, Measured[Solved]]],
    reference: Reference,
    data: Data,
    threads: Any,
) -> dict[str, Any]:
    """Print a table, and return its figures."""
    x, y, classes = data
    fits = ours[f"ours, {VALUES} values"][-1].result
    truth = np.array(
        [
            objective((fit.weight, fit.bias), x, y, penalty_of(fit.c, len(y), classes))
            for fit in fits
        ]
    )
    true_gap, at_most = (
        (truth - reference.high) / reference.scale,
        (truth - reference.low) / reference.scale,
    )
    for fit, gap, most in zip(fits, true_gap, at_most, strict=True):
        print(
            f"  C={fit.c:.1e} {fit.passes:4} passes, true gap {gap:.1e} (proven ≤ {most:.1e}), "
            f"certificate {fit.gap:.1e}"
        )
    times_of = {name: [run.seconds for run in runs] for name, runs in ours.items()}
    median = statistics.median(times_of[f"ours, {VALUES} values"])
    certified = all(fit.gap >= gap for fit, gap in zip(fits, true_gap, strict=True))
    peaks = {name: round(max(run.peak_mib for run in runs)) for name, runs in ours.items()}
    result: dict[str, Any] = {
        "ours_s": round(median, 3),
        "ours_45_over_10": round(statistics.median(times_of["ours, 45 values"]) / median, 3),
        "largest_true_gap": float(f"{at_most.max():.3g}"),
        "certificate_never_smaller": bool(certified),
        "ratios": {},
        "lower_bounds": [],
        "peak_mib": peaks,
    }
    for name, times in times_of.items():
        passes = sum(fit.passes for fit in ours[name][-1].result)
        print(
            f"{name:28} {statistics.median(times):9.2f} s  ({min(times):.2f}-{max(times):.2f})  "
            f"{peaks[name]:5} MiB  {passes} passes"
        )
    same = times_of[f"ours, {VALUES} values"]
    low, high = min(same), max(same)
    for name, runs in theirs.items():
        values = sorted(runs)
        total = float(
            np.interp(range(VALUES), values, [runs[i].result.seconds for i in values]).sum()
        )
        bound = name != "own" and not all(run.result.reached for run in runs.values())
        result["ratios"][name] = round(total / median, 2)
        result["lower_bounds"] += [name] if bound else []
        result["peak_mib"][name] = round(max(run.peak_mib for run in runs.values()))
        note = (
            (", all BLAS threads" if threads == (None,) else ", one BLAS thread")
            if name == "best"
            else ""
        )
        print(
            f"{name + note:28} {'≥' * bound:1}{total:8.2f} s  {peaks[name]:5} MiB  "
            f"{'≥' * bound}{total / median:.1f} times ours "
            f"({total / high:.1f}-{total / low:.1f}), timed on {len(values)} values"
        )
    return result
