"""leaderboard_wide.csv: one row per backbone."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bob.leaderboard.board import Board, as_board
from bob.leaderboard.cells import Column
from bob.leaderboard.rows import Row, ranked
from bob.records.record import Record


def wide(given: Board | Iterable[Record]) -> pd.DataFrame:
    """One row per backbone, best first, with one column `task/dataset` per cell that holds the mean over seeds of the task's first metric.

    rank and mean exist only for backbones that have every column; `incomplete` names what the others lack.
    """
    columns, rows = ranked(as_board(given).kept)
    frame = pd.DataFrame(
        [_wide_row(row, columns) for row in rows], columns=[*WIDE, *map(str, columns)]
    )
    return frame.astype(WIDE | {str(column): "float64" for column in columns})


WIDE = {
    "rank": "Int64",
    "backbone": "object",
    "family": "object",
    "floor": "bool",
    "params": "Int64",
    "width": "Int64",
    "gflops": "float64",
    "weights_mib": "float64",
    "peak_mib": "float64",
    "licence": "object",
    "weights_hash": "object",
    "mean": "float64",
    "incomplete": "object",
    "external": "object",
}
"""The leading columns of leaderboard_wide.csv, with their types."""


def _wide_row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    family = next(cell.record.family for cell in row.cells.values())
    known = {
        "rank": row.rank,
        "backbone": row.name,
        "family": family,
        "floor": row.is_floor,
        "mean": row.mean,
        "incomplete": row.incomplete,
        "external": row.external,
    }
    facts = {
        name: getattr(row.facts, name, None)
        for name in (
            "params",
            "width",
            "gflops",
            "weights_mib",
            "peak_mib",
            "licence",
            "weights_hash",
        )
    }
    return (
        known
        | facts
        | {str(column): row.cells[column].value for column in columns if column in row.cells}
    )
