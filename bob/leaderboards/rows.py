"""One row per backbone across all columns, as the wide tables show them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    best_first,
    facts_by_backbone,
    is_baseline,
)
from bob.leaderboards.metric_traits import metric_traits
from bob.leaderboards.pools import common_settings, missing_settings
from bob.records.record import BackboneFacts


@dataclass(frozen=True)
class BoardRow:
    """One backbone across all columns of the leaderboard."""

    name: str
    facts: BackboneFacts | None
    cells: dict[BoardColumn, BoardCell]
    mean: float | None
    """Mean over all columns.

    None if a cell is missing, failed or undefined, or if some column's metric is not a share.
    """
    rank: int | None
    """1 is best, among the rows that have a mean."""
    incomplete: str
    """Columns without a value, as text; empty for a complete row."""
    external: str | None = None
    """Table that these published results were read from; None for measured results."""

    @property
    def is_baseline(self) -> bool:
        return any(is_baseline(cell.record) for cell in self.cells.values())


def board_rows(cells: Sequence[BoardCell]) -> tuple[list[BoardColumn], list[BoardRow]]:
    """Return the sorted columns and the rows, best first; rows without a mean come last, by name.

    `cells` are those of comparable records. Measured results, and those of each published table,
    are averaged and ranked over their own columns, so that neither makes the other incomplete.
    """
    facts = facts_by_backbone(cell.record for cell in cells)
    origins = sorted(
        {cell.record.external for cell in cells},
        key=lambda origin: (origin is not None, origin or ""),
    )
    rows = [
        row
        for origin in origins
        for row in _rows(origin, [cell for cell in cells if cell.record.external == origin], facts)
    ]
    return sorted({cell.column for cell in cells}), rows


def _rows(
    origin: str | None, cells: Sequence[BoardCell], facts: dict[str, BackboneFacts | None]
) -> list[BoardRow]:
    """Return the rows of the measured results, or of one published table."""
    by_name: dict[str, dict[BoardColumn, BoardCell]] = defaultdict(dict)
    for cell in sorted(cells, key=lambda cell: cell.column):
        by_name[cell.record.backbone_name][cell.column] = cell
    settings, _ = common_settings(by_name)
    averaged = all(metric_traits(cell.metric).is_share for cell in cells)
    rows = [
        _row(name, facts[name], row_cells, settings, averaged, origin)
        for name, row_cells in by_name.items()
    ]
    if len(settings) == 1:
        rows.sort(key=lambda row: _best_first(row, settings[0]))
    else:
        rows.sort(key=lambda row: (row.mean is None, -(row.mean or 0.0), row.name))
    return [
        replace(row, rank=index + 1) if row.mean is not None else row
        for index, row in enumerate(rows)
    ]


def _best_first(row: BoardRow, setting: BoardColumn) -> tuple[bool, float, str]:
    cell = row.cells.get(setting)
    return best_first(cell) if cell else (True, 0.0, row.name)


def _row(
    name: str,
    facts: BackboneFacts | None,
    cells: dict[BoardColumn, BoardCell],
    settings: Sequence[BoardColumn],
    averaged: bool,
    origin: str | None,
) -> BoardRow:
    """Return one row; `averaged` is whether a mean over the settings is meaningful."""
    missing = missing_settings(cells, settings)
    values = [
        value
        for column in settings
        if column in cells and (value := cells[column].value) is not None
    ]
    mean = fmean(values) if values and not missing and averaged else None
    return BoardRow(name, facts, cells, mean, None, missing, origin)
