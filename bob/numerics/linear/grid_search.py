"""Search of a grid of penalties for the best on held-out rows, by two rounds of solutions.

1. Values half a decade apart are solved to a loose gap, from strong to weak penalty, until later
   ones would be worse; then those between them that are next to one that may be the best.
2. The best is solved to a tight gap, and chosen unless another is then better beyond the error of
   the paired outcomes. Where that is cheap, all that may be the best are, and the best is chosen.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import log, log10, prod, sqrt

from torch import Tensor

from bob.numerics.linear.held_out import HeldOutScore, outcomes
from bob.numerics.linear.lbfgs import CurvaturePairs
from bob.numerics.linear.logistic_path import minimise, solve_from, solve_path
from bob.numerics.linear.path_solver import PAIR_BYTES, LogisticProblem, PathSolver, start_solver
from bob.numerics.linear.row_ranges import problem_of, problem_without

ROUGH_TOLERANCE = 1e-2
"""Gap at which the first round gives up a value past the best that is worse than it."""
FIRST_TOLERANCE = 1e-3
"""Gap of the first round, relative to the decrease that the weights achieve over none.

Relative to that, because under a strong penalty the objective hardly differs from that of no
weights, while predictions depend on their direction.
"""
PATH_TOLERANCE = 1e-4
"""Gap of the second round, likewise."""
SMALL_TOLERANCE = 1e-5
"""The same where the full Hessian is affordable: from the loose gap it takes a step or two."""
SLACK = 1 / 16
"""In the first round a value that is 1 + SLACK · √H of H held-out rows behind may be the best.

On 48 problems with 12 to 1,001 held-out rows, the second round changed at most one row, or this
many, of a value near the best in 45, and at most three rows in any.
"""
COARSE_DECADES = 0.5
"""The first round goes along the grid in steps of at most this many decades of C."""
NEIGHBOUR_DECADES = 1.3
"""Solutions this near to the best are kept: values between two start on a cubic through four."""
PATIENCE_DECADES = 1.0
"""The path ends this many decades of C, and three values of the grid, after its best values.

These are the highest held-out top-1 and the lowest held-out log-loss, whichever comes later.
"""
PATIENCE_VALUES = 2
"""It ends as many values of the grid after these if the last has fewer rows right beyond their
paired error."""
CERTAIN = 0.1
"""All train rows count as certain if the objective is below this share of the least gap scale.

