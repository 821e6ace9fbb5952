"""The low-rank part of the initial Hessian against dense arithmetic in float64."""

import numpy as np
import pytest
import torch

from bob.numerics.linear.low_rank_curvature import (
    DiagonalPlusLowRank,
    gather_pairs,
    heaviest_pairs,
    merge_pairs,
    regularised_inverse,
)
from bob.numerics.linear.preconditioner import estimate_curvature
from tests.builders.linear import fitted_problem


def probabilities(problem, theta):
    """Return p (N, C) float64, and the rows with a constant 1 (N, R + 1)."""
    x = torch.cat((problem.fast.x.double(), torch.ones(len(problem.y), 1, dtype=torch.float64)), 1)
    return torch.softmax(x @ theta.T, 1), x


def dense_hessian(problem, theta, penalty):
    """Return the Hessian of the objective, (C (R + 1), C (R + 1)).

    It is the mean of (diag(p) - p pᵀ) ⊗ x xᵀ, and λ on the diagonal of the weights.
    """
    p, x = probabilities(problem, theta)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    size = p.shape[1] * x.shape[1]
    penalised = torch.ones_like(theta)
    penalised[:, -1] = 0
    hessian = torch.einsum("nab,ni,nj->aibj", inner, x, x).reshape(size, size) / len(x)
    return hessian + penalty * torch.diag(penalised.flatten())


def dense_initial(curvature, penalty, shape):
    """Return H₀ (C (R + 1), C (R + 1)) from its inverse, column by column."""
    preconditioner = curvature.preconditioner(penalty)
    units = torch.eye(shape[0] * shape[1]).reshape(-1, *shape)
    inverse = torch.stack([preconditioner.solve(unit).flatten() for unit in units])
    return torch.linalg.inv(inverse.double())


def test_with_all_pairs_the_initial_hessian_of_two_classes_is_the_hessian():
    problem, theta, penalty = fitted_problem(classes=2)
    curvature = estimate_curvature(
        problem.fast, problem.y, problem.evaluate(theta), pairs=len(problem.y)
    )
    expected = dense_hessian(problem, theta, penalty)
    actual = dense_initial(curvature, penalty, theta.shape)
    # A pair has no part in the direction that moves both classes alike, where only a hundredth of
    # each class's diagonal is left.
    difference = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).kron(
        torch.eye(theta.shape[1], dtype=torch.float64)
    )
    assert (difference.T @ actual @ difference / 4).numpy() == pytest.approx(
        (difference.T @ expected @ difference / 4).numpy(), rel=0.03, abs=2e-3
    )


@pytest.mark.parametrize("pairs", [1, 10, 50, 180])
def test_pairs_bring_the_initial_hessian_nearer_to_the_hessian(pairs):
    """Measured by the largest eigenvalue of H₀⁻¹ H: how much steeper H is in any direction."""
    problem, theta, penalty = fitted_problem()
    evaluation, hessian = problem.evaluate(theta), dense_hessian(problem, theta, penalty)

    def largest_ratio(count):
        curvature = estimate_curvature(problem.fast, problem.y, evaluation, pairs=count)
        initial = dense_initial(curvature, penalty, theta.shape)
        assert np.linalg.eigvalsh(initial.numpy()).min() > 0
        return float(torch.linalg.eigvals(torch.linalg.solve(initial, hessian)).real.max())

    # The diagonal alone misses correlations of features: in some direction H is nearly twice as
    # steep. The exact Hessian would give 1.
    assert largest_ratio(pairs) <= largest_ratio(0) * 1.05
    if pairs == 180:
        assert largest_ratio(pairs) - 1 < 0.3 * (largest_ratio(0) - 1)


def test_woodbury_equals_the_dense_inverse():
    problem, theta, _ = fitted_problem()
    classes, rank = 4, 5
    p, x = probabilities(problem, theta)
    pairs = gather_pairs(
        problem.fast, merge_pairs([heaviest_pairs(p.T.float().contiguous(), 0, 12)], 12)
    )
    rng = torch.Generator().manual_seed(0)
    diagonal = torch.rand(classes, rank, generator=rng) + 0.1
    shift = torch.randn(classes, rank, generator=rng)
    bias_block = torch.eye(classes) + 0.2
    dense = torch.block_diag(torch.diag(diagonal.flatten().double()), bias_block.double())
    for row, a, weight in zip(pairs.index[pairs.row], pairs.other, pairs.weight, strict=True):
        b = int(p[row].argmax())
        assert float(weight) == pytest.approx(float(p[row, a] * p[row, b]) / len(p), rel=1e-5)
        u = torch.zeros(classes * rank + classes, dtype=torch.float64)
        for c, sign in ((int(a), 1), (b, -1)):
            u[c * rank : (c + 1) * rank] += sign * (x[row, :-1] - shift[c])
            u[classes * rank + c] += sign
        dense += float(weight) * torch.outer(u, u)
    vector = torch.randn(classes * (rank + 1), generator=rng)
    initial = DiagonalPlusLowRank(pairs, diagonal, shift, torch.linalg.inv(bias_block))
    weight, bias = initial.solve(
        vector[: classes * rank].reshape(classes, rank), vector[classes * rank :]
    )
    expected = torch.linalg.solve(dense, vector.double())
    assert torch.cat((weight.flatten(), bias)).numpy() == pytest.approx(
        expected.numpy(), rel=1e-4, abs=1e-5
    )


def test_merged_pairs_are_the_heaviest_of_all_blocks():
    p = torch.softmax(torch.randn(5, 40, generator=torch.Generator().manual_seed(1)) * 3, 0)
    blocks = (
        heaviest_pairs(p[:, :13].contiguous(), 0, 9),
        heaviest_pairs(p[:, 13:].contiguous(), 13, 9),
    )
    merged, likeliest = merge_pairs(blocks, 9), p.argmax(0)
    weights = p * p.max(0).values
    pairs = [(n, a) for n in range(40) for a in range(5) if a != int(likeliest[n])]
    heaviest = sorted(pairs, key=lambda pair: float(weights[pair[1], pair[0]]), reverse=True)[:9]
    assert set(heaviest) == set(zip(merged.row.tolist(), merged.other.tolist(), strict=True))
    assert merged.row.tolist() == sorted(merged.row.tolist())
    assert merged.likeliest.tolist() == likeliest[merged.row].tolist()


def test_inverse_of_a_matrix_made_indefinite_by_rounding_is_positive_definite():
    """Separable rows at extreme C lose the identity beside the terms added to it.

    Here rounding is -10 beside 1e9.
    """
    direction = torch.linspace(1, 2, 30)
    direction /= direction.norm()
    matrix = 1e9 * torch.outer(direction, direction) - 10 * torch.eye(30)
    assert torch.linalg.cholesky_ex(matrix).info > 0
    inverse = regularised_inverse(matrix).double()
    eigenvalues = torch.linalg.eigvalsh((inverse + inverse.T) / 2)
    largest = float(eigenvalues.max())
    assert 0 < largest < 1
    # the smallest is 1e-9, less than float32 resolves beside the others on some machines
    assert float(eigenvalues.min()) > -1e-6 * largest
    assert abs(float(direction.double() @ inverse @ direction.double())) < 1e-6 * largest
