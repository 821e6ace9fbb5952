"""leaderboard.md: one table per task, backbones × datasets."""

import re
from collections.abc import Iterable, Sequence

from bob.leaderboard.cells import Cell, Column, SetAside, comparable
from bob.leaderboard.table import Row, ranked
from bob.leaderboard.words import cell_text, leads, millions, notes, value_text
from bob.metrics import METRICS
from bob.records import Record

LEGEND = "Values in percent (log-loss in nats), 95 % intervals in brackets. Bold: best of its column. *(floor)*: what any useful backbone must beat."


def to_markdown(records: Iterable[Record]) -> str:
    """The whole file."""
    kept, aside = comparable(records)
    tasks = sorted({record.task.name for record in kept})
    parts = ["# Leaderboard", LEGEND if kept else "No records yet.", *(_task(task, kept) for task in tasks), _notes(kept, aside)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _task(task: str, records: Sequence[Record]) -> str:
    """One task's table. Rows are ranked by this task alone."""
    own = [record for record in records if record.task.name == task]
    columns, rows = ranked(own)
    best = {lead.column: lead.best for lead in leads(own)}
    with_mean = len(columns) > 1
    head = ["backbone", "params (M)", *(column.dataset for column in columns), *(["mean"] if with_mean else [])]
    body = [_row(row, columns, best, with_mean) for row in rows]
    return "\n".join([f"## {escape(task)}", "", _metric_line(own), "", _line(map(escape, head)), _line(["---", *["---:"] * (len(head) - 1)]), *body])


def _metric_line(records: Sequence[Record]) -> str:
    """Which metric ranks, and its task's version."""
    task = records[0].task
    metric = METRICS.get(task.metrics[0])
    summary = f": {metric.summary}" if metric else ""
    return f"Metric `{task.metrics[0]}`{summary}. Task version {task.version}."


def _row(row: Row, columns: Sequence[Column], best: dict[Column, Cell], with_mean: bool) -> str:
    values = [_cell(row.cells.get(column), best.get(column)) for column in columns]
    mean = "–" if row.mean is None else value_text("top1", row.mean)
    name = escape(row.name) + (" *(floor)*" if row.is_floor else "")
    return _line([name, millions(row.facts.params if row.facts else None), *values, *([mean] if with_mean else [])])


def _cell(cell: Cell | None, best: Cell | None) -> str:
    text = cell_text(cell)
    return f"**{text}**" if cell is not None and best is not None and cell.record is best.record else text


def _notes(records: Sequence[Record], aside: Sequence[SetAside]) -> str:
    lines = notes(records, aside)
    return "\n".join(["## Notes", "", *(f"- {escape(line)}" for line in lines)]) if lines else ""


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: one line, no markup, no HTML. Underscores inside words are no markup and stay."""
    return re.sub(r"([\\`*|<>\[\]&~])", r"\\\1", " ".join(text.split()))
