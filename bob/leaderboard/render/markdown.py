"""leaderboard.md: one table per task, backbones × datasets."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bob.leaderboard.board import Board, as_board
from bob.leaderboard.cells import Cell, Column, base_of
from bob.leaderboard.ranking import Ranking, Standing
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import (
    BASIS_TEXT,
    MISSING,
    cell_text,
    leads,
    millions,
    notes,
    value_text,
)
from bob.leaderboard.robustness import UnderShift
from bob.leaderboard.rows import Row, ranked
from bob.metrics import METRICS
from bob.records.record import Record

LEGEND = "Values in percent (log-loss in nats), 95 % intervals in brackets. Bold: best of its column. *(floor)*: what any useful backbone must beat."
ROBUST = (
    "Points above the line that the pool draws through logit(shifted) on logit(in distribution)."
)
TIED = (
    " ≈: not told apart from the best of its column by a paired test (Holm over the column, 5 %)."
)


def to_markdown(given: Board | Iterable[Record]) -> str:
    """The whole file, of a board or of records alone."""
    board = as_board(given)
    tasks = sorted({record.task.name for record in board.kept})
    legend = LEGEND + (TIED if board.ties else "") if board.kept else "No records yet."
    parts = [
        "# Leaderboard",
        legend,
        *_rankings(board),
        *(_task(task, board) for task in tasks),
        *_robustness(board),
        _notes(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rankings(board: Board) -> list[str]:
    """One table per ranking over several settings."""
    return [
        _ranking(ranking)
        for ranking in board.rankings
        if len(ranking.standings) > 1 and len(ranking.settings) > 1
    ]


def _ranking(ranking: Ranking) -> str:
    title = "Overall" if ranking.origin is None else f"Overall: {escape(ranking.origin)} (external)"
    head = ["backbone", "mean z", "mean rank", "95 % of resamples", "win share", "tie group"]
    body = [_line(_standing(standing)) for standing in ranking.standings]
    told = f"Pool: {pool_text(ranking)}. {BASIS_TEXT[ranking.basis]}"
    return "\n".join(
        [
            f"## {title}",
            "",
            told,
            "",
            _line(head),
            _line(["---", *["---:"] * (len(head) - 1)]),
            *body,
        ]
    )


def _standing(standing: Standing) -> list[str]:
    places = f"{standing.rank_low}–{standing.rank_high}" if standing.rank_low else MISSING
    z = MISSING if standing.mean_z is None else f"{standing.mean_z:.3f}"
    share = MISSING if standing.win_share is None else f"{100 * standing.win_share:.0f} %"
    group = MISSING if standing.tie_group is None else str(standing.tie_group)
    return [escape(standing.backbone), z, f"{standing.mean_rank:.2f}", places, share, group]


def _robustness(board: Board) -> list[str]:
    """Per task and metric, one column per dataset and shift."""
    groups: dict[tuple[str, str], list[UnderShift]] = defaultdict(list)
    for one in board.robustness:
        if one.found is not None:
            groups[one.column.task, base_of(one.metric, ())].append(one)
    return [_robust(task, metric, shifts) for (task, metric), shifts in groups.items()]


def _robust(task: str, metric: str, shifts: Sequence[UnderShift]) -> str:
    title = f"## Effective robustness: {escape(task)}, {escape(metric)}"
    pools = {one.pool for one in shifts}
    pool = (
        f"Pool: {', '.join(map(escape, min(pools)))}."
        if len(pools) == 1
        else "Pools differ by column: `draws_line` in robustness.csv."
    )
    told = f"{ROBUST} {pool}"
    head = ["backbone", *(f"{one.column.dataset} → {one.shift}" for one in shifts)]
    names = sorted(
        {name for one in shifts for name in one.values},
        key=lambda name: (-shifts[0].residuals.get(name, -1.0), name),
    )
    body = [
        _line([escape(name), *(_points(one.residuals.get(name)) for one in shifts)])
        for name in names
    ]
    return "\n".join(
        [
            title,
            "",
            told,
            "",
            _line(map(escape, head)),
            _line(["---", *["---:"] * len(shifts)]),
            *body,
        ]
    )


def _points(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:+.1f}"


def _task(task: str, board: Board) -> str:
    """One task's table. Rows are ranked by this task alone."""
    own = [record for record in board.kept if record.task.name == task]
    columns, rows = ranked(own)
    best = {lead.column: lead.best for lead in leads(own)}
    with_mean = len(columns) > 1
    head = [
        "backbone",
        "params (M)",
        *(column.dataset for column in columns),
        *(["mean"] if with_mean else []),
    ]
    body = [_row(row, columns, best, with_mean, board) for row in rows]
    return "\n".join(
        [
            f"## {escape(task)}",
            "",
            _metric_line(own),
            "",
            _line(map(escape, head)),
            _line(["---", *["---:"] * (len(head) - 1)]),
            *body,
        ]
    )


def _metric_line(records: Sequence[Record]) -> str:
    """Which metric ranks, and its task's version."""
    task = records[0].task
    metric = METRICS.get(task.metrics[0])
    summary = f": {metric.summary}" if metric else ""
    return f"Metric `{task.metrics[0]}`{summary}. Task version {task.version}."


def _row(
    row: Row, columns: Sequence[Column], best: dict[Column, Cell], with_mean: bool, board: Board
) -> str:
    values = [
        _cell(row.cells.get(column), best.get(column), row.name in board.tied.get(column, ()))
        for column in columns
    ]
    mean = "–" if row.mean is None else value_text("top1", row.mean)
    name = escape(row.name) + (
        " *(floor)*" if row.is_floor else " *(external)*" if row.external else ""
    )
    return _line(
        [
            name,
            millions(row.facts.params if row.facts else None),
            *values,
            *([mean] if with_mean else []),
        ]
    )


def _cell(cell: Cell | None, best: Cell | None, tied: bool) -> str:
    text = cell_text(cell)
    if cell is not None and best is not None and cell.record is best.record:
        return f"**{text}**"
    return f"{text} ≈" if tied else text


def _notes(board: Board) -> str:
    lines = notes(board.kept, board.aside, board.remarks)
    return "\n".join(["## Notes", "", *(f"- {escape(line)}" for line in lines)]) if lines else ""


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: one line, no markup, no HTML. Underscores inside words are no markup and stay."""
    return re.sub(r"([\\`*|<>\[\]&~])", r"\\\1", " ".join(text.split()))
