"""Multinomial logistic regression with L2 over a path of strengths, each value to a certified distance from its optimum.

Minimises  mean cross-entropy + λ/2 ‖W‖²  over W (C, D) and a free bias b, with λ = 1 / (C·N) for scikit-learn's C: the problem of
`sklearn.linear_model.LogisticRegression` for three classes or more. For two classes scikit-learn fits one vector w to a sigmoid; the softmax optimum is
W = (-w/2, w/2), ‖W‖² = ‖w‖²/2, so that our C is scikit-learn's 2C.

Method: L-BFGS (Nocedal 1980) in the eigenbasis of the centred features, where entry (c, i) of the initial Hessian is λ + s_c e_i: e_i the eigenvalue,
s_c the mean of p_c (1 - p_c). Each class's weights are stepped around that class's own mean m_c, so that they hardly interact with its bias.
The path runs from strong to weak λ. Each value starts from an extrapolation in log λ and keeps all curvature pairs, corrected for the new λ.
Products are float32; steps, sums of losses and Gram matrices float64. Where float32 cannot reach the tolerance, float64 passes over the rows finish.
A class without rows keeps weights near 0 and a bias e⁻³⁰ below the others': it is never predicted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import log

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bob.protocols.lbfgs import Pairs
from bob.protocols.softmax import Point, certificate, evaluate
from bob.protocols.spectrum import Rows, Source, Spectrum, read, slices, source, spectrum

MEMORY = 20
"""Curvature pairs kept; fewer where they would not fit in `PAIR_BYTES`."""
PAIR_BYTES = 1 << 30
FLOAT32_TOLERANCE = 1e-4
"""Float32 passes go no further than this; float64 passes do the rest."""
FLOOR = 1e-3
"""Objectives below this share of log(classes) count as this: there a relative gap means nothing for the predictions."""
ABSENT_NATS = 30.0
MAX_PASSES = 500
"""Per value and precision."""
HALVINGS = 12
"""Trials of one line search."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A logistic regression."""

    c: float
    """scikit-learn's C: λ = 1 / (C·N)."""
    weight: NDArray[np.float64]
    """(C, D), for features as given."""
    bias: NDArray[np.float64]
    """(C,)"""
    objective: float
    """Mean cross-entropy + λ/2 ‖W‖², nats."""
    gap: float
    """Upper bound of (objective - optimum) / max(objective, 1e-3 · log(classes))."""
    converged: bool
    """gap ≤ tolerance."""
    passes: int
    """Passes over the data for this value."""


@dataclass(eq=False)
class Problem:
    """Labelled rows, and what passes over them need."""

    fast: Source
    exact: Source
    y: Tensor
    """(N,) int64"""
    classes: int
    passes: int = 0
    centres: Tensor = field(init=False)
    """(C, R) mean of one-hot labels times rows."""

    @property
    def spectrum(self) -> Spectrum:
        return self.fast.spectrum

    def evaluate(self, theta: Tensor, exact: bool = False) -> Point:
        self.passes += 1
        return evaluate(self.exact if exact else self.fast, self.y, theta)

    def origin(self) -> Point:
        """No weights, the bias at its optimum: the answer for λ = ∞. There p is one vector, so that the slope is minus the labels' means."""
        share = torch.bincount(self.y, minlength=self.classes).double() / len(self.y)
        theta = share.new_zeros(self.classes, len(self.spectrum.eigenvalue) + 1)
        theta[:, -1] = share.log().clamp_(min=float(share.max().log()) - ABSENT_NATS)
        point = self.evaluate(theta)
        self.centres = -point.slope[:, :-1]
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


