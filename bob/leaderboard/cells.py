"""Which records may stand side by side, and what each says in one cell: the metric that ranks, over all seeds."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

from bob.metrics import METRICS
from bob.records.record import BackboneFacts, Record, Score, created


class Column(NamedTuple):
    """One task on one dataset."""

    task: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.task}/{self.dataset}"


class SetAside(NamedTuple):
    """A record that the leaderboard leaves out, and why."""

    record: Record
    why: Literal[
        "other settings or data",
        "an older record of the same cell",
        "other weights under the same name",
    ]


@dataclass(frozen=True)
class Cell:
    """One backbone on one task and dataset, by the task's first metric."""

    record: Record
    status: Literal["ok", "undefined", "failed", "not_applicable"]
    metric: str
    value: float | None = None
    """Mean over seeds. None unless status is ok."""
    low: float | None = None
    high: float | None = None
    """Means over seeds of the limits: how far another test sample could move the value. Seeds do not narrow it."""
    n: int | None = None
    seeds: int = 0
    """The number of seeds that the value is a mean over; 0 where the protocol uses no randomness."""
    reason: str | None = None
    """Why there is no value."""

    @cached_property
    def column(self) -> Column:
        return column_of(self.record)


def column_of(record: Record) -> Column:
    return Column(record.task.name, record.dataset_name)


def _age(record: Record) -> tuple[str, str]:
    """Sorts oldest first; the key settles equal times."""
    return created(record), record.key


def _setting(record: Record) -> str:
    """What two records of one task and dataset must share to be compared. Backbone, seeds and machine may differ."""
    data = (record.dataset.fingerprint, record.dataset.limit) if record.dataset else None
    return json.dumps(
        [record.task.version, record.task.settings, data], sort_keys=True, default=str
    )


def comparable(records: Iterable[Record]) -> tuple[list[Record], list[SetAside]]:
    """The records that may stand side by side, and the rest.

    Records of one task and dataset share task version, settings, dataset fingerprint and limit; where there are several such groups, the one with the
    newest record stays, whole datasets before those cut short by a limit. Within it, each backbone keeps its newest record.
    A backbone's records share one weights hash: the newest one's.
    A failure before the dataset was read belongs to any group, and stays where its backbone has nothing else there.
    Published numbers stand beside all that; whether they were made alike, their table does not say.
    """
    given = list(records)
    by_column: dict[Column, list[Record]] = defaultdict(list)
    for record in sorted((record for record in given if record.external is None), key=_age):
        by_column[column_of(record)].append(record)
    kept: list[Record] = []
    aside: list[SetAside] = []
    for group in by_column.values():
        chosen, rest = _newest_group(group)
        kept += chosen
        aside += rest
    same, other = _one_weights(kept)
    published = [record for record in given if record.external is not None]
    return sorted(same + published, key=_place), sorted(
        aside + other, key=lambda left: (*_place(left.record), *_age(left.record))
    )


def _place(record: Record) -> tuple[str, str, str]:
    return record.task.name, record.dataset_name, record.backbone_name


