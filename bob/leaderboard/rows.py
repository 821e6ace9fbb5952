"""One row per backbone across all columns: what the wide tables show."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bob.leaderboard.cells import Cell, Column, cells, facts_by_backbone, is_share
from bob.leaderboard.ranking import common_settings, lacks
from bob.records.record import BackboneFacts, Record


@dataclass(frozen=True)
class Row:
    """One backbone across all columns of the leaderboard."""

    name: str
    facts: BackboneFacts | None
    cells: dict[Column, Cell]
    mean: float | None
    """Mean over all columns; None where a cell is missing, failed or undefined, or where the columns' metrics are not shares."""
    rank: int | None
    """1 is best, among the rows that have a mean."""
    incomplete: str
    """What is missing, in words; empty for a complete row."""
    external: str | None = None
    """The table that these published numbers were read from; None for one's own."""

    @property
    def is_floor(self) -> bool:
        return any(cell.record.family == "baseline" for cell in self.cells.values())


def ranked(records: Sequence[Record]) -> tuple[list[Column], list[Row]]:
    """The columns, and the rows best first; `records` are comparable ones. Rows without a mean come last, by name.

    Published numbers are averaged over the columns of their own table, and one's own over one's own, so that neither makes the other incomplete.
    Each has ranks of its own.
    """
    held = cells(records)
    origins = sorted(
        {record.external for record in records},
        key=lambda origin: (origin is not None, origin or ""),
    )
    rows = [
        row
        for origin in origins
        for row in _rows_of(
            origin,
            [cell for cell in held if cell.record.external == origin],
            facts_by_backbone(records),
        )
    ]
    return sorted({cell.column for cell in held}), rows


def _rows_of(
    origin: str | None, held: Sequence[Cell], facts: dict[str, BackboneFacts | None]
) -> list[Row]:
    """The rows of one's own records, or of one published table."""
    by_name: dict[str, dict[Column, Cell]] = defaultdict(dict)
    for cell in sorted(held, key=lambda cell: cell.column):
        by_name[cell.record.backbone_name][cell.column] = cell
    settings, _ = common_settings(by_name)
    averaged = all(is_share(cell.metric) for cell in held)
    rows = [
        _row(name, facts[name], own, settings, averaged, origin) for name, own in by_name.items()
    ]
    rows.sort(key=lambda row: (row.mean is None, -(row.mean or 0.0), row.name))
    return [
        replace(row, rank=index + 1) if row.mean is not None else row
        for index, row in enumerate(rows)
    ]


def _row(
    name: str,
    facts: BackboneFacts | None,
    own: dict[Column, Cell],
    settings: Sequence[Column],
    averaged: bool,
    origin: str | None,
) -> Row:
    """`averaged`: whether a mean over the settings has a meaning."""
    missing = lacks(own, settings)
    values = [
        value for column in settings if column in own and (value := own[column].value) is not None
    ]
    mean = fmean(values) if values and not missing and averaged else None
    return Row(name, facts, own, mean, None, missing, origin)
