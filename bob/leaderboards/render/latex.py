"""leaderboard.tex: booktabs tables, for \\input into a paper (package: booktabs).

There is one table per task, backbones × datasets. Several tasks on a single dataset are one table,
backbones × tasks, or tasks × backbones where there are more tasks.
"""

import re
from collections.abc import Iterable, Sequence

from bob.io.text import visible
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.references import ReferenceRow, reference_rows
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
from bob.leaderboards.single_dataset import SingleDataset, single_dataset
from bob.leaderboards.verdicts import Verdicts

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
    single = single_dataset(board)
    if single is not None:
        tables = [_single_dataset(single, board)]
    else:
        tables = [_task(task, board) for task in board.tasks]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(tables)


def _single_dataset(single: SingleDataset, board: Board) -> str:
    """Return one table of all tasks on the only dataset."""
    columns, rows = single.columns, single.rows
    texts = [[_cell(row, column, board) for column in columns] for row in rows]
    titles = [[escape(column.task), escape(single.metrics[column])] for column in columns]
    others = reference_rows(board.cells, board.fused)
    of_others = [
        [_reference(row, column, single.metrics[column]) for column in columns] for row in others
    ]
    references: list[list[str]] = []
    if not single.is_wide:
        heads = [["Backbone", "Params (M)", *(task for task, _ in titles)]]
        heads.append(["", "", *(metric for _, metric in titles)])
        body = [[_name(row), _params(row), *cells] for row, cells in zip(rows, texts, strict=True)]
        references = [
            [escape(row.name), "--", *cells] for row, cells in zip(others, of_others, strict=True)
        ]
        layout = "lr" + "r" * len(columns)
    else:
        names = [*map(_name, rows), *(escape(row.name) for row in others)]
        heads = [["Task", "Metric", *names]]
        by_column = zip(*texts, *of_others, strict=True)
        body = [[*title, *cells] for title, cells in zip(titles, by_column, strict=True)]
        layout = "ll" + "r" * len(names)
    title = f"Results on {escape(single.name)}"
    caption = _caption(title, "best of its task's", board.verdicts.values())
    caption += f" Pool: {escape(pool_text(board.overall))}."
    return _table(layout, heads, body, references, caption, single.name)


def _task(task: str, board: Board) -> str:
    cells = board.task_cells(task)
    columns, rows = board_rows(cells)
    head = ["Backbone", "Params (M)", *(escape(column.dataset) for column in columns), "Mean"]
    body = [
        [_name(row), _params(row), *(_cell(row, column, board) for column in columns), _mean(row)]
        for row in rows
    ]
    metric = cells[0].metric
    references = [
        [escape(row.name), "--", *(_reference(row, column, metric) for column in columns), "--"]
        for row in reference_rows(cells, board.fused)
    ]
    of_task = [verdicts for column, verdicts in board.verdicts.items() if column.task == task]
    title = f"{escape(task)}: {escape(metric)}"
    caption = _caption(title, "best of its column's", of_task)
    if task in board.by_task:
        caption += f" Pool: {escape(pool_text(board.by_task[task]))}."
    else:
        caption += " Published results."
    return _table(f"lr{'r' * len(columns)}r", [head], body, references, caption, task)


def _table(
    layout: str,
    heads: Iterable[Sequence[str]],
    body: Iterable[Sequence[str]],
    references: Sequence[Sequence[str]],
    caption: str,
    name: str,
) -> str:
    """Return a table environment; `layout` are the alignments of its columns.

    `references` are rows below a rule, if there are any.
    """
    label = "".join(character if character.isalnum() else "-" for character in name)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        *map(_line, heads),
        r"\midrule",
        *map(_line, body),
        *([r"\midrule"] if references else []),
        *map(_line, references),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _caption(title: str, best: str, verdicts: Iterable[Verdicts]) -> str:
    """Return the caption of a table, up to the pool: what bold and marks mean."""
    sentences = [
        f"{title}, shares in percent, 95\\,\\% confidence intervals in brackets. Bold: {best} "
        "ranked backbones."
    ]
    used = {marked for of_column in verdicts for marked in marks_of(of_column)}
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


def _reference(row: ReferenceRow, column: BoardColumn, metric: str) -> str:
    """Return the value of a fusion, of the majority class or of chance."""
    return value_text(metric, row.values[column]) if column in row.values else "--"


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
