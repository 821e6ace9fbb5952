"""L-BFGS on the softmax objective, at one penalty after another.

`bob.numerics.linear.logistic_path` states the method; the README of this folder derives it.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import log

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Ints
from bob.numerics.linear.duality_gap import DualPoint, Iterates, gap_bound, move_undecided
from bob.numerics.linear.eigenbasis import (
    Eigenbasis,
    FeatureBlocks,
    compute_eigenbasis,
    feature_blocks,
    fits_in_memory,
)
from bob.numerics.linear.feature_rows import FeatureRows, ScaledRows, copy_rows, spread_of
from bob.numerics.linear.hessian import CholeskyPreconditioner, Hessian, full_hessian, is_small
from bob.numerics.linear.lbfgs import CurvaturePairs
from bob.numerics.linear.preconditioner import Curvature, Preconditioner, estimate_curvature
from bob.numerics.linear.softmax import Evaluation, evaluate
from bob.numerics.scale import power_of_two
from bob.numerics.threads import torch_threads, useful_threads

MEMORY = 30
"""Curvature pairs stored; fewer where they would exceed `PAIR_BYTES`."""
PAIR_BYTES = 1 << 30
MIN_OBJECTIVE = 1e-3
"""Gaps are relative to the objective, or to this share of log(classes) if that is larger.

At a smaller objective a relative gap says nothing about the predictions.
"""
ABSENT_NATS = 30.0
"""How far below the largest bias that of a class without examples starts."""
MAX_PASSES = 500
"""Per penalty and precision."""
MAX_BACKTRACKS = 12
"""Trial steps of one line search."""
CURVATURE_STEPS = 25
"""Steps for which the curvature at one θ is used."""
STALE_RATIO = 2.0
"""The curvature is used until the penalty has become this many times weaker or stronger."""
HESSIAN_STEPS = 3
"""Steps for which the full Hessian is used; at another penalty it is recomputed too."""
REFINE_AFTER = 12
"""Steps at one penalty after which curvature is refined, there and for all weaker penalties."""
REFINE_PASSES = 3
"""What inverting the matrix of the low-rank terms may cost.

At 1, a path of 100 classes takes 337 passes where it takes 216; with 14 classes the time is equal.
"""
MIN_PAIRS = 512
"""Low-rank terms in any case: their matrix costs no more than the many calls of a small pass."""
MAX_PAIRS = 2560
MIXTURE_EVERY = 2
"""Steps between two attempts at a bound from another dual point than the current iterate's."""
MIXTURE_BELOW = 0.3
"""They begin once a step's predicted decrease is at most this multiple of the allowed gap."""
ESTIMATE_STEPS = 3
"""Steps in a row that estimate the gap where penalties are compared."""
ESTIMATE_SHARE = 0.1
"""What they may promise to lower the objective by, relative to the allowed gap.

Measured on 3,003 real rows of 1,280 features in 14 classes: the gap is 2 to 14 times what a step
promises near the end of a value, seldom 40 times, and was below the allowed one at every stop.
Under weak penalties on ill-conditioned features, a proof takes many times as many passes.
"""
NEAR_SHARE = 0.1
"""Where penalties are compared, curvature is not refined once a step promises at most this share of
the allowed gap: a few steps are left."""
SINGLE_THREAD_ENTRIES = 1 << 20
"""Problems with fewer weights are stepped on one thread: see `bob.numerics.threads`."""


def penalty_of(c: float, n: int, classes: int) -> float:
    """Return λ of scikit-learn's C for N rows; see `bob.numerics.linear.logistic_path`."""
    return (2 if classes == 2 else 1) / (c * n)


