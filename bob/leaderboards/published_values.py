"""Values of a table of published results, in three layouts: tidy, wide, and a row per dataset.

A tidy table has the columns backbone, dataset, metric, value and optionally task. A table with a
column `dataset` and without `value` has one row per backbone and dataset, and one column per
metric. Any other table is wide: one row per backbone, and one column per dataset or metric.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bob.errors import ConfigError, nearest
from bob.leaderboards.column_meanings import SCORED, meaning_of, names_metric
from bob.leaderboards.column_roles import ColumnRoles, flag_texts
from bob.leaderboards.csv_table import (
    MISSING,
    NumberedRows,
    ParsedNumber,
    is_numeric,
    is_text,
    parse_number,
)
from bob.leaderboards.published_columns import ScoreColumn, plan_columns, quoted
from bob.leaderboards.repeated_rows import RepeatedRows

TIDY_COLUMNS = ("backbone", "dataset", "metric", "value")


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


def read_values(
    header: Sequence[str], rows: NumberedRows, table: str, roles: ColumnRoles
) -> tuple[list[PublishedValue], list[str]]:
    """Return the values of a table, and notes about how its columns were read.

    The table's file name without its ending is the task and dataset if the table names none.

    Raises
    ------
    ConfigError
        If the table is malformed; the message names the row and column.
    """
    header = [name.strip() for name in header]
    lowered = [name.lower() for name in header]
    stem = table.rsplit(".", 1)[0]
    datasets = roles.columns("dataset", header) or [
        name
        for name in header
        if name.lower() == "dataset" and name not in roles.columns("ignore", header)
    ]
    if "value" in lowered or {"dataset", "metric"} <= set(lowered):
        return _tidy_values(lowered, rows, table, stem, roles)
    check_header([name for name in header if name], table)
    return _Sheet(header, rows, table, stem, roles, datasets[0] if datasets else None).read()


def check_header(names: Sequence[str], table: str) -> None:
    """Raise ConfigError if two columns have the same name."""
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConfigError(f"{table}, row 1: duplicate column {repeated[0]!r}.")


def _tidy_values(
    names: Sequence[str], rows: NumberedRows, table: str, stem: str, roles: ColumnRoles
) -> tuple[list[PublishedValue], list[str]]:
    naming = [name.lower() for name in roles.columns("name", names)] or ["backbone"]
    needed = [*naming, *TIDY_COLUMNS[1:]]
    if absent := [name for name in needed if name not in names]:
        remedy = f" {flag_texts('name', ['COLUMN'])} names the column of backbones."
        raise ConfigError(
            f"{table}: column {absent[0]!r} is missing{nearest(absent[0], names)} A tidy table has "
            f"the columns {', '.join(TIDY_COLUMNS)} and optionally task; this one has "
            f"{quoted(names)}.{remedy if absent[0] == 'backbone' else ''}"
        )
    check_header(names, table)
    values: list[PublishedValue] = []
    ignored: dict[tuple[str, str], None] = {}
    for number, row in rows:
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        for name in (*naming, "dataset", "metric"):
            if not cells[name]:
                raise ConfigError(f"{table}, row {number}, column {name!r}: empty cell.")
        if not _is_result(cells["metric"], cells["dataset"]):
            ignored[cells["metric"], cells["dataset"]] = None
            continue
        place = f"row {number}, column 'value'"
        values.append(
            PublishedValue(
                place=place,
                backbone=" ".join(cells[name] for name in naming),
                dataset=cells["dataset"],
                metric=cells["metric"],
                task=cells.get("task") or stem,
                number=parse_number(cells["value"], table, place),
            )
        )
    texts = [f"{metric} on {dataset}" for metric, dataset in ignored]
    notes = [
        f"{table}: ignored {quoted(texts)}: facts, ranks, differences or averages, not scores."
    ]
    return values, notes if texts else []


def _is_result(metric: str, dataset: str) -> bool:
    """Return whether a row is a result on a dataset, not a fact, a rank or an average."""
    return meaning_of(metric) in (*SCORED, "average") and meaning_of(dataset) != "average"


@dataclass(frozen=True)
class _Sheet:
    """A table with one column per score."""

    header: Sequence[str]
    rows: NumberedRows
    table: str
    stem: str
    roles: ColumnRoles
    dataset: str | None
    """Column that names the dataset of each row; None in a wide table."""

    def read(self) -> tuple[list[PublishedValue], list[str]]:
        naming = self._name_columns()
        task = next((name for name in self.header if name.lower() == "task"), None)
        task = task if self.dataset is not None else None
        others = [*naming, *(name for name in (self.dataset, task) if name is not None)]
        self._check_names(others)
        plan = plan_columns(
            self.header, self.rows, self.table, self.roles, others, self.dataset is not None
        )
        self._check_metrics(plan.scores)
        contexts = [
            (self._cell(row, self.dataset, number), self._cell(row, task, number))
            for number, row in self.rows
        ]
        names = [self._name(row, naming, number) for number, row in self.rows]
        repeated = RepeatedRows(self.table, self.header, self.rows, naming, self.dataset)
        names, notes = repeated.tell_apart(names, contexts, plan.scores)
        values: list[PublishedValue] = []
        averages: set[str] = set()
        for (number, row), name, (dataset, of_task) in zip(self.rows, names, contexts, strict=True):
            if dataset is not None and meaning_of(dataset) == "average":
                averages.add(dataset)
                continue
            values += self._row_values(number, row, name, plan.scores, dataset, of_task)
        if averages:
            notes.append(f"{self.table}: ignored rows of {quoted(sorted(averages))}: averages.")
        return values, [*plan.notes(self.table), *notes]

    def _row_values(
        self,
        number: int,
        row: Sequence[str],
        name: str,
        columns: Sequence[ScoreColumn],
        dataset: str | None,
        task: str | None,
    ) -> Iterator[PublishedValue]:
        for column in columns:
            place = f"row {number}, column {column.name!r}"
            yield PublishedValue(
                place=place,
                backbone=name,
                dataset=dataset or (self.stem if column.is_metric else column.name),
                metric=column.metric,
                task=task or self.stem,
                number=parse_number(row[column.position].strip(), self.table, place),
            )

    def _name_columns(self) -> list[str]:
        """Return the columns that name the backbones: those stated, or else the first one."""
        if stated := self.roles.columns("name", self.header):
            return stated
        texts = [
            name
            for i, name in enumerate(self.header)
            if name
            and name != self.dataset
            and (self.dataset is None or name.lower() != "task")
            and is_text([row[i] for _, row in self.rows])
        ]
        if self.dataset is not None:
            return self._name_column_of_rows(texts)
        first = self.header[0]
        numeric = is_numeric([row[0] for _, row in self.rows])
        if not first and all(row[0].strip().isdigit() for _, row in self.rows):
            raise ConfigError(
                f"{self.table}: the first column contains row numbers, not the names of backbones "
                f"(pandas: use to_csv with index=False).{self._remedy(texts)}"
            )
        if numeric and (texts or meaning_of(first) == "rank"):
            beside = f", and {quoted(texts)} text" if texts else ", not the names of backbones"
            raise ConfigError(
                f"{self.table}: the first column, {first!r}, contains numbers{beside}."
                f"{self._remedy(texts)}"
            )
        return [first]

    def _name_column_of_rows(self, texts: Sequence[str]) -> list[str]:
        named = [name for name in self.header if name.lower() == "backbone"] or texts
        if len(named) != 1:
            beside = f"{quoted(texts)} contain text" if texts else "no column contains text"
            raise ConfigError(
                f"{self.table}: column 'backbone' is missing, and {beside}.{self._remedy(texts)}"
            )
        return list(named)

    def _remedy(self, texts: Sequence[str]) -> str:
        if not texts:
            return ""
        several = " (repeat it for several columns, which are joined)" if len(texts) > 1 else ""
        return f" Name the column of the backbones: {flag_texts('name', texts[:1])}{several}."

    def _check_names(self, others: Sequence[str]) -> None:
        if "" in self.header[1:]:
            raise ConfigError(
                f"{self.table}, row 1: column {self.header.index('', 1) + 1} has no name; every "
                "column of a wide table after the first must be named after a dataset."
            )

    def _check_metrics(self, columns: Sequence[ScoreColumn]) -> None:
        """Raise ConfigError if a column `dataset` may name what backbones were trained on."""
        stated = self.roles.columns("dataset", self.header)
        if self.dataset is None or stated or any(names_metric(column.name) for column in columns):
            return
        raise ConfigError(
            f"{self.table}: {quoted([column.name for column in columns])} may be metrics on the "
            f"datasets that column {self.dataset!r} names, or datasets themselves. Pass "
            f"{flag_texts('dataset', [self.dataset])} or {flag_texts('ignore', [self.dataset])}."
        )

    def _cell(self, row: Sequence[str], column: str | None, number: int) -> str | None:
        """Return the text in a column of datasets or tasks; None without such a column."""
        if column is None:
            return None
        text = row[self.header.index(column)].strip()
        if not text:
            raise ConfigError(f"{self.table}, row {number}, column {column!r}: empty cell.")
        return text

    def _name(self, row: Sequence[str], naming: Sequence[str], number: int) -> str:
        cells = [row[self.header.index(column)].strip() for column in naming]
        present = [cell for cell in cells if cell.lower() not in MISSING]
        if not present:
            raise ConfigError(
                f"{self.table}, row {number}, column {naming[0]!r}: empty cell; expected the name "
                "of a backbone."
            )
        return " ".join(present)
