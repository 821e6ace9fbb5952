"""The fast logistic path against the short reference by scipy."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from bob.numerics.linear import reference
from bob.numerics.linear.logistic_path import fit_path, scores, solve_path
from bob.numerics.linear.path_solver import prepare, start_solver
from bob.numerics.linear.selection import select_and_refit
from tests.builders.linear import clusters, relative_gap

GRID = 10.0 ** np.arange(-4, 4)
SHAPES = [(150, 12, 4), (120, 10, 2), (40, 90, 4), (300, 8, 12), (200, 30, 5)]
"""Rows, features and classes."""


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_path_has_the_objectives_and_predictions_of_the_reference(shape):
    x, y = clusters(*shape, seed=shape[0])
    fits = fit_path(x, y, shape[2], GRID, tolerance=1e-7)
    models = reference.fit_path(x, y, shape[2], GRID)
    for c, fit, model in zip(GRID, fits, models, strict=True):
        optimum = reference.objective(model, x, y, c)
        assert fit.objective == pytest.approx(optimum, rel=1e-6, abs=1e-9)
        assert relative_gap(fit, x, y, optimum) <= fit.gap + 2e-7  # float32 rounding
        expected, actual = reference.logits(model, x), scores(fit, x)
        centred = actual - actual.mean(1, keepdims=True)
        assert centred == pytest.approx(expected - expected.mean(1, keepdims=True), abs=5e-3)
        assert (actual.argmax(1) == expected.argmax(1)).mean() >= 0.99


@pytest.mark.parametrize("seed", range(4))
def test_fast_selection_chooses_and_refits_like_the_reference(seed):
    x, y = clusters(300, 8, 12, seed)
    held_out = np.random.default_rng(seed).random(300) < 0.25
    c, model = reference.select_and_refit(x, y, 12, GRID, held_out)
    chosen = select_and_refit(x, y, 12, GRID, held_out)
    assert chosen.c == pytest.approx(c)
    assert chosen.fit.objective == pytest.approx(reference.objective(model, x, y, c), rel=1e-4)
    predicted = reference.logits(model, x).argmax(1)
    assert (scores(chosen.fit, x).argmax(1) == predicted).mean() > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_penalties_that_are_compared_reach_the_gap_that_is_estimated(seed):
    """On ill-conditioned features under weak penalties, where a proof takes many more passes."""
    x, y = clusters(200, 50, 6, seed, apart=0.5)
    x = (x * 10.0 ** -np.linspace(0, 2, 50)).astype(np.float32)
    grid, tolerance = 10.0 ** np.arange(0, 4), 1e-4
    problem = prepare(x, y, 6, "cpu")
    solver = start_solver(problem, problem.evaluate_origin())
    models = reference.fit_path(x, y, 6, grid)
    for (c, gap, _), model in zip(solve_path(solver, grid, tolerance, True), models, strict=True):
        optimum = reference.objective(model, x, y, c)
        above = solver.current.objective(solver.penalty) - optimum
        assert gap <= tolerance
        assert above <= tolerance * min(optimum, problem.entropy - optimum) + 1e-6


def test_reference_gradient_is_that_of_finite_differences():
    x, y = clusters(20, 3, 4)
    rows, one_hot = np.column_stack((x.astype(np.float64), np.ones(20))), np.eye(4)[y]
    data = rows, one_hot, np.array([0.3, 0.3, 0.3, 0])
    theta = np.random.default_rng(0).standard_normal(16)
    expected = approx_fprime(theta, lambda at: reference._loss(at, *data)[0], 1e-7)
    assert reference._loss(theta, *data)[1] == pytest.approx(expected, abs=1e-5)
