"""leaderboard.md: one table per task, backbones × datasets.

Several tasks on a single dataset are one table, backbones × tasks, or tasks × backbones where there
are more tasks.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bob.io.text import visible
from bob.leaderboards.board import Board, as_board
from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.description_agreement import description_agreements
from bob.leaderboards.ranking import Ranking, Standing
from bob.leaderboards.references import ReferenceRow, reference_rows
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.render.text import (
    BASIS_TEXT,
    MISSING,
    TIED_MARK,
    UNTESTED_MARK,
    board_notes,
    cell_text,
    mark,
    marks_of,
    params_text,
    share_text,
    unranked_sentence,
    value_text,
)
from bob.leaderboards.robustness import ShiftRobustness
from bob.leaderboards.rows import BoardRow, board_rows
from bob.leaderboards.single_dataset import SingleDataset, single_dataset
from bob.leaderboards.verdicts import Verdicts
from bob.metrics import METRICS
from bob.metrics.score_ranges import base_metric
from bob.records.record import Record

LEGEND = (
    "Values in percent (log-loss in nats), 95 % confidence intervals in brackets. Bold: best "
    "ranked backbone of a task on a dataset. *(baseline)*: what any useful backbone must beat."
)
TIED = (
    f" {TIED_MARK}: statistically tied with the best of its task and dataset (paired test, "
    f"Holm-adjusted, 5 %); on the best itself, that others are."
)
UNTESTED = (
    f" {UNTESTED_MARK}: not tested against the best of its task and dataset, because there are no "
    "results on the same examples; on the best itself, that others were not."
)
ROBUSTNESS = (
    "Effective robustness in percentage points: how far a backbone lies above the line that is "
    "fitted to the pool, logit(shifted) against logit(in distribution)."
)

AGREEMENT = (
    "Rank correlation, over backbones without baselines, of each description of features with the "
    "score of the task `linear` on the same dataset; of distances of shifted sets, with the loss "
    "of accuracy there (`drop`). 1: the same order; 0: none in common. In brackets the 95 % "
    "interval over backbones, from 6 on. Nothing is ranked by a description."
)

MARKUP = re.compile(r"[\\`*|<>\[\]&~$]|(?<![^\W_])_|_(?![^\W_])|^#|#$")
"""Characters that are markup: `$` begins a formula on code hosts, `#` a heading or its end."""
LIST_ITEM = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
"""`- `, `+ ` or `1. ` at the beginning of a line."""


def to_markdown(source: Board | Iterable[Record]) -> str:
    """Return the text of leaderboard.md, for a board or for records."""
    board = as_board(source)
    used = {marked for verdicts in board.verdicts.values() for marked in marks_of(verdicts)}
    explained = {TIED_MARK: TIED, UNTESTED_MARK: UNTESTED}
    legend = LEGEND + "".join(text for marked, text in explained.items() if marked in used)
    parts = [
        "# Leaderboard",
        legend if board.records else "No records yet.",
        *_rankings(board),
        *_tables(board),
        *_robustness(board),
        _agreements(board),
        _notes(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rankings(board: Board) -> list[str]:
    """Return one table per ranking over several settings, or which backbones lack one."""
    return [
        _ranking(ranking)
        for ranking in board.rankings
        if len(ranking.settings) > 1 and len(ranking.standings) + len(ranking.incomplete) > 1
    ]


def _ranking(ranking: Ranking) -> str:
    title = "Overall" if ranking.origin is None else f"Overall: {escape(ranking.origin)} (external)"
    head = ["backbone", "mean z", "mean rank", "rank, 95 % interval", "win share", "tie group"]
    body = [_standing(standing) for standing in ranking.standings]
    sentences = [f"Pool: {pool_text(ranking)}."]
    if len(ranking.standings) > 1:
        sentences.append(BASIS_TEXT[ranking.basis])
    sentences.append(escape(unranked_sentence(ranking)))
    return _section(title, " ".join(filter(None, sentences)), head, body)


def _standing(standing: Standing) -> list[str]:
    ranks = f"{standing.rank_low}–{standing.rank_high}" if standing.rank_low else MISSING
    z = MISSING if standing.mean_z is None else f"{standing.mean_z:.3f}"
    share = MISSING if standing.win_share is None else share_text(standing.win_share)
    group = MISSING if standing.tie_group is None else str(standing.tie_group)
    return [escape(standing.backbone), z, f"{standing.mean_rank:.2f}", ranks, share, group]


def _robustness(board: Board) -> list[str]:
    """Return one table per task and metric, with one column per dataset and shift."""
    groups: dict[tuple[str, str], list[ShiftRobustness]] = defaultdict(list)
    for shift in board.robustness:
        if shift.fit is not None:
            groups[shift.column.task, base_metric(shift.metric, ())].append(shift)
    return [_robustness_table(task, metric, shifts) for (task, metric), shifts in groups.items()]


def _robustness_table(task: str, metric: str, shifts: Sequence[ShiftRobustness]) -> str:
    pools = {shift.pool for shift in shifts}
    pool = (
        f"Pool: {', '.join(map(escape, min(pools)))}."
        if len(pools) == 1
        else "Pools differ by column: see `draws_line` in robustness.csv."
    )
    head = ["backbone", *(escape(f"{shift.column.dataset} → {shift.shift}") for shift in shifts)]
    names = sorted(
        {name for shift in shifts for name in shift.values},
        key=lambda name: (-shifts[0].residuals.get(name, -1.0), name),
    )
    body = [
        [escape(name), *(_points(shift.residuals.get(name)) for shift in shifts)] for name in names
    ]
    title = f"Effective robustness: {escape(task)}, {escape(metric)}"
    return _section(title, f"{ROBUSTNESS} {pool}", head, body)


def _points(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:+.1f}"


def _agreements(board: Board) -> str:
    """Return a table of how descriptions order backbones; empty without any."""
    agreements = description_agreements(board.records)
    body = []
    for agreement in agreements:
        tau = f"{agreement.tau:.2f}"
        if agreement.low is not None and agreement.high is not None:
            tau += f" [{agreement.low:.2f}, {agreement.high:.2f}]"
        names = (agreement.description, agreement.measured, agreement.dataset)
        body.append([*map(escape, names), str(agreement.backbones), tau])
    if not body:
        return ""
    head = ["description", "measured", "dataset", "backbones", "Kendall's tau"]
    return _section("Descriptions beside the probe", AGREEMENT, head, body)


def _tables(board: Board) -> list[str]:
    """Return one table per task, or the only one of a single dataset."""
    single = single_dataset(board)
    if single is not None:
        return [_single_dataset(single, board)]
    return [_task(task, board) for task in board.tasks]


def _single_dataset(single: SingleDataset, board: Board) -> str:
    """Return one table of all tasks on the only dataset."""
    columns = single.columns
    heads = [f"{escape(column.task)} ({_code(single.metrics[column])})" for column in columns]
    body = [_row(row, columns, False, board) for row in single.rows]
    body += [
        _reference(row, columns, False, single.metrics)
        for row in reference_rows(board.cells, board.fused)
    ]
    head = ["backbone", "params (M)", *heads]
    if single.is_wide:
        head, *body = (list(row) for row in zip(head, *body, strict=True))
        head[0] = "task"
    of_task = {cell.column: cell.record for cell in board.cells}
    texts = [f"- {escape(column.task)}: {_metric_text(of_task[column])}" for column in columns]
    return _section(f"Results on {escape(single.name)}", "\n".join(texts), head, body)


def _task(task: str, board: Board) -> str:
    """Return one task's table, with rows ranked by this task alone."""
    cells = board.task_cells(task)
    columns, rows = board_rows(cells)
    with_mean = len(columns) > 1
    head = [
        "backbone",
        "params (M)",
        *(escape(column.dataset) for column in columns),
        *(["mean"] if with_mean else []),
    ]
    body = [_row(row, columns, with_mean, board) for row in rows]
    metrics = {cell.column: cell.metric for cell in cells}
    references = reference_rows(cells, board.fused)
    body += [_reference(row, columns, with_mean, metrics) for row in references]
    return _section(escape(task), _metric_text(cells[0].record), head, body)


