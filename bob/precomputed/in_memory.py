"""Arrays that a caller has, of NumPy, PyTorch, pandas or Python, as arrays of NumPy."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import DatasetError


def as_array(where: str, values: Any) -> NDArray[Any]:
    """Return an array with the values and, where NumPy has it, the dtype of the caller's.

    bfloat16 becomes float32, and masked values NaN. DatasetError, beginning with `where`, where
    rows have different lengths.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    has_text = isinstance(values, list | tuple) and any(isinstance(v, str) for v in values)
    try:
        array = np.asarray(values, object if has_text else None)  # NaN among text stays NaN
    except ValueError as error:  # rows of different lengths
        raise DatasetError(f"{where}: is not a rectangular array ({error}).") from error
    return _as_numbers(array) if array.dtype.kind == "O" and array.ndim == 2 else array


def _as_numbers(table: NDArray[Any]) -> NDArray[Any]:
    """Return Python objects (N, D), as of a table with columns of several types, as float64.

    Missing values become NaN. What holds something else is returned as it is.
    """
    import pandas as pd  # 0.3 s that other arrays need not pay

    if not all(isinstance(value, int | float | np.number) for value in table[~pd.isna(table)]):
        return table
    numbers: NDArray[Any] = np.where(pd.isna(table), np.nan, table).astype(np.float64)
    return numbers
