"""L-BFGS on the softmax objective, at one strength of regularisation after another. The method is told in `bob.numerics.linear.logistic_path`."""

from dataclasses import dataclass, field
from functools import cached_property
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.linear.duality_gap import Candidate, Seen, foreseen, gap_bound
from bob.numerics.linear.eigenbasis import Rows, Source, Spectrum, source, spectrum
from bob.numerics.linear.hessian import Factor, Hessian, hessian, is_small
from bob.numerics.linear.lbfgs import Pairs
from bob.numerics.linear.preconditioner import Curvature, Metric, curvature
from bob.numerics.linear.softmax import Point, evaluate
from bob.numerics.threads import threads

MEMORY = 30
"""Curvature pairs kept; fewer where they would not fit in `PAIR_BYTES`."""
PAIR_BYTES = 1 << 30
FLOOR = 1e-3
"""Objectives below this share of log(classes) count as this: there a relative gap means nothing for the predictions."""
ABSENT_NATS = 30.0
MAX_PASSES = 500
"""Per value and precision."""
HALVINGS = 12
"""Trials of one line search."""
RENEW_EVERY = 25
"""Steps for which one point's curvature serves."""
STALE = 2.0
"""It serves until the penalty has become this many times weaker."""
RENEW_HESSIAN = 3
"""Steps for which the whole Hessian serves; it is that of the penalty at hand too."""
COUPLED_AFTER = 12
"""Steps at one value after which curvature holds the contested pairs of classes, there and for all weaker penalties."""
COUPLED_PASSES = 10
"""What inverting the matrix of the pairs may cost."""
LEAST_PAIRS = 512
"""This many always: their matrix costs no more than the many calls of a small pass."""
MOST_PAIRS = 2560
LOOK_EVERY = 2
"""Steps between two looks for a point of the dual other than the present one, for the bound."""
LOOK_BELOW = 1.0
"""They begin once a step promised no more than this many times the gap wanted."""
SMALL = 1 << 20
"""Weights of fewer entries are stepped by one thread: see `bob.numerics.threads`."""


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
    entropy: float = field(init=False)
    """Of the labels, nats: the objective without weights."""

    @property
    def spectrum(self) -> Spectrum:
        return self.fast.spectrum

    def evaluate(self, theta: Tensor, exact: bool = False) -> Point:
        self.passes += 1
        return evaluate(
            self.exact if exact else self.fast, self.y, theta, self.workers, self._empty
        )

    @property
    def small(self) -> bool:
        return is_small(self.classes, self.spectrum)

    def curvature(self, point: Point, coupled: bool) -> Curvature | Hessian:
        """Where `coupled` with pairs of classes, or, of a small problem, all of it."""
        self.passes += 1
        if coupled and self.small:
            return hessian(self.exact, self.y, point, self.workers)
        return curvature(
            self.fast, self.y, point, self.workers, self._pairs(point) if coupled else 0
        )

    @cached_property
    def _empty(self) -> Tensor | None:
        """Classes without rows."""
        empty = (torch.bincount(self.y, minlength=self.classes) == 0).nonzero()[:, 0]
        return empty if len(empty) else None

    def _pairs(self, point: Point) -> int:
        """How many make a matrix whose inversion costs about `COUPLED_PASSES`."""
        classes, width = point.theta.shape
        worth = round(float(np.cbrt(COUPLED_PASSES * 4 * len(self.y) * width * classes)))
        return min(max(worth, LEAST_PAIRS), MOST_PAIRS, len(self.y) * (classes - 1))

    def origin(self) -> Point:
        """No weights, the bias at its optimum: the answer for λ = ∞."""
        share = torch.bincount(self.y, minlength=self.classes).double() / len(self.y)
        theta = share.new_zeros(self.classes, len(self.spectrum.eigenvalue) + 1)
        theta[:, -1] = share.log().clamp_(min=float(share.max().log()) - ABSENT_NATS)
        point = self.evaluate(theta)
        self.entropy = point.loss
        return point

    def scale(self, objective: float) -> float:
        """What a gap is relative to."""
        return max(objective, FLOOR * log(max(self.classes, 2)))


def prepare(x: Rows, y: NDArray[np.int64], classes: int, device: str) -> Problem:
    """Features prepared once, for any number of values."""
    basis = spectrum(x, device)
    fast, exact = (
        source(x, basis, torch.float32, classes),
        source(x, basis, torch.float64, classes, resident=is_small(classes, basis)),
    )
    workers = torch.get_num_threads() if device == "cpu" else 1
    return Problem(
        fast, exact, torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device), classes, workers
    )


