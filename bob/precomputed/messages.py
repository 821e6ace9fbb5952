"""Parts of messages that name a few of many values."""

from collections.abc import Sequence

_SHOWN = 5


def first_quoted(names: Sequence[str]) -> str:
    """Return the first five names in quotes, followed by an ellipsis if there are more."""
    return ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")


def row_numbers(rows: Sequence[int]) -> str:
    """Return the first five row numbers: `rows 3, 8, counted from 0`."""
    more = " and so on" if len(rows) > _SHOWN else ""
    return f"rows {', '.join(map(str, rows[:_SHOWN]))}{more}, counted from 0"
