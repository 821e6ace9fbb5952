"""Columns of labels and names as text, in whatever form they come."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import DatasetError

_SHOWN = 5


def as_text(where: str, values: NDArray[Any]) -> list[str]:
    """(N,) or (N, 1) text, bytes in UTF-8 or whole numbers as N texts."""
    values = _flat(where, values)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind not in "iubU":
        raise DatasetError(f"{where}: must hold text or whole numbers; got {values.dtype}.")
    texts = [str(value) for value in values.tolist()]
    if empty := [i for i, text in enumerate(texts) if not text]:
        raise DatasetError(
            f"{where}: {len(empty):,} of {len(texts):,} are empty: rows {', '.join(map(str, empty[:_SHOWN]))}, counted from 0."
        )
    return texts


def as_labels(where: str, values: NDArray[Any], classes: Sequence[str] | None) -> list[str]:
    """As `as_text`; floats that are whole numbers count as these. With `classes`, whole numbers are places in it, and text is in it."""
    _refuse_one_hot(where, values)
    values = _flat(where, values)
    if values.dtype.kind == "f":
        if (odd := ~np.isfinite(values) | (values != np.round(values))).any():
            raise DatasetError(
                f"{where}: labels must be whole numbers or text; got {values.dtype}, {values[odd][0]} among them."
            )
        values = values.astype(np.int64)
    texts = as_text(where, values)
    if classes is None:
        return texts
    return (
        _named(where, values, classes)
        if values.dtype.kind in "iub"
        else _known(where, texts, classes)
    )


def _named(where: str, values: NDArray[Any], classes: Sequence[str]) -> list[str]:
    places = values.astype(np.int64)
    if len(places) and not 0 <= places.min() <= places.max() < len(classes):
        raise DatasetError(
            f"{where}: numbers must be places among the {len(classes)} names of 'classes', 0 to {len(classes) - 1}; "
            f"got {places.min()} to {places.max()}."
        )
    return [classes[place] for place in places.tolist()]


def _known(where: str, texts: list[str], classes: Sequence[str]) -> list[str]:
    if strange := sorted(set(texts) - set(classes)):
        raise DatasetError(
            f"{where}: {', '.join(map(repr, strange[:_SHOWN]))} {'is' if len(strange) == 1 else 'are'} not in the file's 'classes'."
        )
    return texts


def _flat(where: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 1:
        raise DatasetError(f"{where}: must be of shape (N,), one for each row; got {values.shape}.")
    return values


def _refuse_one_hot(where: str, values: NDArray[Any]) -> None:
    if values.ndim != 2 or values.shape[1] < 2:
        return
    zeros_and_ones = values.dtype.kind in "iubf" and np.isin(values, (0, 1)).all()
    if zeros_and_ones and (values.sum(axis=1) == 1).all():
        raise DatasetError(
            f"{where}: is one-hot, of shape {values.shape}; give the class of each row, np.argmax({where.split()[-1]}, axis=1)."
        )
    what = (
        "several labels of a row are scored with --data alone"
        if zeros_and_ones
        else "give one label per row"
    )
    raise DatasetError(f"{where}: must be of shape (N,); got {values.shape}: {what}.")