@dataclass(eq=False)
class LogisticProblem:
    """Labelled rows, prepared for passes over them."""

    fast: FeatureBlocks
    """float32."""
    exact: FeatureBlocks
    """float64."""
    y: Tensor
    """(N,) int64."""
    classes: int
    spread: float
    """Root mean square of the features around their means, before they were divided."""
    threads: int
    """Threads that may share a pass; small passes have fewer (`workers`)."""
    passes: int = 0
    """Passes made so far."""
    entropy: float = field(init=False)
    """Of the labels, nats: the objective without weights. Set by `evaluate_origin`."""

    @property
    def scale(self) -> float:
        """The power of two by which features are divided, so that their spread is about 1."""
        return power_of_two(self.spread)

    def penalty(self, c: float) -> float:
        """Return λ on weights for divided features, of scikit-learn's C for the features as given.

        Weights for features divided by s are s times as large, so that λ is divided by s².
        """
        return penalty_of(c, len(self.y), self.classes) / self.scale**2

    @property
    def eigenbasis(self) -> Eigenbasis:
        """The eigenbasis of all weights."""
        return self.fast.eigenbasis

    @property
    def workers(self) -> int:
        """Threads that share a pass."""
        rank = len(self.eigenbasis.eigenvalues)
        return useful_threads(len(self.y) * rank * self.classes, self.threads)

    @property
    def small(self) -> bool:
        """Whether the full Hessian is affordable."""
        return is_small(self.classes, self.eigenbasis)

    def evaluate(self, theta: Tensor, exact: bool = False) -> Evaluation:
        """Make one pass, in float64 if `exact`."""
        self.passes += 1
        blocks = self.exact if exact else self.fast
        return evaluate(blocks, self.y, theta, self.workers, self._absent)

    def curvature(self, evaluation: Evaluation, refined: bool) -> Curvature | Hessian:
        """Make one pass for the curvature at an iterate.

        If `refined`, a large problem's curvature includes low-rank terms, a small one's is full.
        """
        self.passes += 1
        if refined and self.small:
            multiply_adds = len(self.y) * evaluation.theta.numel() ** 2
            workers = useful_threads(multiply_adds, self.threads)
            return full_hessian(self.exact, self.y, evaluation, workers)
        pairs = self._pair_count(evaluation) if refined else 0
        return estimate_curvature(self.fast, self.y, evaluation, self.workers, pairs)

    @cached_property
    def _absent(self) -> Tensor | None:
        """Classes without examples."""
        absent = (torch.bincount(self.y, minlength=self.classes) == 0).nonzero()[:, 0]
        return absent if len(absent) else None

    def _pair_count(self, evaluation: Evaluation) -> int:
        """Return how many terms make a matrix whose inversion costs about `REFINE_PASSES`."""
        classes, width = evaluation.theta.shape
        affordable = round(float(np.cbrt(REFINE_PASSES * 4 * len(self.y) * width * classes)))
        return min(max(affordable, MIN_PAIRS), MAX_PAIRS, len(self.y) * (classes - 1))

    def evaluate_origin(self) -> Evaluation:
        """Evaluate no weights and the optimal bias, the solution for λ = ∞, and set `entropy`."""
        frequency = torch.bincount(self.y, minlength=self.classes).double() / len(self.y)
        theta = frequency.new_zeros(self.classes, len(self.eigenbasis.eigenvalues) + 1)
        theta[:, -1] = frequency.log().clamp_(min=float(frequency.max().log()) - ABSENT_NATS)
        evaluation = self.evaluate(theta)
        self.entropy = evaluation.loss
        return evaluation

    def gap_scale(self, objective: float) -> float:
        """Return what a gap is relative to."""
        return max(objective, MIN_OBJECTIVE * log(max(self.classes, 2)))


def prepare(x: FeatureRows, y: Ints, classes: int, device: str) -> LogisticProblem:
    """Prepare rows (N, D) with labels (N,) once, for any number of penalties.

    They are divided by a power of two first, so that no square leaves float32's range.
    """
    spread = spread_of(x, device)
    if (scale := power_of_two(spread)) != 1:
        x = ScaledRows(x, scale)
    n, width = x.shape[:2]
    copied = width <= n and fits_in_memory(n, width, torch.float32)
    copy = copy_rows(x, device, torch.float32) if copied else None
    rows = x if copy is None else copy
    eigenbasis = compute_eigenbasis(rows, device)
    resident = is_small(classes, eigenbasis)
    return LogisticProblem(
        feature_blocks(rows, eigenbasis, torch.float32, classes, copy=copy),
        feature_blocks(x, eigenbasis, torch.float64, classes, resident=resident),
        torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device),
        classes,
        spread,
        torch.get_num_threads() if device == "cpu" else 1,
    )


