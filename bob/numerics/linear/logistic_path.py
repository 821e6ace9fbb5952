"""Multinomial logistic regression with L2 on a path of penalties, each with a certified gap.

Minimises  mean cross-entropy + λ/2 ‖W‖²  over W (C, D) and a free bias b: the problem of
`sklearn.linear_model.LogisticRegression` at the same C. For three classes or more λ = 1 / (C·N).
For two, scikit-learn fits one vector w to a sigmoid with penalty ‖w‖² / (2·C·N); the softmax with
W = (-w/2, w/2) gives the same probabilities, and ‖w‖² = 2 ‖W‖², so that λ = 2 / (C·N) makes the two
objectives equal.

Method: L-BFGS (Nocedal 1980) in the eigenbasis of the centred features. Its initial Hessian is, for
each class, the exact diagonal around that class's own mean, and between classes the exact block of
their biases (`bob.numerics.linear.preconditioner`). Where steps become many, the terms of examples
that are still undecided between two classes are added exactly
(`bob.numerics.linear.low_rank_curvature`), or, for few weights, the Hessian is computed in full
(`bob.numerics.linear.hessian`). The bound on the gap is from the dual
(`bob.numerics.linear.duality_gap`).
The path runs from strong to weak λ. Each value starts from an extrapolation in log λ and keeps all
curvature pairs, corrected for the new λ. Products are float32; steps, and sums of losses and of
Gram matrices, float64. Where float32 cannot reach the tolerance, float64 passes finish.
Features are divided by a power of two near their spread first, which is exact, so that features of
any scale have the same solution at the same λ · (scale)².
A class without examples keeps weights near 0 and a bias e⁻³⁰ below the others: it is never
predicted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear.feature_rows import FeatureRows, linear_scores
from bob.numerics.linear.path_solver import (
    SINGLE_THREAD_ENTRIES,
    LogisticProblem,
    PathSolver,
    prepare,
    start_solver,
)
from bob.numerics.threads import one_thread

FLOAT32_TOLERANCE = 1e-5
"""Float32 passes go no further than this; float64 passes do the rest."""


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """A logistic regression at one penalty."""

    c: float
    """scikit-learn's C, for two classes too; see `penalty_of`."""
    weight: Doubles
    """(C, D), for the features as given."""
    bias: Doubles
    """(C,)"""
    objective: float
    """Mean cross-entropy + λ/2 ‖W‖², nats."""
    gap: float
    """Upper bound of (objective - optimum) / max(objective, 1e-3 · log(classes))."""
    converged: bool
    """gap ≤ tolerance."""
    passes: int
    """Passes over the data for this value."""


def solve_path(
    solver: PathSolver, grid: Iterable[float], tolerance: float, comparing: bool = False
) -> Iterator[tuple[float, float, int]]:
    """Minimise at each C of `grid`, which ascends; yield C, gap and passes.

    The caller may minimise further before it asks for the next value.
    `comparing` is that of `PathSolver.minimise`.
    """
    problem = solver.problem
    solutions: list[tuple[float, Tensor]] = []
    for c in grid:
        passes = problem.passes
        with one_thread(solver.current.theta.numel() < SINGLE_THREAD_ENTRIES):
            solver.change_penalty(problem.penalty(c))
            if len(solutions) == 2:
                (c0, theta0), (c1, theta1) = solutions
                theta = theta1 + log(c / c1) / log(c1 / c0) * (theta1 - theta0)
                solver.accept(solver.evaluate(theta), 0.0)
        gap = minimise(solver, tolerance, comparing)
        yield c, gap, problem.passes - passes
        solutions = [*solutions[-1:], (c, solver.current.theta)]


def solve_from(solver: PathSolver, theta: Tensor, c: float, tolerance: float) -> None:
    """Minimise at C from θ, to compare it with other values; see `PathSolver.minimise`."""
    with one_thread(theta.numel() < SINGLE_THREAD_ENTRIES):
        solver.start_at(theta, solver.problem.penalty(c))
    minimise(solver, tolerance, comparing=True)


def minimise(solver: PathSolver, tolerance: float, comparing: bool) -> float:
    """Minimise by float32 passes, then by float64 passes if needed; return the gap."""
    with one_thread(solver.current.theta.numel() < SINGLE_THREAD_ENTRIES):
        gap = solver.minimise(max(tolerance, FLOAT32_TOLERANCE), comparing=comparing)
        if gap <= tolerance:
            return gap
        solver.current = solver.problem.evaluate(solver.current.theta, exact=True)
        return solver.minimise(tolerance, exact=True)


def _fit(solver: PathSolver, c: float, gap: float, passes: int, tolerance: float) -> LogisticFit:
    """Return the solver's iterate as weights for the original features."""
    weight, bias = original_weights(solver.problem, solver.current.theta)
    return LogisticFit(
        c,
        weight,
        bias,
        solver.current.objective(solver.penalty),
        gap,
        gap <= tolerance,
        passes,
    )


def original_weights(problem: LogisticProblem, theta: Tensor) -> tuple[Doubles, Doubles]:
    """Return θ (C, R + 1) as weights (C, D) and biases (C,) for the features as given."""
    eigenbasis = problem.eigenbasis
    weight = theta[:, :-1] @ eigenbasis.vectors.T
    bias = theta[:, -1] - weight @ eigenbasis.centre
    return weight.cpu().numpy() / problem.scale, bias.cpu().numpy()


def fit_path(
    x: FeatureRows,
    y: Ints,
    classes: int,
    grid: ArrayLike,
    *,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> Iterator[LogisticFit]:
    """Fit (N, D) rows with labels (N,) at every C of `grid`, strongest regularisation first."""
    problem = prepare(x, y, classes, device)
    solver = start_solver(problem, problem.evaluate_origin())
    values = sorted(np.asarray(grid, dtype=float).tolist())
    for c, gap, passes in solve_path(solver, values, tolerance):
        yield _fit(solver, c, gap, passes, tolerance)


def refit(
    problem: LogisticProblem, theta: Tensor, c: float, tolerance: float, refined: bool = False
) -> LogisticFit:
    """Fit at one C, starting from θ (C, R + 1) of a similar problem in the same eigenbasis.

    If no weights are better than θ, start from none. `refined` is whether the similar problem took
    so many steps that its curvature was refined.
    """
    origin, start = problem.evaluate_origin(), problem.evaluate(theta)
    penalty = problem.penalty(c)
    solver = start_solver(problem, min(start, origin, key=lambda one: one.objective(penalty)))
    solver.refined = refined and solver.current is start
    if solver.newton:
        solver.current = solver.evaluate(theta)
    ((_, gap, passes),) = solve_path(solver, [c], tolerance)
    return _fit(solver, c, gap, passes, tolerance)


def scores(fit: LogisticFit, x: FeatureRows) -> Doubles:
    """Return the (N, C) logits of (N, D) rows."""
    return linear_scores(fit.weight, fit.bias, x)
