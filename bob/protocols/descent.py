"""L-BFGS on the softmax objective, at one strength of regularisation after another. The method is told in `bob.protocols.logistic`."""

from dataclasses import dataclass, field
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.protocols.lbfgs import Pairs
from bob.protocols.softmax import Point, certificate, evaluate
from bob.protocols.spectrum import Rows, Source, Spectrum, source, spectrum

MEMORY = 40
"""Curvature pairs kept; fewer where they would not fit in `PAIR_BYTES`."""
PAIR_BYTES = 1 << 30
FLOOR = 1e-3
"""Objectives below this share of log(classes) count as this: there a relative gap means nothing for the predictions."""
ABSENT_NATS = 30.0
MAX_PASSES = 500
"""Per value and precision."""
HALVINGS = 12
"""Trials of one line search."""
SMALL = 1 << 20
"""Weights of fewer entries are stepped by one thread: see `bob.protocols.threads`."""


@dataclass(eq=False)
class Problem:
    """Labelled rows, and what passes over them need."""

    fast: Source
    exact: Source
    y: Tensor
    """(N,) int64"""
    classes: int
    workers: int
    """Threads among which a pass is shared."""
    passes: int = 0
    centres: Tensor = field(init=False)
    """(C, R) mean of one-hot labels times rows."""
    entropy: float = field(init=False)
    """Of the labels, nats: the objective without weights."""

    @property
    def spectrum(self) -> Spectrum:
        return self.fast.spectrum

    def evaluate(self, theta: Tensor, exact: bool = False) -> Point:
        self.passes += 1
        return evaluate(self.exact if exact else self.fast, self.y, theta, self.workers)

    def origin(self) -> Point:
        """No weights, the bias at its optimum: the answer for λ = ∞. There p is one vector, so that the slope is minus the labels' means."""
        share = torch.bincount(self.y, minlength=self.classes).double() / len(self.y)
        theta = share.new_zeros(self.classes, len(self.spectrum.eigenvalue) + 1)
        theta[:, -1] = share.log().clamp_(min=float(share.max().log()) - ABSENT_NATS)
        point = self.evaluate(theta)
        self.centres, self.entropy = -point.slope[:, :-1], point.loss
        return point

    def hessian(self, point: Point, penalty: float) -> tuple[Tensor, Tensor]:
        """Diagonal (C, R + 1) and shifts m_c (C, R) of the initial Hessian."""
        spread = point.spread[:, None].clamp(min=1e-20)
        diagonal = torch.cat((spread * self.spectrum.eigenvalue + penalty, spread), 1)
        share = (point.slope[:, -1] + torch.bincount(self.y, minlength=self.classes) / len(self.y)).clamp_(min=1e-9)
        return diagonal.float(), ((point.slope[:, :-1] + self.centres) / share[:, None]).float()

    def scale(self, objective: float) -> float:
        """What a gap is relative to."""
        return max(objective, FLOOR * log(max(self.classes, 2)))

    def bound(self, point: Point, penalty: float, allowed: float, exact: bool) -> tuple[float, Tensor | None]:
        """Of the gap, and the Newton step of the bias where it was needed."""
        rough = float(point.gradient(penalty)[:, :-1].square().sum()) / (2 * penalty)
        if rough > allowed:
            return rough, None
        found = certificate(self.exact if exact else self.fast, point, self.y, penalty, allowed)
        return found.gap, found.step


def prepare(x: Rows, y: NDArray[np.int64], classes: int, device: str) -> Problem:
    """Features prepared once, for any number of values."""
    basis = spectrum(x, device)
    fast, exact = source(x, basis, torch.float32), source(x, basis, torch.float64)
    workers = torch.get_num_threads() if device == "cpu" else 1
    return Problem(fast, exact, torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device), classes, workers)


@dataclass(eq=False)
class Walker:
    """Minimises one problem at one λ after another."""

    problem: Problem
    point: Point
    pairs: Pairs
    penalty: float = 0.0

    def move(self, penalty: float) -> None:
        """To another λ: pairs stay true."""
        if self.penalty:
            penalised = torch.ones(self.point.theta.shape[1], device=self.point.theta.device)
            penalised[-1] = 0
            self.pairs.shift((penalty - self.penalty) * penalised)
        self.penalty = penalty

    def minimise(self, tolerance: float, exact: bool = False, of_gain: bool = False) -> float:
        """Moves `point` until its relative gap is at most `tolerance`, where asked also relative to the gain over no weights; the gap.

        Ends early where rounding or the pass limit stops progress.
        """
        last = self.problem.passes + MAX_PASSES
        while True:
            objective = self.point.objective(self.penalty)
            scale = self.problem.scale(objective)
            allowed = tolerance * (min(scale, max(self.problem.entropy - objective, 0.0)) if of_gain else scale)
            gap, bias = self.problem.bound(self.point, self.penalty, allowed, exact)
            if gap <= allowed or self.problem.passes >= last:
                return gap / scale
            if not ((bias is not None and self._rebias(bias, exact)) or self._step(exact)):
                return gap / scale

    def _rebias(self, bias: Tensor, exact: bool) -> bool:
        theta = self.point.theta.clone()
        theta[:, -1] += bias
        return self.accept(self.problem.evaluate(theta, exact), 0.0)

    def _step(self, exact: bool) -> bool:
        """One L-BFGS step with a backtracking line search; False where no step lowers the objective."""
        gradient = self.point.gradient(self.penalty)
        direction = self.pairs.direction(gradient.float(), *self.problem.hessian(self.point, self.penalty)).double()
        slope, size = float((gradient * direction).sum()), 1.0
        if slope >= 0:
            return False
        for _ in range(HALVINGS):
            point = self.problem.evaluate(self.point.theta + size * direction, exact)
            if self.accept(point, -1e-4 * size * slope):
                return True
            ahead = float((point.gradient(self.penalty) * direction).sum())
            size *= min(0.7, max(0.1, slope / (slope - ahead))) if ahead > 0 else 0.5
        return False

    def accept(self, point: Point, decrease: float) -> bool:
        """Take the point where it lowers the objective by `decrease`."""
        if not point.objective(self.penalty) < self.point.objective(self.penalty) - decrease:
            return False
        self.pairs.add((point.theta - self.point.theta).float(), (point.gradient(self.penalty) - self.point.gradient(self.penalty)).float())
        self.point = point
        return True


def walker_at(task: Problem, point: Point) -> Walker:
    return Walker(task, point, Pairs(max(3, min(MEMORY, PAIR_BYTES // (8 * point.theta.numel())))))
