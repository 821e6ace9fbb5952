"""L-BFGS on the softmax objective, at one strength of regularisation after another. The method is told in `bob.protocols.logistic`."""

from dataclasses import dataclass, field
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.protocols.curvature import Curvature, curvature
from bob.protocols.dual import Seen, gap_bound
from bob.protocols.lbfgs import Pairs
from bob.protocols.softmax import Point, evaluate
from bob.protocols.spectrum import Rows, Source, Spectrum, source, spectrum

MEMORY = 100
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
MIX_EVERY = 2
"""Steps between two looks at a mixture of points, for the bound."""
MIX_BELOW = 4.0
"""A mixture is looked at once a step promised no more than this many times the gap wanted."""
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
    entropy: float = field(init=False)
    """Of the labels, nats: the objective without weights."""

    @property
    def spectrum(self) -> Spectrum:
        return self.fast.spectrum

    def evaluate(self, theta: Tensor, exact: bool = False) -> Point:
        self.passes += 1
        return evaluate(self.exact if exact else self.fast, self.y, theta, self.workers)

    def curvature(self, point: Point) -> Curvature:
        """Of a point of a float32 pass."""
        self.passes += 1
        return curvature(self.fast, self.y, point, self.workers)

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
    fast, exact = source(x, basis, torch.float32), source(x, basis, torch.float64)
    workers = torch.get_num_threads() if device == "cpu" else 1
    return Problem(fast, exact, torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device), classes, workers)


@dataclass(eq=False)
class Walker:
    """Minimises one problem at one λ after another."""

    problem: Problem
    point: Point
    pairs: Pairs
    seen: Seen
    penalty: float = 0.0
    curvature: Curvature | None = None
    """Of a point on the way; None where the next step wants that of its own point."""
    promised: float = field(default=float("inf"), init=False)
    """What the last step was expected to gain."""

    def move(self, penalty: float) -> None:
        """To another λ: pairs stay true."""
        if self.penalty:
            penalised = torch.ones(self.point.theta.shape[1], device=self.point.theta.device)
            penalised[-1] = 0
            self.pairs.shift((penalty - self.penalty) * penalised)
        self.penalty, self.promised = penalty, float("inf")

    def minimise(self, tolerance: float, exact: bool = False, of_gain: bool = False) -> float:
        """Moves `point` until its relative gap is at most `tolerance`, where asked also relative to the gain over no weights; the gap.

        Ends early where rounding or the pass limit stops progress.
        """
        last, steps = self.problem.passes + MAX_PASSES, 0
        while True:
            objective = self.point.objective(self.penalty)
            scale = self.problem.scale(objective)
            allowed = tolerance * (min(scale, max(self.problem.entropy - objective, 0.0)) if of_gain else scale)
            ended = self.problem.passes >= last
            mix = steps % MIX_EVERY == 0 and self.promised <= MIX_BELOW * allowed
            gap = self._bound(allowed, exact, mix, final=ended)
            if gap <= allowed or ended:
                return gap / scale
            if not (self._step(exact) or self._renewed_step(exact)):
                return self._bound(allowed, exact, mix=True, final=True) / scale
            steps += 1
            if steps % RENEW_EVERY == 0 and not exact:
                self.curvature = None

    def _bound(self, allowed: float, exact: bool, mix: bool, final: bool) -> float:
        """Of the gap: from this point alone, and where that does not do and it is asked, from a mixture of those seen."""
        source = self.problem.exact if exact else self.problem.fast
        alone = gap_bound(source, self.point, self.problem.y, self.penalty, allowed, (self.point.slope, 0.0, 1.0), final)
        if alone <= allowed or not (mix or final) or self.curvature is None:
            return alone
        mixture = self.seen.mixed(self.point, self.penalty, self.curvature)
        return min(alone, gap_bound(source, self.point, self.problem.y, self.penalty, allowed, mixture, final))

    def _renewed_step(self, exact: bool) -> bool:
        """A step from curvature of this very point, and no pairs: where the old ones mislead."""
        if exact:
            return False
        self.curvature, self.pairs = None, Pairs(self.pairs.memory)
        return self._step(exact)

    def _step(self, exact: bool) -> bool:
        """One L-BFGS step with a backtracking line search; False where no step lowers the objective."""
        if self.curvature is None:
            self.curvature = self.problem.curvature(self.point)
        gradient = self.point.gradient(self.penalty)
        direction = self.pairs.direction(gradient.float(), self.curvature.initial(self.penalty)).double()
        slope, size = float((gradient * direction).sum()), 1.0
        if slope >= 0:
            return False
        for _ in range(HALVINGS):
            point = self.problem.evaluate(self.point.theta + size * direction, exact)
            if self.accept(point, -1e-4 * size * slope):
                self.promised = -slope / 2
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
        self.seen.add(point)
        return True


def walker_at(task: Problem, point: Point) -> Walker:
    walker = Walker(task, point, Pairs(max(3, min(MEMORY, PAIR_BYTES // (8 * point.theta.numel())))), Seen(point.theta.numel()))
    walker.seen.add(point)
    return walker
