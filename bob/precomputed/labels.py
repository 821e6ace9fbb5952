"""Conversion of columns of labels and names to text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.labels import decode_texts, require_characters
from bob.errors import DatasetError
from bob.precomputed.messages import first_quoted, row_numbers

MOST_WHOLE = 2.0**53
"""Whole numbers from here on are not told apart in float64."""


def as_text(where: str, values: NDArray[Any]) -> list[str]:
    """Convert (N,) or (N, 1) text, UTF-8 bytes or whole numbers to N strings.

    DatasetError, beginning with `where`, for other types and for empty strings.
    """
    values = _plain(where, _flatten(where, values))
    if values.dtype.kind == "S":
        values = decode_texts(values, where)
    if values.dtype.kind not in "iubU":
        raise DatasetError(f"{where}: must hold text or whole numbers; got {values.dtype}.")
    if values.dtype.kind == "U":
        require_characters(values, where)
    texts = [str(value) for value in values.tolist()]
    if empty := [i for i, text in enumerate(texts) if not text]:
        raise DatasetError(
            f"{where}: {len(empty):,} of {len(texts):,} are empty: {row_numbers(empty)}."
        )
    return texts


def _plain(where: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) Python objects as an array of numbers or of text, others as they are.

    DatasetError where some are null.
    """
    if values.dtype.kind != "O":
        return values
    import pandas as pd  # 0.3 s that arrays need not pay

    _refuse_missing(where, np.flatnonzero(pd.isna(values)).tolist(), len(values))
    items = values.tolist()
    for types in ((int, np.integer), (float, np.floating)):
        if all(isinstance(item, types) for item in items):
            return np.array(items)
    return values.astype(str) if all(isinstance(item, str | int) for item in items) else values


def _refuse_missing(where: str, missing: Sequence[int], count: int) -> None:
    if missing:
        raise DatasetError(
            f"{where}: {len(missing):,} of {count:,} are missing (null or NaN): "
            f"{row_numbers(missing)}. Fill them, or remove these rows."
        )


def as_labels(where: str, values: NDArray[Any], classes: Sequence[str] | None) -> list[str]:
    """Convert labels to N strings, as `as_text` does; floats that are whole numbers are accepted.

    With `classes`, whole numbers are indices into it, and text must be among it.
    """
    _refuse_one_hot(where, values)
    values = _plain(where, _flatten(where, values))
    if values.dtype.kind == "f":
        _refuse_missing(where, np.flatnonzero(np.isnan(values)).tolist(), len(values))
        fractional = ~(np.abs(values) < MOST_WHOLE) | (values != np.round(values))
        if fractional.any():
            raise DatasetError(
                f"{where}: labels must be whole numbers or text; got {values.dtype} with the value "
                f"{values[fractional][0]}."
            )
        values = values.astype(np.int64)
    texts = as_text(where, values)
    if classes is None:
        return texts
    if values.dtype.kind in "iub":
        return _class_names(where, values, classes)
    if unlisted := sorted(set(texts) - set(classes)):
        verb = "is" if len(unlisted) == 1 else "are"
        raise DatasetError(
            f"{where}: {first_quoted(unlisted)} {verb} not in the array 'classes' of the file, in "
            "which names that occur twice stand for two classes."
            if any(name.startswith(f"{unlisted[0]} (") for name in classes)
            else f"{where}: {first_quoted(unlisted)} {verb} not in the array 'classes' of the file."
        )
    return texts


def _class_names(where: str, values: NDArray[Any], classes: Sequence[str]) -> list[str]:
    """Return the class name at each index."""
    indices = values.astype(np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(classes):
        raise DatasetError(
            f"{where}: numbers must be indices into the {len(classes)} names of 'classes', 0 to "
            f"{len(classes) - 1}; got {indices.min()} to {indices.max()}."
        )
    return [classes[index] for index in indices.tolist()]


def _flatten(where: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) values of an array (N,) or (N, 1)."""
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 1:
        raise DatasetError(
            f"{where}: must be of shape (N,), one value per row; got {values.shape}."
        )
    return values


def _refuse_one_hot(where: str, values: NDArray[Any]) -> None:
    """Raise DatasetError for a matrix, with the remedy for one-hot and for multi-label rows."""
    if values.ndim != 2 or values.shape[1] < 2:
        return
    zeros_and_ones = values.dtype.kind in "iubf" and np.isin(values, (0, 1)).all()
    if zeros_and_ones and (values.sum(axis=1) == 1).all():
        raise DatasetError(
            f"{where}: is one-hot, of shape {values.shape}; give the class of each row, "
            f"np.argmax({where.split()[-1]}, axis=1)."
        )
    remedy = (
        "several labels per row are supported only with --data"
        if zeros_and_ones
        else "give one label per row"
    )
    raise DatasetError(f"{where}: must be of shape (N,); got {values.shape}: {remedy}.")
