"""The leaderboard as a rich table. Returns it; the caller prints."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bob.leaderboard.cells import Cell, Column, comparable
from bob.leaderboard.table import Row, ranked
from bob.leaderboard.words import cell_text, leads, limits_text, millions, notes, value_text
from bob.records import Record

STATUS_STYLE = {"failed": "red", "undefined": "yellow"}


def to_terminal(records: Iterable[Record]) -> RenderableType:
    """One table per task, best first, floors marked, then the notes."""
    kept, aside = comparable(records)
    if not kept:
        return Text("No records yet.")
    tables = [_task(task, kept) for task in sorted({record.task.name for record in kept})]
    return Group(*tables, *(Text(f"• {line}", style="dim") for line in notes(kept, aside)))


def _task(task: str, records: Sequence[Record]) -> Table:
    own = [record for record in records if record.task.name == task]
    columns, rows = ranked(own)
    best = {lead.column: lead.best for lead in leads(own)}
    table = Table(title=Text(f"{task}: {own[0].task.metrics[0]}, 95 % intervals"), title_justify="left")
    table.add_column("backbone", overflow="fold")
    for name in ["params (M)", *(column.dataset for column in columns), *(["mean"] if len(columns) > 1 else [])]:
        table.add_column(Text(name), justify="right")
    for row in rows:
        table.add_row(*_fields(row, columns, best), style="dim" if row.is_floor else "")
    return table


def _fields(row: Row, columns: Sequence[Column], best: dict[Column, Cell]) -> list[Text]:
    name = Text(row.name) + Text(" (floor)" if row.is_floor else "", style="italic")
    values = [_cell(row.cells.get(column), best.get(column)) for column in columns]
    mean = [Text("–" if row.mean is None else value_text("top1", row.mean))] if len(columns) > 1 else []
    return [name, Text(millions(row.facts.params if row.facts else None)), *values, *mean]


def _cell(cell: Cell | None, best: Cell | None) -> Text:
    if cell is None or cell.value is None:
        return Text(cell_text(cell), style=STATUS_STYLE[cell.status] if cell else "dim")
    value = Text(value_text(cell.metric, cell.value), style="bold" if best is not None and cell.record is best.record else "")
    return value + Text(limits_text(cell), style="dim")
