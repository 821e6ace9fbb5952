"""`bob-bench list`, without torch."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bob.backbones.availability import backbone_unavailable_reason
from bob.datasets.availability import dataset_unavailable_reason
from bob.registry import load_registry

if TYPE_CHECKING:
    from bob.records.record import Record


def run(arguments: argparse.Namespace) -> int:
    """One line per entry, or JSON with every field."""
    rows = _record_rows(arguments) if arguments.kind == "records" else _registry_rows(arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    elif rows:
        sys.stdout.write(_columns([_short(arguments.kind, row) for row in rows]))
    else:
        sys.stdout.write(f"no {arguments.kind}\n")
    return 0


def _registry_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    if arguments.kind == "tasks":
        return [spec.model_dump(mode="json") for spec in registry.tasks.values()]
    if arguments.kind == "datasets":
        return [
            spec.model_dump(mode="json") | {"absent": dataset_unavailable_reason(spec)}
            for spec in registry.datasets.values()
        ]
    return [
        spec.model_dump(mode="json") | {"absent": backbone_unavailable_reason(spec)}
        for spec in registry.backbones.values()
    ]


def _record_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from bob.records.store import RecordStore

    records, damaged = RecordStore(arguments.results).read_all()
    for problem in damaged:
        sys.stderr.write(f"note: {problem}\n")
    return [_record_row(record) for record in records]


def _record_row(record: "Record") -> dict[str, Any]:
    ranking = next(
        (score for score in record.scores if score.metric == record.task.metrics[0]), None
    )
    return {
        "key": record.key,
        "task": record.task.name,
        "dataset": record.dataset_name,
        "backbone": record.backbone_name,
        "status": record.status,
        "metric": record.task.metrics[0],
        "value": ranking.value if ranking else None,
        "created": record.provenance.get("created"),
        "reason": record.reason,
    }


def _short(kind: str, row: dict[str, Any]) -> Sequence[str]:
    """What a line shows of an entry."""
    here = row.get("absent") or "on this machine"
    if kind == "backbones":
        params = f"{row['params'] / 1e6:.1f} M" if row["params"] else ""
        return row["name"], row["family"], row["architecture"], params, here
    if kind == "tasks":
        return (
            row["name"],
            f"v{row['version']}",
            row["protocol"],
            ",".join(row["groups"]),
            row["summary"],
        )
    if kind == "datasets":
        return (
            row["name"],
            ",".join(row["groups"]),
            f"{row['classes']} classes" if row["classes"] else "",
            here,
        )
    value = f"{100 * row['value']:.1f} %" if row["value"] is not None else row["status"]
    return row["key"][:16], row["task"], row["dataset"], row["backbone"], row["metric"], value


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
