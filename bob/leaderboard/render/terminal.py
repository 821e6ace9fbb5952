"""The leaderboard as a rich table. Returns it; the caller prints."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bob.leaderboard.board import Board, as_board
from bob.leaderboard.cells import Cell, Column
from bob.leaderboard.ranking import Ranking
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import cell_text, leads, limits_text, millions, notes, value_text
from bob.leaderboard.rows import Row, ranked
from bob.records.record import Record

STATUS_STYLE = {"failed": "red", "undefined": "yellow", "not_applicable": "dim"}


def to_terminal(given: Board | Iterable[Record]) -> RenderableType:
    """One table per task, best first, floors and ties marked, then who leads over all settings, then the notes; of a board or of records alone."""
    board = as_board(given)
    if not board.kept:
        return Text("No records yet.")
    tables = [_task(task, board) for task in sorted({record.task.name for record in board.kept})]
    leading = [Text(f"• {line}") for ranking in board.rankings if (line := first_words(ranking))]
    return Group(
        *tables,
        *leading,
        *(Text(f"• {line}", style="dim") for line in notes(board.kept, board.aside, board.remarks)),
    )


def _task(task: str, board: Board) -> Table:
    own = [record for record in board.kept if record.task.name == task]
    columns, rows = ranked(own)
    best = {lead.column: lead.best for lead in leads(own)}
    tied = (
        "; ≈ not told apart from the best"
        if any(held and column.task == task for column, held in board.tied.items())
        else ""
    )
    table = Table(
        title=Text(f"{task}: {own[0].task.metrics[0]}, 95 % intervals{tied}"), title_justify="left"
    )
    table.add_column("backbone", overflow="fold")
    for name in [
        "params (M)",
        *(column.dataset for column in columns),
        *(["mean"] if len(columns) > 1 else []),
    ]:
        table.add_column(Text(name), justify="right")
    for row in rows:
        table.add_row(*_fields(row, columns, best, board), style="dim" if row.is_floor else "")
    return table


def _fields(
    row: Row, columns: Sequence[Column], best: dict[Column, Cell], board: Board
) -> list[Text]:
    name = Text(row.name) + Text(
        " (floor)" if row.is_floor else " (external)" if row.external else "", style="italic"
    )
    values = [
        _cell(row.cells.get(column), best.get(column), row.name in board.tied.get(column, ()))
        for column in columns
    ]
    mean = (
        [Text("–" if row.mean is None else value_text("top1", row.mean))]
        if len(columns) > 1
        else []
    )
    return [name, Text(millions(row.facts.params if row.facts else None)), *values, *mean]


def _cell(cell: Cell | None, best: Cell | None, tied: bool) -> Text:
    if cell is None or cell.value is None:
        return Text(cell_text(cell), style=STATUS_STYLE[cell.status] if cell else "dim")
    is_best = best is not None and cell.record is best.record
    value = Text(value_text(cell.metric, cell.value), style="bold" if is_best else "")
    return value + Text(limits_text(cell), style="dim") + Text(" ≈" if tied and not is_best else "")


def first_words(ranking: Ranking) -> str:
    """Who leads over several settings and who is not told apart from it; empty where there is nobody to lead."""
    if len(ranking.standings) < 2 or len(ranking.settings) < 2:
        return ""
    first, *others = ranking.standings
    tied = [standing.backbone for standing in others if standing.tie_group == 1]
    share = (
        ""
        if first.win_share is None
        else f" and is first in {100 * first.win_share:.0f} % of resamples"
    )
    sure = (
        f"not told apart from it: {', '.join(tied)}"
        if tied
        else "every other one is told apart from it"
    )
    unknown = (
        ranking.basis == "none"
        and "too few datasets, and no per-example results, to tell anybody apart"
    )
    origin = "" if ranking.origin is None else f" ({ranking.origin})"
    return f"over {pool_text(ranking)}{origin}, {first.backbone} has the highest mean z-score{share}; {unknown or sure}."
