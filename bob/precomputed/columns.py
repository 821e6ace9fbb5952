"""Feature files as examples: each array gets its meaning from its name, and is checked.

The checks here need no dataset.

    x        (N, D) features                     also features, embeddings, ... (`NAMES`)
    y        (N,) labels: whole numbers or text  also labels, targets
    ids      (N,) names of the examples          also paths, files
    groups   (N,) patient, site, object          also group
    split    (N,) train, val, test               also splits
    classes  (C,) class names in order; whole numbers in y are then indices into it
    content  (N,) digests of the examples, as `bob-bench features` writes them

Each of the first four may instead be given once per split: x_train, y_train, x_test, y_test. Case
does not matter; other arrays are ignored with a note.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.class_names import distinct
from bob.datasets.split_names import SPLIT_NAMES
from bob.errors import DatasetError
from bob.precomputed.formats import FileArray, read_arrays
from bob.precomputed.labels import as_labels, as_text
from bob.precomputed.messages import first_quoted, row_numbers
from bob.specs import Role

NAMES: Mapping[str, tuple[str, ...]] = {
    "x": (
        "x",
        "feature",
        "features",
        "feat",
        "feats",
        "embedding",
        "embeddings",
        "emb",
        "embs",
        "vectors",
    ),
    "y": ("y", "label", "labels", "target", "targets"),
    "ids": ("ids", "id", "path", "paths", "file", "files", "filename", "filenames", "imageids"),
    "groups": ("groups", "group"),
    "split": ("split", "splits"),
    "classes": ("classes", "classnames", "labelnames"),
    "content": ("content",),
}
"""Column → the names of arrays that hold it, in lower case and without `_`."""
_COLUMN_OF_NAME = {name: column for column, names in NAMES.items() for name in names}
ROLES: Mapping[str, Role] = {**SPLIT_NAMES, "query": "query", "gallery": "gallery"}
CHUNK_ROWS = 8_192
"""Rows that are converted and checked at once."""
SMALLEST = float(np.finfo(np.float32).tiny)
"""Smallest number that has all digits of float32."""
MOST_ROUNDING = 0.01
"""Standard deviation that rounding to float32 may have, relative to that of the features."""
TextColumn = Literal["y", "ids", "groups", "content"]
"""Columns of text that all splits of a file have, or none."""
TEXT_COLUMNS: tuple[TextColumn, ...] = ("y", "ids", "groups", "content")
_Place = tuple[str, Role | None]
"""A column, and the split to which its name restricts it."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """N examples: one array of features with the columns that belong to it."""

    where: str
    """File and array, which begin error messages."""
    x: NDArray[Any]
    """(N, D) as in the file, perhaps memory-mapped."""
    dtype: str
    """Data type in the file, which may be bfloat16."""
    role: Role | None = None
    """Split of all examples; None where `split` names the split of each, or nothing does."""
    y: tuple[str, ...] | None = None
    """N labels as text."""
    ids: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    split: tuple[Role, ...] | None = None
    content: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.x)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features (M, D) at indices (M,)."""
        return np.asarray(self.x[indices], np.float32)

    def roles(self) -> tuple[Role, ...]:
        """Return the split of each example (N,): train where the file names none."""
        return self.split or (self.role or "train",) * len(self)


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """All examples of one model, from one file or from a file per split."""

    where: str
    """Paths of the files, which begin error messages."""
    names: str
    """Names of the files without folders, for records."""
    tables: tuple[FeatureTable, ...]
    classes: tuple[str, ...] | None
    """Class names in their official order; None sorts them in natural order."""
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        """D."""
        return int(self.tables[0].x.shape[1])

    @property
    def dtype(self) -> str:
        return self.tables[0].dtype

    @property
    def has_ids(self) -> bool:
        return self.tables[0].ids is not None

    def column(self, name: TextColumn) -> list[str]:
        """Return a column of all tables together; empty where the file lacks it."""
        return list(chain.from_iterable(getattr(table, name) or () for table in self.tables))


def read_feature_file(paths: Mapping[Role | None, Path]) -> FeatureFile:
    """Read one file (key None), or one file per split.

    DatasetError where arrays are missing, ambiguous, of wrong shape or type, or not finite.
    """
    files = [_read(path, role) for role, path in paths.items()]
    where = ", ".join(str(path) for path in paths.values())
    tables = tuple(table for file in files for table in file.tables)
    orders = {file.classes for file in files if file.classes}
    if len(orders) > 1:
        raise DatasetError(
            f"{where}: the files list different classes; they must be those of one dataset, in the "
            "same order."
        )
    _check_consistent(where, tables)
    for table in tables:
        check_values(table)
    return FeatureFile(
        where=where,
        names=", ".join(path.name for path in paths.values()),
        tables=tables,
        classes=next(iter(orders), None),
        notes=tuple(note for file in files for note in file.notes),
    )


