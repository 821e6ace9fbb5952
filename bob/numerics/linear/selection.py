"""Choice of the penalty of a logistic regression on held-out rows, then a fit of all rows.

Rows are held out as one part of train, or as each of several folds in turn (the mean over folds
decides). All fits share one preparation of the features: the eigenbasis, and the rows in it, are
those of all of train, which changes no fit's optimum (see `bob.numerics.linear.eigenbasis`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from bob.numerics.arrays import Bools, Ints
from bob.numerics.linear.feature_rows import FeatureRows, ScaledRows, SelectedRows
from bob.numerics.linear.lbfgs import CurvaturePairs
from bob.numerics.linear.logistic_path import LogisticFit, refit, solve_path
from bob.numerics.linear.path_solver import (
    PAIR_BYTES,
    LogisticProblem,
    PathSolver,
    prepare,
    start_solver,
)
from bob.numerics.linear.softmax import Evaluation

PATH_TOLERANCE = 1e-5
"""Gap at which values are compared, relative to the decrease that their weights achieve over none.

Relative to that, because under a strong penalty the objective hardly differs from that of no
weights, while predictions depend on their direction. At 1e-2, 1e-3 and still at 1e-4 the slack
decided held-out rows near a tie that the optimum decides otherwise; from 1e-4 to 1e-5 a path takes
a third more passes.
"""
PATIENCE_DECADES = 1.0
"""The path ends this many decades of C, and three values, after its best values.

These are the highest held-out top-1 and the lowest held-out log-loss, whichever comes later.
"""
CERTAIN = 0.1
"""All train rows count as certain if the objective is below this share of the least gap scale.

There a relative gap of 1e-4 is one of 1e-3.
"""
WIDENED_DECADES = 3.0
"""How far the grid is extended, in its own step, if the best value is at its edge."""
WIDENINGS = 2
"""How often the grid is extended at most, on either side."""
ORDINARY_SPREAD = (2.0**-10, 2.0**10)
"""Spreads of features for which the values of C are those of the grid.

Between about 1e-3 and 1e3, C means what it means in published results, and the grid with its
extensions holds the best value. Elsewhere the grid follows the features (`moved`).
"""


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen fit, and how it was chosen."""

    fit: LogisticFit
    """Of all rows, at the chosen C."""
    c: float
    at_edge: bool
    """Whether the best C is still the first or last of `grid`."""
    held_out_top1: float
    """Of the fit without the held-out rows, at the chosen C; the mean over folds."""
    grid: tuple[float, ...]
    """Every C considered, ascending."""
    curve: tuple[float, ...]
    """Held-out top-1 per value of `grid`; NaN where the path had ended."""
    widened: bool
    """Whether the grid was extended."""
    spread: float
    """Root mean square of the features around their means."""
    moved: float
    """By how many decades of C the grid was moved to suit this spread."""
    certain: bool
    """Whether the path ended where all train rows are certain, so that a weaker penalty could do
    little but scale the weights."""


