"""Which records can be compared, and one leaderboard cell per record.

A cell holds the task's first metric over all seeds.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal, NamedTuple

from bob.leaderboards.abridge import short_text
from bob.leaderboards.metric_traits import metric_traits
from bob.records.record import PRECOMPUTED, BackboneFacts, DatasetFacts, Record, Score, created

SetAsideReason = Literal[
    "different settings or data",
    "superseded by a newer record",
    "different images or labels than in other tasks",
    "different weights under the same name",
    "different preprocessing or output under the same name",
]


class BoardColumn(NamedTuple):
    """A setting: one task on one dataset."""

    task: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.task}/{self.dataset}"


class SetAside(NamedTuple):
    """A record that is excluded from the leaderboard, and the reason."""

    record: Record
    reason: SetAsideReason


@dataclass(frozen=True)
class BoardCell:
    """Result of one backbone on one task and dataset, by the task's first metric."""

    record: Record
    status: Literal["ok", "undefined", "failed", "not_applicable", "dropped"]
    metric: str
    value: float | None = None
    """Mean over seeds; None unless `status` is "ok"."""
    low: float | None = None
    high: float | None = None
    """95 % confidence interval, each end a mean over seeds.

    It covers how far another sample of test images could move the value, so that more seeds do not
    narrow it.
    """
    n: int | None = None
    """Number of test examples, the smallest over seeds."""
    seeds: int = 0
    """Number of seeds averaged; 0 for a protocol without randomness."""
    reason: str | None = None
    """Why there is no value, shortened if it is very long."""
    majority: float | None = None
    """Value of a classifier that knows the class frequencies of train alone; see `Score`."""
    chance: float | None = None

    @cached_property
    def column(self) -> BoardColumn:
        return column_of(self.record)


def column_of(record: Record) -> BoardColumn:
    """Return the task and dataset of a record."""
    return BoardColumn(record.task.name, record.dataset_name)


def is_baseline(record: Record) -> bool:
    """Return whether a record belongs to a baseline, which is shown but never ranked."""
    return record.family == "baseline"


def comparable(records: Iterable[Record]) -> tuple[list[Record], list[SetAside]]:
    """Split records into those that can be compared and those that are set aside.

    Records of one task and dataset are comparable if they share task version, settings, dataset
    fingerprint and limit. Of several such groups the one with the newest record is used, where any
    full dataset takes precedence over one cut short by a limit; of each backbone its newest record
    in the group. The records of a dataset over all columns must be of the images of its newest
    record, and those of a backbone must share weights hash, preprocessing and output with its
    newest record. A failure before the dataset was read fits every group and is used if its
    backbone has no other record there.

    Published results are always kept: their tables do not say how they were computed. Fusions are
    neither kept nor set aside; see `comparable_fusions`.
    """
    records = [record for record in records if not record.fused]
    by_column: dict[BoardColumn, list[Record]] = defaultdict(list)
    for record in sorted((record for record in records if record.external is None), key=_age):
        by_column[column_of(record)].append(record)
    chosen: list[Record] = []
    set_aside: list[SetAside] = []
    for column_records in by_column.values():
        newest, rest = _newest_group(column_records)
        chosen += newest
        set_aside += rest
    same_images, other_images = _same_images(chosen)
    same, other = _same_backbone(same_images)
    published = [record for record in records if record.external is not None]
    return sorted(same + published, key=_board_order), sorted(
        set_aside + other_images + other,
        key=lambda aside: (*_board_order(aside.record), *_age(aside.record)),
    )


def comparable_fusions(records: Iterable[Record], kept: Iterable[Record]) -> list[Record]:
    """Return the fusions that share settings and data with the `kept` records of their column.

    Of each set of backbones the newest, and any where no other record of the column is kept.
    """
    fusions = sorted((record for record in records if record.fused), key=_age)
    columns = {column_of(record) for record in fusions}
    known: dict[BoardColumn, set[str]] = defaultdict(set)
    for record in kept:
        if record.external is None and column_of(record) in columns:
            known[column_of(record)].add(_comparison_key(record))
    newest: dict[tuple[BoardColumn, str], Record] = {}
    for record in fusions:
        keys = known.get(column_of(record))
        if keys is None or _comparison_key(record) in keys:
            newest[column_of(record), record.backbone_name] = record
    return sorted(newest.values(), key=_board_order)


def _board_order(record: Record) -> tuple[str, str, str]:
    return record.task.name, record.dataset_name, record.backbone_name


def _age(record: Record) -> tuple[str, str]:
    """Sort key: oldest first, equal times by record key."""
    return created(record), record.key


def _comparison_key(record: Record) -> str:
    """Return what comparable records of one column share: not backbone, seeds or machine."""
    facts = record.dataset
    data = (facts.fingerprint, facts.limit) if facts else None
    return json.dumps(
        [record.task.version, record.task.settings, data], sort_keys=True, default=str
    )


def _states_alpha(record: Record) -> bool:
    """Return whether the background of transparent images is known: not of a file of features."""
    from_file = record.backbone is not None and record.backbone.output == PRECOMPUTED
    return record.dataset is not None and not from_file