@dataclass(eq=False)
class PathSolver:
    """Minimises one problem at one λ after another."""

    problem: LogisticProblem
    current: Evaluation
    """The current iterate."""
    pairs: CurvaturePairs
    iterates: Iterates
    penalty: float = 0.0
    curvature: Curvature | Hessian | None = field(default=None, init=False)
    """At an earlier iterate; None if the next step must compute it at its own."""
    refined: bool = field(default=False, init=False)
    """Whether steps have become many, so that the curvature is the refined one."""
    preconditioner: Preconditioner | CholeskyPreconditioner = field(init=False)
    preconditioner_penalty: float = field(default=0.0, init=False)
    promises: list[float] = field(default_factory=list, init=False)
    """Decrease of the objective that each step at this penalty promised."""

    def start_at(self, theta: Tensor, penalty: float) -> None:
        """Move to a θ and a λ anywhere on the path."""
        self.change_penalty(penalty)
        self._move(self.evaluate(theta))

    def change_penalty(self, penalty: float) -> None:
        """Move to another λ: pairs are updated exactly, curvature is reused if λ is near."""
        if self.penalty:
            theta = self.current.theta
            on_weights = torch.ones(theta.shape[1], device=theta.device)
            on_weights[-1] = 0
            self.pairs.add_quadratic((penalty - self.penalty) * on_weights)
        self.penalty, self.promises = penalty, []
        ratio = penalty / self.preconditioner_penalty if self.preconditioner_penalty else 1.0
        if not 1 / STALE_RATIO < ratio < STALE_RATIO or self.newton:
            self.curvature = None

    @property
    def newton(self) -> bool:
        """Whether steps are Newton's, by the full Hessian, and all passes float64."""
        return self.refined and self.problem.small

    def evaluate(self, theta: Tensor, exact: bool = False) -> Evaluation:
        """Make one pass, in float64 if `exact` or if steps are Newton's."""
        return self.problem.evaluate(theta, exact or self.newton)

    def minimise(self, tolerance: float, exact: bool = False, comparing: bool = False) -> float:
        """Iterate until the relative gap is at most `tolerance`; return the relative gap.

        Where solutions are only compared (`comparing`), the gap must also be that small relative to
        the decrease of the objective that the weights achieve over none, and an estimate of it is
        enough, unless steps are Newton's. Ends early where rounding or the pass limit stops
        progress.
        """
        last_pass, steps = self.problem.passes + MAX_PASSES, 0
        estimating = comparing and not self.problem.small
        while True:
            objective = self.current.objective(self.penalty)
            scale = self.problem.gap_scale(objective)
            allowed = tolerance * scale
            if comparing:
                allowed = tolerance * min(scale, max(self.problem.entropy - objective, 0.0))
            if estimating and self._estimated_gap() <= allowed:
                return self._estimated_gap() / scale
            stop = self.problem.passes >= last_pass
            little = bool(self.promises) and self.promises[-1] <= MIXTURE_BELOW * allowed
            try_mixture = steps % MIXTURE_EVERY == 0 and little and not estimating
            gap = self._gap_bound(allowed, exact, try_mixture, final=stop)
            if gap <= allowed or stop:
                return gap / scale
            if not (self._step(exact) or self._restarted_step(exact)):
                return self._gap_bound(allowed, exact, try_mixture=True, final=True) / scale
            steps += 1
            near = comparing and self.promises[-1] <= NEAR_SHARE * allowed
            self._renew_curvature(steps, exact, near)

    def _estimated_gap(self) -> float:
        """Estimate the gap from what the last steps promised; infinite before these."""
        if len(self.promises) < ESTIMATE_STEPS:
            return float("inf")
        return max(self.promises[-ESTIMATE_STEPS:]) / ESTIMATE_SHARE

    def _renew_curvature(self, steps: int, exact: bool, near: bool) -> None:
        """Discard the curvature after a number of steps at this penalty; refine it when due.

        Near the end of the steps, a refined curvature would cost more than it saves.
        """
        if self.newton:
            if steps % HESSIAN_STEPS == 0:
                self.curvature = None
            return
        refine_now = steps >= REFINE_AFTER and not self.refined and not near
        if (steps % CURVATURE_STEPS == 0 or refine_now) and not exact:
            self.refined, self.curvature = True, None
            if self.newton:
                self.current = self.evaluate(self.current.theta)

    def _gap_bound(self, allowed: float, exact: bool, try_mixture: bool, final: bool) -> float:
        """Bound the gap: by the current iterate alone, then by other dual points.

        The others, tried if `try_mixture` or `final`, are the current iterate with its undecided
        examples moved, then a mixture of iterates.
        """
        blocks = self.problem.exact if exact or self.newton else self.problem.fast
        y, penalty, curvature = self.problem.y, self.penalty, self.curvature
        dual = DualPoint(self.current.loss_gradient)
        bound = gap_bound(blocks, self.current, y, penalty, allowed, dual, final)
        if bound <= allowed or not (try_mixture or final) or curvature is None:
            return bound
        low_rank = curvature.pairs if isinstance(curvature, Curvature) else None
        if low_rank is not None and self.current.residuals is not None:
            assert isinstance(self.preconditioner, Preconditioner)
            moved, dual = move_undecided(self.current, y, penalty, self.preconditioner, low_rank)
            bound = min(bound, gap_bound(blocks, moved, y, penalty, allowed, dual, final))
        if bound <= allowed:
            return bound
        mixture = self.iterates.mixture(self.current, penalty, curvature.shift)
        return min(bound, gap_bound(blocks, self.current, y, penalty, allowed, mixture, final))

    def _restarted_step(self, exact: bool) -> bool:
        """Take a step with curvature at the current iterate and no pairs, which may mislead."""
        if exact and not self.newton:
            return False
        self.curvature, self.pairs = None, CurvaturePairs(self.pairs.memory)
        return self._step(exact)

    def _step(self, exact: bool) -> bool:
        """Take an L-BFGS step with backtracking; return False if none lowers the objective."""
        gradient, preconditioner = self.current.gradient(self.penalty), self._preconditioner()
        direction = self.pairs.direction(gradient.to(self._pair_dtype), preconditioner).double()
        slope, size = float((gradient * direction).sum()), 1.0
        if slope >= 0:
            return False
        for _ in range(MAX_BACKTRACKS):
            trial = self.evaluate(self.current.theta + size * direction, exact)
            if self.accept(trial, -1e-4 * size * slope):
                self.promises.append(-slope / 2)
                return True
            trial_slope = float((trial.gradient(self.penalty) * direction).sum())
            secant = slope / (slope - trial_slope) if trial_slope > 0 else 0.5
            size *= min(0.7, max(0.1, secant))
        return False

    def _preconditioner(self) -> Preconditioner | CholeskyPreconditioner:
        """Return the stored preconditioner, renewed if the curvature was discarded."""
        if self.curvature is None:
            self.curvature = self.problem.curvature(self.current, self.refined)
            if self.newton:  # the Hessian at this very iterate says more than any pairs
                self.pairs = CurvaturePairs(self.pairs.memory)
            workers = self.problem.workers if self.refined else torch.get_num_threads()
            with torch_threads(workers):
                self.preconditioner = self.curvature.preconditioner(self.penalty)
                self.preconditioner_penalty = self.penalty
        return self.preconditioner

    @property
    def _pair_dtype(self) -> torch.dtype:
        return torch.float64 if self.newton else torch.float32

    def accept(self, evaluation: Evaluation, decrease: float) -> bool:
        """Make this the current iterate if it lowers the objective by more than `decrease`."""
        penalty = self.penalty
        if not evaluation.objective(penalty) < self.current.objective(penalty) - decrease:
            return False
        self._move(evaluation)
        return True

    def _move(self, evaluation: Evaluation) -> None:
        """Make this the current iterate, and store the curvature on the way to it."""
        step = evaluation.theta - self.current.theta
        change = evaluation.gradient(self.penalty) - self.current.gradient(self.penalty)
        self.pairs.add(step.to(self._pair_dtype), change.to(self._pair_dtype))
        self.current = evaluation
        self.iterates.add(evaluation)


def start_solver(problem: LogisticProblem, start: Evaluation) -> PathSolver:
    """Return a solver whose current iterate is `start`."""
    entries = start.theta.numel()
    memory = max(3, min(MEMORY, PAIR_BYTES // (8 * entries)))
    solver = PathSolver(problem, start, CurvaturePairs(memory), Iterates(entries))
    solver.iterates.add(start)
    return solver