There a relative gap of 1e-4 is one of 1e-3.
"""
WIDENED_DECADES = 3.0
"""How far the grid is extended, in its own step, if the best value is at its edge."""
WIDENINGS = 2
"""How often the grid is extended at most, on either side."""


class GridSearch:
    """Held-out scores on a grid and its extensions, and a θ per value that may be the best."""

    certain = False
    """Whether the path ended where all train rows are certain."""
    end = "grid"
    """Why the path ended: 'grid', 'certain', 'decade past the best' or 'worse than the best'."""

    def __init__(
        self, problem: LogisticProblem, bounds: Sequence[tuple[int, int]], grid: list[float]
    ) -> None:
        """Hold out each of the row ranges `bounds`."""
        self.folds = [(problem_without(problem, *b), problem_of(problem, *b)) for b in bounds]
        self.grid = grid
        self.scores: dict[float, HeldOutScore] = {}
        self.theta: dict[float, list[Tensor]] = {}
        """Per fold, of values that may be the best."""
        self.neighbours: dict[float, list[Tensor]] = {}
        """The same of solved values near the best."""
        self.solvers = self._solvers()

    def run(self) -> HeldOutScore:
        """Score the grid, extend it while the best value is at an edge, and return the best."""
        extensible = len(self.grid) > 1
        self._score_path(self.grid)
        for _ in range(WIDENINGS):
            best = self._best().c
            if best == self.grid[-1] and extensible and not self.certain:
                added = _extension(self.grid[-2:])
                self.grid = self.grid + added
                self._score_path(added)
            elif best == self.grid[0] and extensible:
                added = _extension(self.grid[1::-1])[::-1]
                self.grid = added + self.grid
                self.solvers = self._solvers()
                self._score_path(added)
        return self._best()

    def _is_past(self, path: Sequence[HeldOutScore], c: float) -> bool:
        """Score a rough solution at C, if the best is before the end of the path so far.

        Return whether it is worse than the best beyond the error of the paired outcomes.
        """
        if not path or path[-1] is (best := max(path, key=lambda score: score.rank)):
            return False
        self._score(c, precise=False)
        return self.scores[c].fewer_right(best)

    @property
    def rule(self) -> str:
        """What decided between the best value and all others."""
        best = self._leader()
        if self._inside(best) is not best:
            return "strongest_penalty"
        tied = [score for score in self._candidates if score.top1 >= best.top1]
        if any(score.rank > best.rank for score in tied):
            return "standard_error"
        if len(tied) == 1:
            return "top1"
        tied = [score for score in tied if score.log_loss == best.log_loss]
        return "log_loss" if len(tied) == 1 else "strongest_penalty"

    @property
    def _small(self) -> bool:
        return self.folds[0][0].small

    @property
    def _candidates(self) -> list[HeldOutScore]:
        """Scores of the values whose θ is kept.

        A discarded one may have a better score: where scores differ by rounding, a loose solution
        can discard a precise one and then turn out to be worse.
        """
        return [self.scores[c] for c in self.theta]

    def _best(self) -> HeldOutScore:
        """Solve values that may be the best to the tight gap, and return the best."""
        self._fill()
        while pending := self._pending():
            for c in pending:
                self._solve(c, self.theta[c], precise=True)
            self._discard_worse()
        return self._inside(self._leader())

    def _pending(self) -> list[float]:
        """Return the values to solve to the tight gap: the best, or all that may be if cheap."""
        values = sorted(self.theta) if self._small else [self._leader().c]
        return [c for c in values if not self.scores[c].precise]

    def _leader(self) -> HeldOutScore:
        """Return the best value, or the best solved to `PATH_TOLERANCE` if that is tied with it.

        At the loose gap, the slack decides a row or two near a tie.
        """
        best = max(self._candidates, key=lambda score: score.rank)
        precise = [score for score in self._candidates if score.precise]
        if not precise:
            return best
        solved = max(precise, key=lambda score: score.rank)
        return best if solved.fewer_right(best) else solved

    def _inside(self, best: HeldOutScore) -> HeldOutScore:
        """Return the best value but for one at the weak edge of the grid that is no better.

        Of few features the held-out log-loss falls with C without end, ever less.
        """
        inside = [score for score in self._candidates if score.c < self.grid[-1]]
        if best.c != self.grid[-1] or not inside or self.certain:
            return best
        other = max(inside, key=lambda score: score.rank).c
        if not self.scores[other].precise:
            self._solve(other, self.theta[other], precise=True)
        tied = self.scores[other].same_rows_right(best)
        return self.scores[other] if tied and not self.scores[other].less_likely(best) else best

    def _fill(self) -> None:
        """Solve the values of the grid that are next to one that may be the best, loosely."""
        solved = sorted(self.scores)
        for ends in pairwise(solved):
            if any(c in self.theta for c in ends):
                for c in [c for c in self.grid if ends[0] < c < ends[1]]:
                    self._solve(c, self._interpolated(c), precise=False)
        self._discard_worse()

    def _interpolated(self, c: float) -> list[Tensor]:
        """Return θ per fold at C from the nearest solved values, up to two on each side.

        It is on the polynomial in log C through these, or that of the nearest if one side has none.
        """
        ascending = sorted(self.neighbours)
        below = [other for other in ascending if other < c]
        above = [other for other in ascending if other > c]
        if not below or not above:
            return self.neighbours[(below[-1:] or above)[0]]
        nodes = below[-2:] + above[:2]
        shares = [
            prod(log(c / other) / log(node / other) for other in nodes if other != node)
            for node in nodes
        ]
        folds = zip(*(self.neighbours[node] for node in nodes), strict=True)
        return [_weighted_sum(shares, fold) for fold in folds]

    def _solve(self, c: float, start: list[Tensor], precise: bool) -> None:
        tight = SMALL_TOLERANCE if self._small else PATH_TOLERANCE
        for solver, theta in zip(self.solvers, start, strict=True):
            solve_from(solver, theta, c, tight if precise else FIRST_TOLERANCE)
        self._score(c, precise)

    def _score(self, c: float, precise: bool) -> None:
        """Score the solvers' iterates at C."""
        right, loss = zip(
            *(
                outcomes(held_out, solver.current)
                for solver, (_, held_out) in zip(self.solvers, self.folds, strict=True)
            ),
            strict=True,
        )
        self.scores[c] = HeldOutScore(c, right, loss, precise)
        self.theta[c] = self.neighbours[c] = [solver.current.theta for solver in self.solvers]
        if len(self.solvers) > 1:
            for solver in self.solvers:  # one fold's residuals in memory at a time: computed again
                solver.current = replace(solver.current, residuals=None)

    def _discard_worse(self) -> None:
        """Discard θ of values that are not the best: too far behind, or less likely if as good.

        A value that was discarded does not return, even if the second round lowers the leader.
        """
        leader = max((self.scores[c] for c in self.theta), key=lambda score: score.rank)
        slack = 1 + SLACK * sqrt(leader.rows)
        for c in list(self.theta):
            score = self.scores[c]
            behind = (leader.top1 - score.top1) * leader.rows
            equal = score.same_rows_right(leader)
            if behind > slack or (equal and score.less_likely(leader)):
                del self.theta[c]
        for c in list(self.neighbours):
            if c not in self.theta and abs(log10(c / leader.c)) > NEIGHBOUR_DECADES:
                del self.neighbours[c]

    def _solvers(self) -> list[PathSolver]:
        """Return a solver per fold; their pairs share `PAIR_BYTES`."""
        solvers = [start_solver(train, train.evaluate_origin()) for train, _ in self.folds]
        for solver in solvers:
            affordable = PAIR_BYTES // (8 * solver.current.theta.numel() * len(solvers))
            solver.pairs = CurvaturePairs(max(3, min(solver.pairs.memory, affordable)))
        return solvers

    def _score_path(self, values: list[float]) -> None:
        """Score ascending values until they get worse or all train rows are certain.

        Where all train rows are certain, gaps are no longer relative to the objective
        (`bob.numerics.linear.path_solver.MIN_OBJECTIVE`), so that weights further along the path
        would depend on the iterates before them; and a weaker penalty could do little but scale
        them.
        """
        self.end = "grid"
        stride = _stride(values)
        coarse = sorted({*values[::stride], values[-1]})
        paths = [solve_path(s, coarse, ROUGH_TOLERANCE, comparing=True) for s in self.solvers]
        path: list[HeldOutScore] = []
        for solved in zip(*paths, strict=True):
            c = solved[0][0]
            if not self._is_past(path, c):
                for solver in self.solvers:
                    minimise(solver, FIRST_TOLERANCE, comparing=True)
                self._score(c, precise=False)
            self._discard_worse()
            path.append(self.scores[c])
            self.certain = all(
                solver.current.objective(solver.penalty) < CERTAIN * solver.problem.gap_scale(0.0)
                for solver in self.solvers
            )
            if end := "certain" if self.certain else _end_of(path, stride):
                self.end = end
                return


