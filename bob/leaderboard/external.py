"""Published results beside one's own: a CSV table into records that are marked as external everywhere.

A tidy table has the columns backbone, dataset, metric, value and perhaps task. Any other table is read as a wide one: the first column is the
backbone, each further one a dataset. An empty cell, `nan`, `NA`, `n/a` or a dash is a missing value.

Values are fractions in [0, 1]; where one of a metric's values is above 1, all of that metric are percentages and are divided by 100. Metrics of
`bob.metrics` without an upper bound (log_loss) stay as they are. A metric that `bob.metrics` does not know is a share, where more is better.
"""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bob.digest import digest
from bob.errors import ConfigError
from bob.metrics import METRICS
from bob.parse import nearest
from bob.records import Record, Score, TaskFacts

TIDY_COLUMNS = ("backbone", "dataset", "metric", "value")
UNNAMED_METRIC = "value"
"""What the metric of a wide table is called, which does not say."""
MISSING = ("", "nan", "na", "n/a", "-", "–")


@dataclass(frozen=True)
class Entry:
    """One value of the table, and where it stands there."""

    place: str
    """`row 3, column 'iNat'`; the header is row 1."""
    backbone: str
    dataset: str
    metric: str
    task: str
    value: float | None


def published(text: str, table: str) -> tuple[list[Record], list[str]]:
    """The records of a table's text, and what to know about their values. `table` is its name, whose stem is the task where none is given."""
    header, rows = _rows(text, table)
    names = [name.strip().lower() for name in header]
    stem = table.rsplit(".", 1)[0]
    entries = list(_tidy(names, rows, table, stem) if {"dataset", "value"} & set(names) else _wide(header, rows, table, stem))
    _check_unique(entries, table)
    scaled, notes = _as_fractions(entries, table)
    several = len({entry.metric for entry in entries}) > 1
    return [_record(entry, table, several) for entry in scaled if entry.value is not None], notes


def beside(own: Iterable[Record], others: Iterable[Record]) -> list[Record]:
    """Published records so named that they share no row with one's own, and a column only where task, dataset and metric agree."""
    own = list(own)
    names, metrics = {record.backbone_name for record in own}, {record.task.name: record.task.metrics[0] for record in own}
    return [_apart(record, names, metrics) for record in others]


def _apart(record: Record, names: set[str], metrics: dict[str, str]) -> Record:
    name, task = record.backbone_name, record.task
    if metrics.get(task.name, task.metrics[0]) != task.metrics[0]:
        task = task.model_copy(update={"name": f"{task.name}: {task.metrics[0]}"})
    return record.model_copy(update={"backbone_name": f"{name} ({record.external})" if name in names else name, "task": task})


