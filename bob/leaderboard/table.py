"""The leaderboard as data frames: `tidy`, one row per score, and `wide`, one row per backbone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from bob.leaderboard.cells import Cell, Column, cells, comparable, created, facts_by_backbone, is_share
from bob.records import BackboneFacts, Record, Score

TIDY = {
    "backbone": "object",
    "family": "object",
    "floor": "bool",
    "task": "object",
    "task_version": "Int64",
    "dataset": "object",
    "metric": "object",
    "seed": "Int64",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "n": "Int64",
    "interval": "object",
    "undefined": "object",
    "status": "object",
    "reason": "object",
    "primary": "bool",
    "pooling": "object",
    "weights_hash": "object",
    "input_px": "object",
    "crop_pct": "float64",
    "interpolation": "object",
    "mean": "object",
    "std": "object",
    "precision": "object",
    "width": "Int64",
    "params": "Int64",
    "gflops": "float64",
    "licence": "object",
    "chosen": "object",
    "train": "Int64",
    "val": "Int64",
    "test": "Int64",
    "bad_images": "Int64",
    "limit": "Int64",
    "split_kind": "object",
    "dataset_fingerprint": "object",
    "record_key": "object",
    "device": "object",
    "images_per_s": "float64",
    "probe_seconds": "float64",
    "created": "object",
}
"""The columns of leaderboard.csv in order, with their types. The last four depend on the machine and the day; nothing before them does.

primary: whether this metric ranks its task. mean, std: normalisation, JSON. chosen: what the protocol chose under that seed, JSON.
train, val, test: images used. bad_images: images left out. An empty value means that there is none: see undefined, status and reason.
"""

MACHINE = ("device", "images_per_s", "probe_seconds", "created")
"""Columns that differ between two runs of the same inputs."""


def tidy(records: Iterable[Record]) -> pd.DataFrame:
    """One row per backbone × task × dataset × metric × seed of the comparable records; a failed record gives one row. The order is the content's."""
    kept, _ = comparable(records)
    rows = [row for record in kept for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(TIDY)).astype(TIDY)


def _rows(record: Record) -> list[dict[str, Any]]:
    shared = _record_columns(record) | _backbone_columns(record.backbone) | _dataset_columns(record) | _cost_columns(record)
    if record.status == "failed":
        return [shared | {"metric": record.task.metrics[0], "primary": True}]
    scores = sorted(record.scores, key=lambda score: _metric_order(record, score))
    return [shared | _score_columns(record, score) for score in scores]


def _metric_order(record: Record, score: Score) -> tuple[int, int, str, int]:
    """The task's order of metrics; `top1_k5` and `top1_k20` follow `top1`, shorter names first; then the seed."""
    names = record.task.metrics
    bases = [index for index, name in enumerate(names) if score.metric == name or score.metric.startswith(name + "_k")]
    return bases[0] if bases else len(names), len(score.metric), score.metric, -1 if score.seed is None else score.seed


def _record_columns(record: Record) -> dict[str, Any]:
    return {
        "backbone": record.backbone_name,
        "family": record.family,
        "floor": record.family == "baseline",
        "task": record.task.name,
        "task_version": record.task.version,
        "dataset": record.dataset_name,
        "status": record.status,
        "reason": record.reason,
        "record_key": record.key,
    }


def _score_columns(record: Record, score: Score) -> dict[str, Any]:
    columns = score.model_dump()
    return columns | {"primary": score.metric == record.task.metrics[0], "chosen": _chosen(record, score.seed)}


def _chosen(record: Record, seed: int | None) -> str | None:
    """The protocol's details under that seed, as JSON."""
    position = record.seeds.index(seed) if seed in record.seeds else 0
    return to_json(record.details[position]) if position < len(record.details) else None


