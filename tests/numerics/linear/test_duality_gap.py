"""Bounds on the gap: never below the true gap, and tighter from other dual points."""

import numpy as np
import pytest
import torch

from bob.numerics.linear.duality_gap import (
    DualPoint,
    best_shares,
    bias_step,
    gap_bound,
    move_undecided,
)
from bob.numerics.linear.logistic_path import fit_path
from bob.numerics.linear.path_solver import prepare, start_solver
from tests.builders.linear import clusters, fitted_problem


def tightest(solver, evaluation, dual):
    """The bound by a dual point, computed to the end, by float32 rows."""
    problem = solver.problem
    return gap_bound(problem.fast, evaluation, problem.y, solver.penalty, 0.0, dual, final=True)


def test_a_mixture_of_iterates_gives_a_valid_bound_and_often_a_tighter_one():
    """At every step towards an ill-conditioned optimum, compared with the current iterate alone."""
    x, y = clusters(600, 40, 6)
    x *= np.logspace(0, -1, 40).astype(np.float32)
    problem, penalty = prepare(x, y, 6, "cpu"), 1e-5
    solver = start_solver(problem, problem.evaluate_origin())
    solver.change_penalty(penalty)
    (best,) = fit_path(x, y, 6, [1 / (penalty * 600)], tolerance=1e-8)
    tighter = 0
    for i in range(40):
        solver.curvature = None if i == 20 else solver.curvature
        assert solver._step(exact=False)
        gap = solver.current.objective(penalty) - best.objective
        mixture = solver.iterates.mixture(solver.current, penalty, solver.curvature.shift)
        alone = tightest(solver, solver.current, DualPoint(solver.current.loss_gradient))
        mixed = tightest(solver, solver.current, mixture)
        assert min(alone, mixed) >= gap - 1e-7
        tighter += mixed < 0.7 * alone
    assert tighter >= 5


@pytest.mark.parametrize("penalty", [1e-2, 1e-4, 1e-5])
def test_moving_undecided_examples_gives_a_valid_bound_and_a_tighter_one(penalty):
    """At every step towards the optimum, compared with the current iterate alone."""
    rng = np.random.default_rng(2)
    n, width, classes = 600, 48, 6  # more weights than a full Hessian is computed for
    y = np.arange(n) % classes
    x = 2 * rng.standard_normal((classes, width))[y] + rng.standard_normal((n, width))
    x = (x * np.logspace(0, -1.5, width)).astype(np.float32)
    problem = prepare(x, y, classes, "cpu")
    (best,) = fit_path(x, y, classes, [1 / (penalty * n)], tolerance=1e-8)
    solver = start_solver(problem, problem.evaluate_origin())
    solver.refined = True
    solver.change_penalty(penalty)
    tighter = 0
    for i in range(12):
        solver.curvature = None if i % 5 == 0 else solver.curvature
        assert solver._step(exact=False)
        gap = solver.current.objective(penalty) - best.objective
        evaluation, dual = move_undecided(
            solver.current, problem.y, penalty, solver.preconditioner, solver.curvature.pairs
        )
        moved = tightest(solver, evaluation, dual)
        alone = tightest(solver, solver.current, DualPoint(solver.current.loss_gradient))
        assert moved >= gap - 1e-7
        tighter += moved < 0.7 * alone
    assert tighter >= 2


@pytest.mark.parametrize("rounding", [1e-9, -1e-7, 1e-6])
@pytest.mark.parametrize("classes", [4, 7])
def test_rounding_in_the_direction_of_equal_biases_changes_no_tilt(classes, rounding):
    """Without its removal, the last of these tilts exceeds 1, for which there is no bound.

    Three of seven classes have no examples.
    """
    x, y = clusters(60, 3, 4, apart=1.0)[0], np.arange(60) % 4
    problem = prepare(x, y, classes, "cpu")
    evaluation = problem.evaluate_origin()
    gradient = torch.zeros(classes, dtype=torch.float64)
    gradient[:4] = torch.tensor([3.0, -1.0, 0.0, -2.0]) * 1e-4
    off = gradient.clone()
    off[:4] += rounding
    exact, tilt = (
        bias_step(problem.fast, evaluation, problem.y, values)[:4] for values in (gradient, off)
    )
    # biases of frequency 1/4: S is 1/4 (1 - 1/4) on the diagonal and -1/16 beside it
    assert (exact - exact.mean()).tolist() == pytest.approx(
        (-4 * gradient[:4]).tolist(), rel=1e-5, abs=1e-9
    )
    assert (tilt - tilt.mean()).tolist() == pytest.approx(
        (-4 * gradient[:4]).tolist(), rel=1e-3, abs=1e-9
    )
    assert float(tilt.max() - tilt.min()) < 1


def test_the_bound_of_a_float64_evaluation_by_float32_rows_agrees_with_float64_rows():
    """The next C starts from such an evaluation if the last one needed float64 passes."""
    problem, theta, penalty = fitted_problem()
    theta[:, -1] += torch.tensor([0.02, 0.0, -0.01, 0.0])
    evaluation = problem.evaluate(theta, exact=True)
    dual = DualPoint(evaluation.loss_gradient)
    by_float32, by_float64 = (
        gap_bound(blocks, evaluation, problem.y, penalty, 0.0, dual, final=True)
        for blocks in (problem.fast, problem.exact)
    )
    assert by_float32 == pytest.approx(by_float64, rel=1e-3)
    solver = start_solver(problem, evaluation)
    solver.refined = True
    solver.change_penalty(penalty)
    assert solver.minimise(1e-4) <= 1e-4


def test_best_shares_by_hand():
    # ½ (4a² + b²) with a + b = 1: 4a = b, so that a = 1/5 and b = 4/5.
    assert best_shares(np.array([[4.0, 0], [0, 1]]), np.zeros(2)) == pytest.approx(
        [0.2, 0.8], abs=1e-3
    )
    # The last share is at least 1/10, even if its cost is far larger: 9/10 and 1/10.
    assert best_shares(np.array([[1.0, 0], [0, 1]]), np.array([0.0, 100.0])) == pytest.approx(
        [0.9, 0.1]
    )
