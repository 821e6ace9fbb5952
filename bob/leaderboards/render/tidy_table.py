"""leaderboard.csv: one row per score."""

import functools
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from bob.leaderboards.abridge import short_mapping
from bob.leaderboards.board import Board, as_board
from bob.leaderboards.cells import BoardColumn, column_of, is_baseline
from bob.leaderboards.grids import grid_of
from bob.leaderboards.render.csv_text import csv_text, repeated_csv
from bob.leaderboards.render.text import verdict_words
from bob.leaderboards.verdicts import Verdicts
from bob.records.record import BackboneFacts, Record, Score, created

TIDY = {
    "backbone": "object",
    "family": "object",
    "baseline": "bool",
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
    "majority": "float64",
    "chance": "float64",
    "status": "object",
    "reason": "object",
    "primary": "bool",
    "verdict": "object",
    "p_holm": "float64",
    "external": "object",
    "fused": "object",
    "output": "object",
    "weights_hash": "object",
    "input_px": "object",
    "grid": "object",
    "crop_pct": "float64",
    "interpolation": "object",
    "preprocessing": "object",
    "mean": "object",
    "std": "object",
    "precision": "object",
    "width": "Int64",
    "params": "Int64",
    "gflops": "float64",
    "weights_mib": "float64",
    "peak_mib": "float64",
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
"""Columns of leaderboard.csv in order, with their types.

Only the columns from device on depend on the machine and the time.

majority, chance: values of a classifier that knows the class frequencies of train alone, and of
random answers, where the metric has them.
primary: whether this metric ranks its task.
verdict, p_holm: of the backbone against the best of its setting, on rows of the metric that ranks
("best", "best, tied", "best, not tested", "tied", "worse", "not tested"; empty outside the pool),
and the p-value of the paired test after Holm's correction.
grid: rows and columns of the map of patches, for tasks that read maps (14 x 14).
mean, std: normalisation, as JSON.
chosen: what the protocol selected under this seed, as JSON; long lists by their length.
peak_mib: weights, and the most memory that the tensors of a forward pass of 4 images take up.
train, val, test: number of images used.
bad_images: number of unreadable images that were excluded.
external: table that a published result was read from.
fused: the backbones of a fusion, whose costs are sums; empty for single ones.

An empty field is a missing value: see undefined, status and reason. These columns are followed by
the facets of the scores, one column each: facet_k, facet_shots, facet_shift, ...; empty if a score
has no such facet.
"""

RECORDS_AT_A_TIME = 2048
"""Records whose rows are in memory at once, as text, while the table is written."""

FACET = "facet_"
"""Prefix of the columns that distinguish the parts of a task."""

SCORE_COLUMNS = (
    "metric",
    "seed",
    "value",
    "low",
    "high",
    "n",
    "interval",
    "undefined",
    "majority",
    "chance",
    "primary",
    "verdict",
    "p_holm",
    "chosen",
)
"""Columns that differ between the rows of one record, beside the facets."""

COST_COLUMNS = (
    "device",
    "device_name",
    "runtime",
    "threads",
    "batch_size",
    "images_per_s",
    "decode_images_per_s",
    "probe_seconds",
)
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str)
MACHINE = (*COST_COLUMNS, "created")
"""Columns that differ between two runs with the same inputs."""


