"""Products with (A + λI)⁻¹ against solved systems."""

import numpy as np
import pytest
import torch

from bob.numerics.shifted_systems import ShiftedSystem, shifted_products


@pytest.mark.parametrize("n", [1, 2, 3, 4, 70])
@pytest.mark.parametrize("rank", [1, 70])
def test_products_are_those_of_solved_systems(n: int, rank: int) -> None:
    rng = np.random.default_rng(n)
    rows, left, right = (rng.normal(size=shape) for shape in ((n, rank), (5, n), (n, 3)))
    system, shifts = rows @ rows.T, [1e-3, 1.0, 1e3]
    products = shifted_products(*map(torch.from_numpy, (system, left, right)), shifts)
    for product, shift in zip(products, shifts, strict=True):
        expected = left @ np.linalg.solve(system + shift * np.eye(n), right)
        assert product.numpy() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    solutions = ShiftedSystem.of(torch.from_numpy(system)).solutions(
        torch.from_numpy(right), shifts
    )
    for solution, shift in zip(solutions, shifts, strict=True):
        expected = np.linalg.solve(system + shift * np.eye(n), right)
        assert solution.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_shift_below_the_rounding_is_infinite() -> None:
    """A has the eigenvalues 1e8 and, as rounding may leave it, −1e-6: no 1e-8 is added to it."""
    system = torch.diag(torch.tensor([1e8, -1e-6, 1.0], dtype=torch.float64))
    rows = torch.ones(1, 3, dtype=torch.float64)
    lost, fine = shifted_products(system, rows, rows.T, [1e-8, 1.0])
    assert lost.isinf().all()
    assert fine.item() == pytest.approx(1 / 1e8 + 1 / (1 - 1e-6) + 1 / 2)
    (solution,) = ShiftedSystem.of(system).solutions(rows.T, [1e-8])
    assert solution[:, 0].numpy() == pytest.approx([1e-8, 1e8, 1])  # the eigenvalue counts as 0
