"""The leaderboard as a rich renderable, which the caller prints."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bob.leaderboards.board import Board, as_board
from bob.leaderboards.cells import BoardCell, BoardColumn, column_best
from bob.leaderboards.ranking import Ranking
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.text import (
    MISSING,
    board_notes,
    cell_text,
    interval_text,
    params_text,
    value_text,
)
from bob.leaderboards.rows import BoardRow, board_rows
from bob.records.record import Record

STATUS_STYLE = {"failed": "red", "undefined": "yellow", "not_applicable": "dim"}


def to_terminal(source: Board | Iterable[Record]) -> RenderableType:
    """Return one table per task, the overall leaders, and the notes.

    Rows are best first, with baselines and ties marked.
    """
    board = as_board(source)
    if not board.records:
        return Text("No records yet.")
    leaders = [line for ranking in board.rankings if (line := leader_sentence(ranking))]
    return Group(
        *(_task(task, board) for task in board.tasks),
        *(Text(f"• {line}") for line in leaders),
        *(Text(f"• {line}", style="dim") for line in board_notes(board)),
    )


def _task(task: str, board: Board) -> Table:
    cells = board.task_cells(task)
    columns, rows = board_rows(cells)
    best = column_best(cells)
    title = f"{task}: {cells[0].metric} [95 % CI]"
    if any(tied and column.task == task for column, tied in board.tied.items()):
        title += "; ≈ statistically tied with the best"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("backbone", overflow="fold")
    means = ["mean"] if len(columns) > 1 else []
    for name in ["params (M)", *(column.dataset for column in columns), *means]:
        table.add_column(Text(name), justify="right")
    for row in rows:
        style = "dim" if row.is_baseline else ""
        table.add_row(*_fields(row, columns, best, board), style=style)
    return table


def _fields(
    row: BoardRow,
    columns: Sequence[BoardColumn],
    best: dict[BoardColumn, BoardCell],
    board: Board,
) -> list[Text]:
    mark = " (baseline)" if row.is_baseline else " (external)" if row.external else ""
    fields = [
        Text(row.name) + Text(mark, style="italic"),
        Text(params_text(row.facts.params if row.facts else None)),
    ]
    for column in columns:
        tied = row.name in board.tied.get(column, ())
        fields.append(_cell(row.cells.get(column), best.get(column), tied))
    if len(columns) > 1:
        fields.append(Text(MISSING if row.mean is None else value_text("top1", row.mean)))
    return fields


def _cell(cell: BoardCell | None, best: BoardCell | None, tied: bool) -> Text:
    if cell is None or cell.value is None:
        return Text(cell_text(cell), style=STATUS_STYLE[cell.status] if cell else "dim")
    is_best = cell is best
    value = Text(value_text(cell.metric, cell.value), style="bold" if is_best else "")
    mark = Text(" ≈" if tied and not is_best else "")
    return value + Text(interval_text(cell), style="dim") + mark


def leader_sentence(ranking: Ranking) -> str:
    """Return which backbone leads over several settings, and which are tied with it.

    Empty for a single backbone or setting.
    """
    if len(ranking.standings) < 2 or len(ranking.settings) < 2:
        return ""
    first, *others = ranking.standings
    origin = "" if ranking.origin is None else f" ({ranking.origin})"
    leader = f"Over {pool_text(ranking)}{origin}, {first.backbone} has the highest mean z-score"
    if first.win_share is not None:
        leader += f" and ranks first in {100 * first.win_share:.0f} % of resamples"
    tied = [standing.backbone for standing in others if standing.tie_group == 1]
    if ranking.basis == "none":
        uncertainty = "differences cannot be tested: too few datasets, and no per-example results"
    elif tied:
        uncertainty = f"statistically tied with it: {', '.join(tied)}"
    else:
        uncertainty = "all others are significantly worse"
    return f"{leader}; {uncertainty}."
