"""Multinomial logistic regression with L2 over a path of strengths, each value to a certified distance from its optimum.

Minimises  mean cross-entropy + λ/2 ‖W‖²  over W (C, D) and a free bias b: the problem of `sklearn.linear_model.LogisticRegression` at the same C.
For three classes or more λ = 1 / (C·N). For two, scikit-learn fits one vector w to a sigmoid with penalty ‖w‖² / (2·C·N); the softmax with
W = (-w/2, w/2) gives the same probabilities, and ‖w‖² = 2 ‖W‖², so that λ = 2 / (C·N) makes the two objectives equal.

Method: L-BFGS (Nocedal 1980) in the eigenbasis of the centred features. Its initial Hessian is, for each class, the exact diagonal around that
class's own mean, and between classes the exact part of their biases (`bob.numerics.linear.preconditioner`); where steps become many, it holds the examples
exactly that are still undecided between two classes (`bob.numerics.linear.low_rank_curvature`), or, for few weights, all there is (`bob.numerics.linear.hessian`).
The bound is from the dual (`bob.numerics.linear.duality_gap`).
The path runs from strong to weak λ. Each value starts from an extrapolation in log λ and keeps all curvature pairs, corrected for the new λ.
Products are float32; steps, and sums of losses and of Gram matrices, float64. Where float32 cannot reach the tolerance, float64 passes finish.
A class without rows keeps weights near 0 and a bias e⁻³⁰ below the others': it is never predicted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bob.numerics.linear.eigenbasis import Rows, read, slices
from bob.numerics.linear.path_solver import SMALL, Problem, Walker, prepare, walker_at
from bob.numerics.threads import one_thread

FLOAT32_TOLERANCE = 1e-5
"""Float32 passes go no further than this; float64 passes do the rest."""


def penalty_of(c: float, n: int, classes: int) -> float:
    """λ of scikit-learn's C for N rows: see this module's docstring."""
    return (2 if classes == 2 else 1) / (c * n)


@dataclass(frozen=True, eq=False)
class Fit:
    """A logistic regression."""

    c: float
    """scikit-learn's C, for two classes too; see `penalty_of`."""
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


def walk(
    walker: Walker, grid: Iterable[float], tolerance: float, of_gain: bool = False
) -> Iterator[tuple[float, float, int]]:
    """Takes the walker to each C in the order given, strong regularisation first: C, gap and passes. `of_gain` is told at `Walker.minimise`."""
    task = walker.problem
    trail: list[tuple[float, Tensor]] = []
    for c in grid:
        passes = task.passes
        with one_thread(walker.point.theta.numel() < SMALL):
            walker.move(penalty_of(c, len(task.y), task.classes))
            if len(trail) == 2:
                (c0, theta0), (c1, theta1) = trail
                walker.accept(
                    walker.evaluate(theta1 + log(c / c1) / log(c1 / c0) * (theta1 - theta0)), 0.0
                )
            gap = _settle(walker, tolerance, of_gain)
        trail = [*trail[-1:], (c, walker.point.theta)]
        yield c, gap, task.passes - passes


def _settle(walker: Walker, tolerance: float, of_gain: bool) -> float:
    """Float32 passes, then float64 passes where they are needed; the gap."""
    gap = walker.minimise(max(tolerance, FLOAT32_TOLERANCE), of_gain=of_gain)
    if gap <= tolerance:
        return gap
    walker.point = walker.problem.evaluate(walker.point.theta, exact=True)
    return walker.minimise(tolerance, exact=True)


def _fit(walker: Walker, c: float, gap: float, passes: int, tolerance: float) -> Fit:
    theta, basis = walker.point.theta, walker.problem.spectrum
    weight = theta[:, :-1] @ basis.basis.T
    bias = theta[:, -1] - weight @ basis.centre
    return Fit(
        c,
        weight.cpu().numpy(),
        bias.cpu().numpy(),
        walker.point.objective(walker.penalty),
        gap,
        gap <= tolerance,
        passes,
    )


def fit_path(
    x: Rows,
    y: NDArray[np.int64],
    classes: int,
    grid: ArrayLike,
    *,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> Iterator[Fit]:
    """Fits of (N, D) rows with labels (N,) for every C of `grid`, strongest regularisation first."""
    task = prepare(x, y, classes, device)
    walker = walker_at(task, task.origin())
    for c, gap, passes in walk(walker, sorted(np.asarray(grid, dtype=float).tolist()), tolerance):
        yield _fit(walker, c, gap, passes, tolerance)


def refit(task: Problem, theta: Tensor, c: float, tolerance: float) -> Fit:
    """At one C, from the θ (C, R + 1) of a like problem in the same basis, where that is better than no weights."""
    walker = walker_at(task, task.origin())
    walker.penalty = penalty_of(c, len(task.y), task.classes)
    walker.accept(task.evaluate(theta), 0.0)
    ((_, gap, passes),) = walk(walker, [c], tolerance)
    return _fit(walker, c, gap, passes, tolerance)


def scores(fit: Fit, x: Rows) -> NDArray[np.float64]:
    """(N, C) logits of (N, D) rows."""
    weight, bias = torch.from_numpy(fit.weight).T, torch.from_numpy(fit.bias)
    logits = torch.empty(x.shape[0], len(bias), dtype=torch.float64)
    for rows in slices(*x.shape[:2]):
        logits[rows] = torch.addmm(bias, read(x, rows, "cpu", torch.float64), weight)
    values: NDArray[np.float64] = logits.numpy()
    return values
