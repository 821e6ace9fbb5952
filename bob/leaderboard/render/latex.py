"""leaderboard.tex: one booktabs table per task, to be \\input into a paper (packages: booktabs)."""

from collections.abc import Iterable, Sequence

from bob.leaderboard.board import Board
from bob.leaderboard.cells import Cell, Column
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import MISSING, cell_text, leads, millions, value_text
from bob.leaderboard.rows import Row, ranked
from bob.records.record import Record

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
} | {character: "\\" + character for character in "&%$#_{}"}
MARK = r"$^\dagger$"
"""Beside a value that is not told apart from the best of its column."""


def to_latex(board: Board) -> str:
    """The whole file."""
    tasks = sorted({record.task.name for record in board.kept})
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(_task(task, board) for task in tasks)


def _task(task: str, board: Board) -> str:
    own = [record for record in board.kept if record.task.name == task]
    columns, rows = ranked(own)
    best = {lead.column: lead.best for lead in leads(own)}
    head = ["Backbone", "Params (M)", *(escape(column.dataset) for column in columns), "Mean"]
    body = [
        _line(
            [
                _name(row),
                _params(row),
                *(_cell(row, column, best, board) for column in columns),
                _mean(row),
            ]
        )
        for row in rows
    ]
    frame = [
        rf"\begin{{tabular}}{{lr{'r' * len(columns)}r}}",
        r"\toprule",
        _line(head),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    label = "".join(character if character.isalnum() else "-" for character in task)
    about = [rf"\caption{{{_caption(task, own, board)}}}", rf"\label{{tab:{label}}}"]
    return "\n".join([r"\begin{table}", r"\centering", *frame, *about, r"\end{table}", ""])


def _caption(task: str, records: Sequence[Record], board: Board) -> str:
    text = f"{escape(task)}: {escape(records[0].task.metrics[0])}, shares in percent, 95\\,\\% intervals in brackets. Bold: best of its column. "
    tied = (
        f"{MARK}: not told apart from it in a paired test (Holm, 5\\,\\%). "
        if any(column.task == task for column in board.ties)
        else ""
    )
    pool = (
        f"Pool: {escape(pool_text(board.by_task[task]))}."
        if task in board.by_task
        else "Published numbers."
    )
    return text + tied + pool


def _name(row: Row) -> str:
    return escape(row.name) + (
        " (floor)" if row.is_floor else " (external)" if row.external else ""
    )


def _params(row: Row) -> str:
    return _dash(millions(row.facts.params if row.facts else None))


def _mean(row: Row) -> str:
    return "--" if row.mean is None else value_text("top1", row.mean)


def _cell(row: Row, column: Column, best: dict[Column, Cell], board: Board) -> str:
    cell = row.cells.get(column)
    text = _dash(cell_text(cell))
    if cell is None or cell.value is None:
        return text
    if column in best and best[column].record is cell.record:
        return rf"\textbf{{{text}}}"
    return text + MARK if row.name in board.tied.get(column, ()) else text


def _dash(text: str) -> str:
    return "--" if text == MISSING else text.replace("–", "--")


def _line(fields: Iterable[str]) -> str:
    return " & ".join(fields) + r" \\"


def escape(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))