def _read(path: Path, role: Role | None) -> FeatureFile:
    """Read one file; with a `role`, all its examples are of that split."""
    file_arrays = read_arrays(path)
    arrays, notes = _recognise(path, file_arrays)
    listed = arrays.pop(("classes", None), None)
    classes = None
    if listed is not None:
        classes = tuple(distinct(as_text(f"{path}: classes", listed.values)))
    sides = list(dict.fromkeys(side for column, side in arrays if column == "x"))
    if not sides:
        contents = ", ".join(_described(file_arrays)) or "nothing"
        raise DatasetError(
            f"{path}: holds no features: an array 'x' of shape (N, D), or 'x_train' and 'x_test'. "
            f"It holds: {contents}."
        )
    if None in sides and len(sides) > 1:
        raise DatasetError(
            f"{path}: holds features both with and without the name of a split; give either x, or "
            "x_train, x_test and so on."
        )
    if role is not None and (sides != [None] or ("split", None) in arrays):
        raise DatasetError(
            f"{path}: was given as --{role} and also names splits itself; give it without --{role}."
        )
    if strays := [_name(column, side) for column, side in arrays if side not in sides]:
        features = ", ".join(_name("x", side) for side in sides)
        raise DatasetError(
            f"{path}: {strays[0]} belongs to no features; the file holds {features}."
        )
    tables = []
    for side in sides:
        columns = {column: array for (column, of), array in arrays.items() if of == side}
        tables.append(_table(path, columns, role or side, classes))
    return FeatureFile(str(path), path.name, tuple(tables), classes, tuple(notes))


def _recognise(
    path: Path, arrays: Mapping[str, FileArray]
) -> tuple[dict[_Place, FileArray], list[str]]:
    """Return arrays by column and split, and a note on those that are ignored."""
    names: dict[_Place, str] = {}
    for name in arrays:
        if (place := _meaning(name)) is None:
            continue
        if place in names:
            raise DatasetError(
                f"{path}: {names[place]!r} and {name!r} can each be {_name(*place)}; rename one, "
                "or remove it from the file."
            )
        names[place] = name
    ignored = {name: array for name, array in arrays.items() if name not in names.values()}
    notes = (
        [f"{path}: ignored, because the names are unknown: {', '.join(_described(ignored))}"]
        if ignored
        else []
    )
    return {place: arrays[name] for place, name in names.items()}, notes


def _described(arrays: Mapping[str, FileArray]) -> list[str]:
    return [f"{name} {array.values.shape}" for name, array in arrays.items()]


