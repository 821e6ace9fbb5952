"""Details of the cells, which the page reads when a card or a curve first needs them.

They are every score beside the one that ranks (other metrics; scores per shot count, shift or k),
the values that the protocol selected, and the keys of the records.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bob.leaderboards.abridge import short_mapping
from bob.leaderboards.cells import BoardCell, BoardColumn, mean
from bob.leaderboards.page.encode import float32s
from bob.leaderboards.page.facts import metric_json
from bob.leaderboards.page.grid import CellGrid
from bob.leaderboards.robustness import ShiftRobustness
from bob.metrics.score_ranges import base_metric
from bob.records.record import Score

KEY_DIGITS = 12
"""Hex digits of each record key on the page; `bob-bench show` accepts a prefix."""

SELECTED_DIGITS = 4
"""Significant digits of the numbers that a protocol reports about its model selection."""

ScoreSummary = tuple[float | None, float | None, float | None]
"""Value and lower and upper interval limit, each a mean over seeds."""

NO_SCORE: ScoreSummary = (None, None, None)


def cell_details(
    columns: Sequence[BoardColumn],
    names: Sequence[str],
    cells: CellGrid,
    shifts: Sequence[ShiftRobustness] = (),
) -> dict[str, Any]:
    """Return secondary scores and selected values per task, and the keys of all cells.

    Arrays of a task run over its columns × backbones, column by column; `keys` is one text of
    `digits` characters per cell of all columns.
    """
    tasks: dict[str, list[BoardColumn]] = {}
    for column in columns:
        tasks.setdefault(column.task, []).append(column)
    return {
        "tasks": {
            task: _task_details(task_columns, names, cells, shifts)
            for task, task_columns in tasks.items()
        },
        "keys": "".join(_key(cells.get((column, name))) for column in columns for name in names),
        "digits": KEY_DIGITS,
    }


def _task_details(
    columns: Sequence[BoardColumn],
    names: Sequence[str],
    cells: CellGrid,
    shifts: Sequence[ShiftRobustness],
) -> dict[str, Any]:
    placed = [cells.get((column, name)) for column in columns for name in names]
    residuals = _residuals(columns, names, shifts)
    details = {"scores": _scores(placed, residuals), "selected": _selected(placed)}
    looks = {name: _looks(placed, name) for name in ("looks", "rival_looks")}
    return details | looks if any(looks["looks"]) else details


def _residuals(
    columns: Sequence[BoardColumn], names: Sequence[str], shifts: Sequence[ShiftRobustness]
) -> dict[str, list[float | None]]:
    """Return the effective robustness of every cell, by metric on shifted images."""
    residuals = {
        (shift.column, shift.metric): shift.residuals for shift in shifts if shift.column in columns
    }
    return {
        metric: [
            residuals.get((column, metric), {}).get(name) for column in columns for name in names
        ]
        for metric in dict.fromkeys(metric for _, metric in residuals)
    }


def _key(cell: BoardCell | None) -> str:
    return (cell.record.key[:KEY_DIGITS] if cell else "").ljust(KEY_DIGITS)


def _scores(
    placed: Sequence[BoardCell | None], residuals: Mapping[str, list[float | None]]
) -> list[dict[str, Any]]:
    """Describe each secondary score, in the order in which the records list them."""
    summaries = [_score_summaries(cell) if cell else {} for cell in placed]
    metrics = next((cell.record.task.metrics for cell in placed if cell), ())
    facets = {score.metric: score.facets for cell in placed if cell for score in cell.record.scores}
    described = []
    for name in facets:
        if name in metrics[:1]:
            continue
        values = [summary.get(name, NO_SCORE) for summary in summaries]
        score = _score(name, facets[name], metrics, values)
        if name in residuals:
            score["effective_robustness"] = float32s(residuals[name])
        described.append(score)
    return described


def _score(
    name: str, facets: Mapping[str, Any], metrics: Sequence[str], values: Sequence[ScoreSummary]
) -> dict[str, Any]:
    """Describe one score; interval limits only where the page draws them: for faceted scores."""
    base = base_metric(name, metrics)
    score = {
        "name": name,
        "base": base,
        "facets": dict(facets),
        "metric": metric_json(base),
        "value": float32s(value for value, _, _ in values),
    }
    if facets:
        score["low"] = float32s(low for _, low, _ in values)
        score["high"] = float32s(high for _, _, high in values)
    return score


def _score_summaries(cell: BoardCell) -> dict[str, ScoreSummary]:
    """Return the mean over seeds of each score; None where a seed has no value."""
    by_metric: dict[str, list[Score]] = {}
    for score in cell.record.scores:
        by_metric.setdefault(score.metric, []).append(score)
    return {name: _summary(scores) for name, scores in by_metric.items()}


def _summary(scores: Sequence[Score]) -> ScoreSummary:
    if len(scores) == 1:
        return scores[0].value, scores[0].low, scores[0].high
    return (
        mean(score.value for score in scores),
        mean(score.low for score in scores),
        mean(score.high for score in scores),
    )


def _selected(placed: Sequence[BoardCell | None]) -> dict[str, list[Any]]:
    """Return what the protocol selected with its first seed, by name; scalars only."""
    selections = [
        short_mapping(cell.record.details[0]) if cell and cell.record.details else {}
        for cell in placed
    ]
    names = dict.fromkeys(
        name
        for selection in selections
        for name, value in selection.items()
        if isinstance(value, str | int | float)
    )
    return {name: [_rounded(selection.get(name)) for selection in selections] for name in names}


def _looks(placed: Sequence[BoardCell | None], name: str) -> list[list[list[Any]] | None]:
    """Return how backbones, or their rivals, stood after the looks of a race; None without one."""
    of_cells = [
        cell.record.details[0].get(name) if cell and cell.record.status == "dropped" else None
        for cell in placed
    ]
    return [looks and [[_rounded(value) for value in look] for look in looks] for looks in of_cells]


def _rounded(value: Any) -> Any:
    """Round a float to SELECTED_DIGITS; non-finite floats become text, other types None."""
    if isinstance(value, float):
        finite = value == value and abs(value) != float("inf")
        return float(f"{value:.{SELECTED_DIGITS}g}") if finite else str(value)
    return value if isinstance(value, str | int) else None