@dataclass(frozen=True)
class TidyTable:
    """The rows of leaderboard.csv, with the columns that a record's rows share stored once."""

    records: pd.DataFrame
    """(R, ...) columns shared by all rows of a record."""
    scores: pd.DataFrame
    """(S, ...) columns of each score, facets included; one row for a record without scores."""
    counts: tuple[int, ...]
    """(R,) rows of `scores` per record."""
    columns: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Return the whole table, S rows."""
        index = np.repeat(np.arange(len(self.counts)), self.counts)
        repeated = self.records.iloc[index].reset_index(drop=True)
        return pd.concat([repeated, self.scores], axis=1)[list(self.columns)]

    def csv_rows(self) -> str:
        """Return the rows of `csv_text(self.frame())`, in a third of the time."""
        return repeated_csv(self.records, self.scores, self.counts, self.columns)


def tidy(source: Board | Iterable[Record]) -> pd.DataFrame:
    """Return one row per backbone × task × dataset × metric × seed of the comparable records.

    A failed record has one row. The order does not depend on that of the records.
    """
    return tidy_table(source).frame()


def tidy_table(source: Board | Iterable[Record]) -> TidyTable:
    """Return the table whose frame `tidy` returns."""
    board = as_board(source)
    records = _shown(board)
    return _table(records, _facet_types(records), board.verdicts)


def tidy_csv(source: Board | Iterable[Record]) -> Iterator[str]:
    """Yield the text `csv_text(tidy(source))` in parts, each of RECORDS_AT_A_TIME records."""
    board = as_board(source)
    shown = _shown(board)
    facets = _facet_types(shown)
    yield csv_text(pd.DataFrame(columns=[*TIDY, *facets]))
    for start in range(0, len(shown), RECORDS_AT_A_TIME):
        records = shown[start : start + RECORDS_AT_A_TIME]
        yield _table(records, facets, board.verdicts).csv_rows()


def _shown(board: Board) -> tuple[Record, ...]:
    """Return the records of the table: single backbones, then fusions."""
    return (*board.records, *board.fused)


def _table(
    records: Sequence[Record],
    facets: Mapping[str, str],
    verdicts: Mapping[BoardColumn, Verdicts],
) -> TidyTable:
    """Return the table of some records; `facets` are the columns of all, with their types."""
    scores = [
        sorted(record.scores, key=_score_order(record)) if record.status == "ok" else []
        for record in records
    ]
    names = [name for name in TIDY if name not in SCORE_COLUMNS]
    record_frame = pd.DataFrame(list(_record_rows(records)), columns=names)
    score_frame = _score_frame(records, scores, list(facets), verdicts)
    return TidyTable(
        records=record_frame.astype({name: TIDY[name] for name in names}),
        scores=score_frame.astype({name: TIDY[name] for name in SCORE_COLUMNS} | dict(facets)),
        counts=tuple(max(1, len(record_scores)) for record_scores in scores),
        columns=(*TIDY, *facets),
    )


def _score_frame(
    records: Sequence[Record],
    scores: Sequence[Sequence[Score]],
    facets: Sequence[str],
    verdicts: Mapping[BoardColumn, Verdicts],
) -> pd.DataFrame:
    """Return one row per score, with the columns SCORE_COLUMNS and `facets`.

    A record without scores has one row, with the metric that ranks its task.
    """
    rows: list[tuple[Record, Score | None]] = []
    selections: list[str | None] = []
    for record, record_scores in zip(records, scores, strict=True):
        rows += [(record, score) for score in record_scores] or [(record, None)]
        selections += _selections(record, record_scores)
    first = [record.task.metrics[0] for record, _ in rows]
    stated = SCORE_COLUMNS[: SCORE_COLUMNS.index("primary")]
    values_of, no_values = attrgetter(*stated), (None,) * len(stated)
    values = [values_of(score) if score else no_values for _, score in rows]
    columns: dict[str, list[Any]] = {
        name: [row[i] for row in values] for i, name in enumerate(stated)
    }
    columns["metric"] = [
        metric or fallback for metric, fallback in zip(columns["metric"], first, strict=True)
    ]
    columns["primary"] = [
        metric == fallback for metric, fallback in zip(columns["metric"], first, strict=True)
    ]
    by_row = [
        _verdict(record, verdicts) if is_primary else (None, None)
        for (record, _), is_primary in zip(rows, columns["primary"], strict=True)
    ]
    columns["verdict"], columns["p_holm"] = ([row[part] for row in by_row] for part in (0, 1))
    columns["chosen"] = selections
    row_facets = [score.facets if score else {} for _, score in rows]
    for name in facets:
        facet = name.removeprefix(FACET)
        columns[name] = [of_row.get(facet) for of_row in row_facets]
    return pd.DataFrame(columns, columns=[*SCORE_COLUMNS, *facets])


def _verdict(
    record: Record, verdicts: Mapping[BoardColumn, Verdicts]
) -> tuple[str | None, float | None]:
    """Return a backbone's verdict against the best of its setting, and the adjusted p-value.

    A fusion has neither.
    """
    if record.fused:
        return None, None
    of_column, name = verdicts[column_of(record)], record.backbone_name
    words = verdict_words(of_column, name)
    if words is None or of_column.best is None or words.startswith("best"):
        return words, None
    p_values = of_column.p_values(name, of_column.best)
    return words, p_values[1] if p_values else None


def _facet_types(records: Iterable[Record]) -> dict[str, str]:
    """Return the columns of the facets of all scores, with their types.

    Integers stay integers beside missing values; a facet of mixed kinds is text.
    """
    kinds: dict[str, set[type]] = defaultdict(set)
    scored = (record for record in records if record.status == "ok")
    for score in itertools.chain.from_iterable(record.scores for record in scored):
        for name, value in score.facets.items():
            kinds[FACET + name].add(type(value))
    return {
        name: "Int64" if types == {int} else "float64" if types <= {int, float} else "object"
        for name, types in sorted(kinds.items())
    }


def _record_rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield the columns of each record; facts that records share are converted once."""
    converted: dict[str, tuple[BackboneFacts | None, dict[str, Any]]] = {}
    for record in records:
        facts, columns = converted.get(record.backbone_name, (None, {}))
        if facts is not record.backbone:
            columns = _backbone_columns(record.backbone)
            converted[record.backbone_name] = record.backbone, columns
        yield _record_columns(record) | columns | _dataset_columns(record) | _cost_columns(record)