def _meaning(name: str) -> _Place | None:
    """Return ("x", "train") for `X_train` or `train.features`; None for unknown names."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    sides = [word for word in words if word in ROLES]
    column = _COLUMN_OF_NAME.get("".join(word for word in words if word not in ROLES))
    if column is None or len(sides) > 1:
        return None
    return column, ROLES[sides[0]] if sides else None


def _name(column: str, side: Role | None) -> str:
    return f"{column}_{side}" if side else column


def _table(
    path: Path, arrays: Mapping[str, FileArray], role: Role | None, classes: Sequence[str] | None
) -> FeatureTable:
    """Check the arrays of one split, or of all splits, against each other."""
    where, x = f"{path}: {_name('x', role)}", arrays["x"]
    check_features(where, x.values)
    texts: dict[str, tuple[str, ...]] = {}
    for column in ("ids", "groups", "split", "content"):
        if column in arrays:
            of_column = f"{path}: {_name(column, role)}"
            texts[column] = tuple(as_text(of_column, arrays[column].values))
    if "y" in arrays:
        labels = as_labels(f"{path}: {_name('y', role)}", arrays["y"].values, classes)
        texts["y"] = tuple(labels)
    for column, values in texts.items():
        if len(values) != len(x.values):
            raise DatasetError(
                f"{where} has {len(x.values):,} rows and {_name(column, role)} has "
                f"{len(values):,}; there must be one value per row."
            )
    return FeatureTable(
        where=where,
        x=x.values,
        dtype=x.dtype,
        role=role,
        split=_roles(f"{path}: split", texts["split"]) if "split" in texts else None,
        **{column: texts.get(column) for column in TEXT_COLUMNS},
    )


def check_features(where: str, x: NDArray[Any]) -> None:
    """Raise DatasetError unless the features are a matrix of numbers."""
    if x.dtype.kind == "V":
        raise DatasetError(
            f"{where}: holds raw bytes ({x.dtype}), perhaps bfloat16, which .npy lacks. Save "
            "float32, .safetensors or .pt."
        )
    if x.dtype.kind not in "fiu":
        raise DatasetError(f"{where}: must hold numbers; got {x.dtype}.")
    if x.ndim != 2 or not x.size:
        hint = " Pool tokens or positions to one row per example first." if x.ndim > 2 else ""
        raise DatasetError(
            f"{where}: must be of shape (N, D) with N and D at least 1; got {x.shape}.{hint}"
        )


def _roles(where: str, values: Sequence[str]) -> tuple[Role, ...]:
    if unknown := sorted({value for value in values if value.lower() not in ROLES}):
        raise DatasetError(
            f"{where}: values must be among {', '.join(ROLES)}; got {first_quoted(unknown)}."
        )
    return tuple(ROLES[value.lower()] for value in values)


def _check_consistent(where: str, tables: Sequence[FeatureTable]) -> None:
    """Raise DatasetError unless widths agree, columns are in all tables or none, ids are unique."""
    if len({table.x.shape[1] for table in tables}) > 1:
        widths = ", ".join(f"{table.where} {table.x.shape[1]}" for table in tables)
        raise DatasetError(f"{where}: all splits must have one width D; got {widths}.")
    for column in TEXT_COLUMNS:
        complete = [table for table in tables if getattr(table, column) is not None]
        lacking = [table for table in tables if getattr(table, column) is None]
        if complete and lacking:
            raise DatasetError(
                f"{lacking[0].where}: has no {column}, but {complete[0].where} has; give them for "
                "all splits or for none."
            )
    _check_unique_ids(tables)


def _check_unique_ids(tables: Sequence[FeatureTable]) -> None:
    counts = Counter(chain.from_iterable(table.ids or () for table in tables))
    name = next((name for name, count in counts.items() if count > 1), None)
    if name is not None:
        first, second, *_ = (
            f"row {i} of {table.where}"
            for table in tables
            for i, other in enumerate(table.ids or ())
            if other == name
        )
        raise DatasetError(
            f"{second} has the id {name!r}, which {first} has already; ids must be unique."
        )


def check_values(table: FeatureTable) -> None:
    """Check the features of a table in float32.

    DatasetError where a row holds NaN, infinity, or a number beyond float32, and where float32
    cannot tell the rows apart.
    """
    bad, loss = list[int](), _RoundingLoss(table)
    for start in range(0, len(table), CHUNK_ROWS):
        values = table.x[start : start + CHUNK_ROWS]
        with np.errstate(over="ignore"):
            chunk = np.asarray(values, np.float32)
        bad += (start + np.flatnonzero(~np.isfinite(chunk).all(axis=1))).tolist()
        if table.x.dtype.itemsize > 2 and table.x.dtype != np.float32 and not bad:
            loss.add(np.asarray(values, np.float64), chunk)
    if bad:
        raise DatasetError(
            f"{table.where}: {len(bad):,} of {len(table):,} rows hold NaN, infinity or numbers "
            f"beyond float32: {row_numbers(bad)}."
        )
    if 0 < loss.largest < SMALLEST:
        raise DatasetError(
            f"{table.where}: no number is larger than {loss.largest:.0e}, below the smallest of "
            "float32, in which features are compared. Multiply all by one factor before you save "
            "them."
        )
    if (share := loss.share()) > MOST_ROUNDING:
        raise DatasetError(
            f"{table.where}: float32, in which features are compared, changes the numbers by "
            f"{min(share, 1):.0%} of their spread, since their differences are small beside their "
            "size. Subtract the mean of each column before you save them."
        )


class _RoundingLoss:
    """Sums over rows from which the variances of features and of their rounding follow."""

    def __init__(self, table: FeatureTable) -> None:
        self._first, self._count = np.asarray(table.x[0], np.float64), 0
        self._sums = np.zeros((2, 2, len(self._first)))
        """(features or rounding, power - 1, D)"""
        self.largest = 0.0
        """Largest absolute value."""

    def add(self, exact: NDArray[np.float64], rounded: NDArray[np.float32]) -> None:
        """Add rows (n, D)."""
        self._count += len(exact)
        self.largest = max(self.largest, float(np.abs(exact).max()))
        for sums, values in zip(self._sums, (exact - self._first, exact - rounded), strict=True):
            sums += values.sum(axis=0), np.square(values).sum(axis=0)

    def share(self) -> float:
        """Return the standard deviation of the rounding relative to that of the features."""
        if not self._count:
            return 0.0
        sums, squares = self._sums[:, 0], self._sums[:, 1]
        spread, rounding = np.maximum(squares - sums**2 / self._count, 0).sum(axis=1)
        return float(np.sqrt(rounding / spread)) if spread else 0.0
