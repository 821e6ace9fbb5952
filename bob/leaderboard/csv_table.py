"""A CSV table as people have it: separated by commas, semicolons or tabs, with decimal commas, percent signs, a byte order mark."""

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

Rows = Sequence[tuple[int, list[str]]]
"""Each with its number in the file, the header being row 1."""


@dataclass(frozen=True)
class Number:
    value: float
    """As a fraction where it has a percent sign."""
    percent: bool


def read_rows(text: str, table: str) -> tuple[list[str], Rows]:
    """The header, and the other rows; empty lines are passed over. The separator is the one that makes most columns of the header.

    Where that is no comma, `0,5` is a number.
    """
    separator = max(SEPARATORS, key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=separator, strict=True)
    try:
        lines = [(number, row) for number, row in enumerate(reader, start=1) if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{table}: is not a CSV table ({error}).") from error
    if len(lines) < 2:
        raise ConfigError(
            f"{table}: holds no rows; give a header and one row per value (tidy) or per backbone (wide)."
        )
    (_, header), rows = lines[0], lines[1:]
    if len(header) < 2:
        raise ConfigError(
            f"{table}: has the single column {header[0]!r}; columns are separated by commas, semicolons or tabs."
        )
    for number, row in rows:
        if len(row) != len(header):
            raise ConfigError(
                f"{table}, row {number}: {len(row)} cells under {len(header)} columns. Quote cells that hold a {separator!r}."
            )
    return header, rows if separator == "," else [
        (number, [DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in row]) for number, row in rows
    ]


def is_text(cells: Sequence[str]) -> bool:
    """Whether a column holds words alone: some, and no number."""
    held = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
    return bool(held) and not any(_parsed(cell) for cell in held)


def number(text: str, table: str, place: str) -> Number | None:
    """A cell's number; None for a missing one. `50 %` is 0.5."""
    if text.lower() in MISSING:
        return None
    found = _parsed(text)
    if found is None:
        raise ConfigError(
            f"{table}, {place}: {text!r} is not a number; leave the cell empty where there is no value."
        )
    if not math.isfinite(found.value):
        raise ConfigError(
            f"{table}, {place}: {text!r} is not finite; leave the cell empty where there is no value."
        )
    return found


def _parsed(text: str) -> Number | None:
    bare = text.removesuffix("%").rstrip()
    try:
        value = float(bare)
    except ValueError:
        return None
    return Number(value / 100, True) if bare != text else Number(value, False)
