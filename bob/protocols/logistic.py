"""Multinomial logistic regression with L2 over a path of strengths, to a certified distance from the optimum."""

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.protocols.lbfgs import Pairs
from bob.protocols.softmax import Point, certificate, evaluate
from bob.protocols.spectrum import Rows, Source, read, slices, source, spectrum

MEMORY = 20
ABSENT_NATS = 30.0


@dataclass(frozen=True, eq=False)
class Fit:
    c: float
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    objective: float
    gap: float
    converged: bool
    passes: int


class _Solver:
    def __init__(self, x: Rows, y: NDArray[np.int64], device: str, memory: int = MEMORY) -> None:
        self.present, labels = np.unique(np.asarray(y), return_inverse=True)
        self.y = torch.from_numpy(labels.astype(np.int64)).to(device)
        self.spectrum = spectrum(x, device)
        self.fast = source(x, self.spectrum, torch.float32)
        self.exact = source(x, self.spectrum, torch.float64)
        self.largest = float(self.spectrum.eigenvalue[0])
        self.curvature = torch.cat((self.spectrum.eigenvalue, torch.ones(1, dtype=torch.float64, device=device)))
        self.penalised = torch.ones_like(self.curvature)
        self.penalised[-1] = 0
        self.pairs = Pairs(memory)
        self.passes = 0
        self.log: list = []

    def start(self) -> Point:
        share = torch.bincount(self.y) / len(self.y)
        theta = torch.zeros(len(share), len(self.curvature), dtype=torch.float64, device=share.device)
        theta[:, -1] = share.double().log()
        return self.evaluate(self.fast, theta)

    def evaluate(self, src: Source, theta: Tensor) -> Point:
        self.passes += 1
        return evaluate(src, self.y, theta)

    def hessian(self, point: Point, penalty: float) -> Tensor:
        return (point.spread[:, None] * self.curvature + penalty * self.penalised).clamp_(min=1e-30).float()

    def solve(self, src: Source, point: Point, penalty: float, tolerance: float, max_passes: int) -> tuple[Point, float, bool]:
        gap = float("inf")
        limit = self.passes + max_passes
        while True:
            gradient = point.gradient(penalty)
            objective = point.objective(penalty)
            allowed = tolerance * objective
            if float(gradient[:, :-1].square().sum()) / (2 * penalty) <= allowed:
                gap, step = certificate(point, self.y, penalty, self.largest)
                if gap <= allowed:
                    return point, gap / objective if objective else 0.0, True
                theta = point.theta.clone()
                theta[:, -1] += step
                new = self.evaluate(src, theta)
                self.log.append("b")
                if new.objective(penalty) < objective:
                    self.pairs.add((new.theta - point.theta).float(), (new.gradient(penalty) - gradient).float())
                    point = new
                    gap, step = certificate(point, self.y, penalty, self.largest)
                    if gap <= tolerance * point.objective(penalty):
                        continue
                    gradient, objective = point.gradient(penalty), point.objective(penalty)
            if self.passes >= limit:
                return point, gap, False
            direction = self.pairs.direction(gradient.float(), self.hessian(point, penalty)).double()
            slope = float((gradient * direction).sum())
            if slope >= 0:
                self.pairs = Pairs(MEMORY)
                continue
            size = 1.0
            for _ in range(12):
                new = self.evaluate(src, point.theta + size * direction)
                ahead = new.gradient(penalty)
                after = float((ahead * direction).sum())
                if new.objective(penalty) <= objective + 1e-4 * size * slope or (
                    abs(after) <= 0.9 * abs(slope) and new.objective(penalty) <= objective + 1e-7 * abs(objective)
                ):
                    break
                size *= min(0.7, max(0.1, slope / (slope - after))) if after > 0 else 0.5
            else:
                return point, gap, False
            self.pairs.add((new.theta - point.theta).float(), (ahead - gradient).float())
            point = new


def fit_path(x, y, classes, grid, *, tolerance=1e-4, device="cpu", memory=MEMORY, max_passes=500, solver=None):
    solver = solver or _Solver(x, y, device, memory)
    n = len(solver.y)
    point, old, previous, before = solver.start(), None, None, None
    for c in sorted(float(v) for v in grid):
        passes = solver.passes
        penalty = 1 / (c * n)
        if previous is not None:
            solver.pairs.shift((penalty - previous) * solver.penalised.float())
        if before is not None:
            ahead = solver.evaluate(solver.fast, point.theta + log(penalty / previous) / log(previous / before) * (point.theta - old.theta))
            if ahead.objective(penalty) < point.objective(penalty):
                solver.pairs.add((ahead.theta - point.theta).float(), (ahead.gradient(penalty) - point.gradient(penalty)).float())
                old, point = point, ahead
                start = old
            else:
                start = point
        else:
            start = point
        loose = max(tolerance, 1e-4)
        p0 = solver.passes
        answer, gap, done = solver.solve(solver.fast, point, penalty, loose, max_passes)
        p1 = solver.passes
        if tolerance < loose or not done:
            answer = solver.evaluate(solver.exact, answer.theta)
            answer, gap, done = solver.solve(solver.exact, answer, penalty, tolerance, max_passes)
        solver.log.append((c, solver.passes - passes, p1 - p0, solver.passes - p1))
        old, before, previous, point = start, previous, penalty, answer
        yield _fit(solver, answer, c, penalty, gap, done, solver.passes - passes, classes)


def _fit(solver, point, c, penalty, gap, done, passes, classes):
    weight = torch.zeros(classes, len(solver.spectrum.centre), dtype=torch.float64)
    bias = torch.full((classes,), -ABSENT_NATS, dtype=torch.float64)
    w = point.theta[:, :-1] @ solver.spectrum.basis.T
    b = point.theta[:, -1] - w @ solver.spectrum.centre
    weight[solver.present] = w
    bias[solver.present] = b
    return Fit(c, weight.numpy(), bias.numpy(), point.objective(penalty), gap, done, passes)


def scores(fit: Fit, x: Rows) -> NDArray[np.float64]:
    """(N, C) logits."""
    weight, bias = torch.from_numpy(fit.weight.T.copy()), torch.from_numpy(fit.bias)
    out = torch.empty(x.shape[0], len(bias), dtype=torch.float64)
    for rows in slices(*x.shape[:2]):
        torch.addmm(bias, read(x, rows, "cpu", torch.float64), weight, out=out[rows])
    return out.numpy()


@dataclass(frozen=True, eq=False)
class Selection:
    fit: Fit
    c: float
    at_edge: bool
    held_out_top1: float
    grid: tuple[float, ...]
    curve: tuple[float, ...]
    widened: bool


def select_and_refit(x, y, classes, grid, held_out, *, tolerance=1e-4, device="cpu") -> Selection:
    raise NotImplementedError
