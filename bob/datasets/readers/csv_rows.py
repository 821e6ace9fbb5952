"""The rows of a CSV file that an official archive holds."""

import csv
from collections.abc import Sequence
from pathlib import Path

from bob.errors import DatasetError
from bob.io.names import printable


def csv_rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the cells of some columns, without blanks around them, row by row.

    DatasetError where the file cannot be read or lacks a column.
    """
    shown = f"'{printable(str(table))}'"
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
            present: Sequence[str] = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{shown}: cannot be read ({error}).") from error
    if missing := [column for column in columns if column not in present]:
        raise DatasetError(
            f"{shown}: has no column {missing[0]!r}. Columns: {', '.join(present) or 'none'}."
        )
    return [{column: (row[column] or "").strip() for column in columns} for row in rows]