def select_and_refit(
    x: FeatureRows,
    y: Ints,
    classes: int,
    grid: ArrayLike,
    held_out: Bools | Ints,
    *,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> Selection:
    """Choose C of `grid` by top-1 on the `held_out` rows, then fit all (N, D) rows at it.

    `held_out` is a mask (N,) or an array of positions. `x` must be readable by index arrays, not
    only by slices.
    """
    fold = np.zeros(len(y), dtype=np.int64)
    fold[held_out] = 1
    return _select(x, y, classes, grid, fold, (1,), tolerance, device)


def select_by_folds(
    x: FeatureRows,
    y: Ints,
    classes: int,
    grid: ArrayLike,
    fold: Ints,
    *,
    tolerance: float = 1e-4,
    device: str = "cpu",
) -> Selection:
    """Choose C of `grid` by mean top-1 over folds, each held out in turn, then fit all (N, D) rows.

    `fold` (N,) holds the number of each row's fold. `x` must be readable by index arrays.
    """
    numbers = tuple(np.unique(fold).tolist())
    if len(numbers) < 2:
        raise ValueError(f"fold must hold at least 2 different numbers; got {list(numbers)!r}.")
    return _select(x, y, classes, grid, fold, numbers, tolerance, device)


def _select(
    x: FeatureRows,
    y: Ints,
    classes: int,
    grid: ArrayLike,
    fold: Ints,
    held_out: Sequence[int],
    tolerance: float,
    device: str,
) -> Selection:
    """Hold out each of the folds with the numbers `held_out`, which are ascending."""
    order = np.argsort(fold, kind="stable")
    problem = prepare(SelectedRows(x, order), np.asarray(y)[order], classes, device)
    bounds = [(int((fold < number).sum()), int((fold <= number).sum())) for number in held_out]
    values = sorted(np.asarray(grid, dtype=float).tolist())
    if not problem.spread:  # equal rows: the biases alone are fitted, alike at every C
        values = values[:1]
    decades = moved(values, problem.spread)
    search = _GridSearch(problem, bounds, [c * 10**decades for c in values] if decades else values)
    best = search.run()
    fit = refit(problem, search.theta[best.c], best.c, tolerance)
    top1 = {score.c: score.top1 for score in search.scores}
    return Selection(
        fit=fit,
        c=best.c,
        at_edge=best.c in (search.grid[0], search.grid[-1]),
        held_out_top1=best.top1,
        grid=tuple(search.grid),
        curve=tuple(top1.get(c, float("nan")) for c in search.grid),
        widened=len(search.grid) > np.size(grid),
        spread=problem.spread,
        moved=decades,
        certain=search.certain,
    )


def moved(grid: Sequence[float], spread: float) -> float:
    """Return by how many decades of C a grid moves for features with this spread.

    Features that are s times as large have the same solution at C / s². A grid moves by whole
    steps, so that features and the same features in other units of tens are compared at the same
    values. A single value is not moved: nothing is chosen.
    """
    if len(grid) < 2 or not spread or ORDINARY_SPREAD[0] <= spread <= ORDINARY_SPREAD[1]:
        return 0.0
    step = log10(grid[1] / grid[0])
    return round(-2 * log10(spread) / step) * step


@dataclass(frozen=True)
class _HeldOutScore:
    """Scores of one C on held-out rows; the mean over folds."""

    c: float
    top1: float
    log_loss: float

    @property
    def rank(self) -> tuple[float, float, float]:
        """Order: highest top-1, then lowest log-loss, then strongest regularisation."""
        return self.top1, -self.log_loss, -self.c


class _GridSearch:
    """Held-out scores on a grid and its extensions, and a θ per value for a refit to start from."""

    def __init__(
        self, problem: LogisticProblem, bounds: Sequence[tuple[int, int]], grid: list[float]
    ) -> None:
        """Hold out each of the row ranges `bounds`."""
        self.folds = [(_without(problem, *bound), _only(problem, *bound)) for bound in bounds]
        self.grid, self.scores = grid, list[_HeldOutScore]()
        self.theta: dict[float, Tensor] = {}
        self.certain = False

    def run(self) -> _HeldOutScore:
        """Score the grid, extend it while the best value is at an edge, and return the best."""
        solvers, extensible = self._solvers(), len(self.grid) > 1
        self._score_path(solvers, self.grid)
        for _ in range(WIDENINGS):
            best = self._best().c
            if best == self.grid[-1] and extensible and not self.certain:
                added = _extension(self.grid[-2:])
                self.grid = self.grid + added
                self._score_path(solvers, added)
            elif best == self.grid[0] and extensible:
                added = _extension(self.grid[1::-1])[::-1]
                self.grid = added + self.grid
                weaker, self.scores = self.scores, []
                self._score_path(self._solvers(), added)
                self.scores += weaker
        return self._best()

    def _best(self) -> _HeldOutScore:
        return max(self.scores, key=lambda score: score.rank)

    def _solvers(self) -> list[PathSolver]:
        """Return a solver per fold; their pairs share `PAIR_BYTES`."""
        solvers = [start_solver(train, train.evaluate_origin()) for train, _ in self.folds]
        for solver in solvers:
            affordable = PAIR_BYTES // (8 * solver.current.theta.numel() * len(solvers))
            solver.pairs = CurvaturePairs(max(3, min(solver.pairs.memory, affordable)))
        return solvers

    def _score_path(self, solvers: Sequence[PathSolver], values: list[float]) -> None:
        """Score ascending values until they get worse or all train rows are certain.

        Worse means: for `PATIENCE_DECADES`. Where all train rows are certain, gaps are no longer
        relative to the objective (`bob.numerics.linear.path_solver.MIN_OBJECTIVE`), so that weights
        further along the path would depend on the iterates before them; and a weaker penalty could
        do little but scale them.
        """
        paths = [solve_path(solver, values, PATH_TOLERANCE, comparing=True) for solver in solvers]
        for solved in zip(*paths, strict=True):
            c = solved[0][0]
            self.theta[c] = solvers[0].current.theta
            fold_scores = [
                _score(held_out, solver.current)
                for solver, (_, held_out) in zip(solvers, self.folds, strict=True)
            ]
            self.scores.append(_HeldOutScore(c, *np.mean(fold_scores, 0).tolist()))
            if len(solvers) > 1:
                for solver in solvers:  # one fold's residuals in memory at a time: recomputed later
                    solver.current = replace(solver.current, residuals=None)
            self.certain = all(
                solver.current.objective(solver.penalty) < CERTAIN * solver.problem.gap_scale(0.0)
                for solver in solvers
            )
            if self.certain or self._past_best(c):
                return

    def _past_best(self, c: float) -> bool:
        """Return whether C is `PATIENCE_DECADES` and three values past the best ones."""
        lowest_loss = min(self.scores, key=lambda score: (score.log_loss, -score.c)).c
        turning_point = max(self._best().c, lowest_loss)
        return (
            log10(c / turning_point) >= PATIENCE_DECADES
            and sum(score.c > turning_point for score in self.scores) >= 3
        )


def _extension(pair: list[float]) -> list[float]:
    """Return values after the second of a pair, in the ratio of the pair."""
    step = log10(pair[1] / pair[0])
    count = max(1, round(WIDENED_DECADES / abs(step)))
    return [float(10 ** (log10(pair[1]) + step * i)) for i in range(1, count + 1)]


@dataclass(frozen=True, eq=False)
class _RowsWithoutRange:
    """All rows but those from `start` to `stop`; only a block that spans the gap is copied."""

    x: FeatureRows | Tensor
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
        if isinstance(before, Tensor):
            return torch.cat((before, after))
        return np.concatenate((before, after))


def _without(problem: LogisticProblem, start: int, stop: int) -> LogisticProblem:
    """Return the problem without the rows from `start` to `stop`."""
    fast, exact = (
        replace(blocks, x=_RowsWithoutRange(blocks.x, start, stop))
        for blocks in (problem.fast, problem.exact)
    )
    y = torch.cat((problem.y[:start], problem.y[stop:]))
    return replace(problem, fast=fast, exact=exact, y=y, passes=0)


def _only(problem: LogisticProblem, start: int, stop: int) -> LogisticProblem:
    """Return the problem of the rows from `start` to `stop` alone."""
    fast, exact = (
        replace(blocks, x=_slice_rows(blocks.x, slice(start, stop)))
        for blocks in (problem.fast, problem.exact)
    )
    return replace(problem, fast=fast, exact=exact, y=problem.y[start:stop], passes=0)


def _slice_rows(x: FeatureRows | Tensor, rows: slice) -> Any:
    if isinstance(x, ScaledRows):
        return ScaledRows(_slice_rows(x.x, rows), x.scale)
    return SelectedRows(x.x, x.index[rows]) if isinstance(x, SelectedRows) else x[rows]


def _score(held_out: LogisticProblem, evaluation: Evaluation) -> tuple[float, float]:
    """Return top-1 and mean log-loss on held-out rows."""
    blocks, y = held_out.fast, held_out.y
    theta = evaluation.theta.to(blocks.dtype)
    weight, correct, loss = blocks.to_blocks(theta[:, :-1]), 0, 0.0
    for rows in blocks.slices:
        logits = torch.addmm(theta[:, -1:], weight, blocks.block(rows).T)
        correct += int((logits.argmax(0) == y[rows]).sum())
        loss += float(torch.nn.functional.cross_entropy(logits.T, y[rows], reduction="sum"))
    return correct / len(y), loss / len(y)
