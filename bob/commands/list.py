"""`bob-bench list`: registry entries or records, one per line or as JSON. Does not import torch."""

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bob.backbones.availability import backbone_unavailable_reason
from bob.commands.terminal import Terminal
from bob.datasets.availability import dataset_unavailable_reason
from bob.errors import OK
from bob.io.text import short_count
from bob.registry import load_backbones, load_datasets, load_tasks

if TYPE_CHECKING:
    from bob.records.record import Record

Row = dict[str, Any]
GAP = "  "
LEAST_WRAPPED = 40
"""Width down to which the last column is wrapped before another one is left out."""
DROPPED = {
    "backbones": (("architecture", 3), ("family", 1)),
    "tasks": (("groups", 3), ("version", 1), ("protocol", 2)),
    "datasets": (("groups", 1), ("classes", 2)),
    "records": (("metric", 4), ("dataset", 2)),
}
"""The columns of each list that a narrow terminal lacks, the first one first."""


def run(arguments: argparse.Namespace) -> int:
    """Print one line per entry, or all fields of all entries as JSON."""
    terminal = Terminal()
    if arguments.kind == "records":
        rows = _record_rows(terminal, arguments)
    else:
        rows = _registry_rows(arguments)
    if arguments.json:
        terminal.write_line(json.dumps(rows, indent=1))
    elif rows:
        _print_rows(terminal, arguments.kind, rows)
    else:
        terminal.write_line(f"no {arguments.kind}")
    return OK


def _print_rows(terminal: Terminal, kind: str, rows: Sequence[Row]) -> None:
    """Print the lines of entries; a narrow terminal has less of each."""
    summaries = [_summary(kind, row) for row in rows]
    width, shortened = terminal.line_width, False
    if width is not None and _total(summaries) > width:
        shortened = any(_first_clause(row[-1]) != row[-1] for row in summaries)
        summaries = [[*cells, _first_clause(last)] for *cells, last in summaries]
    for line in aligned(summaries, DROPPED[kind], width):
        terminal.write_line(line)
    if shortened:
        terminal.write_line("How to obtain what is not on this machine: --json.")


def _registry_rows(arguments: argparse.Namespace) -> list[Row]:
    if arguments.kind == "tasks":
        tasks = load_tasks(arguments.tasks_dir)
        return [spec.model_dump(mode="json") for spec in tasks.values()]
    datasets = load_datasets(arguments.tasks_dir)
    if arguments.kind == "datasets":
        return [
            spec.model_dump(mode="json") | {"absent": dataset_unavailable_reason(spec)}
            for spec in datasets.values()
        ]
    backbones = load_backbones(arguments.registry, datasets)
    return [
        spec.model_dump(mode="json") | {"absent": backbone_unavailable_reason(spec)}
        for spec in backbones.values()
    ]


def _record_rows(terminal: Terminal, arguments: argparse.Namespace) -> list[Row]:
    from bob.records.store import RecordStore

    records, damaged = RecordStore(arguments.results).read_all()
    for problem in damaged:
        terminal.note(problem)
    return [_record_row(record) for record in records]


def _record_row(record: "Record") -> Row:
    metric = record.task.metrics[0]
    score = next((score for score in record.scores if score.metric == metric), None)
    return {
        "key": record.key,
        "task": record.task.name,
        "dataset": record.dataset_name,
        "backbone": record.backbone_name,
        "status": record.status,
        "metric": metric,
        "value": score.value if score else None,
        "created": record.provenance.get("created"),
        "reason": record.reason,
    }


def _summary(kind: str, row: Row) -> Sequence[str]:
    """Return the columns of the line of an entry."""
    availability = row.get("absent") or "on this machine"
    groups = ",".join(row.get("groups") or ())
    if kind == "backbones":
        params = short_count(row["params"]) if row["params"] else ""
        return row["name"], row["family"], params, row["architecture"], availability
    if kind == "tasks":
        return row["name"], f"v{row['version']}", row["protocol"], groups, row["summary"]
    if kind == "datasets":
        classes = f"{row['classes']} classes" if row["classes"] else ""
        return row["name"], groups, classes, availability
    from bob.leaderboards.render.text import unit_text

    value = row["status"] if row["value"] is None else unit_text(row["metric"], row["value"])
    return row["key"][:16], row["task"], row["dataset"], row["backbone"], row["metric"], value


def _total(rows: Sequence[Sequence[str]]) -> int:
    """Return the width of aligned rows."""
    return sum(max(map(len, texts)) + len(GAP) for texts in zip(*rows, strict=True)) - len(GAP)


def _first_clause(text: str) -> str:
    """Return `not on this machine` of a text that goes on with how to obtain it."""
    return re.split(r"[:;] ", text)[0] if text.startswith("not on this machine") else text


def aligned(
    rows: Sequence[Sequence[str]], dropped: Sequence[tuple[str, int]], width: int | None
) -> Iterator[str]:
    """Yield lines of rows, with columns of equal width, that fit a terminal of some width.

    Where they do not, the last column is wrapped below itself down to `LEAST_WRAPPED` characters,
    and before it gets narrower, columns are left out in the order of `dropped`, their names and
    positions; a last line names them. Without a width, nothing is wrapped or left out.
    """
    left_out: list[tuple[str, int]] = []
    for column in (None, *dropped):
        left_out += [column] if column else []
        kept = [i for i in range(len(rows[0])) if i not in {place for _, place in left_out}]
        shown = [[row[i] for i in kept] for row in rows]
        widths = [max(map(len, texts)) for texts in zip(*shown, strict=True)]
        room = None if width is None else width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
        if room is None or room >= min(widths[-1], LEAST_WRAPPED):
            break
    for row in shown:
        yield from _line(row, widths, None if room is None else max(room, LEAST_WRAPPED))
    if left_out:
        names = ", ".join(name for name, _ in left_out)
        yield f"Not shown: {names}; a wider terminal or --json has all."


def _line(row: Sequence[str], widths: Sequence[int], room: int | None) -> Iterator[str]:
    """Yield a row, and the lines of its last cell that follow below."""
    first = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
    last = [row[-1]] if room is None else textwrap.wrap(row[-1], room) or [""]
    yield GAP.join([*first, last[0]]).rstrip()
    indent = " " * (sum(widths[:-1]) + len(GAP) * (len(widths) - 1))
    yield from (f"{indent}{line}" for line in last[1:])
