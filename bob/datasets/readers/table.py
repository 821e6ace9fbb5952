"""Images listed in a table: your own CSV file, or the list that a published dataset comes with.

A CSV file has the columns path, label and optionally split and group. Rows are counted as a
spreadsheet shows them: the header is row 1. Further columns are attributes of the images
(`Split.attributes`).
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing
from bob.datasets.split_names import SplitChoice, role_of_value
from bob.errors import DatasetError, nearest
from bob.io.git_lfs import is_pointer_file, pointer_message
from bob.specs import Role, TableSource

LABEL_SEPARATOR = "|"
"""Separator of several labels of an image in your own tables."""
ONE_CLASS = "image"
"""The class of all images of a table that has a number for each, and no classes."""
_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "group")


@dataclass(frozen=True)
class _Row:
    path: str
    label: str
    split: Role
    group: str
    attributes: Mapping[str, str]


def list_table(
    source: TableSource, table: Path, cache: Path, test_split: str | None = None
) -> ImageListing:
    """List the images in the rows of a table.

    `test_split` is the split, by its name in the table, that serves as the test split.
    """
    columns, cells = _parse(source, table)
    folder = table.parent / source.images if source.images else table.parent
    choice, unread, rows = SplitChoice(test_split), Counter[str](), []
    for number, row in cells:
        role = _role(source, choice, row, f"table '{table}', row {number}")
        if role is None:
            unread[f"rows of the split {row['split']!r}"] += 1
        else:
            rows.append(_row(source, number, row, role, table, folder))
    _check_choice(rows, choice, cells, table)
    files = [folder / row.path for row in rows]
    _check_unique(files, rows, table)
    separator = source.label_separator
    labels = label_sets = None
    notes = []
    if separator is None:
        labels = [row.label for row in rows]
        if suspicious := sum(LABEL_SEPARATOR in label for label in labels):
            notes.append(
                f"{suspicious} labels contain {LABEL_SEPARATOR!r}; to give an image several "
                f"labels, put them into a column 'labels'"
            )
    else:
        label_sets = [
            [label.strip() for label in row.label.split(separator) if label.strip()] for row in rows
        ]
    attributes = [column for column in columns if column not in _REQUIRED + _OPTIONAL]
    return ImageListing(
        where=f"table '{table}'",
        ids=[row.path for row in rows],
        labels=labels,
        label_sets=label_sets,
        label_column=source.columns.get("label"),
        content=file_digests(folder, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[row.split for row in rows],
        groups=[row.group for row in rows] if "group" in columns else None,
        attributes={column: [row.attributes[column] for row in rows] for column in attributes},
        test_split=test_split,
        unread=unread,
        notes=notes,
    )


def header_columns(table: Path) -> list[str]:
    """Return the column names of a CSV file in lower case; empty if it cannot be read."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return [name.strip().lower() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _parse(source: TableSource, table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the standard names of the columns, and the number and cells of each row.

    Blank lines are skipped.
    """
    if is_pointer_file(table):
        raise DatasetError(f"table {pointer_message(table)}")
    rows = _read_rows(source, table)
    renamed: dict[str, str] = {name.lower(): standard for standard, name in source.columns.items()}
    header = [column.strip().lower() for column in rows[0]] if rows else []
    # a column `label` is not read where another column holds the classes
    replaced = {name: f"unused {name}" for name in renamed.values()}
    columns = [renamed.get(column, replaced.get(column, column)) for column in header]
    without_classes = "target" in columns and "label" not in columns
    _check_columns([*columns, "label"] if without_classes else columns, table)
    added = {"label": ONE_CLASS} if without_classes else {}
    return columns, [
        (number, _cells(number, columns, row, table) | added)
        for number, row in enumerate(rows[1:], start=source.skip + 2)
        if row
    ]


def _read_rows(source: TableSource, table: Path) -> list[list[str]]:
    """Return the cells of all lines, the header first."""
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
            f"table '{table}' is not a CSV file in UTF-8 ({error}). "
            f"Save it as CSV with the encoding UTF-8."
        ) from error


def _check_columns(columns: list[str], table: Path) -> None:
    for required in _REQUIRED:
        if required not in columns:
            available = ", ".join(map(repr, columns)) or "none"
            raise DatasetError(
                f"table '{table}': column {required!r} is missing{nearest(required, columns)} "
                f"Columns: {available}. {_header_remedy(required, columns)}"
            )
    if repeated := [column for column in columns if columns.count(column) > 1]:
        raise DatasetError(
            f"table '{table}': column {repeated[0]!r} occurs twice. Remove one of them."
        )


def _header_remedy(required: str, columns: list[str]) -> str:
    if len(columns) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs")):
            if separator in columns[0]:
                return f"The cells seem to be separated by {name}: save the table with commas."
    if required == "label":
        return "Name the column of the classes with --label, or call it 'label'."
    return "The first line must name the columns: path,label and optionally split,group."


def _cells(number: int, columns: list[str], row: list[str], table: Path) -> dict[str, str]:
    if len(row) != len(columns):
        raise DatasetError(
            f"table '{table}', row {number}: expected {len(columns)} cells, one per column; got "
            f"{len(row)}. Quote cells that contain a comma."
        )
    return {column: cell.strip() for column, cell in zip(columns, row, strict=True)}


def _role(
    source: TableSource, choice: SplitChoice, cells: Mapping[str, str], where: str
) -> Role | None:
    """Return the split of a row; None where it is not read."""
    if source.split:
        return source.split
    if "split" not in cells:
        return "train"
    split = cells["split"]
    if not source.splits:
        return role_of_value(split, choice, where)
    if split not in source.splits:
        raise DatasetError(
            f"{where}: unknown split {split!r}{nearest(split, source.splits)} "
            f"Known splits: {', '.join(source.splits)}."
        )
    role = source.splits[split]
    return None if role == "-" else role


def _check_choice(
    rows: list[_Row], choice: SplitChoice, cells: list[tuple[int, dict[str, str]]], table: Path
) -> None:
    """Raise where the split to test on does not occur."""
    if choice.test_split is not None and not any(row.split == "test" for row in rows):
        names = sorted({row.get("split", "") for _, row in cells} - {""})
        raise DatasetError(
            f"table '{table}': no split {choice.test_split!r} to test on; there are: "
            f"{', '.join(names) or 'no splits'}. Correct --test-split."
        )


def _row(
    source: TableSource,
    number: int,
    cells: Mapping[str, str],
    role: Role,
    table: Path,
    folder: Path,
) -> _Row:
    """Check a row and return it."""
    where = f"table '{table}', row {number}"
    for column in (*_REQUIRED, "group"):
        if cells.get(column) == "" and not (column == "label" and source.label_separator):
            raise DatasetError(
                f"{where}: the cell in column {column!r} is empty. Fill it, or remove the row."
            )
    if not _is_file(folder / cells["path"]):
        below = (
            f"{source.images!r} in the table's folder" if source.images else "the table's folder"
        )
        slashes = ", with '/' between folders and not '\\'" if "\\" in cells["path"] else ""
        raise DatasetError(
            f"{where}: no such file '{folder / cells['path']}'. "
            f"Paths are relative to {below}{slashes}."
        )
    attributes = {
        column: cell for column, cell in cells.items() if column not in _REQUIRED + _OPTIONAL
    }
    return _Row(cells["path"], cells["label"], role, cells.get("group", ""), attributes)


def _is_file(path: Path) -> bool:
    """Return whether a path is a file; a name that is too long for the system is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _check_unique(files: list[Path], rows: list[_Row], table: Path) -> None:
    """Raise if a file has two rows: in two splits, it would be trained and tested on."""
    first: dict[Path, _Row] = {}
    for path, row in zip(files, rows, strict=True):
        other = first.setdefault(path, row)
        if other.split != row.split:
            raise DatasetError(
                f"table '{table}': {row.path!r} occurs in both {other.split} and {row.split}. "
                f"Keep one of the rows."
            )
        if other is not row:
            raise DatasetError(
                f"table '{table}': {row.path!r} has two rows, with labels {other.label!r} and "
                f"{row.label!r}. Keep one of them."
            )
