"""Multinomial logistic regression with L2 over a path of strengths, each value to a certified distance from its optimum.

Minimises  mean cross-entropy + λ/2 ‖W‖²  over W (C, D) and a free bias b: the problem of `sklearn.linear_model.LogisticRegression` at the same C.
For three classes or more λ = 1 / (C·N). For two, scikit-learn fits one vector w to a sigmoid with penalty ‖w‖² / (2·C·N); the softmax with
W = (-w/2, w/2) gives the same probabilities, and ‖w‖² = 2 ‖W‖², so that λ = 2 / (C·N) makes the two objectives equal.

Method: L-BFGS (Nocedal 1980) in the eigenbasis of the centred features. Its initial Hessian is, for each class, the exact diagonal around that
class's own mean, and between classes the exact part of their biases (`bob.protocols.curvature`). The bound is from the dual (`bob.protocols.dual`).
The path runs from strong to weak λ. Each value starts from an extrapolation in log λ and keeps all curvature pairs, corrected for the new λ.
Products are float32; steps, and sums of losses and of Gram matrices, float64. Where float32 cannot reach the tolerance, float64 passes finish.
A class without rows keeps weights near 0 and a bias e⁻³⁰ below the others': it is never predicted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bob.protocols.descent import SMALL, Problem, Walker, prepare, walker_at
from bob.protocols.softmax import Point
from bob.protocols.spectrum import Picked, Rows, Source, read, slices
from bob.protocols.threads import one_thread

FLOAT32_TOLERANCE = 1e-4
"""Float32 passes go no further than this; float64 passes do the rest."""
PATH_TOLERANCE = 1e-4
"""Gap at which a value is compared with others, relative to what its weights gain over none: under a strong penalty the objective hardly differs from
that of no weights, while predictions depend on their direction. At 1e-2 and 1e-3 the slack still decided held-out rows that the optimum did not have
near a tie; from 1e-2 to 1e-4 a path takes half as many passes again."""
PATIENCE_DECADES = 2.0
"""The path ends this many decades of C, and three values, after both the highest held-out top-1 and the lowest log-loss."""
WIDENED_DECADES = 3.0
"""How far the grid is continued, in its own step, where the best value lies on its edge."""
WIDENINGS = 2
"""Times that the grid is continued on either side."""


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


def walk(walker: Walker, grid: Iterable[float], tolerance: float, of_gain: bool = False) -> Iterator[tuple[float, float, int]]:
    """Takes the walker to each C in the order given, strong regularisation first: C, gap and passes. `of_gain` is told at `Walker.minimise`."""
    task = walker.problem
    trail: list[tuple[float, Tensor]] = []
    for c in grid:
        passes = task.passes
        with one_thread(walker.point.theta.numel() < SMALL):
            walker.move(penalty_of(c, len(task.y), task.classes))
            if len(trail) == 2:
                (c0, theta0), (c1, theta1) = trail
                walker.accept(task.evaluate(theta1 + log(c / c1) / log(c1 / c0) * (theta1 - theta0)), 0.0)
            walker.curvature = None
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
    return Fit(c, weight.cpu().numpy(), bias.cpu().numpy(), walker.point.objective(walker.penalty), gap, gap <= tolerance, passes)


def fit_path(x: Rows, y: NDArray[np.int64], classes: int, grid: ArrayLike, *, tolerance: float = 1e-4, device: str = "cpu") -> Iterator[Fit]:
    """Fits of (N, D) rows with labels (N,) for every C of `grid`, strongest regularisation first."""
    task = prepare(x, y, classes, device)
    walker = walker_at(task, task.origin())
    for c, gap, passes in walk(walker, sorted(np.asarray(grid, dtype=float).tolist()), tolerance):
        yield _fit(walker, c, gap, passes, tolerance)


def scores(fit: Fit, x: Rows) -> NDArray[np.float64]:
    """(N, C) logits of (N, D) rows."""
    weight, bias = torch.from_numpy(fit.weight).T, torch.from_numpy(fit.bias)
    logits = torch.empty(x.shape[0], len(bias), dtype=torch.float64)
    for rows in slices(*x.shape[:2]):
        logits[rows] = torch.addmm(bias, read(x, rows, "cpu", torch.float64), weight)
    values: NDArray[np.float64] = logits.numpy()
    return values


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen fit, and how it was chosen."""

    fit: Fit
    """Of all rows, at the chosen C."""
    c: float
    at_edge: bool
    """The best C is still the first or last of `grid`."""
    held_out_top1: float
    """Of the fit without the held-out rows, at the chosen C."""
    grid: tuple[float, ...]
    """Every C considered, ascending."""
    curve: tuple[float, ...]
    """Held-out top-1 per value of `grid`; NaN where the path had ended."""
    widened: bool


