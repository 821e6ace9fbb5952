"""The majority class and chance beside the scores of backbones. Neither is ever ranked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.metric_traits import metric_traits


@dataclass(frozen=True)
class ReferenceRow:
    """A row of a task's table that no backbone produced."""

    name: str
    values: dict[BoardColumn, float]
    """Setting → value of the metric that ranks; settings without one are absent."""


def reference_rows(cells: Sequence[BoardCell]) -> list[ReferenceRow]:
    """Return the rows of a task's table for the majority class and for chance, where they exist."""
    rows = (
        ReferenceRow("majority class", _by_column((cell.column, cell.majority) for cell in cells)),
        ReferenceRow("chance", _by_column((cell.column, cell.chance) for cell in cells)),
    )
    return [row for row in rows if row.values]


def is_clear_of_majority(cell: BoardCell) -> bool:
    """Return whether a backbone's interval lies on the better side of the majority class.

    True where the interval or the majority class has no value.
    """
    higher = metric_traits(cell.metric).higher_is_better
    limit = cell.low if higher else cell.high
    if cell.majority is None or limit is None:
        return True
    return limit > cell.majority if higher else limit < cell.majority


def _by_column(values: Iterable[tuple[BoardColumn, float | None]]) -> dict[BoardColumn, float]:
    """Return the first value of each setting: it depends on labels, not on the backbone."""
    first: dict[BoardColumn, float] = {}
    for column, value in values:
        if value is not None:
            first.setdefault(column, value)
    return first
