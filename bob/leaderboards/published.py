"""Reader of published results: a CSV table becomes records that are marked as external.

`bob.leaderboards.published_values` describes the layouts. An empty cell, `nan`, `NA`, `n/a` or a
dash is a missing value.

Values are fractions in [0, 1]. If any value of a metric exceeds 1, all values of that metric are
percentages and are divided by 100. Metrics without an upper bound (log_loss, perplexity) stay
unchanged. A metric that `bob.metrics` does not have counts as a share where higher is better,
unless its name says otherwise (`bob.leaderboards.metric_traits`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bob.errors import ConfigError
from bob.io.digest import digest
from bob.leaderboards.column_roles import NO_ROLES, ColumnRoles, flag_texts
from bob.leaderboards.csv_table import ParsedNumber, read_rows
from bob.leaderboards.metric_traits import metric_traits
from bob.leaderboards.published_columns import quoted
from bob.leaderboards.published_values import PublishedValue, read_values
from bob.records.record import Record, Score, TaskFacts

IGNORE = flag_texts("ignore", ["COLUMN"])


def read_published(
    text: str, table: str, roles: ColumnRoles = NO_ROLES
) -> tuple[list[Record], list[str]]:
    """Return the records of a table, and notes about its columns and percentages.

    `table` is the table's file name, whose stem is the task's name if the table names none.

    Raises
    ------
    ConfigError
        If the table is malformed; the message names the row and column.
    """
    header, rows = read_rows(text, table)
    values, column_notes = read_values(header, rows, table, roles)
    _check_unique(values, table)
    values, notes = _as_fractions(values, table)
    scored = {value.backbone for value in values if value.number is not None}
    empty = [
        name for name in dict.fromkeys(value.backbone for value in values) if name not in scored
    ]
    if empty:
        notes.append(f"{table}: no values of {quoted(empty)}.")
    task_per_metric = len({value.metric for value in values}) > 1
    records = [
        _record(value, table, task_per_metric, value.number.value)
        for value in values
        if value.number is not None
    ]
    return records, [*notes, *column_notes]


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
        if metric_traits(metric).at_most_one and _are_percentages(of_metric, table):
            notes.append(
                f"{table}: some values of {metric!r} exceed 1, so all were read as percentages"
                f"{_small_percentages(of_metric)}."
            )
            of_metric = [_divided(value) for value in of_metric]
        fractions += of_metric
    return fractions, notes


def _small_percentages(values: Sequence[PublishedValue]) -> str:
    """Return how many percentages are 1 or less, and could be fractions instead."""
    small = [value for value in values if value.number and 0 < value.number.value <= 1]
    if not small:
        return ""
    first = small[0]
    assert first.number is not None
    number = f"{first.number.value:g}"
    return (
        f", including {len(small)} of 1 or less, such as {number} of {first.backbone!r} on "
        f"{first.dataset!r}: {number} %, not {100 * first.number.value:g} %"
    )


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
                f"percentage in [0, 100]. Leave out a column without scores with {IGNORE}."
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
            f"on the same scale, or leave out a column without scores with {IGNORE}."
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
