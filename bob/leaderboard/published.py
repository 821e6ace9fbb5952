"""Published results beside one's own: a CSV table into records that are marked as external everywhere.

A tidy table has the columns backbone, dataset, metric, value and perhaps task. Any other table is read as a wide one: the first column is the
backbone, each further one a dataset, apart from words and known facts (FACTS). An empty cell, `nan`, `NA`, `n/a` or a dash is a missing value.

Values are fractions in [0, 1]; where one of a metric's values is above 1, all of that metric are percentages and are divided by 100. Metrics of
`bob.metrics` without an upper bound (log_loss) stay as they are. A metric that `bob.metrics` does not know is a share, where more is better.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bob.errors import ConfigError, nearest
from bob.io.digest import digest
from bob.leaderboard.csv_table import Number, Rows, is_text, number, read_rows
from bob.metrics import METRICS
from bob.records.record import Record, Score, TaskFacts

TIDY_COLUMNS = ("backbone", "dataset", "metric", "value")
UNNAMED_METRIC = "value"
"""What the metric of a wide table is called, which does not say."""
FACTS = (
    *(
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
    ),
    *(
        "img_size",
        "image_size",
        "input_px",
        "crop_pct",
        "interpolation",
        "images_per_s",
        "infer_samples_per_sec",
    ),
)
"""Columns of wide tables that are no datasets: facts about backbones, as this package and timm's published results name them."""


@dataclass(frozen=True)
class Entry:
    """One value of the table, and where it stands there."""

    place: str
    """`row 3, column 'iNat'`; the header is row 1."""
    backbone: str
    dataset: str
    metric: str
    task: str
    value: Number | None


def published(text: str, table: str) -> tuple[list[Record], list[str]]:
    """The records of a table's text, and what to know about their values. `table` is its name, whose stem is the task where none is given."""
    header, rows = read_rows(text, table)
    names = [name.strip().lower() for name in header]
    stem = table.rsplit(".", 1)[0]
    tidy = bool({"dataset", "value"} & set(names))
    entries = list(_tidy(names, rows, table, stem) if tidy else _wide(header, rows, table, stem))
    left_out = [] if tidy else _left_out([name.strip() for name in header], rows)
    if not entries:
        raise ConfigError(
            f"{table}: no column holds scores; {', '.join(map(repr, left_out))} hold words or facts about the backbones."
        )
    _check_unique(entries, table)
    scaled, notes = _as_fractions(entries, table)
    notes += (
        [
            f"{table}: left out {', '.join(map(repr, left_out))}: words or facts about the backbones, no scores."
        ]
        if left_out
        else []
    )
    several = len({entry.metric for entry in entries}) > 1
    return [
        _record(entry, table, several, entry.value.value)
        for entry in scaled
        if entry.value is not None
    ], notes


def beside(own: Iterable[Record], others: Iterable[Record]) -> list[Record]:
    """Published records so named that they share no row with one's own, and a column only where task, dataset and metric agree."""
    own = list(own)
    names, metrics = (
        {record.backbone_name for record in own},
        {record.task.name: record.task.metrics[0] for record in own},
    )
    return [_apart(record, names, metrics) for record in others]


def _apart(record: Record, names: set[str], metrics: dict[str, str]) -> Record:
    name, task = record.backbone_name, record.task
    if metrics.get(task.name, task.metrics[0]) != task.metrics[0]:
        task = task.model_copy(update={"name": f"{task.name}: {task.metrics[0]}"})
    return record.model_copy(
        update={
            "backbone_name": f"{name} ({record.external})" if name in names else name,
            "task": task,
        }
    )


def _tidy(names: Sequence[str], rows: Rows, table: str, stem: str) -> Iterator[Entry]:
    if absent := [name for name in TIDY_COLUMNS if name not in names]:
        there = ", ".join(map(repr, names))
        raise ConfigError(
            f"{table}: column {absent[0]!r} is missing{nearest(absent[0], names)} A tidy table has {', '.join(TIDY_COLUMNS)} "
            f"and perhaps task; columns here: {there}."
        )
    _check_header(names, table)
    for line, row in rows:
        held = dict(zip(names, (cell.strip() for cell in row), strict=True))
        for name in ("backbone", "dataset", "metric"):
            if not held[name]:
                raise ConfigError(f"{table}, row {line}, column {name!r}: is empty.")
        place = f"row {line}, column 'value'"
        yield Entry(
            place,
            held["backbone"],
            held["dataset"],
            held["metric"],
            held.get("task") or stem,
            number(held["value"], table, place),
        )


