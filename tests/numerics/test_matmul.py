"""Matrix products against numpy in float64."""

import numpy as np
import pytest
import torch

from bob.numerics.matmul import MIN_SEPARATE_CALL, product, products


@pytest.mark.parametrize("transposed", [False, True])
def test_product_is_that_of_numpy(transposed):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((7, 33), np.float32)
    b = rng.standard_normal((33, 5) if transposed else (5, 33), np.float32)
    right = torch.from_numpy(b).T if transposed else torch.from_numpy(b)
    expected = a.astype(np.float64) @ (b if transposed else b.T).astype(np.float64)
    assert product(torch.from_numpy(a), right).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rows", [3, 200])
def test_batched_products_are_those_of_each_pair(rows):
    """Small ones in one call, large ones in a call each."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, rows, 65), np.float32)
    b = rng.standard_normal((4, 100, 65), np.float32)
    assert (rows * 65 * 100 >= MIN_SEPARATE_CALL) == (rows == 200)
    assert products(torch.from_numpy(a), torch.from_numpy(b)).numpy() == pytest.approx(
        np.matmul(a, b.transpose(0, 2, 1), dtype=np.float64), abs=1e-4
    )
