"""Reader of published results: a CSV table becomes records that are marked as external.

A tidy table has the columns backbone, dataset, metric, value and optionally task. Any other table
is read as wide: its first column names the backbones and every other one is a dataset, except
columns of text and of facts about the backbones (FACTS). An empty cell, `nan`, `NA`, `n/a` or a
dash is a missing value.

Values are fractions in [0, 1]. If any value of a metric exceeds 1, all values of that metric are
percentages and are divided by 100. Metrics of `bob.metrics` without an upper bound (log_loss) stay
unchanged. A metric that `bob.metrics` does not have counts as a share where higher is better.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bob.errors import ConfigError, nearest
from bob.io.digest import digest
from bob.leaderboards.csv_table import (
    NumberedRows,
    ParsedNumber,
    is_text,
    parse_number,
    read_rows,
)
from bob.metrics import METRICS
from bob.records.record import Record, Score, TaskFacts

TIDY_COLUMNS = ("backbone", "dataset", "metric", "value")
UNNAMED_METRIC = "value"
"""Metric name for wide tables, which do not name theirs."""
FACTS = (
    "params",
    "params_m",
    "param_m",
    "param_count",
    "parameters",
    "gflops",
    "gmacs",
    "macs",
    "flops",
    "macts",
    "width",
    "weights_mib",
    "peak_mib",
    "img_size",
    "image_size",
    "input_px",
    "crop_pct",
    "interpolation",
    "images_per_s",
    "infer_samples_per_sec",
)
"""Columns of wide tables that are facts about backbones, as named by this package and by timm."""


@dataclass(frozen=True)
class PublishedValue:
    """One value of a table."""

    place: str
    """Where it is, such as `row 3, column 'iNat'`; the header is row 1."""
    backbone: str
    dataset: str
    metric: str
    task: str
    number: ParsedNumber | None


def read_published(text: str, table: str) -> tuple[list[Record], list[str]]:
    """Return the records of a table, and notes about ignored columns and percentages.

    `table` is the table's file name, whose stem is the task's name if the table names none.

    Raises
    ------
    ConfigError
        If the table is malformed; the message names the row and column.
    """
    header, rows = read_rows(text, table)
    names = [name.strip().lower() for name in header]
    stem = table.rsplit(".", 1)[0]
    is_tidy = bool({"dataset", "value"} & set(names))
    if is_tidy:
        values, ignored = list(_tidy_values(names, rows, table, stem)), []
    else:
        values = list(_wide_values(header, rows, table, stem))
        ignored = _ignored_columns([name.strip() for name in header], rows)
    if not values:
        raise ConfigError(
            f"{table}: no column contains scores; {_quoted(ignored)} contain text or facts about "
            "the backbones."
        )
    _check_unique(values, table)
    values, notes = _as_fractions(values, table)
    if ignored:
        notes.append(
            f"{table}: ignored columns {_quoted(ignored)}: text or facts about the backbones, "
            "not scores."
        )
    task_per_metric = len({value.metric for value in values}) > 1
    records = [
        _record(value, table, task_per_metric, value.number.value)
        for value in values
        if value.number is not None
    ]
    return records, notes


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def rename_clashes(measured: Iterable[Record], published: Iterable[Record]) -> list[Record]:
    """Rename published records so that they share no row with measured ones.

    A backbone whose name is taken gets the table's name appended. A task whose name is taken by one
    with another first metric gets the metric's name appended, so that columns are shared only if
    task, dataset and metric agree.
    """
    measured = list(measured)
    names = {record.backbone_name for record in measured}
    metrics = {record.task.name: record.task.metrics[0] for record in measured}
    return [_renamed(record, names, metrics) for record in published]


def _renamed(record: Record, names: set[str], metrics: dict[str, str]) -> Record:
    name, task = record.backbone_name, record.task
    if name in names:
        name = f"{name} ({record.external})"
    if metrics.get(task.name, task.metrics[0]) != task.metrics[0]:
        task = task.model_copy(update={"name": f"{task.name}: {task.metrics[0]}"})
    return record.model_copy(update={"backbone_name": name, "task": task})


def _tidy_values(
    names: Sequence[str], rows: NumberedRows, table: str, stem: str
) -> Iterator[PublishedValue]:
    if absent := [name for name in TIDY_COLUMNS if name not in names]:
        raise ConfigError(
            f"{table}: column {absent[0]!r} is missing{nearest(absent[0], names)} A tidy table has "
            f"the columns {', '.join(TIDY_COLUMNS)} and optionally task; this one has "
            f"{_quoted(names)}."
        )
    _check_header(names, table)
    for number, row in rows:
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        for name in ("backbone", "dataset", "metric"):
            if not cells[name]:
                raise ConfigError(f"{table}, row {number}, column {name!r}: empty cell.")
        place = f"row {number}, column 'value'"
        yield PublishedValue(
            place=place,
            backbone=cells["backbone"],
            dataset=cells["dataset"],
            metric=cells["metric"],
            task=cells.get("task") or stem,
            number=parse_number(cells["value"], table, place),
        )


def _wide_values(
    header: Sequence[str], rows: NumberedRows, table: str, stem: str
) -> Iterator[PublishedValue]:
    names = [name.strip() for name in header]
    if "" in names[1:]:
        raise ConfigError(
            f"{table}, row 1: column {names.index('', 1) + 1} has no name; every column of a wide "
            "table after the first must be named after a dataset."
        )
    if not names[0] and all(row[0].strip().isdigit() for _, row in rows):
        raise ConfigError(
            f"{table}: the first column contains row numbers, not the names of backbones (pandas: "
            "use to_csv with index=False)."
        )
    _check_header(names[1:], table)
    ignored = _ignored_columns(names, rows)
    for number, (name, *cells) in rows:
        if not name.strip():
            raise ConfigError(
                f"{table}, row {number}, column {header[0]!r}: empty cell; expected the name of a "
                "backbone."
            )
        for dataset, cell in zip(names[1:], cells, strict=True):
            if dataset not in ignored:
                place = f"row {number}, column {dataset!r}"
                yield PublishedValue(
                    place=place,
                    backbone=name.strip(),
                    dataset=dataset,
                    metric=UNNAMED_METRIC,
                    task=stem,
                    number=parse_number(cell.strip(), table, place),
                )


def _ignored_columns(names: Sequence[str], rows: NumberedRows) -> list[str]:
    """Return the columns of a wide table, after the first, that hold text or facts, not scores."""
    columns = {name: [row[i] for _, row in rows] for i, name in enumerate(names) if i}
    return [name for name, cells in columns.items() if name.lower() in FACTS or is_text(cells)]


def _check_header(names: Sequence[str], table: str) -> None:
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConfigError(f"{table}, row 1: duplicate column {repeated[0]!r}.")


def _check_unique(values: Iterable[PublishedValue], table: str) -> None:
    places: dict[tuple[str, ...], str] = {}
    for value in values:
        key = value.backbone, value.dataset, value.metric, value.task
        if key in places:
            raise ConfigError(
                f"{table}, {value.place}: {value.backbone!r} on {value.dataset!r} already has a "
                f"value, in {places[key]}."
            )
        places[key] = value.place


def _as_fractions(
    values: Sequence[PublishedValue], table: str
) -> tuple[list[PublishedValue], list[str]]:
    """Divide percentages by 100, metric by metric; return a note for each such metric as well."""
    fractions: list[PublishedValue] = []
    notes: list[str] = []
    for metric in dict.fromkeys(value.metric for value in values):
        of_metric = [value for value in values if value.metric == metric]
        bounded = metric not in METRICS or METRICS[metric].highest == 1
        if bounded and _are_percentages(of_metric, table):
            of_metric = [_divided(value) for value in of_metric]
            notes.append(
                f"{table}: some values of {metric!r} exceed 1, so all were read as percentages."
            )
        fractions += of_metric
    return fractions, notes


def _divided(value: PublishedValue) -> PublishedValue:
    if value.number is None:
        return value
    return replace(value, number=ParsedNumber(value.number.value / 100, True))


def _are_percentages(values: Sequence[PublishedValue], table: str) -> bool:
    """Return whether any value of one metric exceeds 1.

    Raises
    ------
    ConfigError
        If a value is negative or above 100, or if fractions and percentages are mixed, so that some
        values would be wrong by a factor of 100.
    """
    numbers = [(value.number, value) for value in values if value.number is not None]
    by_sign = {number.percent: value for number, value in numbers}
    if len(by_sign) > 1:
        raise ConfigError(
            f"{table}: {by_sign[True].place} has a percent sign and {by_sign[False].place} has "
            "none; give all values of a metric on the same scale."
        )
    for number, value in numbers:
        if not 0 <= number.value <= 100:
            raise ConfigError(
                f"{table}, {value.place}: {number.value!r} is neither a fraction in [0, 1] nor a "
                "percentage in [0, 100]."
            )
    if all(number.value <= 1 for number, _ in numbers):
        return False
    highest: dict[str, float] = defaultdict(float)
    for number, value in numbers:
        highest[value.dataset] = max(highest[value.dataset], number.value)
    if small := [dataset for dataset, maximum in highest.items() if maximum <= 1]:
        large = next(dataset for dataset, maximum in highest.items() if maximum > 1)
        raise ConfigError(
            f"{table}: {small[0]!r} looks like fractions (at most {highest[small[0]]!r}) and "
            f"{large!r} like percentages (up to {highest[large]!r}); give all values of a metric "
            "on the same scale."
        )
    return True


def _record(entry: PublishedValue, table: str, task_per_metric: bool, value: float) -> Record:
    """Return the record of one value; `task_per_metric` if the table has more than one metric."""
    task = f"{entry.task}: {entry.metric}" if task_per_metric else entry.task
    score = Score(
        metric=entry.metric, seed=None, value=value, low=None, high=None, n=None, interval="none"
    )
    return Record(
        key=digest([table, task, entry.dataset, entry.metric, entry.backbone]),
        status="ok",
        backbone=None,
        backbone_name=entry.backbone,
        family="external",
        task=TaskFacts(
            name=task, version=1, protocol="external", settings={}, metrics=(entry.metric,)
        ),
        dataset=None,
        dataset_name=entry.dataset,
        seeds=(),
        scores=(score,),
        external=table,
    )