def _rows(text: str, table: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the other rows with their numbers; empty lines are passed over."""
    try:
        lines = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True), start=1) if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{table}: is not a CSV table ({error}).") from error
    if len(lines) < 2:
        raise ConfigError(f"{table}: holds no rows; give a header and one row per value (tidy) or per backbone (wide).")
    (_, header), rows = lines[0], lines[1:]
    if len(header) < 2:
        raise ConfigError(f"{table}: has the single column {header[0]!r}; columns are separated by commas.")
    for number, row in rows:
        if len(row) != len(header):
            raise ConfigError(f"{table}, row {number}: {len(row)} cells under {len(header)} columns. Quote cells that hold a comma.")
    return header, rows


def _tidy(names: Sequence[str], rows: Sequence[tuple[int, list[str]]], table: str, stem: str) -> Iterator[Entry]:
    if absent := [name for name in TIDY_COLUMNS if name not in names]:
        there = ", ".join(map(repr, names))
        raise ConfigError(
            f"{table}: column {absent[0]!r} is missing{nearest(absent[0], names)} A tidy table has {', '.join(TIDY_COLUMNS)} "
            f"and perhaps task; columns here: {there}."
        )
    _check_header(names, table)
    for number, row in rows:
        held = dict(zip(names, (cell.strip() for cell in row), strict=True))
        for name in ("backbone", "dataset", "metric"):
            if not held[name]:
                raise ConfigError(f"{table}, row {number}, column {name!r}: is empty.")
        place = f"row {number}, column 'value'"
        yield Entry(place, held["backbone"], held["dataset"], held["metric"], held.get("task") or stem, _number(held["value"], table, place))


def _wide(header: Sequence[str], rows: Sequence[tuple[int, list[str]]], table: str, stem: str) -> Iterator[Entry]:
    datasets = [name.strip() for name in header[1:]]
    if "" in datasets:
        raise ConfigError(f"{table}, row 1: column {datasets.index('') + 2} has no name; each column of a wide table after the first is a dataset.")
    _check_header(datasets, table)
    for number, (name, *cells) in rows:
        if not name.strip():
            raise ConfigError(f"{table}, row {number}, column {header[0]!r}: is empty; it names the backbone.")
        for dataset, cell in zip(datasets, cells, strict=True):
            place = f"row {number}, column {dataset!r}"
            yield Entry(place, name.strip(), dataset, UNNAMED_METRIC, stem, _number(cell.strip(), table, place))


def _check_header(names: Sequence[str], table: str) -> None:
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConfigError(f"{table}, row 1: column {twice[0]!r} is there twice.")


def _number(text: str, table: str, place: str) -> float | None:
    if text.lower() in MISSING:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{table}, {place}: {text!r} is not a number; leave the cell empty where there is no value.") from None
    if not math.isfinite(value):
        raise ConfigError(f"{table}, {place}: {text!r} is not finite; leave the cell empty where there is no value.")
    return value


def _check_unique(entries: Iterable[Entry], table: str) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for entry in entries:
        what = entry.backbone, entry.dataset, entry.metric, entry.task
        if what in seen:
            raise ConfigError(f"{table}, {entry.place}: {entry.backbone!r} on {entry.dataset!r} has a value already, at {seen[what]}.")
        seen[what] = entry.place


def _as_fractions(entries: Sequence[Entry], table: str) -> tuple[list[Entry], list[str]]:
    """Percentages divided by 100, metric by metric, and a note for each metric where that was done."""
    out, notes = [], []
    for metric in dict.fromkeys(entry.metric for entry in entries):
        own = [entry for entry in entries if entry.metric == metric]
        known = METRICS.get(metric)
        if known is None or known.highest == 1:
            percent = _are_percentages(own, table)
            own = [replace(entry, value=None if entry.value is None else entry.value / 100) for entry in own] if percent else own
            notes += [f"{table}: {metric!r} goes up to more than 1 and was read as percentages."] if percent else []
        out += own
    return out, notes


def _are_percentages(entries: Sequence[Entry], table: str) -> bool:
    """Whether any value is above 1. No share can be below 0 or above 100 %, and fractions beside percentages would be off by 100."""
    known = [(entry.value, entry) for entry in entries if entry.value is not None]
    for value, entry in known:
        if not 0 <= value <= 100:
            raise ConfigError(f"{table}, {entry.place}: {value!r} is neither a fraction in [0, 1] nor a percentage in [0, 100].")
    if all(value <= 1 for value, _ in known):
        return False
    highest: dict[str, float] = defaultdict(float)
    for value, entry in known:
        highest[entry.dataset] = max(highest[entry.dataset], value)
    if small := [dataset for dataset, value in highest.items() if value <= 1]:
        large = next(dataset for dataset, value in highest.items() if value > 1)
        raise ConfigError(
            f"{table}: {small[0]!r} looks like fractions (at most {highest[small[0]]!r}) and {large!r} like percentages (up to {highest[large]!r}); "
            "give all values of a metric on one scale."
        )
    return True


def _record(entry: Entry, table: str, several: bool) -> Record:
    """`several`: the table holds more than one metric, so that each has a task of its own."""
    task = f"{entry.task}: {entry.metric}" if several else entry.task
    score = Score(metric=entry.metric, seed=None, value=entry.value, low=None, high=None, n=None, interval="none")
    return Record(
        key=digest([table, task, entry.dataset, entry.metric, entry.backbone]),
        status="ok",
        backbone=None,
        backbone_name=entry.backbone,
        family="external",
        task=TaskFacts(name=task, version=1, protocol="external", settings={}, metrics=(entry.metric,)),
        dataset=None,
        dataset_name=entry.dataset,
        seeds=(),
        scores=(score,),
        external=table,
    )
