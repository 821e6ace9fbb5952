"""Rows that are shown beside the backbones and never ranked: the majority class, chance and
fusions of several backbones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bob.leaderboards.cells import BoardCell, BoardColumn, board_cells
from bob.leaderboards.metric_traits import metric_traits
from bob.records.record import Record


@dataclass(frozen=True)
class ReferenceRow:
    """A row of a task's table that does not belong to a single backbone."""

    name: str
    values: dict[BoardColumn, float]
    """Setting → value of the metric that ranks; settings without one are absent."""


def reference_rows(cells: Sequence[BoardCell], fused: Iterable[Record] = ()) -> list[ReferenceRow]:
    """Return the rows of a task's table for fusions, the majority class and chance.

    `fused` are fusions of any tasks; rows without a value do not exist.
    """
    tasks = {cell.column.task for cell in cells}
    rows = (
        *_fusions(board_cells([record for record in fused if record.task.name in tasks])),
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


def _fusions(cells: Sequence[BoardCell]) -> Iterable[ReferenceRow]:
    """Yield a row for each set of backbones, with the costs that it sums in its record."""
    for name in dict.fromkeys(cell.record.backbone_name for cell in cells):
        values = ((cell.column, cell.value) for cell in cells if cell.record.backbone_name == name)
        yield ReferenceRow(f"{name} (fused)", _by_column(values))


def _by_column(values: Iterable[tuple[BoardColumn, float | None]]) -> dict[BoardColumn, float]:
    """Return the first value of each setting."""
    first: dict[BoardColumn, float] = {}
    for column, value in values:
        if value is not None:
            first.setdefault(column, value)
    return first
