"""Features in a table: .csv or .parquet with one row per example, for files of a size at which convenience matters more than speed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bob.errors import DatasetError

_VALUE = re.compile(
    r"(|x|f|v|d|feat|feature|features|emb|embedding|dim|pixel)_?(\d+)", re.IGNORECASE
)
"""Names of columns that hold one value of each row's features: 0, x0, f_1, dim2."""


def read_table(path: Path) -> dict[str, Any]:
    """Columns by name, as text; those named by a number together as `x` in the order of their numbers. In parquet, also a column of lists."""
    try:
        return _csv(path) if path.suffix.lower() == ".csv" else _parquet(path)
    except (ValueError, pd.errors.ParserError) as error:  # pyarrow's errors are ValueErrors
        raise DatasetError(
            f"{path}: cannot be read as a table ({str(error).partition(chr(10))[0]})."
        ) from error


def _csv(path: Path) -> dict[str, Any]:
    names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
    values = _values(path, names)
    types: dict[str, Any] = {name: np.float64 if name in values else str for name in names}
    return _joined(pd.read_csv(path, dtype=types, keep_default_na=False), values)


def _parquet(path: Path) -> dict[str, Any]:
    table = pd.read_parquet(path)
    table.columns = table.columns.map(str)
    return _joined(table, _values(path, list(table.columns)))


def _values(path: Path, names: list[str]) -> list[str]:
    """The columns that hold features, in order; their numbers run without a gap."""
    found = {name: match for name in names if (match := _VALUE.fullmatch(name))}
    numbers = {name: int(match[2]) for name, match in found.items()}
    ordered = sorted(found, key=lambda name: numbers[name])
    first = numbers[ordered[0]] if ordered else 0
    if [numbers[name] for name in ordered] != list(range(first, first + len(ordered))) or len(
        {match[1] for match in found.values()}
    ) > 1:
        raise DatasetError(
            f"{path}: columns of features must have one name and numbers without a gap (x0, x1, ...); got {', '.join(ordered[:8])}."
        )
    return ordered


def _joined(table: pd.DataFrame, values: list[str]) -> dict[str, Any]:
    columns = {name: _column(table[name]) for name in table.columns if name not in values}
    return columns | ({"x": table[values].to_numpy()} if values else {})


def _column(column: "pd.Series[Any]") -> Any:
    """Text as text, lists of numbers one below the other."""
    values = column.to_numpy()
    if values.dtype.kind != "O":
        return values
    return (
        np.stack(values.tolist())
        if len(values) and isinstance(values[0], np.ndarray | list)
        else np.array(values.tolist(), dtype=str)
    )
