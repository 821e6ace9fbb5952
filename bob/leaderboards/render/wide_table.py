"""leaderboard_wide.csv: one row per backbone."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bob.leaderboards.board import Board, as_board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.render.text import verdict_words
from bob.leaderboards.rows import BoardRow, board_rows
from bob.records.record import Record

FACTS = (
    "params",
    "width",
    "gflops",
    "weights_mib",
    "peak_mib",
    "licence",
    "weights_hash",
)
"""Columns that are facts about the backbone."""

WIDE = {
    "rank": "Int64",
    "backbone": "object",
    "family": "object",
    "baseline": "bool",
    "params": "Int64",
    "width": "Int64",
    "gflops": "float64",
    "weights_mib": "float64",
    "peak_mib": "float64",
    "licence": "object",
    "weights_hash": "object",
    "mean": "float64",
    "incomplete": "object",
    "tied_with_best": "object",
    "not_tested": "object",
    "external": "object",
}
"""Leading columns of leaderboard_wide.csv, with their types."""


def wide(source: Board | Iterable[Record]) -> pd.DataFrame:
    """Return one row per backbone, best first, with one column `task/dataset` per setting.

    It holds the mean over seeds of the task's first metric. Only backbones with a value in every
    column have `rank` and `mean`; `incomplete` lists what the others lack. `tied_with_best` lists
    the settings in which a backbone is the best or statistically tied with it, `not_tested` those
    in which it was not tested against the best.
    """
    board = as_board(source)
    columns, rows = board_rows(board.cells)
    frame = pd.DataFrame(
        [_wide_row(row, columns, board) for row in rows], columns=[*WIDE, *map(str, columns)]
    )
    return frame.astype(WIDE | {str(column): "float64" for column in columns})


def _wide_row(row: BoardRow, columns: Sequence[BoardColumn], board: Board) -> dict[str, Any]:
    words = {column: verdict_words(board.verdicts[column], row.name) or "" for column in columns}
    leading = {
        "rank": row.rank,
        "backbone": row.name,
        "family": next(cell.record.family for cell in row.cells.values()),
        "baseline": row.is_baseline,
        "mean": row.mean,
        "incomplete": row.incomplete,
        "tied_with_best": "; ".join(
            str(column) for column, word in words.items() if word.startswith(("best", "tied"))
        ),
        "not_tested": "; ".join(
            str(column) for column, word in words.items() if word == "not tested"
        ),
        "external": row.external,
    }
    facts = {name: getattr(row.facts, name, None) for name in FACTS}
    values = {str(column): row.cells[column].value for column in columns if column in row.cells}
    return leading | facts | values
