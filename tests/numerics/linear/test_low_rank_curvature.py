"""The low-rank part of the initial Hessian, and the bound that moves gather_pairs rows, against dense arithmetic in float64."""

import numpy as np
import pytest
import torch

from bob.numerics.linear.duality_gap import DualPoint, move_undecided, gap_bound
from bob.numerics.linear.logistic_path import fit_path
from bob.numerics.linear.low_rank_curvature import (
    DiagonalPlusLowRank,
    heaviest_pairs,
    gather_pairs,
    merge_pairs,
    regularised_inverse,
)
from bob.numerics.linear.path_solver import prepare, start_solver
from bob.numerics.linear.preconditioner import estimate_curvature


def fitted(n=60, width=5, classes=4, c=0.3):
    """A problem and a point near its optimum."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = (rng.standard_normal((classes, width))[y] + rng.standard_normal((n, width))).astype(
        np.float32
    )
    problem = prepare(x, y, classes, "cpu")
    (fit,) = fit_path(x, y, classes, [c])
    theta = torch.zeros(classes, width + 1, dtype=torch.float64)
    basis = problem.eigenbasis
    theta[:, :-1] = torch.from_numpy(fit.weight) @ basis.vectors
    theta[:, -1] = torch.from_numpy(fit.bias) + torch.from_numpy(fit.weight) @ basis.centre
    problem.evaluate_origin()
    return problem, theta, 1 / (c * n)


def probabilities(problem, theta):
    """(N, C) float64, and the rows with a one (N, R + 1)."""
    x = torch.cat((problem.fast.x.double(), torch.ones(len(problem.y), 1, dtype=torch.float64)), 1)
    return torch.softmax(x @ theta.T, 1), x


def dense_hessian(problem, theta):
    """(C (R + 1), C (R + 1)) of the mean cross-entropy: the mean of (diag(p) - p pᵀ) ⊗ x xᵀ."""
    p, x = probabilities(problem, theta)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    size = p.shape[1] * x.shape[1]
    return torch.einsum("nab,ni,nj->aibj", inner, x, x).reshape(size, size) / len(x)


def dense_initial(found, penalty, classes, rank):
    """H₀ from its inverse, column by column."""
    metric = found.preconditioner(penalty)
    columns = torch.eye(classes * (rank + 1)).reshape(-1, classes, rank + 1)
    return torch.linalg.inv(torch.stack([metric.solve(one).flatten() for one in columns]).double())


def test_with_all_pairs_the_initial_hessian_of_two_classes_is_the_hessian():
    problem, theta, penalty = fitted(classes=2)
    point = problem.evaluate(theta)
    everything = estimate_curvature(problem.fast, problem.y, point, pairs=len(problem.y))
    weights = torch.ones(2, theta.shape[1], dtype=torch.float64)
    weights[:, -1] = 0
    wanted = dense_hessian(problem, theta) + penalty * torch.diag(weights.flatten())
    got = dense_initial(everything, penalty, 2, theta.shape[1] - 1)
    # A pair's part has no share in the direction that moves both classes alike, where only a hundredth of each class's diagonal was left.
    apart = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).kron(
        torch.eye(theta.shape[1], dtype=torch.float64)
    )
    assert (apart.T @ got @ apart / 4).numpy() == pytest.approx(
        (apart.T @ wanted @ apart / 4).numpy(), rel=0.03, abs=2e-3
    )


@pytest.mark.parametrize("pairs", [1, 10, 50, 180])
def test_pairs_bring_the_initial_hessian_nearer(pairs):
    """Largest relative error of curvature in any direction: eigenvalues of H₀⁻¹ H, with the penalty."""
    problem, theta, penalty = fitted()
    point, classes, rank = problem.evaluate(theta), 4, 5
    weights = torch.ones(classes, rank + 1, dtype=torch.float64)
    weights[:, -1] = 0
    hessian = dense_hessian(problem, theta) + penalty * torch.diag(weights.flatten())

    def spread(count):
        size = dense_initial(
            estimate_curvature(problem.fast, problem.y, point, pairs=count), penalty, classes, rank
        )
        assert np.linalg.eigvalsh(size.numpy()).min() > 0
        eigenvalue = torch.linalg.eigvals(torch.linalg.solve(size, hessian)).real
        return float(eigenvalue.max())

    # The diagonal alone misses how features go together: some direction is nearly twice as steep as it says. Exact would be 1.
    assert spread(pairs) <= spread(0) * 1.05
    if pairs == 180:
        assert spread(pairs) - 1 < 0.3 * (spread(0) - 1)


def test_woodbury_equals_the_dense_inverse():
    problem, theta, _ = fitted()
    point, classes, rank = problem.evaluate(theta), 4, 5
    p, x = probabilities(problem, theta)
    chosen = heaviest_pairs(p.T.float().contiguous(), 0, 12)
    pairs = gather_pairs(problem.fast, merge_pairs([chosen], 12))
    rng = torch.Generator().manual_seed(0)
    diagonal, shift = (
        torch.rand(classes, rank, generator=rng) + 0.1,
        torch.randn(classes, rank, generator=rng),
    )
    inverse = torch.linalg.inv(torch.eye(classes) + 0.2)
    dense = torch.block_diag(
        torch.diag(diagonal.flatten().double()), torch.eye(classes, dtype=torch.float64) + 0.2
    )
    for row, a, weight in zip(pairs.index[pairs.row], pairs.other, pairs.weight, strict=True):
        b = int(p[row].argmax())
        assert float(weight) == pytest.approx(float(p[row, a] * p[row, b]) / len(p), rel=1e-5)
        u = torch.zeros(classes * rank + classes, dtype=torch.float64)
        for c, sign in ((int(a), 1), (b, -1)):
            u[c * rank : (c + 1) * rank] += sign * (x[row, :-1] - shift[c])
            u[classes * rank + c] += sign
        dense += float(weight) * torch.outer(u, u)
    vector = torch.randn(classes * (rank + 1), generator=rng)
    weight, bias = DiagonalPlusLowRank(pairs, diagonal, shift, inverse).solve(
        vector[: classes * rank].reshape(classes, rank), vector[classes * rank :]
    )
    wanted = torch.linalg.solve(dense, vector.double())
    assert torch.cat((weight.flatten(), bias)).numpy() == pytest.approx(
        wanted.numpy(), rel=1e-4, abs=1e-5
    )
    assert point.loss > 0


def test_the_heaviest_pairs_of_all_blocks():
    p = torch.softmax(torch.randn(5, 40, generator=torch.Generator().manual_seed(1)) * 3, 0)
    merged = merge_pairs(
        [
            heaviest_pairs(p[:, :13].contiguous(), 0, 9),
            heaviest_pairs(p[:, 13:].contiguous(), 13, 9),
        ],
        9,
    )
    all_pairs = sorted(
        ((float(p[a, n] * p[:, n].max()), n, a) for n in range(40) for a in range(5) if a != int(p[:, n].argmax())), reverse=True
    )[:9]  # fmt: skip
    assert {(n, a) for _, n, a in all_pairs} == set(
        zip(merged.row.tolist(), merged.other.tolist(), strict=True)
    )
    assert merged.row.tolist() == sorted(merged.row.tolist())
    assert merged.likeliest.tolist() == p.argmax(0)[merged.row].tolist()


@pytest.mark.parametrize("penalty", [1e-2, 1e-4, 1e-5])
def test_moving_contested_rows_gives_a_true_bound_and_a_nearer_one(penalty):
    """At every step on the way: never below the true gap; and sooner small than that of the point alone."""
    rng = np.random.default_rng(2)
    n, width, classes = 600, 48, 6  # more weights than a whole Hessian is made for
    y = np.arange(n) % classes
    x = (
        (2 * rng.standard_normal((classes, width))[y] + rng.standard_normal((n, width)))
        * np.logspace(0, -1.5, width)
    ).astype(np.float32)
    problem = prepare(x, y, classes, "cpu")
    (best,) = fit_path(x, y, classes, [1 / (penalty * n)], tolerance=1e-8)
    solver = start_solver(problem, problem.evaluate_origin())
    solver.refined = True
    solver.change_penalty(penalty)
    nearer = 0
    for i in range(12):
        solver.curvature = None if i % 5 == 0 else solver.curvature
        assert solver._step(exact=False)
        gap = solver.current.objective(penalty) - best.objective
        point, candidate = move_undecided(
            solver.current, problem.y, penalty, solver.preconditioner, solver.curvature.pairs
        )
        moved = gap_bound(problem.fast, point, problem.y, penalty, 0.0, candidate, final=True)
        alone = gap_bound(
            problem.fast,
            solver.current,
            problem.y,
            penalty,
            0.0,
            DualPoint(solver.current.loss_gradient),
            final=True,
        )
        assert moved >= gap - 1e-7
        nearer += moved < 0.7 * alone
    assert nearer >= 2


def test_the_bound_of_a_point_of_a_float64_pass_by_float32_rows():
    """As at the next value of C, where the last one needed float64 passes and its answer is the best that is known."""
    problem, theta, penalty = fitted()
    theta[:, -1] += torch.tensor([0.02, 0.0, -0.01, 0.0])
    point = problem.evaluate(theta, exact=True)
    mixed, exact = (
        gap_bound(one, point, problem.y, penalty, 0.0, DualPoint(point.loss_gradient), final=True)
        for one in (problem.fast, problem.exact)
    )
    assert mixed == pytest.approx(exact, rel=1e-3)
    solver = start_solver(problem, point)
    solver.refined = True
    solver.change_penalty(penalty)
    assert solver.minimise(1e-4) <= 1e-4


def test_a_matrix_that_rounding_made_indefinite_still_has_a_positive_definite_inverse():
    """As on separable rows at extreme C: the identity is lost beside what is added to it, here -10 by rounding beside 1e9."""
    direction = torch.linspace(1, 2, 30)
    direction /= direction.norm()
    matrix = 1e9 * torch.outer(direction, direction) - 10 * torch.eye(30)
    assert torch.linalg.cholesky_ex(matrix).info > 0
    inverse = regularised_inverse(matrix).double()
    assert float(torch.linalg.eigvalsh((inverse + inverse.T) / 2).min()) > 0
    assert float(direction.double() @ inverse @ direction.double()) == pytest.approx(1e-9, rel=0.02)