@dataclass(frozen=True)
class _Tried:
    """A value of C on the held-out rows. Best: highest top-1, then lowest log-loss, then strongest regularisation."""

    c: float
    top1: float
    loss: float

    @property
    def rank(self) -> tuple[float, float, float]:
        return self.top1, -self.loss, -self.c


def select_and_refit(
    x: Rows, y: NDArray[np.int64], classes: int, grid: ArrayLike, held_out: NDArray[np.bool_] | NDArray[np.int64],
    *, tolerance: float = 1e-4, device: str = "cpu",
) -> Selection:  # fmt: skip
    """C of `grid` by top-1 on the `held_out` rows (a mask (N,), or indices), then a fit of all (N, D) rows at it.

    `x` is read by index arrays, not only by slices.
    """
    held = np.zeros(len(y), dtype=bool)
    held[held_out] = True
    order = np.argsort(held, kind="stable")
    everything = prepare(Picked(x, order), np.asarray(y)[order], classes, device)
    part, rest = _cut(everything, int((~held).sum()))
    values = sorted(np.asarray(grid, dtype=float).tolist())
    tried, values, points = _search(part, rest, values, len(values))
    best = max(tried, key=lambda one: one.rank)
    walker = walker_at(everything, everything.origin())
    warm = everything.evaluate(points[best.c])
    walker.penalty = penalty_of(best.c, len(y), classes)
    walker.accept(warm, 0.0)
    c, gap, passes = next(walk(walker, [best.c], tolerance))
    top1 = {one.c: one.top1 for one in tried}
    return Selection(
        fit=_fit(walker, c, gap, passes, tolerance),
        c=best.c,
        at_edge=best.c in (values[0], values[-1]),
        held_out_top1=best.top1,
        grid=tuple(values),
        curve=tuple(top1.get(c, float("nan")) for c in values),
        widened=len(values) > np.size(grid),
    )


def _cut(task: Problem, n: int) -> tuple[Problem, Problem]:
    """The first `n` rows of a problem, and the others."""

    def rows(source: Source, cut: slice) -> Source:
        x = source.x
        return replace(source, x=Picked(x.x, x.index[cut]) if isinstance(x, Picked) else x[cut])

    first, second = (
        Problem(rows(task.fast, cut), rows(task.exact, cut), task.y[cut], task.classes, task.workers) for cut in (slice(0, n), slice(n, None))
    )
    return first, second


def _search(part: Problem, rest: Problem, values: list[float], count: int) -> tuple[list[_Tried], list[float], dict[float, Tensor]]:
    """Every value tried, the grid with its continuations, and θ of each value tried."""
    points: dict[float, Tensor] = {}
    walker = walker_at(part, part.origin())
    tried = list(_path(walker, rest, values, points))
    for _ in range(WIDENINGS):
        best = max(tried, key=lambda one: one.rank).c
        if best == values[-1] and count > 1:
            more = _continued(values[-2:])
            values, tried = values + more, tried + list(_path(walker, rest, more, points, tried))
        elif best == values[0] and count > 1:
            more = _continued(values[1::-1])[::-1]
            values, tried = more + values, list(_path(walker_at(part, part.origin()), rest, more, points)) + tried
    return tried, values, points


def _continued(pair: list[float]) -> list[float]:
    """Values after the second of a pair, in the ratio of the pair."""
    step = np.log10(pair[1] / pair[0])
    count = max(1, round(WIDENED_DECADES / abs(step)))
    return [float(10 ** (np.log10(pair[1]) + step * i)) for i in range(1, count + 1)]


def _path(walker: Walker, rest: Problem, values: list[float], points: dict[float, Tensor], before: list[_Tried] | None = None) -> Iterator[_Tried]:
    """Values from strong to weak regularisation, until they have got worse for `PATIENCE_DECADES`."""
    seen = list(before or ())
    for c, _, _ in walk(walker, values, PATH_TOLERANCE, of_gain=True):
        points[c] = walker.point.theta
        seen.append(_score(c, rest, walker.point))
        yield seen[-1]
        turned = max(max(seen, key=lambda one: one.rank).c, min(seen, key=lambda one: (one.loss, -one.c)).c)
        if np.log10(c / turned) >= PATIENCE_DECADES and sum(one.c > turned for one in seen) >= 3:
            return


def _score(c: float, rest: Problem, point: Point) -> _Tried:
    """Top-1 and mean log-loss on the held-out rows."""
    theta = point.theta.to(rest.fast.dtype)
    weight, right, loss = rest.fast.outward(theta[:, :-1]), 0, 0.0
    for rows in rest.fast.cuts:
        logits = torch.addmm(theta[:, -1:], weight, rest.fast.block(rows).T)
        right += int((logits.argmax(0) == rest.y[rows]).sum())
        loss += float(torch.nn.functional.cross_entropy(logits.T, rest.y[rows], reduction="sum"))
    return _Tried(c, right / len(rest.y), loss / len(rest.y))