def _newest_group(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    """Of one column's records, oldest first: the newest comparable group, one record per backbone."""
    placed = [record for record in records if record.dataset] or records
    winner = _setting(max(placed, key=lambda record: (_is_whole(record), _age(record))))
    inside = (
        [record for record in placed if _setting(record) == winner] if len(placed) > 1 else placed
    )
    newest = {record.backbone_name: record for record in inside}
    for record in records:
        if record.dataset is None and (
            record.backbone_name not in newest or newest[record.backbone_name].dataset is None
        ):
            newest[record.backbone_name] = record
    kept = {id(record) for record in newest.values()}
    aside = [SetAside(record, _why(record, winner)) for record in records if id(record) not in kept]
    return list(newest.values()), aside


def _is_whole(record: Record) -> bool:
    return record.dataset is not None and record.dataset.limit is None


def _why(
    record: Record, winner: str
) -> Literal["other settings or data", "an older record of the same cell"]:
    same = record.dataset is None or _setting(record) == winner
    return "an older record of the same cell" if same else "other settings or data"


def _one_weights(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    """Records whose weights are those of their backbone's newest record. A record without facts (failed before loading) stays."""
    newest = {
        record.backbone_name: record.backbone.weights_hash
        for record in sorted(records, key=_age)
        if record.backbone
    }
    same = [
        record
        for record in records
        if not record.backbone or record.backbone.weights_hash == newest[record.backbone_name]
    ]
    kept = {id(record) for record in same}
    return same, [
        SetAside(record, "other weights under the same name")
        for record in records
        if id(record) not in kept
    ]


def cells(records: Iterable[Record]) -> list[Cell]:
    """One cell per record, in the order of the records. Each is made once for as long as someone holds it, since every table asks for them anew."""
    return [
        _MADE.get(id(record)) or _MADE.setdefault(id(record), _cell(record)) for record in records
    ]


_MADE: WeakValueDictionary[int, Cell] = WeakValueDictionary()
"""By the record's identity, which no other record can have while its cell, and so the record, is alive."""


def _cell(record: Record) -> Cell:
    metric = record.task.metrics[0]
    if record.status != "ok":
        return Cell(record, record.status, metric, reason=record.reason)
    scores = [score for score in record.scores if score.metric == metric]
    missing = next(
        (score.undefined or "no value" for score in scores if score.value is None),
        None if scores else f"no score named {metric}",
    )
    if missing:
        return Cell(record, "undefined", metric, n=_fewest(scores), reason=missing)
    if len(scores) == 1:
        (only,) = scores
        return Cell(record, "ok", metric, only.value, only.low, only.high, only.n, _seeds(scores))
    low, high = mean(score.low for score in scores), mean(score.high for score in scores)
    return Cell(
        record,
        "ok",
        metric,
        mean(score.value for score in scores),
        low,
        high,
        _fewest(scores),
        _seeds(scores),
    )


def mean(values: Iterable[float | None]) -> float | None:
    """The mean, or None where one is missing."""
    known = list(values)
    return fmean(value for value in known if value is not None) if None not in known else None


def _fewest(scores: Sequence[Score]) -> int | None:
    """The fewest examples of all scores; None where none says."""
    return min((score.n for score in scores if score.n is not None), default=None)


def _seeds(scores: Sequence[Score]) -> int:
    return len({score.seed for score in scores if score.seed is not None})


def better_first(cell: Cell) -> tuple[bool, float, str]:
    """Sort key within one column: best value first, cells without one last, equal values by name."""
    value = cell.value if cell.value is not None else 0.0
    metric = METRICS.get(cell.metric)
    sign = 1 if metric and not metric.higher_is_better else -1
    return cell.value is None, sign * value, cell.record.backbone_name


def is_share(metric: str) -> bool:
    """Whether the metric is a fraction in [0, 1] and higher is better, so that it may be averaged over columns. Unknown metrics count as such."""
    known = METRICS.get(metric)
    return known is None or ((known.lowest, known.highest) == (0, 1) and known.higher_is_better)


def base_of(score: str, metrics: Sequence[str]) -> str:
    """The metric that a score is of: `top1` of `top1_k20`, `top1_gain` of `top1_gain_112px`; `metrics` are the task's own."""
    known = [name for name in (*metrics, *METRICS) if score == name or score.startswith(f"{name}_")]
    return max(known, key=len, default=score)


def facts_by_backbone(records: Iterable[Record]) -> dict[str, BackboneFacts | None]:
    """Each backbone's facts from its newest record that has them, by name; None where it never loaded."""
    facts: dict[str, BackboneFacts | None] = {}
    for record in sorted(records, key=lambda record: (record.backbone is not None, _age(record))):
        facts[record.backbone_name] = record.backbone
    return dict(sorted(facts.items()))
