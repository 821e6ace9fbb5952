"""Which columns of a table of published results name backbones, and which contain scores.

A column is a score unless it has text, or its name says that it is a fact about the backbone or
computed from other columns (`bob.leaderboards.column_meanings`), or the user states another role.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bob.errors import ConfigError
from bob.leaderboards.column_meanings import (
    SCORED,
    Meaning,
    meaning_of,
    names_metric,
    normalised,
    tells_apart,
    without_error,
)
from bob.leaderboards.column_roles import ColumnRoles, flag_texts
from bob.leaderboards.csv_table import NumberedRows, is_text, parse_number
from bob.metrics import METRICS

UNNAMED_METRIC = "value"
"""Metric of columns that are named after a dataset; those of errors and losses are `error`, `loss`.
"""
Ignored = Literal["facts", "derived", "repeated", "stated"]
IGNORED_TEXT: dict[Ignored, str] = {
    "facts": "text or facts about the backbones, not scores",
    "derived": "averages, ranks, differences or deviations of other columns, not scores",
    "repeated": "100 % minus the scores of another column",
}
"""Why columns are ignored; not those that the user states."""
COMPLEMENT_TOLERANCE = 0.011
"""Largest deviation from 100 of a score and its error, both rounded to two decimals or more."""


class ScoreColumn(NamedTuple):
    """A column with scores."""

    position: int
    name: str
    metric: str
    is_metric: bool
    """Whether the column is named after a metric, not after a dataset."""


@dataclass(frozen=True)
class ColumnPlan:
    """How the columns of a table are read."""

    scores: tuple[ScoreColumn, ...]
    ignored: dict[Ignored, list[str]]

    def notes(self, table: str) -> list[str]:
        """Return which columns are ignored, in which of them lower is better, and the remedy."""
        notes = [
            f"{table}: ignored columns {quoted(names)}: {IGNORED_TEXT[why]}."
            for why, names in self.ignored.items()
            if why in IGNORED_TEXT
        ]
        lower = [column.name for column in self.scores if meaning_of(column.metric) != "score"]
        if lower:
            notes.append(f"{table}: lower is better in {quoted(lower)}.")
        if notes:
            notes.append(
                f"{table}: read as scores: {quoted([column.name for column in self.scores])}. "
                f"{flag_texts('ignore', ['COLUMN'])} (or higher, lower) reads a column otherwise."
            )
        return notes


def plan_columns(
    header: Sequence[str],
    rows: NumberedRows,
    table: str,
    roles: ColumnRoles,
    others: Sequence[str],
    only_metrics: bool = False,
) -> ColumnPlan:
    """Decide how each column is read, except `others`: those of names, datasets and tasks.

    With `only_metrics`, every column of scores is named after a metric.

    Raises
    ------
    ConfigError
        If no column has scores, or if an error beside a score may be its standard error.
    """
    columns = {name: [row[i] for _, row in rows] for i, name in enumerate(header)}
    stated = {name: role for role, name in _stated(header, roles)}
    scores: list[ScoreColumn] = []
    ignored: dict[Ignored, list[str]] = defaultdict(list)
    for index, name in enumerate(header):
        if name in others or not name:
            continue
        if name in stated:
            meaning, why = stated[name], "stated" if stated[name] is None else None
        else:
            meaning, why = _read_as(name, columns, table)
        if why is not None:
            ignored[why].append(name)  # type: ignore[index]
        else:
            scores.append(_score_column(index, name, meaning or "score", only_metrics))
    if not scores:
        every = [name for names in ignored.values() for name in names]
        if not every:
            raise ConfigError(f"{table}: no column contains scores.")
        raise ConfigError(
            f"{table}: no column contains scores; {quoted(every)} contain text or facts about "
            "the backbones, or averages, ranks or differences. Pass "
            f"{flag_texts('higher', ['COLUMN'])} for a column to read as scores."
        )
    return ColumnPlan(tuple(scores), dict(ignored))


def _stated(header: Sequence[str], roles: ColumnRoles) -> Iterable[tuple[Meaning | None, str]]:
    """Yield the meaning and name of each column whose role the user states; None if ignored."""
    for name in roles.columns("higher", header):
        yield "score", name
    for name in roles.columns("lower", header):
        yield ("error" if meaning_of(name) == "error" else "loss"), name
    for name in roles.columns("ignore", header):
        yield None, name


def _read_as(
    name: str, columns: dict[str, list[str]], table: str
) -> tuple[Meaning, Ignored | None]:
    """Return what a column means, and why it is ignored, if it is."""
    meaning = meaning_of(name)
    if is_text(columns[name]) or meaning == "cost" or tells_apart(name):
        return meaning, "facts"
    if meaning not in SCORED:
        return meaning, "derived"
    score = _score_of(name, columns) if meaning == "error" else None
    if score is None:
        return meaning, None
    if not _add_up(columns[score], columns[name], table, name):
        raise ConfigError(
            f"{table}: {name!r} beside {score!r} may be its error or its standard error, since "
            f"they do not add up to 100 %; pass {flag_texts('ignore', [name])} or "
            f"{flag_texts('lower', [name])}."
        )
    return meaning, "repeated"


def _score_of(error: str, columns: Iterable[str]) -> str | None:
    """Return the column of scores whose errors a column contains, such as `top1` of `top1_err`."""
    stem = without_error(error)
    return next((name for name in columns if stem and normalised(name) == stem), None)


def _add_up(scores: Sequence[str], errors: Sequence[str], table: str, name: str) -> bool:
    sums = []
    for score, error in zip(scores, errors, strict=True):
        values = [parse_number(cell.strip(), table, f"column {name!r}") for cell in (score, error)]
        if None not in values:
            sums.append(sum(value.value for value in values if value is not None))
    total = 1.0 if all(value < 2 for value in sums) else 100.0
    tolerance = COMPLEMENT_TOLERANCE * total / 100
    return all(abs(value - total) <= tolerance for value in sums)


def _score_column(index: int, name: str, meaning: Meaning, only_metrics: bool) -> ScoreColumn:
    unnamed = UNNAMED_METRIC if meaning == "score" else meaning
    agrees = meaning_of(name) == meaning
    is_metric = only_metrics or (names_metric(name) and agrees)
    if not is_metric:
        return ScoreColumn(index, name, unnamed, False)
    registered = normalised(name)
    metric = registered if registered in METRICS else name
    return ScoreColumn(index, name, metric if agrees else f"{name} {unnamed}", True)


def quoted(names: Sequence[str], most: int = 12) -> str:
    """Return names in quotes, the first `most` of many."""
    more = len(names) - most
    shown = names if more <= 1 else names[:most]
    return ", ".join(map(repr, shown)) + (f" and {more} more" if more > 1 else "")
