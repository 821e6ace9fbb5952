"""The leaderboard as a rich renderable, which the caller prints."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from bob.datasets.own_names import shown_dataset
from bob.leaderboards.board import Board, as_board
from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.ranking import Ranking
from bob.leaderboards.references import ReferenceRow, reference_rows
from bob.leaderboards.render.fitted_table import CellText, FirstFitting, FittedTable, RowText
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.shift_table import shift_columns
from bob.leaderboards.render.text import (
    MISSING,
    TIED_MARK,
    UNTESTED_MARK,
    board_notes,
    cell_text,
    interval_text,
    listed,
    mark,
    marks_of,
    params_text,
    share_text,
    unranked_sentence,
    value_text,
)
from bob.leaderboards.rows import BoardRow, board_rows
from bob.leaderboards.single_dataset import SingleDataset, single_dataset
from bob.leaderboards.verdicts import Verdicts
from bob.metrics import METRICS
from bob.records.record import Record

STATUS_STYLE = {"failed": "red", "undefined": "yellow", "not_applicable": "dim", "dropped": "dim"}
MARK_TEXT = {
    TIED_MARK: "statistically tied with the best",
    UNTESTED_MARK: "the best, or against the best, not tested",
}
MOST_ROWS = 240
"""Rows of the tables of all tasks together, and of those of all test sets."""
LEAST_ROWS = 12
"""Rows that each table has in any case."""
MOST_SHIFT_TABLES = MOST_ROWS // LEAST_ROWS
"""Tables of test sets, each of one dataset."""
MOST_NOTES = 30
MOST_METRICS = 4
"""Metrics that are explained."""


def to_terminal(source: Board | Iterable[Record]) -> RenderableType:
    """Return one table per task and per dataset with shifts, the overall leaders, and the notes.

    Rows are best first, with baselines and ties marked. Tables fit the width of the terminal.
    Several tasks on a single dataset are one table where it has room for all intervals.
    """
    board = as_board(source)
    if not board.records:
        return Text("No records yet.")
    leaders = [line for ranking in board.rankings if (line := leader_sentence(ranking))]
    notes = board_notes(board)
    if len(notes) > MOST_NOTES + 1:
        more = len(notes) - MOST_NOTES
        notes = [*notes[:MOST_NOTES], f"{more} more notes are in leaderboard.md."]
    return Group(
        *_tables(board),
        *(Text(f"• {line}") for line in (*leaders, *_metrics(board))),
        *(Text(f"• {line}", style="dim") for line in notes),
    )


def _metrics(board: Board) -> list[str]:
    """Explain the metrics that rank, of a few tasks; leaderboard.md does it for all."""
    metrics = dict.fromkeys(cell.metric for cell in board.cells)
    texts = [f"{name}: {METRICS[name].summary}" for name in metrics if name in METRICS]
    return [f"{'; '.join(texts)}."] if texts and len(metrics) <= MOST_METRICS else []


def _tables(board: Board) -> Iterator[RenderableType]:
    """Yield the tables of scores, and those of test sets."""
    shifts = _shift_tables(board)
    single = single_dataset(board)
    if single is None:
        for task in board.tasks:
            yield _task(task, board)
            yield from shifts[task]
        return
    by_task = Group(*(_task(task, board) for task in board.tasks))
    tables = [_single_dataset(single, board), _by_task(single, board)]
    if single.is_wide:
        tables.reverse()
    yield FirstFitting(tuple(tables), by_task)
    for of_task in shifts.values():
        yield from of_task


def _shift_tables(board: Board) -> dict[str, list[RenderableType]]:
    """Return the tables of test sets by task; of many, the first tables and their best rows."""
    columns = {task: list(shift_columns(task, board)) for task in board.tasks}
    left = min(sum(map(len, columns.values())), MOST_SHIFT_TABLES)
    most = max(LEAST_ROWS, MOST_ROWS // max(left, 1))
    tables: dict[str, list[RenderableType]] = {}
    for task, of_task in columns.items():
        tables[task] = [column.table(most) for column in of_task[:left]]
        if rest := of_task[left:]:
            names = listed([shown_dataset(column.column.dataset) for column in rest])
            tables[task].append(
                Text(f"Not shown: {task} on {names}; leaderboard.csv has all.", style="dim")
            )
        left = max(0, left - len(of_task))
    return tables


def _single_dataset(single: SingleDataset, board: Board) -> FittedTable:
    """Return the table of backbones × tasks."""
    references = reference_rows(board.cells, board.fused)
    return FittedTable(
        title=shown_dataset(single.name),
        legend=_legend(single.columns, board),
        headings=tuple(f"{column.task} {single.metrics[column]}" for column in single.columns),
        rows=(
            *(_row(row, single.columns, board) for row in single.rows[:MOST_ROWS]),
            *(_reference(row, single.columns, single.metrics) for row in references),
        ),
        more_rows=max(0, len(single.rows) - MOST_ROWS),
        has_mean=False,
        column_noun="task",
    )


def _by_task(single: SingleDataset, board: Board) -> FittedTable:
    """Return the table of tasks × backbones."""
    table = _single_dataset(single, board)
    return replace(
        table,
        headings=tuple(f"{row.name} {row.kind}".rstrip() for row in table.rows),
        rows=tuple(
            RowText(
                name=column.task,
                kind="",
                about=single.metrics[column],
                cells=tuple(row.cells[i] for row in table.rows),
                mean="",
            )
            for i, column in enumerate(single.columns)
        ),
        row_noun="task",
        about="metric",
        column_noun="backbone",
    )


def _legend(columns: Iterable[BoardColumn], board: Board) -> str:
    """Return what the marks in these columns mean."""
    used = {marked for column in columns for marked in marks_of(board.verdicts[column])}
    return "".join(f"; {marked} {text}" for marked, text in MARK_TEXT.items() if marked in used)


def _task(task: str, board: Board) -> FittedTable:
    cells = board.task_cells(task)
    columns, rows = board_rows(cells)
    metrics = {cell.column: cell.metric for cell in cells}
    most = max(LEAST_ROWS, MOST_ROWS // len(board.tasks))
    shown = rows if len(rows) <= most + 1 else rows[:most]
    return FittedTable(
        title=f"{task}: {cells[0].metric}",
        legend=_legend(columns, board),
        headings=tuple(shown_dataset(column.dataset) for column in columns),
        rows=(
            *(_row(row, columns, board) for row in shown),
            *(_reference(row, columns, metrics) for row in reference_rows(cells, board.fused)),
        ),
        more_rows=len(rows) - len(shown),
        has_mean=len(columns) > 1,
    )


def _row(row: BoardRow, columns: Sequence[BoardColumn], board: Board) -> RowText:
    return RowText(
        name=row.name,
        kind="(baseline)" if row.is_baseline else "(external)" if row.external else "",
        about=params_text(row.facts.params if row.facts else None),
        cells=tuple(_cell(row.cells.get(column), board.verdicts[column]) for column in columns),
        mean=MISSING if row.mean is None else value_text("top1", row.mean),
        style="dim" if row.is_baseline else "",
    )


def _reference(
    row: ReferenceRow, columns: Sequence[BoardColumn], metrics: Mapping[BoardColumn, str]
) -> RowText:
    texts = (
        value_text(metrics[column], row.values[column]) if column in row.values else MISSING
        for column in columns
    )
    return RowText(
        name=row.name,
        kind="",
        about=MISSING,
        cells=tuple(CellText(text) for text in texts),
        mean=MISSING,
        style="dim italic",
    )


def _cell(cell: BoardCell | None, verdicts: Verdicts) -> CellText:
    if cell is None or cell.value is None:
        return CellText(cell_text(cell), style=STATUS_STYLE[cell.status] if cell else "dim")
    name = cell.record.backbone_name
    return CellText(
        value_text(cell.metric, cell.value),
        interval_text(cell).strip(),
        mark(verdicts, name),
        "bold" if name == verdicts.best else "",
    )


def leader_sentence(ranking: Ranking) -> str:
    """Return which backbone leads over several settings, and which are tied with it or not ranked.

    Empty for a single setting, and for a single backbone that lacks nothing.
    """
    if len(ranking.settings) < 2:
        return ""
    if len(ranking.standings) < 2:
        return unranked_sentence(ranking) if ranking.incomplete else ""
    return f"{_lead(ranking)} {unranked_sentence(ranking)}".rstrip()


def _lead(ranking: Ranking) -> str:
    first, *others = ranking.standings
    origin = "" if ranking.origin is None else f" ({ranking.origin})"
    leader = (
        f"Over {pool_text(ranking)}{origin}, {first.backbone} has the highest mean z-score "
        "(standard deviations above the mean of these backbones)"
    )
    if first.win_share is not None:
        resampled = "datasets" if ranking.basis == "datasets" else "test examples"
        leader += (
            f" and ranks first in {share_text(first.win_share)} of resamples of the {resampled}"
        )
    if ranking.basis == "none":
        return (
            f"{leader}; differences cannot be tested: too few datasets, and no per-example results."
        )
    names = [standing.backbone for standing in others]
    tied = ranking.verdicts.related(first.backbone, "tied", names)
    untested = ranking.verdicts.related(first.backbone, "untested", names)
    parts = []
    if tied:
        parts.append(f"statistically tied with it: {listed(tied)}")
    if untested:
        parts.append(f"not tested against it: {listed(untested)}")
    if not tied and len(untested) < len(others):
        parts.insert(0, f"all {'tested ' if untested else ''}others are significantly worse")
    return f"{leader}; {'; '.join(parts)}."
