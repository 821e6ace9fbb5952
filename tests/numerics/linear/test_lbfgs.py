"""Curvature pairs against the two-loop recursion, written as in Nocedal & Wright, algorithm 7.4."""

from dataclasses import dataclass

import numpy as np
import torch

from bob.numerics.arrays import Doubles
from bob.numerics.linear.lbfgs import CurvaturePairs


@dataclass(frozen=True)
class Diagonal:
    """H₀ as its diagonal (C, R + 1)."""

    entries: torch.Tensor

    def solve(self, vector: torch.Tensor) -> torch.Tensor:
        return vector / self.entries


def two_loops(
    gradient: Doubles, pairs: list[tuple[Doubles, Doubles]], diagonal: Doubles
) -> Doubles:
    """H₀ is scaled by the last pair's yᵀH₀⁻¹y / sᵀy."""
    q, alphas = -gradient, []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = q / diagonal / ((y / diagonal) @ y / (s @ y))
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - y @ r / (s @ y))
    return r


def test_directions_are_those_of_the_two_loop_recursion() -> None:
    """Of the last 3 pairs of 5, then after the penalty on weights has grown by 0.5."""
    rng = np.random.default_rng(0)
    hessian, diagonal = np.diag(np.arange(1.0, 9)) + 0.1, np.linspace(1, 3, 8)
    steps = rng.standard_normal((5, 8))
    pairs = CurvaturePairs(3)
    for s in steps:
        pairs.add(torch.tensor(s.reshape(2, 4)), torch.tensor((hessian @ s).reshape(2, 4)))
    gradient, initial = rng.standard_normal(8), Diagonal(torch.tensor(diagonal.reshape(2, 4)))
    added = np.array([0.5, 0.5, 0.5, 0.0] * 2)
    for penalty in (np.zeros(8), added):
        expected = two_loops(
            gradient, [(s, hessian @ s + penalty * s) for s in steps[-3:]], diagonal
        )
        if penalty.any():
            pairs.add_quadratic(torch.tensor(added[:4]))
        direction = pairs.direction(torch.tensor(gradient.reshape(2, 4)), initial)
        np.testing.assert_allclose(direction.numpy().ravel(), expected, rtol=1e-10)


def test_a_pair_without_positive_curvature_is_not_stored() -> None:
    pairs = CurvaturePairs(3)
    pairs.add(torch.ones(2, 2), -torch.ones(2, 2))
    assert len(pairs) == 0
    gradient = torch.ones(2, 2)
    assert torch.equal(pairs.direction(gradient, Diagonal(torch.full((2, 2), 2.0))), -gradient / 2)
    pairs.add(torch.ones(2, 2), torch.ones(2, 2))
    pairs.add_quadratic(torch.tensor([-2.0, -2.0]))
    assert len(pairs) == 0


def test_a_pair_of_another_precision_begins_anew() -> None:
    pairs = CurvaturePairs(3)
    for dtype in (torch.float32, torch.float64):
        pairs.add(torch.ones(2, 2, dtype=dtype), torch.ones(2, 2, dtype=dtype))
    assert len(pairs) == 1
