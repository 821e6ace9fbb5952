"""Images listed in a table: one's own CSV with columns path, label and optionally split, group; or the list that a published set comes with.

Rows are counted as a spreadsheet shows them: the header is row 1. Columns without meaning here are facts about the images (`Split.attributes`).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import SPLIT_NAMES, ImageListing
from bob.errors import DatasetError, nearest
from bob.specs import Role, TableSource

LABEL_SEPARATOR = "|"
"""What stands between the labels of one image in a table of one's own."""
_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "group")


@dataclass(frozen=True)
class _Row:
    path: str
    label: str
    split: Role
    group: str
    others: Mapping[str, str]


def list_table(source: TableSource, table: Path, cache: Path) -> ImageListing:
    """What a table lists."""
    columns, cells = _parse(source, table)
    folder = table.parent / source.images if source.images else table.parent
    found = [_row(source, number, row, table, folder) for number, row in cells]
    rows = [row for row in found if row is not None]
    files = [folder / row.path for row in rows]
    _check_unique(files, rows, table)
    between = source.label_separator
    bars = sum(LABEL_SEPARATOR in row.label for row in rows) if between is None else 0
    others = [column for column in columns if column not in _REQUIRED + _OPTIONAL]
    return ImageListing(
        where=f"table '{table}'",
        ids=[row.path for row in rows],
        labels=None if between else [row.label for row in rows],
        label_sets=[
            [label.strip() for label in row.label.split(between) if label.strip()] for row in rows
        ]
        if between
        else None,
        content=file_digests(folder, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[row.split for row in rows],
        groups=[row.group for row in rows] if "group" in columns else None,
        attributes={column: [row.others[column] for row in rows] for column in others},
        notes=[
            f"{bars} labels hold {LABEL_SEPARATOR!r}; several labels of an image belong into a column 'labels'"
        ]
        if bars
        else [],
    )


def header_columns(table: Path) -> list[str]:
    """The names in the header of a CSV file, in lower case; none where it cannot be read."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return [name.strip().lower() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _parse(source: TableSource, table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Our names of the columns, and each row's number and cells. Blank lines are passed over."""
    rows = _lines(source, table)
    renamed = {theirs.lower(): ours for ours, theirs in source.columns.items()}
    columns = (
        [renamed.get(column.strip().lower(), column.strip().lower()) for column in rows[0]]
        if rows
        else []
    )
    _check_columns(columns, table)
    return columns, [
        (number, _cells(number, columns, row, table))
        for number, row in enumerate(rows[1:], start=source.skip + 2)
        if row
    ]


def _lines(source: TableSource, table: Path) -> list[list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            for _ in range(source.skip):
                next(file, None)
            rows = (
                [line.split() for line in file]
                if source.separator == "blank"
                else list(csv.reader(file, strict=True))
            )
            return [list(source.header), *rows] if source.header else rows
    except OSError as error:
        raise DatasetError(f"table '{table}' cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"table '{table}' is not a CSV file in UTF-8 ({error}). Save it as one."
        ) from error


def _check_columns(columns: list[str], table: Path) -> None:
    for wanted in _REQUIRED:
        if wanted not in columns:
            got = ", ".join(map(repr, columns)) or "none"
            what = f"column {wanted!r} is missing{nearest(wanted, columns)} Columns, separated by commas: {got}."
            raise DatasetError(f"table '{table}': {what} {_remedy(columns)}")
    if doubled := [column for column in columns if columns.count(column) > 1]:
        raise DatasetError(f"table '{table}': column {doubled[0]!r} is there twice. Remove one.")


def _remedy(columns: list[str]) -> str:
    if len(columns) == 1 and (
        other := [
            name for sign, name in ((";", "semicolons"), ("\t", "tabs")) if sign in columns[0]
        ]
    ):
        return f"It seems to be separated by {other[0]}: save it with commas."
    return "Its first line must name the columns: path,label and perhaps split,group."


def _cells(number: int, columns: list[str], row: list[str], table: Path) -> dict[str, str]:
    if len(row) != len(columns):
        raise DatasetError(
            f"table '{table}', row {number}: {len(row)} cells under {len(columns)} columns. Quote cells that hold a comma."
        )
    return {column: cell.strip() for column, cell in zip(columns, row, strict=True)}


def _row(
    source: TableSource, number: int, cells: Mapping[str, str], table: Path, folder: Path
) -> _Row | None:
    """One checked row; None where its split is to be left out."""
    where = f"table '{table}', row {number}"
    for column in (*_REQUIRED, "group"):
        if cells.get(column) == "" and not (column == "label" and source.label_separator):
            raise DatasetError(f"{where}: {column} is empty.")
    known: Mapping[str, Role | Literal["-"]] = source.splits or dict(SPLIT_NAMES)
    split = cells.get("split", "train")
    ours = source.split or (
        "train" if "split" not in cells else known.get(split) or known.get(split.lower())
    )
    if ours is None:
        raise DatasetError(
            f"{where}: unknown split {split!r}{nearest(split, list(known))} Known: {', '.join(known)}."
        )
    if ours == "-":
        return None
    if not (folder / cells["path"]).is_file():
        slash = " and have '/' between folders, not '\\'" if "\\" in cells["path"] else ""
        raise DatasetError(
            f"{where}: there is no file '{folder / cells['path']}'. Paths are relative to {_below(source)}{slash}."
        )
    others = {column: cell for column, cell in cells.items() if column not in _REQUIRED + _OPTIONAL}
    return _Row(cells["path"], cells["label"], ours, cells.get("group", ""), others)


def _below(source: TableSource) -> str:
    return f"{source.images!r} in the table's folder" if source.images else "the table's folder"


def _check_unique(files: list[Path], rows: list[_Row], table: Path) -> None:
    """One row per file: a file in two splits would be seen in training and tested on."""
    first: dict[Path, _Row] = {}
    for path, row in zip(files, rows, strict=True):
        other = first.setdefault(path, row)
        if other.split != row.split:
            raise DatasetError(
                f"table '{table}': {row.path!r} is in both {other.split} and {row.split}. Keep one row."
            )
        if other is not row:
            raise DatasetError(
                f"table '{table}': {row.path!r} has two rows, with labels {other.label!r} and {row.label!r}. Keep one."
            )
