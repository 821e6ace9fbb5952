"""One's own images in a CSV table with columns path, label and optionally split, group. Paths are relative to the table's folder.

Rows are counted as a spreadsheet shows them: the header is row 1.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.assemble import SPLIT_NAMES, Listing, assemble
from bob.datasets.dataset import Dataset, SplitName
from bob.datasets.fingerprints import file_digests, read_file
from bob.errors import DatasetError
from bob.parse import nearest

_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "group")


@dataclass(frozen=True)
class _Row:
    path: str
    label: str
    split: SplitName
    group: str


def read_table(name: str, table: Path, cache: Path) -> Dataset:
    """The dataset in a CSV table."""
    columns, cells = _parse(table)
    rows = [_row(number, row, table) for number, row in cells]
    files = [table.parent / row.path for row in rows]
    _check_unique(files, rows, table)
    listing = Listing(
        where=f"table '{table}'",
        ids=[row.path for row in rows],
        labels=[row.label for row in rows],
        content=file_digests(table.parent, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[row.split for row in rows],
        groups=[row.group for row in rows] if "group" in columns else None,
        notes=list(_notes(columns)),
    )
    return assemble(name, listing)


def _parse(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The column names, and each row's number and cells. Blank lines are passed over."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise DatasetError(f"table '{table}' cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"table '{table}' is not a CSV file in UTF-8 ({error}).") from error
    columns = [column.strip().lower() for column in rows[0]] if rows else []
    _check_columns(columns, table)
    return columns, [(number, _cells(number, columns, row, table)) for number, row in enumerate(rows[1:], start=2) if row]


def _check_columns(columns: list[str], table: Path) -> None:
    for wanted in _REQUIRED:
        if wanted not in columns:
            got = ", ".join(map(repr, columns)) or "none"
            raise DatasetError(f"table '{table}': column {wanted!r} is missing{nearest(wanted, columns)} Columns, separated by commas: {got}.")
    if doubled := [column for column in (*_REQUIRED, *_OPTIONAL) if columns.count(column) > 1]:
        raise DatasetError(f"table '{table}': column {doubled[0]!r} is there twice. Remove one.")


def _cells(number: int, columns: list[str], row: list[str], table: Path) -> dict[str, str]:
    if len(row) != len(columns):
        raise DatasetError(f"table '{table}', row {number}: {len(row)} cells under {len(columns)} columns. Quote cells that hold a comma.")
    return {column: cell.strip() for column, cell in zip(columns, row, strict=True)}


def _row(number: int, cells: Mapping[str, str], table: Path) -> _Row:
    """One checked row."""
    where = f"table '{table}', row {number}"
    for column in (*_REQUIRED, "group"):
        if cells.get(column) == "":
            raise DatasetError(f"{where}: {column} is empty.")
    split = cells.get("split", "train")
    if split.lower() not in SPLIT_NAMES:
        raise DatasetError(f"{where}: unknown split {split!r}{nearest(split, SPLIT_NAMES)} Known: {', '.join(SPLIT_NAMES)}.")
    if not (table.parent / cells["path"]).is_file():
        raise DatasetError(f"{where}: there is no file '{table.parent / cells['path']}'. Paths are relative to the table's folder.")
    return _Row(cells["path"], cells["label"], SPLIT_NAMES[split.lower()], cells.get("group", ""))


def _check_unique(files: list[Path], rows: list[_Row], table: Path) -> None:
    """One row per file: a file in two splits would be seen in training and tested on."""
    first: dict[Path, _Row] = {}
    for path, row in zip(files, rows, strict=True):
        other = first.setdefault(path, row)
        if other.split != row.split:
            raise DatasetError(f"table '{table}': {row.path!r} is in both {other.split} and {row.split}. Keep one row.")
        if other is not row:
            raise DatasetError(f"table '{table}': {row.path!r} has two rows, with labels {other.label!r} and {row.label!r}. Keep one.")


def _notes(columns: list[str]) -> Iterator[str]:
    if others := [column for column in columns if column not in _REQUIRED + _OPTIONAL]:
        yield f"columns without meaning here were passed over: {', '.join(others)}"