def problem(x: Rows, y: NDArray[np.int64], classes: int, device: str) -> Problem:
    """Features prepared once, for any number of values."""
    basis = spectrum(x, device)
    fast, exact = source(x, basis, torch.float32), source(x, basis, torch.float64)
    return Problem(fast, exact, torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device), classes)


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

    def minimise(self, tolerance: float, exact: bool = False) -> float:
        """Moves `point` until its relative gap is at most `tolerance`; the gap. Ends early where rounding or the pass limit stops progress."""
        last = self.problem.passes + MAX_PASSES
        while True:
            objective = self.point.objective(self.penalty)
            scale = self.problem.scale(objective)
            gap, bias = self.problem.bound(self.point, self.penalty, tolerance * scale, exact)
            if gap <= tolerance * scale or self.problem.passes >= last:
                return gap / scale
            if not ((bias is not None and self._rebias(bias, exact)) or self._step(exact)):
                return gap / scale

    def _rebias(self, bias: Tensor, exact: bool) -> bool:
        theta = self.point.theta.clone()
        theta[:, -1] += bias
        return self._accept(self.problem.evaluate(theta, exact), 0.0)

    def _step(self, exact: bool) -> bool:
        """One L-BFGS step with a backtracking line search; False where no step lowers the objective."""
        gradient = self.point.gradient(self.penalty)
        direction = self.pairs.direction(gradient.float(), *self.problem.hessian(self.point, self.penalty)).double()
        slope, size = float((gradient * direction).sum()), 1.0
        if slope >= 0:
            return False
        for _ in range(HALVINGS):
            point = self.problem.evaluate(self.point.theta + size * direction, exact)
            if self._accept(point, -1e-4 * size * slope):
                return True
            ahead = float((point.gradient(self.penalty) * direction).sum())
            size *= min(0.7, max(0.1, slope / (slope - ahead))) if ahead > 0 else 0.5
        return False

    def _accept(self, point: Point, decrease: float) -> bool:
        """Take the point where it lowers the objective by `decrease`."""
        if not point.objective(self.penalty) < self.point.objective(self.penalty) - decrease:
            return False
        self.pairs.add((point.theta - self.point.theta).float(), (point.gradient(self.penalty) - self.point.gradient(self.penalty)).float())
        self.point = point
        return True


def walk(walker: Walker, grid: Iterable[float], tolerance: float) -> Iterator[Fit]:
    """A fit per value of C, in the order given: from strong to weak regularisation."""
    task = walker.problem
    trail: list[tuple[float, Tensor]] = []
    for c in grid:
        passes = task.passes
        walker.move(1 / (c * len(task.y)))
        if len(trail) == 2:
            (c0, theta0), (c1, theta1) = trail
            walker._accept(task.evaluate(theta1 + log(c / c1) / log(c1 / c0) * (theta1 - theta0)), 0.0)
        gap = walker.minimise(max(tolerance, FLOAT32_TOLERANCE))
        if gap > tolerance:
            walker.point = task.evaluate(walker.point.theta, exact=True)
            gap = walker.minimise(tolerance, exact=True)
        trail = [*trail[-1:], (c, walker.point.theta)]
        yield _fit(walker, c, gap, gap <= tolerance, task.passes - passes)


def _fit(walker: Walker, c: float, gap: float, converged: bool, passes: int) -> Fit:
    theta, basis = walker.point.theta, walker.problem.spectrum
    weight = theta[:, :-1] @ basis.basis.T
    bias = theta[:, -1] - weight @ basis.centre
    return Fit(c, weight.cpu().numpy(), bias.cpu().numpy(), walker.point.objective(walker.penalty), gap, converged, passes)


def _walker(task: Problem, point: Point) -> Walker:
    return Walker(task, point, Pairs(max(3, min(MEMORY, PAIR_BYTES // (8 * point.theta.numel())))))


def fit_path(
    x: Rows, y: NDArray[np.int64], classes: int, grid: ArrayLike, *, tolerance: float = 1e-4, device: str = "cpu"
) -> Iterator[Fit]:
    """Fits of (N, D) rows with labels (N,) for every C of `grid`, strongest regularisation first."""
    task = problem(x, y, classes, device)
    yield from walk(_walker(task, task.origin()), sorted(np.asarray(grid, dtype=float).tolist()), tolerance)


def scores(fit: Fit, x: Rows) -> NDArray[np.float64]:
    """(N, C) logits of (N, D) rows."""
    weight, bias = torch.from_numpy(fit.weight).T, torch.from_numpy(fit.bias)
    logits = torch.empty(x.shape[0], len(bias), dtype=torch.float64)
    for rows in slices(*x.shape[:2]):
        logits[rows] = torch.addmm(bias, read(x, rows, "cpu", torch.float64), weight)
    values: NDArray[np.float64] = logits.numpy()
    return values


def select_and_refit(*a, **k):
    raise NotImplementedError