def _wide(header: Sequence[str], rows: Rows, table: str, stem: str) -> Iterator[Entry]:
    names = [name.strip() for name in header]
    if "" in names[1:]:
        raise ConfigError(
            f"{table}, row 1: column {names.index('', 1) + 1} has no name; each column of a wide table after the first is a dataset."
        )
    if not names[0] and all(row[0].strip().isdigit() for _, row in rows):
        raise ConfigError(
            f"{table}: its first column numbers the rows; it names the backbones (pandas: to_csv with index=False)."
        )
    _check_header(names[1:], table)
    left_out = _left_out(names, rows)
    for row, (name, *cells) in rows:
        if not name.strip():
            raise ConfigError(
                f"{table}, row {row}, column {header[0]!r}: is empty; it names the backbone."
            )
        for dataset, cell in zip(names[1:], cells, strict=True):
            if dataset not in left_out:
                place = f"row {row}, column {dataset!r}"
                yield Entry(
                    place,
                    name.strip(),
                    dataset,
                    UNNAMED_METRIC,
                    stem,
                    number(cell.strip(), table, place),
                )


def _left_out(names: Sequence[str], rows: Rows) -> list[str]:
    """The columns of a wide table that hold no scores: words alone, or facts about the backbones. The first column is the backbone."""
    columns = {name: [row[place] for _, row in rows] for place, name in enumerate(names) if place}
    return [name for name, cells in columns.items() if name.lower() in FACTS or is_text(cells)]


def _check_header(names: Sequence[str], table: str) -> None:
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConfigError(f"{table}, row 1: column {twice[0]!r} is there twice.")


def _check_unique(entries: Iterable[Entry], table: str) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for entry in entries:
        what = entry.backbone, entry.dataset, entry.metric, entry.task
        if what in seen:
            raise ConfigError(
                f"{table}, {entry.place}: {entry.backbone!r} on {entry.dataset!r} has a value already, at {seen[what]}."
            )
        seen[what] = entry.place


def _as_fractions(entries: Sequence[Entry], table: str) -> tuple[list[Entry], list[str]]:
    """Percentages divided by 100, metric by metric, and a note for each metric where that was done."""
    out, notes = [], []
    for metric in dict.fromkeys(entry.metric for entry in entries):
        own = [entry for entry in entries if entry.metric == metric]
        known = METRICS.get(metric)
        if known is None or known.highest == 1:
            percent = _are_percentages(own, table)
            own = [_divided(entry) for entry in own] if percent else own
            notes += (
                [f"{table}: {metric!r} goes up to more than 1 and was read as percentages."]
                if percent
                else []
            )
        out += own
    return out, notes


def _divided(entry: Entry) -> Entry:
    return replace(
        entry, value=None if entry.value is None else Number(entry.value.value / 100, True)
    )


def _are_percentages(entries: Sequence[Entry], table: str) -> bool:
    """Whether any value is above 1. No share can be below 0 or above 100 %, and fractions beside percentages would be off by 100."""
    signs = {entry.value.percent: entry for entry in entries if entry.value is not None}
    if len(signs) > 1:
        with_sign, without = signs[True].place, signs[False].place
        raise ConfigError(
            f"{table}: {with_sign} has a percent sign and {without} has none; give all values of a metric on one scale."
        )
    known = [(entry.value.value, entry) for entry in entries if entry.value is not None]
    for value, entry in known:
        if not 0 <= value <= 100:
            raise ConfigError(
                f"{table}, {entry.place}: {value!r} is neither a fraction in [0, 1] nor a percentage in [0, 100]."
            )
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


def _record(entry: Entry, table: str, several: bool, value: float) -> Record:
    """`several`: the table holds more than one metric, so that each has a task of its own."""
    task = f"{entry.task}: {entry.metric}" if several else entry.task
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
