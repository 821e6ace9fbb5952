"""`bob-bench list`: registry entries or records, one per line or as JSON. Does not import torch."""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bob.backbones.availability import backbone_unavailable_reason
from bob.commands.terminal import Terminal
from bob.datasets.availability import dataset_unavailable_reason
from bob.errors import OK
from bob.registry import load_backbones, load_datasets, load_tasks

if TYPE_CHECKING:
    from bob.records.record import Record

Row = dict[str, Any]


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
        for line in _aligned([_summary(arguments.kind, row) for row in rows]):
            terminal.write_line(line)
    else:
        terminal.write_line(f"no {arguments.kind}")
    return OK


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
        params = f"{row['params'] / 1e6:.1f} M" if row["params"] else ""
        return row["name"], row["family"], row["architecture"], params, availability
    if kind == "tasks":
        return row["name"], f"v{row['version']}", row["protocol"], groups, row["summary"]
    if kind == "datasets":
        classes = f"{row['classes']} classes" if row["classes"] else ""
        return row["name"], groups, classes, availability
    from bob.leaderboards.render.text import unit_text

    value = row["status"] if row["value"] is None else unit_text(row["metric"], row["value"])
    return row["key"][:16], row["task"], row["dataset"], row["backbone"], row["metric"], value


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield one line per row, with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
