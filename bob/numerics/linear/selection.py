"""Choice of the penalty of a logistic regression on held-out rows, then a fit of all rows.

Rows are held out as one part of train, or as each of several folds in turn (the mean over folds
decides). All fits share one preparation of the features: the eigenbasis, and the rows in it, are
those of all of train, which changes no fit's optimum (see `bob.numerics.linear.eigenbasis`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import ArrayLike

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.linear.feature_rows import FeatureRows, SelectedRows
from bob.numerics.linear.grid_search import GridSearch
from bob.numerics.linear.logistic_path import LogisticFit, original_weights, refit
from bob.numerics.linear.path_solver import prepare

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
    """Held-out top-1 per value of `grid`; NaN where it was not solved.

    Values that are not near the best are solved to the loose gap alone.
    """
    widened: bool
    """Whether the grid was extended."""
    spread: float
    """Root mean square of the features around their means."""
    moved: float
    """By how many decades of C the grid was moved to suit this spread."""
    certain: bool
    """Whether the path ended where all train rows are certain, so that a weaker penalty could do
    little but scale the weights."""
    rule: str
    """What decided: 'top1', 'log_loss' if equal, or 'strongest_penalty' if equal too, or equal
    within its error at the weak edge of the grid; or 'standard_error', where a value that is solved
    loosely is better, within the error of the paired outcomes."""
    end: str
    """Why no weaker penalty was tried; see `bob.numerics.linear.grid_search.GridSearch`."""
    precise: int
    """Number of values that were solved to the tight gap: the best, or all that might have been."""
    held_out_weights: tuple[Doubles, Doubles]
    """Weights (C, D) and biases (C,) at the chosen C without the held-out rows, or without the
    first fold, to `PATH_TOLERANCE` or closer."""
    path_passes: int
    """Passes over the rows that are not held out, for all values and folds."""

    @property
    def tried(self) -> int:
        """Number of values that were scored."""
        return int(np.isfinite(self.curve).sum())


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
    search = GridSearch(problem, bounds, [c * 10**decades for c in values] if decades else values)
    best = search.run()
    refined = search.solvers[0].refined
    fit = refit(problem, search.theta[best.c][0], best.c, tolerance, refined)
    top1 = {c: score.top1 for c, score in search.scores.items()}
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
        rule=search.rule,
        end=search.end,
        precise=sum(score.precise for score in search.scores.values()),
        held_out_weights=original_weights(problem, search.theta[best.c][0]),
        path_passes=sum(train.passes for train, _ in search.folds),
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
