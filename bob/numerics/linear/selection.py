"""The strength of a logistic regression, chosen on rows that it was not fitted on, then a fit of all rows at it.

On one held-out part of train, or on each of several folds in turn (the mean over folds decides). All fits share one preparation of the features: the
basis and the rows in it are those of all of train, which changes no fit's optimum (see `bob.numerics.linear.eigenbasis`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bob.numerics.linear.eigenbasis import Picked, Rows, Source
from bob.numerics.linear.lbfgs import Pairs
from bob.numerics.linear.logistic_path import Fit, refit, walk
from bob.numerics.linear.path_solver import PAIR_BYTES, Problem, Walker, prepare, walker_at
from bob.numerics.linear.softmax import Point

PATH_TOLERANCE = 1e-5
"""Gap at which a value is compared with others, relative to what its weights gain over none: under a strong penalty the objective hardly differs from
that of no weights, while predictions depend on their direction. At 1e-2, 1e-3 and still at 1e-4 the slack decided held-out rows that the optimum
did not have near a tie; from 1e-4 to 1e-5 a path takes a third as many passes again."""
PATIENCE_DECADES = 1.0
"""The path ends this many decades of C, and three values, after both the highest held-out top-1 and the lowest log-loss."""
CERTAIN = 0.1
"""Every train row is certain where the objective is below this share of the least that gaps are relative to: there one of 1e-4 is one of 1e-3."""
WIDENED_DECADES = 3.0
"""How far the grid is continued, in its own step, where the best value lies on its edge."""
WIDENINGS = 2
"""Times that the grid is continued on either side."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen fit, and how it was chosen."""

    fit: Fit
    """Of all rows, at the chosen C."""
    c: float
    at_edge: bool
    """The best C is still the first or last of `grid`."""
    held_out_top1: float
    """Of the fit without the held-out rows, at the chosen C; the mean over folds."""
    grid: tuple[float, ...]
    """Every C considered, ascending."""
    curve: tuple[float, ...]
    """Held-out top-1 per value of `grid`; NaN where the path had ended."""
    widened: bool


def select_and_refit(
    x: Rows, y: NDArray[np.int64], classes: int, grid: ArrayLike, held_out: NDArray[np.bool_] | NDArray[np.int64],
    *, tolerance: float = 1e-4, device: str = "cpu",
) -> Selection:  # fmt: skip
    """C of `grid` by top-1 on the `held_out` rows (a mask (N,), or indices), then a fit of all (N, D) rows at it.

    `x` is read by index arrays, not only by slices.
    """
    held = np.zeros(len(y), dtype=np.int64)
    held[held_out] = 1
    return _selected(x, y, classes, grid, held, (1,), tolerance, device)