@dataclass(eq=False)
class Walker:
    """Minimises one problem at one λ after another."""

    problem: Problem
    point: Point
    pairs: Pairs
    seen: Seen
    penalty: float = 0.0
    curvature: Curvature | Hessian | None = field(default=None, init=False)
    """Of a point on the way; None where the next step wants that of its own point."""
    coupled: bool = field(default=False, init=False)
    """Steps have become many, so that curvature holds contested pairs."""
    initial: Metric | Factor = field(init=False)
    initial_penalty: float = field(default=0.0, init=False)
    promised: float = field(default=float("inf"), init=False)
    """What the last step was expected to gain."""

    def move(self, penalty: float) -> None:
        """To another λ: pairs stay true, and curvature serves while λ is near."""
        if self.penalty:
            penalised = torch.ones(self.point.theta.shape[1], device=self.point.theta.device)
            penalised[-1] = 0
            self.pairs.shift((penalty - self.penalty) * penalised)
        self.penalty, self.promised = penalty, float("inf")
        if penalty * STALE < self.initial_penalty or self.newton:
            self.curvature = None

    @property
    def newton(self) -> bool:
        """Steps are Newton's, by the whole Hessian, and all passes in float64."""
        return self.coupled and self.problem.small

    def evaluate(self, theta: Tensor, exact: bool = False) -> Point:
        return self.problem.evaluate(theta, exact or self.newton)

    def minimise(self, tolerance: float, exact: bool = False, of_gain: bool = False) -> float:
        """Moves `point` until its relative gap is at most `tolerance`, where asked also relative to the gain over no weights; the gap.

        Ends early where rounding or the pass limit stops progress.
        """
        last, steps = self.problem.passes + MAX_PASSES, 0
        while True:
            objective = self.point.objective(self.penalty)
            scale = self.problem.scale(objective)
            allowed = tolerance * (
                min(scale, max(self.problem.entropy - objective, 0.0)) if of_gain else scale
            )
            ended = self.problem.passes >= last
            look = steps % LOOK_EVERY == 0 and self.promised <= LOOK_BELOW * allowed
            gap = self._bound(allowed, exact, look, final=ended)
            if gap <= allowed or ended:
                return gap / scale
            if not (self._step(exact) or self._renewed_step(exact)):
                return self._bound(allowed, exact, look=True, final=True) / scale
            steps += 1
            if self.newton:
                self.curvature = None if steps % RENEW_HESSIAN == 0 else self.curvature
            elif (
                steps % RENEW_EVERY == 0 or (steps == COUPLED_AFTER and not self.coupled)
            ) and not exact:
                self.coupled, self.curvature = True, None
                self.point = self.evaluate(self.point.theta) if self.newton else self.point

    def _bound(self, allowed: float, exact: bool, look: bool, final: bool) -> float:
        """Of the gap: from this point alone; where that does not do and `look`, with its contested rows moved, then from a mixture of points."""
        source, y, curvature = (
            self.problem.exact if exact or self.newton else self.problem.fast,
            self.problem.y,
            self.curvature,
        )
        alone = gap_bound(
            source, self.point, y, self.penalty, allowed, Candidate(self.point.slope), final
        )
        if alone <= allowed or not (look or final) or curvature is None:
            return alone
        bound = alone
        if (
            isinstance(curvature, Curvature)
            and curvature.pairs is not None
            and self.point.residuals is not None
        ):
            assert isinstance(self.initial, Metric)
            point, candidate = foreseen(self.point, y, self.penalty, self.initial, curvature.pairs)
            bound = min(bound, gap_bound(source, point, y, self.penalty, allowed, candidate, final))
        if bound <= allowed:
            return bound
        mixture = self.seen.mixed(self.point, self.penalty, curvature.shift)
        return min(bound, gap_bound(source, self.point, y, self.penalty, allowed, mixture, final))

    def _renewed_step(self, exact: bool) -> bool:
        """A step from curvature of this very point, and no pairs: where the old ones mislead."""
        if exact and not self.newton:
            return False
        self.curvature, self.pairs = None, Pairs(self.pairs.memory)
        return self._step(exact)

    def _step(self, exact: bool) -> bool:
        """One L-BFGS step with a backtracking line search; False where no step lowers the objective."""
        gradient, initial = self.point.gradient(self.penalty), self._initial()
        direction = self.pairs.direction(gradient.to(self._dtype), initial).double()
        slope, size = float((gradient * direction).sum()), 1.0
        if slope >= 0:
            return False
        for _ in range(HALVINGS):
            point = self.evaluate(self.point.theta + size * direction, exact)
            if self.accept(point, -1e-4 * size * slope):
                self.promised = -slope / 2
                return True
            ahead = float((point.gradient(self.penalty) * direction).sum())
            size *= min(0.7, max(0.1, slope / (slope - ahead))) if ahead > 0 else 0.5
        return False

    def _initial(self) -> Metric | Factor:
        if self.curvature is None:
            self.curvature = self.problem.curvature(self.point, self.coupled)
            if self.newton:
                self.pairs = Pairs(
                    self.pairs.memory
                )  # all of them say less than the Hessian of this very point
            with threads(self.problem.workers if self.coupled else torch.get_num_threads()):
                self.initial, self.initial_penalty = (
                    self.curvature.initial(self.penalty),
                    self.penalty,
                )
        return self.initial

    @property
    def _dtype(self) -> torch.dtype:
        """Of pairs."""
        return torch.float64 if self.newton else torch.float32

    def accept(self, point: Point, decrease: float) -> bool:
        """Take the point where it lowers the objective by `decrease`."""
        if not point.objective(self.penalty) < self.point.objective(self.penalty) - decrease:
            return False
        step, change = (
            point.theta - self.point.theta,
            point.gradient(self.penalty) - self.point.gradient(self.penalty),
        )
        self.pairs.add(step.to(self._dtype), change.to(self._dtype))
        self.point = point
        self.seen.add(point)
        return True


def walker_at(task: Problem, point: Point) -> Walker:
    walker = Walker(
        task,
        point,
        Pairs(max(3, min(MEMORY, PAIR_BYTES // (8 * point.theta.numel())))),
        Seen(point.theta.numel()),
    )
    walker.seen.add(point)
    return walker
