"""Reader of CSV tables as published: separated by commas, semicolons or tabs.

Decimal commas, percent signs and a byte order mark are accepted.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bob.errors import ConfigError

SEPARATORS = (",", ";", "\t")
MISSING = ("", "nan", "na", "n/a", "-", "–")
DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")

NumberedRows = Sequence[tuple[int, list[str]]]
"""Row number in the file (the header is row 1) and cells of each row."""


@dataclass(frozen=True)
class ParsedNumber:
    """Number in a cell."""

    value: float
    """Divided by 100 if it has a percent sign."""
    percent: bool
    """Whether it has a percent sign."""


def read_rows(text: str, table: str) -> tuple[list[str], NumberedRows]:
    """Return the header and the other rows of a table, skipping empty lines.

    The separator is the one that occurs most often in the header. If it is not a comma, decimal
    commas are replaced by points. `table` is the table's name in error messages.

    Raises
    ------
    ConfigError
        If the text is not a CSV table, or has no rows, one column or rows of different lengths.
    """
    separator = max(SEPARATORS, key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=separator, strict=True)
    try:
        lines = [(number, row) for number, row in enumerate(reader, start=1) if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{table}: not a CSV table ({error}).") from error
    if len(lines) < 2:
        raise ConfigError(
            f"{table}: no rows; expected a header and one row per value (tidy) or per backbone "
            "(wide)."
        )
    (_, header), rows = lines[0], lines[1:]
    if len(header) < 2:
        raise ConfigError(
            f"{table}: only one column, {header[0]!r}; columns must be separated by commas, "
            "semicolons or tabs."
        )
    for number, row in rows:
        if len(row) != len(header):
            raise ConfigError(
                f"{table}, row {number}: {len(row)} cells for {len(header)} columns; quote cells "
                f"that contain {separator!r}."
            )
    if separator != ",":
        rows = [
            (number, [DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in row]) for number, row in rows
        ]
    return header, rows


def is_text(cells: Sequence[str]) -> bool:
    """Return whether a column has values, none of which is a number."""
    values = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
    return bool(values) and not any(_parse(value) for value in values)


def is_numeric(cells: Sequence[str]) -> bool:
    """Return whether a column has values, all of which are numbers."""
    values = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
    return bool(values) and all(_parse(value) for value in values)


def parse_number(text: str, table: str, place: str) -> ParsedNumber | None:
    """Return the number in a cell, or None if the value is missing; `50 %` is 0.5.

    `table` and `place` say in an error message where the cell is.
    """
    if text.lower() in MISSING:
        return None
    number = _parse(text)
    if number is None:
        raise ConfigError(
            f"{table}, {place}: {text!r} is not a number; leave cells without a value empty."
        )
    if not math.isfinite(number.value):
        raise ConfigError(
            f"{table}, {place}: {text!r} is not finite; leave cells without a value empty."
        )
    return number


def _parse(text: str) -> ParsedNumber | None:
    bare = text.removesuffix("%").rstrip()
    try:
        value = float(bare)
    except ValueError:
        return None
    return ParsedNumber(value / 100, True) if bare != text else ParsedNumber(value, False)
