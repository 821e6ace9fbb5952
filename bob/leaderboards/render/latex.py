"""leaderboard.tex: one booktabs table per task, for \\input into a paper (package: booktabs)."""

import re
from collections.abc import Iterable

from bob.io.text import visible
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.text import (
    MISSING,
    TIED_MARK,
    UNTESTED_MARK,
    cell_text,
    mark,
    marks_of,
    params_text,
    value_text,
)
from bob.leaderboards.rows import BoardRow, board_rows

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r'{\string"}',
} | {character: "\\" + character for character in "&%$#_{}"}
"""Characters with a meaning; `"` has one in several languages of babel."""
ARGUMENT = re.compile(r"[\[\]*]")
"""After `\\\\` and after a rule, `[` and `*` begin an argument."""
LIGATURE = re.compile(r"-(?=-)|'(?=')|,(?=,)")
"""Characters that merge with the next one: `--` would be a dash."""
MARKS = {TIED_MARK: r"$^\dagger$", UNTESTED_MARK: r"$^?$", "": ""}
"""Marks of the other formats → here."""


def to_latex(board: Board) -> str:
    """Return the text of leaderboard.tex."""
    tables = "\n".join(_task(task, board) for task in board.tasks)
    return "% Needs \\usepackage{booktabs}.\n" + tables


def _task(task: str, board: Board) -> str:
    cells = board.task_cells(task)
    columns, rows = board_rows(cells)
    head = ["Backbone", "Params (M)", *(escape(column.dataset) for column in columns), "Mean"]
    body = [
        _line(
            [
                _name(row),
                _params(row),
                *(_cell(row, column, board) for column in columns),
                _mean(row),
            ]
        )
        for row in rows
    ]
    tabular = [
        rf"\begin{{tabular}}{{lr{'r' * len(columns)}r}}",
        r"\toprule",
        _line(head),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    label = "".join(character if character.isalnum() else "-" for character in task)
    caption = _caption(task, cells[0].metric, board)
    captions = [rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}"]
    return "\n".join([r"\begin{table}", r"\centering", *tabular, *captions, r"\end{table}", ""])


def _caption(task: str, metric: str, board: Board) -> str:
    sentences = [
        f"{escape(task)}: {escape(metric)}, shares in percent, 95\\,\\% confidence intervals in "
        "brackets. Bold: best of its column's ranked backbones."
    ]
    of_task = [verdicts for column, verdicts in board.verdicts.items() if column.task == task]
    used = {marked for verdicts in of_task for marked in marks_of(verdicts)}
    if TIED_MARK in used:
        sentences.append(
            f"{MARKS[TIED_MARK]}: statistically tied with it in a paired test (Holm-adjusted, "
            "5\\,\\%); on the best itself, that others are."
        )
    if UNTESTED_MARK in used:
        sentences.append(
            f"{MARKS[UNTESTED_MARK]}: not tested against it; on the best itself, that others are "
            "not."
        )
    if task in board.by_task:
        sentences.append(f"Pool: {escape(pool_text(board.by_task[task]))}.")
    else:
        sentences.append("Published results.")
    return " ".join(sentences)


def _name(row: BoardRow) -> str:
    mark = " (baseline)" if row.is_baseline else " (external)" if row.external else ""
    return escape(row.name) + mark


def _params(row: BoardRow) -> str:
    return _dash(params_text(row.facts.params if row.facts else None))


def _mean(row: BoardRow) -> str:
    return "--" if row.mean is None else value_text("top1", row.mean)


def _cell(row: BoardRow, column: BoardColumn, board: Board) -> str:
    cell, verdicts = row.cells.get(column), board.verdicts[column]
    text = _dash(cell_text(cell))
    shown = rf"\textbf{{{text}}}" if cell and row.name == verdicts.best else text
    return shown + MARKS[mark(verdicts, row.name)]


def _dash(text: str) -> str:
    return "--" if text == MISSING else text.replace("–", "--")


def _line(fields: Iterable[str]) -> str:
    return " & ".join(fields) + r" \\"


def escape(text: str) -> str:
    """Return text that LaTeX shows verbatim, on one line.

    Control characters, which are errors in its input, are shown as escapes.
    """
    shown = visible(" ".join(text.split()))
    escaped = "".join(SPECIAL.get(character, character) for character in shown)
    return LIGATURE.sub(r"{\g<0>}", ARGUMENT.sub(r"{\g<0>}", escaped))