def _weighted_sum(shares: Sequence[float], thetas: Sequence[Tensor]) -> Tensor:
    total = shares[0] * thetas[0]
    for share, theta in zip(shares[1:], thetas[1:], strict=True):
        total.add_(theta, alpha=share)
    return total


def _stride(values: Sequence[float]) -> int:
    """Return how many values of an evenly spaced grid are at most `COARSE_DECADES`."""
    if len(values) < 3:
        return 1
    return max(1, int(COARSE_DECADES / log10(values[1] / values[0]) + 1e-6))


def _end_of(path: Sequence[HeldOutScore], stride: int = 1) -> str:
    """Return why the path may end with its last value; '' where it may not.

    It holds every value of the grid, or one in `stride`.
    """
    best, last = max(path, key=lambda score: score.rank), path[-1]
    lowest_loss = min(path, key=lambda score: (score.log_loss, -score.c))
    turning_point = max(best.c, lowest_loss.c)
    past = stride * sum(score.c > turning_point for score in path)
    if past >= PATIENCE_VALUES and last.fewer_right(best):
        return "worse than the best"
    if past >= 3 and log10(last.c / turning_point) >= PATIENCE_DECADES:
        return "decade past the best"
    return ""


def _extension(pair: list[float]) -> list[float]:
    """Return values after the second of a pair, in the ratio of the pair."""
    step = log10(pair[1] / pair[0])
    count = max(1, round(WIDENED_DECADES / abs(step)))
    return [float(10 ** (log10(pair[1]) + step * i)) for i in range(1, count + 1)]