def _reference(
    row: ReferenceRow,
    columns: Sequence[BoardColumn],
    with_mean: bool,
    metrics: Mapping[BoardColumn, str],
) -> list[str]:
    values = [
        value_text(metrics[column], row.values[column]) if column in row.values else MISSING
        for column in columns
    ]
    return [f"*{escape(row.name)}*", MISSING, *values, *([MISSING] if with_mean else [])]


def _metric_text(record: Record) -> str:
    """Return which metric ranks, and the task's version."""
    name = record.task.metrics[0]
    summary = f": {METRICS[name].summary}" if name in METRICS else ""
    return f"Metric {_code(name)}{summary}. Task version {record.task.version}."


def _code(text: str) -> str:
    """Return text as code; text with backticks, which would end it, as escaped text."""
    shown = visible(" ".join(text.split()))
    return escape(text) if "`" in shown or "|" in shown else f"`{shown}`"


def _row(
    row: BoardRow,
    columns: Sequence[BoardColumn],
    with_mean: bool,
    board: Board,
) -> list[str]:
    mark = " *(baseline)*" if row.is_baseline else " *(external)*" if row.external else ""
    values = [_cell(row.cells.get(column), board.verdicts[column]) for column in columns]
    mean = MISSING if row.mean is None else value_text("top1", row.mean)
    return [
        escape(row.name) + mark,
        params_text(row.facts.params if row.facts else None),
        *values,
        *([mean] if with_mean else []),
    ]


def _cell(cell: BoardCell | None, verdicts: Verdicts) -> str:
    text = cell_text(cell)
    if cell is None:
        return text
    name = cell.record.backbone_name
    shown = f"**{text}**" if name == verdicts.best else text
    return f"{shown} {mark(verdicts, name)}".rstrip()


def _notes(board: Board) -> str:
    lines = board_notes(board)
    return "\n".join(["## Notes", "", *(f"- {escape(line)}" for line in lines)]) if lines else ""


def _section(title: str, text: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a heading, a paragraph and a table whose first column is left-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = [_line(fields) for fields in (head, rule, *body)]
    return "\n".join([f"## {title}", "", text, "", *lines])


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def escape(text: str) -> str:
    """Return text that Markdown shows verbatim, on one line.

    Underscores inside words are not markup and stay. Control characters are shown as escapes.
    """
    escaped = MARKUP.sub(r"\\\g<0>", visible(" ".join(text.split())))
    return LIST_ITEM.sub(r"\1\\\2", escaped)
