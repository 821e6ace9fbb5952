"""Products of rows, each pair multiplied once."""

import pytest
import torch

from bob.numerics import incremental
from bob.numerics.incremental import row_products


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 11])
def test_products_of_rows_are_those_of_all_pairs(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of three rows: whole numbers, so that sums are exact."""
    monkeypatch.setattr(incremental, "PRODUCT_ROWS", 3)
    values = torch.arange(rows * 5, dtype=torch.float64).reshape(rows, 5) % 7
    assert torch.equal(row_products(values), values @ values.T)
