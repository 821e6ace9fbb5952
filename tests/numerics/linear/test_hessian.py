"""The whole Hessian of small problems: automatic differentiation's, and what it makes of features that are few."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bob.numerics.linear import path_solver
from bob.numerics.linear.hessian import MAX_ENTRIES, Hessian, full_hessian
from bob.numerics.linear.logistic_path import fit_path
from bob.numerics.linear.path_solver import prepare, start_solver


def overlapping(n, width, classes, seed=0):
    """Few features, of sizes that span five decades, which leave no class apart from the others."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    y[:classes] = np.arange(classes)
    x = rng.standard_normal((n, width)) + 0.7 * rng.standard_normal((classes, width))[y]
    return (x * np.logspace(0, -5, width)).astype(np.float32), y


def test_it_is_that_of_automatic_differentiation(monkeypatch):
    """In several blocks, shared by two workers."""
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 64 * 4 * 5)
    x, y = overlapping(300, 5, 4)
    problem = prepare(x, y, 4, "cpu")
    theta = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.cat(
        (problem.exact.block(slice(0, 300)), torch.ones(300, 1, dtype=torch.float64)), 1
    )

    def loss(flat):
        return torch.nn.functional.cross_entropy(rows @ flat.view(4, 6).T, problem.y)

    expected = torch.autograd.functional.hessian(loss, theta.flatten())
    assert len(problem.exact.slices) > 2
    found = full_hessian(problem.exact, problem.y, problem.evaluate(theta, exact=True), workers=2)
    assert found.matrix.view(24, 24).numpy() == pytest.approx(expected.numpy(), abs=1e-12)


def test_a_step_is_newton_s():
    """Divided by H₀, the gradient of a quadratic leads to its minimum; without penalty on biases, up to one constant in them."""
    rng = torch.Generator().manual_seed(1)
    rows = torch.cat(
        (
            torch.randn(50, 3, generator=rng, dtype=torch.float64),
            torch.ones(50, 1, dtype=torch.float64),
        ),
        1,
    )
    p = torch.softmax(torch.randn(50, 4, generator=rng, dtype=torch.float64), 1)
    of_rows = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    matrix = torch.einsum("nab,ni,nj->aibj", of_rows, rows, rows) / 50
    step = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    step[:, -1] -= step[:, -1].mean()
    gradient = torch.einsum("aibj,bj->ai", matrix, step)
    gradient[:, :-1] += 0.1 * step[:, :-1]
    assert Hessian(matrix).preconditioner(0.1).solve(gradient).numpy() == pytest.approx(
        step.numpy(), abs=1e-9
    )


def test_features_that_are_few_and_of_unlike_sizes_take_few_passes():
    """scikit-learn's optimum in float64, at strengths where L-BFGS takes 100 passes and more for a value."""
    x, y = overlapping(900, 12, 9)
    grid = np.logspace(-2, 8, 11)
    fits = list(fit_path(x, y, 9, grid, tolerance=1e-6))
    assert all(fit.converged for fit in fits) and max(fit.passes for fit in fits) < 40
    size = np.abs(x).max()
    for fit in fits[::5]:
        model = LogisticRegression(
            C=fit.c * size**2, solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(x.astype(np.float64) / size, y)
        weight = model.coef_ / size
        logits = x.astype(np.float64) @ weight.T + model.intercept_
        loss = float(
            torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y))
        )
        assert fit.objective <= (loss + (weight**2).sum() / (2 * fit.c * len(y))) * (1 + 1e-6)


def test_a_class_without_rows_leaves_it_positive_definite():
    x, y = overlapping(60, 4, 3)
    (fit,) = fit_path(x, y, 5, [1e6], tolerance=1e-4)
    assert fit.converged and np.isfinite(fit.weight).all()


def test_larger_problems_do_without():
    x, y = overlapping(80, 40, 6)
    solver = start_solver(problem := prepare(x, y, 6, "cpu"), problem.evaluate_origin())
    solver.refined = True
    assert MAX_ENTRIES > 6 * 41 and solver.newton
    x, y = overlapping(80, 50, 6)
    solver = start_solver(problem := prepare(x, y, 6, "cpu"), problem.evaluate_origin())
    solver.refined = True
    assert MAX_ENTRIES < 6 * 51 and not solver.newton
    solver.change_penalty(1e-3)
    assert isinstance(solver._preconditioner(), path_solver.Preconditioner)
