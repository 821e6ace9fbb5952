"""The leaderboard as data frames: `tidy`, one row per score, and `wide`, one row per backbone."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bob.leaderboard.board import Board, as_board
from bob.leaderboard.cells import Column, created
from bob.leaderboard.rows import Row, ranked
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
    "external": "object",
    "pooling": "object",
    "weights_hash": "object",
    "input_px": "object",
    "crop_pct": "float64",
    "interpolation": "object",
    "preprocessing": "object",
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
    "device_name": "object",
    "runtime": "object",
    "threads": "Int64",
    "batch_size": "Int64",
    "images_per_s": "float64",
    "decode_images_per_s": "float64",
    "probe_seconds": "float64",
    "created": "object",
}
"""The columns of leaderboard.csv in order, with their types. The last, from device on, depend on the machine and the day; nothing before them does.

primary: whether this metric ranks its task. mean, std: normalisation, JSON. chosen: what the protocol chose under that seed, JSON.
train, val, test: images used. bad_images: images left out. external: the table that a published number was read from.
An empty value means that there is none: see undefined, status and reason.
After these come the facets of the scores, one column each: facet_k, facet_shots, facet_shift, ..., empty where a score is not of that kind.
"""

FACET = "facet_"
"""Prefix of the columns that tell a task's parts apart."""

OF_SCORE = ("metric", "seed", "value", "low", "high", "n", "interval", "undefined", "primary", "chosen")
"""Columns that differ between the rows of a record, besides the facets."""

OF_COST = ("device", "device_name", "runtime", "threads", "batch_size", "images_per_s", "decode_images_per_s", "probe_seconds")
MACHINE = (*OF_COST, "created")
"""Columns that differ between two runs of the same inputs."""


def tidy(given: Board | Iterable[Record]) -> pd.DataFrame:
    """One row per backbone × task × dataset × metric × seed of the comparable records; a failed record gives one row. The order is the content's."""
    kept = as_board(given).kept
    scores = [sorted(record.scores, key=_order_in(record)) if record.status == "ok" else [None] for record in kept]
    shared = pd.DataFrame([_shared(record) for record in kept], columns=[name for name in TIDY if name not in OF_SCORE])
    own = pd.DataFrame([_score_columns(record, score) for record, several in zip(kept, scores, strict=True) for score in several])
    rows = shared.iloc[np.repeat(np.arange(len(kept)), list(map(len, scores)))].reset_index(drop=True)
    facets = _facets(score for several in scores for score in several if score is not None)
    return pd.concat([rows, own], axis=1).reindex(columns=[*TIDY, *facets]).astype(TIDY | facets)


def _facets(scores: Iterable[Score]) -> dict[str, str]:
    """The columns of the scores' facets, with their types: whole numbers stay whole beside gaps; a facet of mixed kinds is text."""
    kinds: dict[str, set[type]] = defaultdict(set)
    for score in scores:
        for name, value in score.facets.items():
            kinds[FACET + name].add(type(value))
    return {name: "Int64" if held == {int} else "float64" if held <= {int, float} else "object" for name, held in sorted(kinds.items())}


def _shared(record: Record) -> dict[str, Any]:
    """What all rows of a record say."""
    return _record_columns(record) | _backbone_columns(record.backbone) | _dataset_columns(record) | _cost_columns(record)


def _order_in(record: Record) -> Callable[[Score], tuple[int, int, str, int]]:
    return lambda score: _metric_order(record, score)


def _metric_order(record: Record, score: Score) -> tuple[int, int, str, int]:
    """The task's order of metrics; `top1_k5` and `top1_k20` follow `top1`, shorter names first; then the seed."""
    names = record.task.metrics
    bases = [name for name in names if score.metric == name or score.metric.startswith(name + "_")]
    return names.index(max(bases, key=len)) if bases else len(names), len(score.metric), score.metric, -1 if score.seed is None else score.seed


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
        "external": record.external,
    }


def _score_columns(record: Record, score: Score | None) -> dict[str, Any]:
    """What the row of one score says, or the only row of a record without any."""
    if score is None:
        return {"metric": record.task.metrics[0], "primary": True}
    columns = {name: getattr(score, name) for name in OF_SCORE[:-2]} | {FACET + name: value for name, value in score.facets.items()}
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
    geometry["preprocessing"] = facts.geometry.get("preprocessing", "exact")
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
    measured = {name: getattr(cost, name) for name in OF_COST} if cost else {}
    return measured | {"created": created(record)}


def to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _text(value: Any) -> str | None:
    """A value that may be a number, text or a list, as text: input_px is 224 or [224, 320]."""
    return value if isinstance(value, str) else to_json(value)


def wide(given: Board | Iterable[Record]) -> pd.DataFrame:
    """One row per backbone, best first, with one column `task/dataset` per cell that holds the mean over seeds of the task's first metric.

    rank and mean exist only for backbones that have every column; `incomplete` names what the others lack.
    """
    columns, rows = ranked(as_board(given).kept)
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
    "external": "object",
}
"""The leading columns of leaderboard_wide.csv, with their types."""


def _wide_row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    family = next(cell.record.family for cell in row.cells.values())
    known = {
        "rank": row.rank,
        "backbone": row.name,
        "family": family,
        "floor": row.is_floor,
        "mean": row.mean,
        "incomplete": row.incomplete,
        "external": row.external,
    }
    facts = {name: getattr(row.facts, name, None) for name in ("params", "width", "gflops", "licence", "weights_hash")}
    return known | facts | {str(column): row.cells[column].value for column in columns if column in row.cells}