def select_by_folds(
    x: Rows,
    y: NDArray[np.int64],
    classes: int,
    grid: ArrayLike,
    fold: NDArray[np.int64],
    *,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> Selection:
    """C of `grid` by mean top-1 over folds, each held out in turn, then a fit of all (N, D) rows at it. `fold` (N,) numbers each row's."""
    numbers = tuple(np.unique(fold).tolist())
    if len(numbers) < 2:
        raise ValueError(f"fold must hold at least 2 different numbers; got {list(numbers)!r}.")
    return _selected(x, y, classes, grid, fold, numbers, tolerance, device)


def _selected(
    x: Rows,
    y: NDArray[np.int64],
    classes: int,
    grid: ArrayLike,
    fold: NDArray[np.int64],
    held: Sequence[int],
    tolerance: float,
    device: str,
) -> Selection:
    """By the folds with the numbers `held`."""
    order = np.argsort(fold, kind="stable")
    everything = prepare(Picked(x, order), np.asarray(y)[order], classes, device)
    bounds = [(int((fold < number).sum()), int((fold <= number).sum())) for number in held]
    search = _Search(everything, bounds, sorted(np.asarray(grid, dtype=float).tolist()))
    best = search.best()
    fit = refit(everything, search.theta[best.c], best.c, tolerance)
    top1 = {one.c: one.top1 for one in search.tried}
    return Selection(
        fit=fit,
        c=best.c,
        at_edge=best.c in (search.values[0], search.values[-1]),
        held_out_top1=best.top1,
        grid=tuple(search.values),
        curve=tuple(top1.get(c, float("nan")) for c in search.values),
        widened=len(search.values) > np.size(grid),
    )


@dataclass(frozen=True)
class _Tried:
    """A value of C on held-out rows. Best: highest top-1, then lowest log-loss, then strongest regularisation."""

    c: float
    top1: float
    loss: float

    @property
    def rank(self) -> tuple[float, float, float]:
        return self.top1, -self.loss, -self.c


class _Search:
    """Every value tried, the grid with its continuations, and a θ of each value tried, from which a refit can start."""

    def __init__(
        self, everything: Problem, bounds: Sequence[tuple[int, int]], values: list[float]
    ) -> None:
        self.parts = [(_without(everything, *bound), _only(everything, *bound)) for bound in bounds]
        self.values, self.tried = values, list[_Tried]()
        self.theta: dict[float, Tensor] = {}
        self.certain = False

    def best(self) -> _Tried:
        """After the grid, and its continuations where the best value lies on an edge."""
        walkers, several = self._walkers(), len(self.values) > 1
        self._path(walkers, self.values)
        for _ in range(WIDENINGS):
            best = max(self.tried, key=lambda one: one.rank).c
            if best == self.values[-1] and several and not self.certain:
                more = _continued(self.values[-2:])
                self.values = self.values + more
                self._path(walkers, more)
            elif best == self.values[0] and several:
                more = _continued(self.values[1::-1])[::-1]
                self.values = more + self.values
                later, self.tried = self.tried, []
                self._path(self._walkers(), more)
                self.tried += later
        return max(self.tried, key=lambda one: one.rank)

    def _walkers(self) -> list[Walker]:
        """One for each part; all together keep their pairs in `PAIR_BYTES`."""
        walkers = [walker_at(part, part.origin()) for part, _ in self.parts]
        for walker in walkers:
            most = PAIR_BYTES // (8 * walker.point.theta.numel() * len(walkers))
            walker.pairs = Pairs(max(3, min(walker.pairs.memory, most)))
        return walkers

    def _path(self, walkers: Sequence[Walker], values: list[float]) -> None:
        """Values from strong to weak regularisation, until they have got worse for `PATIENCE_DECADES` or every train row is certain.

        Gaps are then no longer relative to the objective (`bob.numerics.linear.path_solver.FLOOR`), so that weights further on would depend on the way to
        them; and a weaker penalty could do little but scale them.
        """
        for steps in zip(
            *(walk(walker, values, PATH_TOLERANCE, of_gain=True) for walker in walkers), strict=True
        ):
            c = steps[0][0]
            self.theta[c] = walkers[0].point.theta
            scores = [
                _score(rest, walker.point)
                for walker, (_, rest) in zip(walkers, self.parts, strict=True)
            ]
            self.tried.append(_Tried(c, *np.mean(scores, 0).tolist()))
            if len(walkers) > 1:
                for walker in walkers:  # one set of residuals at a time: they are computed again
                    walker.point = replace(walker.point, residuals=None)
            self.certain = all(
                walker.point.objective(walker.penalty) < CERTAIN * walker.problem.scale(0.0)
                for walker in walkers
            )
            if self.certain or self._turned(c):
                return

    def _turned(self, c: float) -> bool:
        turned = max(
            max(self.tried, key=lambda one: one.rank).c,
            min(self.tried, key=lambda one: (one.loss, -one.c)).c,
        )
        return (
            log10(c / turned) >= PATIENCE_DECADES and sum(one.c > turned for one in self.tried) >= 3
        )


def _continued(pair: list[float]) -> list[float]:
    """Values after the second of a pair, in the ratio of the pair."""
    step = log10(pair[1] / pair[0])
    count = max(1, round(WIDENED_DECADES / abs(step)))
    return [float(10 ** (log10(pair[1]) + step * i)) for i in range(1, count + 1)]


@dataclass(frozen=True, eq=False)
class _Apart:
    """All rows but those from `start` to `stop`; nothing is copied but a block across the gap."""

    x: Rows | Tensor
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.x.shape[0] - self.stop + self.start, *self.x.shape[1:])

    def __getitem__(self, rows: slice, /) -> Any:
        gap = self.stop - self.start
        if rows.stop <= self.start:
            return self.x[rows]
        if rows.start >= self.start:
            return self.x[rows.start + gap : rows.stop + gap]
        before, after = self.x[rows.start : self.start], self.x[self.stop : rows.stop + gap]
        return (
            torch.cat((before, after))
            if isinstance(before, Tensor)
            else np.concatenate((before, after))
        )


def _without(task: Problem, start: int, stop: int) -> Problem:
    """A problem's rows without those of a slice."""
    fast, exact = (
        replace(source, x=_Apart(source.x, start, stop)) for source in (task.fast, task.exact)
    )
    return Problem(
        fast, exact, torch.cat((task.y[:start], task.y[stop:])), task.classes, task.workers
    )


def _only(task: Problem, start: int, stop: int) -> Problem:
    """Those of a slice alone."""
    fast, exact = (
        replace(source, x=_sliced(source, slice(start, stop))) for source in (task.fast, task.exact)
    )
    return Problem(fast, exact, task.y[start:stop], task.classes, task.workers)


def _sliced(source: Source, rows: slice) -> Any:
    x = source.x
    return Picked(x.x, x.index[rows]) if isinstance(x, Picked) else x[rows]


def _score(rest: Problem, point: Point) -> tuple[float, float]:
    """Top-1 and mean log-loss on held-out rows."""
    theta = point.theta.to(rest.fast.dtype)
    weight, right, loss = rest.fast.outward(theta[:, :-1]), 0, 0.0
    for rows in rest.fast.cuts:
        logits = torch.addmm(theta[:, -1:], weight, rest.fast.block(rows).T)
        right += int((logits.argmax(0) == rest.y[rows]).sum())
        loss += float(torch.nn.functional.cross_entropy(logits.T, rest.y[rows], reduction="sum"))
    return right / len(rest.y), loss / len(rest.y)