def _backbone_columns(facts: BackboneFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    names = ("pooling", "weights_hash", "precision", "width", "params", "gflops", "licence")
    geometry = {name: facts.geometry.get(name) for name in ("crop_pct", "interpolation")}
    normalisation = {name: to_json(facts.normalisation.get(name)) for name in ("mean", "std")}
    return {name: getattr(facts, name) for name in names} | geometry | normalisation | {"input_px": _text(facts.geometry.get("input_px"))}


def _dataset_columns(record: Record) -> dict[str, Any]:
    facts = record.dataset
    if facts is None:
        return {}
    return {
        **{split: facts.counts.get(split) for split in ("train", "val", "test")},
        "bad_images": sum(map(len, facts.bad_images.values())),
        "limit": facts.limit,
        "split_kind": _text(facts.split_origin.get("kind")),
        "dataset_fingerprint": facts.fingerprint,
    }


def _cost_columns(record: Record) -> dict[str, Any]:
    cost = record.cost
    measured = {name: getattr(cost, name) for name in ("device", "images_per_s", "probe_seconds")} if cost else {}
    return measured | {"created": created(record)}


def to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _text(value: Any) -> str | None:
    """A value that may be a number, text or a list, as text: input_px is 224 or [224, 320]."""
    return value if isinstance(value, str) else to_json(value)


@dataclass(frozen=True)
class Row:
    """One backbone across all columns of the leaderboard."""

    name: str
    facts: BackboneFacts | None
    cells: dict[Column, Cell]
    mean: float | None
    """Mean over all columns; None where a cell is missing, failed or undefined, or where the columns' metrics are not shares."""
    rank: int | None
    """1 is best, among the rows that have a mean."""
    incomplete: str
    """What is missing, in words; empty for a complete row."""

    @property
    def is_floor(self) -> bool:
        return any(cell.record.family == "baseline" for cell in self.cells.values())


def ranked(records: Sequence[Record]) -> tuple[list[Column], list[Row]]:
    """The columns, and the rows best first; `records` are comparable ones. Rows without a mean come last, by name."""
    columns: dict[Column, dict[str, Cell]] = {}
    for cell in sorted(cells(records), key=lambda cell: cell.column):
        columns.setdefault(cell.column, {})[cell.record.backbone_name] = cell
    averaged = all(is_share(record.task.metrics[0]) for record in records)
    rows = [_row(name, facts, columns, averaged) for name, facts in facts_by_backbone(records).items()]
    rows.sort(key=lambda row: (row.mean is None, -(row.mean or 0.0), row.name))
    places = [index + 1 if row.mean is not None else None for index, row in enumerate(rows)]
    return list(columns), [Row(row.name, row.facts, row.cells, row.mean, place, row.incomplete) for row, place in zip(rows, places, strict=True)]


def _row(name: str, facts: BackboneFacts | None, columns: dict[Column, dict[str, Cell]], averaged: bool) -> Row:
    """`averaged`: whether a mean over the columns has a meaning."""
    own = {column: held[name] for column, held in columns.items() if name in held}
    states = {column: own[column].status if column in own else "missing" for column in columns}
    lacks = [f"{state}: {column}" for column, state in states.items() if state != "ok"]
    values = [cell.value for cell in own.values() if cell.value is not None]
    mean = fmean(values) if values and not lacks and averaged else None
    return Row(name, facts, own, mean, None, "; ".join(lacks))


def wide(records: Iterable[Record]) -> pd.DataFrame:
    """One row per backbone, best first, with one column `task/dataset` per cell that holds the mean over seeds of the task's first metric.

    rank and mean exist only for backbones that have every column; `incomplete` names what the others lack.
    """
    columns, rows = ranked(comparable(records)[0])
    frame = pd.DataFrame([_wide_row(row, columns) for row in rows], columns=[*WIDE, *map(str, columns)])
    return frame.astype(WIDE | {str(column): "float64" for column in columns})


WIDE = {
    "rank": "Int64",
    "backbone": "object",
    "family": "object",
    "floor": "bool",
    "params": "Int64",
    "width": "Int64",
    "gflops": "float64",
    "licence": "object",
    "weights_hash": "object",
    "mean": "float64",
    "incomplete": "object",
}
"""The leading columns of leaderboard_wide.csv, with their types."""


def _wide_row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    family = next(cell.record.family for cell in row.cells.values())
    known = {"rank": row.rank, "backbone": row.name, "family": family, "floor": row.is_floor, "mean": row.mean, "incomplete": row.incomplete}
    facts = {name: getattr(row.facts, name, None) for name in ("params", "width", "gflops", "licence", "weights_hash")}
    return known | facts | {str(column): row.cells[column].value for column in columns if column in row.cells}