def _newest_group(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    """Split one column's records, oldest first, into the newest comparable group and the rest.

    The group has one record per backbone.
    """
    with_dataset = [record for record in records if record.dataset] or records
    newest_record = max(with_dataset, key=lambda record: (_is_full(record), _age(record)))
    group_key = _comparison_key(newest_record)
    same_key = [
        record
        for record in with_dataset
        if record is newest_record or _comparison_key(record) == group_key
    ]
    alphas = [_alpha(record) for record in same_key if _states_alpha(record)]
    comparable_records = [
        record for record in same_key if not _states_alpha(record) or _alpha(record) == alphas[-1]
    ]
    newest = {record.backbone_name: record for record in comparable_records}
    for record in records:
        if record.dataset is None and (
            record.backbone_name not in newest or newest[record.backbone_name].dataset is None
        ):
            newest[record.backbone_name] = record
    set_aside = [
        SetAside(record, _reason(record, comparable_records))
        for record in records
        if newest.get(record.backbone_name) is not record
    ]
    return list(newest.values()), set_aside


def _is_full(record: Record) -> bool:
    return record.dataset is not None and record.dataset.limit is None


def _alpha(record: Record) -> str | None:
    return record.dataset.alpha if record.dataset else None


def _reason(record: Record, comparable_records: Sequence[Record]) -> SetAsideReason:
    if record.dataset is None or any(record is other for other in comparable_records):
        return "superseded by a newer record"
    return "different settings or data"


def _same_images(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    """Split records by whether they are of the images of the newest record of their dataset.

    Records with different limits are of parts of a dataset, which are not compared here.
    """
    newest: dict[tuple[str, int | None], DatasetFacts] = {}
    for record in sorted(records, key=_age):
        if record.dataset:
            newest[record.dataset_name, record.dataset.limit] = record.dataset
    same: list[Record] = []
    other: list[SetAside] = []
    for record in records:
        facts = record.dataset
        if facts is None or _may_be_same_images(facts, newest[record.dataset_name, facts.limit]):
            same.append(record)
        else:
            other.append(SetAside(record, "different images or labels than in other tasks"))
    return same, other


def _may_be_same_images(one: DatasetFacts, other: DatasetFacts) -> bool:
    """Return whether two records of one limit may be of the same images and labels.

    Fingerprints tell it where both read the same splits and shifts; else the numbers of images in
    those that both read.
    """
    if one.counts.keys() == other.counts.keys():
        return one.fingerprint == other.fingerprint
    shared = one.counts.keys() & other.counts.keys()
    return all(_images(one, name) == _images(other, name) for name in shared)


def _images(facts: DatasetFacts, split: str) -> int:
    """Return the number of images of a split or shift, with the unreadable ones."""
    return facts.counts[split] + len(facts.bad_images.get(split, ()))


def _same_backbone(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    """Split records by whether their backbone is that of the newest record of its name.

    A record without backbone facts (it failed before loading) counts as the same.
    """
    newest = {
        record.backbone_name: record.backbone
        for record in sorted(records, key=_age)
        if record.backbone
    }
    same: list[Record] = []
    other: list[SetAside] = []
    for record in records:
        facts = record.backbone
        latest = newest.get(record.backbone_name)
        if facts is None or latest is None:
            same.append(record)
        elif facts.weights_hash != latest.weights_hash:
            other.append(SetAside(record, "different weights under the same name"))
        elif _reading(facts) != _reading(latest):
            other.append(SetAside(record, "different preprocessing or output under the same name"))
        else:
            same.append(record)
    return same, other


def _reading(facts: BackboneFacts) -> tuple[object, ...]:
    """Return what an entry says of pixels and output: with the weights, what a backbone computes.

    Precision and the exactness of preprocessing are those of a run, and change features little.
    """
    geometry = {name: value for name, value in facts.geometry.items() if name != "preprocessing"}
    return facts.output, facts.normalisation, geometry


def board_cells(records: Iterable[Record]) -> list[BoardCell]:
    """Return one cell per record, in the order of the records."""
    return [_cell(record) for record in records]


def _cell(record: Record) -> BoardCell:
    metric = record.task.metrics[0]
    if record.status != "ok":
        reason = None if record.reason is None else short_text(record.reason)
        return BoardCell(record, record.status, metric, reason=reason)
    scores = [score for score in record.scores if score.metric == metric]
    missing = next(
        (score.undefined or "no value" for score in scores if score.value is None),
        None if scores else f"no score named {metric}",
    )
    if missing:
        n = _fewest_examples(scores)
        return BoardCell(record, "undefined", metric, n=n, reason=short_text(missing))
    if len(scores) == 1:
        (score,) = scores
        value, low, high = score.value, score.low, score.high
    else:
        value = mean(score.value for score in scores)
        low = mean(score.low for score in scores)
        high = mean(score.high for score in scores)
    return BoardCell(
        record,
        "ok",
        metric,
        value,
        low,
        high,
        n=_fewest_examples(scores),
        seeds=_seed_count(scores),
        majority=mean(score.majority for score in scores),
        chance=mean(score.chance for score in scores),
    )


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean, or None if any value is None."""
    numbers = list(values)
    return (
        fmean(number for number in numbers if number is not None) if None not in numbers else None
    )


def _fewest_examples(scores: Sequence[Score]) -> int | None:
    return min((score.n for score in scores if score.n is not None), default=None)


def _seed_count(scores: Sequence[Score]) -> int:
    return len({score.seed for score in scores if score.seed is not None})


def best_first(cell: BoardCell) -> tuple[bool, float, str]:
    """Sort key within one column: best value first, cells without a value last, ties by name."""
    value = cell.value if cell.value is not None else 0.0
    sign = -1 if metric_traits(cell.metric).higher_is_better else 1
    return cell.value is None, sign * value, cell.record.backbone_name


def facts_by_backbone(records: Iterable[Record]) -> dict[str, BackboneFacts | None]:
    """Return each backbone's facts by name, sorted, from its newest record that has any.

    None for a backbone that was never loaded.
    """
    facts: dict[str, BackboneFacts | None] = {}
    for record in sorted(records, key=lambda record: (record.backbone is not None, _age(record))):
        facts[record.backbone_name] = record.backbone
    return dict(sorted(facts.items()))
