"""Features in tables: .csv or .parquet with one row per example.

Tables are a convenience for small files; arrays are read faster.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bob.errors import DatasetError, first_line

_FEATURE_COLUMN = re.compile(
    r"(|x|f|v|d|feat|feature|features|emb|embedding|dim|pixel)_?(\d+)", re.IGNORECASE
)
"""Names of columns that hold one feature of each example: 0, x0, f_1, dim2."""


def read_table(path: Path) -> dict[str, Any]:
    """Return the columns of a table by name; numbered columns form `x` (N, D), by their numbers.

    CSV columns are read as text. A parquet column may also hold a list of features per row.
    """
    try:
        return _csv(path) if path.suffix.lower() == ".csv" else _parquet(path)
    except (ValueError, pd.errors.ParserError) as error:  # pyarrow's errors are ValueErrors
        raise DatasetError(f"{path}: cannot be read as a table ({first_line(error)}).") from error


def _csv(path: Path) -> dict[str, Any]:
    names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
    features = _feature_columns(path, names)
    types: dict[str, Any] = {name: np.float64 if name in features else str for name in names}
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False)
    except ValueError as error:
        if found := _first_without_number(path, features):
            raise found from error
        raise
    return _columns(table, features)


def _first_without_number(path: Path, features: list[str]) -> DatasetError | None:
    """Return an error that names the first field of a column of features that is no number."""
    text = pd.read_csv(path, dtype=str, keep_default_na=False)[features]
    for row, fields in enumerate(text.itertuples(index=False)):
        for name, field in zip(features, fields, strict=True):
            if not _is_number(field):
                return DatasetError(
                    f"{path}: {name}: row {row}, counted from 0, must hold a number; got {field!r}."
                )
    return None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> dict[str, Any]:
    table = pd.read_parquet(path)
    table.columns = table.columns.map(str)
    return _columns(table, _feature_columns(path, list(table.columns)))


def _feature_columns(path: Path, names: list[str]) -> list[str]:
    """Return the columns that hold features, in the order of their numbers.

    DatasetError where the numbers have gaps or the columns several stems.
    """
    matches = {name: match for name in names if (match := _FEATURE_COLUMN.fullmatch(name))}
    numbers = {name: int(match[2]) for name, match in matches.items()}
    ordered = sorted(matches, key=lambda name: numbers[name])
    first = numbers[ordered[0]] if ordered else 0
    has_gaps = [numbers[name] for name in ordered] != list(range(first, first + len(ordered)))
    if has_gaps or len({match[1] for match in matches.values()}) > 1:
        raise DatasetError(
            f"{path}: columns of features must have one name and consecutive numbers "
            f"(x0, x1, ...); got {', '.join(ordered[:8])}."
        )
    return ordered


def _columns(table: pd.DataFrame, features: list[str]) -> dict[str, Any]:
    columns = {name: _column(table[name]) for name in table.columns if name not in features}
    return columns | ({"x": table[features].to_numpy()} if features else {})


def _column(column: "pd.Series[Any]") -> Any:
    """Return a column as an array: text (N,), or lists of numbers (N, D).

    Nulls are None in an array of objects.
    """
    if column.isna().any() and column.dtype.kind not in "fc":
        return column.astype(object).where(column.notna(), None).to_numpy()
    values = column.to_numpy()
    if values.dtype.kind != "O":
        return values
    if len(values) and isinstance(values[0], np.ndarray | list):
        lengths = [len(value) for value in values]
        if unlike := [row for row, length in enumerate(lengths) if length != lengths[0]]:
            raise ValueError(
                f"{column.name}: lists must be equally long; row 0 has {lengths[0]} values and row "
                f"{unlike[0]} has {lengths[unlike[0]]}"
            )
        return np.stack(values.tolist())
    return np.array(values.tolist(), dtype=str)
