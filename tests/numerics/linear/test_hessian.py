"""The full Hessian of small problems against automatic differentiation, and its effect."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bob.numerics.linear.hessian import MAX_ENTRIES, Hessian, full_hessian
from bob.numerics.linear.logistic_path import fit_path
from bob.numerics.linear.path_solver import prepare, start_solver
from bob.numerics.linear.preconditioner import Preconditioner
from bob.numerics.linear.reference import objective


def overlapping(n, width, classes, seed=0):
    """Overlapping classes by few features, whose scales span five decades."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    y[:classes] = np.arange(classes)
    x = rng.standard_normal((n, width)) + 0.7 * rng.standard_normal((classes, width))[y]
    return (x * np.logspace(0, -5, width)).astype(np.float32), y


def test_hessian_is_that_of_automatic_differentiation(monkeypatch):
    """In several blocks, shared by two workers."""
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 64 * 4 * 5)
    x, y = overlapping(300, 5, 4)
    problem = prepare(x, y, 4, "cpu")
    theta = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    block = problem.exact.block(slice(0, 300))
    rows = torch.cat((block, torch.ones(300, 1, dtype=torch.float64)), 1)

    def loss(flat):
        return torch.nn.functional.cross_entropy(rows @ flat.view(4, 6).T, problem.y)

    expected = torch.autograd.functional.hessian(loss, theta.flatten())
    assert len(problem.exact.slices) > 2
    evaluation = problem.evaluate(theta, exact=True)
    hessian = full_hessian(problem.exact, problem.y, evaluation, workers=2)
    assert hessian.matrix.view(24, 24).numpy() == pytest.approx(expected.numpy(), abs=1e-12)


def test_preconditioned_gradient_of_a_quadratic_is_the_newton_step():
    """Up to a constant added to all biases, which are not penalised."""
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    rows = torch.cat((features, torch.ones(50, 1, dtype=torch.float64)), 1)
    p = torch.softmax(torch.randn(50, 4, generator=rng, dtype=torch.float64), 1)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    matrix = torch.einsum("nab,ni,nj->aibj", inner, rows, rows) / 50
    step = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    step[:, -1] -= step[:, -1].mean()
    gradient = torch.einsum("aibj,bj->ai", matrix, step)
    gradient[:, :-1] += 0.1 * step[:, :-1]
    assert Hessian(matrix).preconditioner(0.1).solve(gradient).numpy() == pytest.approx(
        step.numpy(), abs=1e-9
    )


def test_few_features_of_unequal_scales_take_few_passes():
    """To scikit-learn's float64 optimum, at penalties where L-BFGS takes 100 passes and more."""
    x, y = overlapping(900, 12, 9)
    grid = np.logspace(-2, 8, 11)
    fits = list(fit_path(x, y, 9, grid, tolerance=1e-6))
    assert all(fit.converged for fit in fits) and max(fit.passes for fit in fits) < 40
    size = np.abs(x).max()
    for fit in fits[::5]:
        model = LogisticRegression(
            C=fit.c * size**2, solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(x.astype(np.float64) / size, y)
        optimum = objective((model.coef_ / size, model.intercept_), x, y, fit.c)
        assert fit.objective <= optimum * (1 + 1e-6)


def test_a_class_without_examples_leaves_the_hessian_positive_definite():
    x, y = overlapping(60, 4, 3)
    (fit,) = fit_path(x, y, 5, [1e6], tolerance=1e-4)
    assert fit.converged and np.isfinite(fit.weight).all()


@pytest.mark.parametrize(("width", "small"), [(40, True), (50, False)])
def test_only_small_problems_use_the_full_hessian(width, small):
    x, y = overlapping(80, width, 6)
    problem = prepare(x, y, 6, "cpu")
    solver = start_solver(problem, problem.evaluate_origin())
    solver.refined = True
    assert (6 * (width + 1) <= MAX_ENTRIES) == solver.newton == small
    if not small:
        solver.change_penalty(1e-3)
        assert isinstance(solver._preconditioner(), Preconditioner)