def _score_order(record: Record) -> Callable[[Score], tuple[int, int, str, int]]:
    """Return a sort key: the task's order of metrics, then shorter names first, then the seed.

    `top1_k5` and `top1_k20` thus follow `top1`.
    """
    metrics = record.task.metrics

    def order(score: Score) -> tuple[int, int, str, int]:
        name = score.metric
        seed = -1 if score.seed is None else score.seed
        return _metric_place(name, metrics), len(name), name, seed

    return order


@functools.cache
def _metric_place(score: str, metrics: tuple[str, ...]) -> int:
    """Return the index of the metric that a score's name starts with; `len(metrics)` if none."""
    bases = [name for name in metrics if score == name or score.startswith(name + "_")]
    return metrics.index(max(bases, key=len)) if bases else len(metrics)


def _record_columns(record: Record) -> dict[str, Any]:
    return {
        "backbone": record.backbone_name,
        "family": record.family,
        "baseline": is_baseline(record),
        "task": record.task.name,
        "task_version": record.task.version,
        "dataset": record.dataset_name,
        "status": record.status,
        "reason": record.reason,
        "record_key": record.key,
        "external": record.external,
        "grid": grid_of(record),
        "fused": " + ".join(record.fused) or None,
    }


def _selections(record: Record, scores: Sequence[Score]) -> list[str | None]:
    """Return what the protocol selected under each score's seed, as JSON; else [None]."""
    texts = [_json(short_mapping(detail)) for detail in record.details]
    indices = [
        record.seeds.index(score.seed) if score.seed in record.seeds else 0 for score in scores
    ]
    return [texts[index] if index < len(texts) else None for index in indices] or [None]


def _backbone_columns(facts: BackboneFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    names = (
        "output",
        "weights_hash",
        "precision",
        "width",
        "params",
        "gflops",
        "weights_mib",
        "peak_mib",
        "licence",
    )
    return {name: getattr(facts, name) for name in names} | {
        "input_px": _text(facts.geometry.get("input_px")),
        "crop_pct": facts.geometry.get("crop_pct"),
        "interpolation": facts.geometry.get("interpolation"),
        "preprocessing": facts.geometry.get("preprocessing", "exact"),
        "mean": _json(facts.normalisation.get("mean")),
        "std": _json(facts.normalisation.get("std")),
    }


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
    measured = {name: getattr(cost, name) for name in COST_COLUMNS} if cost else {}
    return measured | {"created": created(record)}


def _json(value: Any) -> str | None:
    if value is None:
        return None
    return _JSON.encode(value)


def _text(value: Any) -> str | None:
    """Return a number, text or list as text: input_px is 224 or [224, 320]."""
    return value if isinstance(value, str) else _json(value)
