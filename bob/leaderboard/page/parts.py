"""Everything beside the value that ranks: other metrics, parts of a task (shots, shifts, k), what was chosen, and the records' keys.

The page reads it when a card or a curve first needs it.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from bob.leaderboard.cells import Cell, Column, base_of
from bob.leaderboard.page.encode import float32s
from bob.leaderboard.page.facts import metric
from bob.leaderboard.robustness import UnderShift
from bob.records.record import Score

KEY_DIGITS = 12
"""Hex digits of a record's key in the page: `bob-bench show` takes the beginning of one."""

CHOSEN_DIGITS = 4
"""Significant digits of the numbers that a protocol reports about its choice."""

Limits = tuple[float | None, float | None, float | None]
NOTHING: Limits = (None, None, None)


def parts(
    columns: Sequence[Column],
    names: Sequence[str],
    held: Mapping[tuple[Column, str], Cell],
    shifts: Sequence[UnderShift] = (),
) -> dict[str, Any]:
    """By task: its scores and choices, each over the task's own columns × backbones; and all keys in one text."""
    tasks = {column.task: [own for own in columns if own.task == column.task] for column in columns}
    places = {
        task: [held.get((column, name)) for column in own for name in names]
        for task, own in tasks.items()
    }
    gains = {task: _gains(own, names, shifts) for task, own in tasks.items()}
    read = {
        task: {"scores": _scores(cells, gains[task]), "chosen": _chosen(cells)}
        for task, cells in places.items()
    }
    return {
        "tasks": read,
        "keys": "".join(_key(held.get((column, name))) for column in columns for name in names),
        "digits": KEY_DIGITS,
    }


def _gains(
    columns: Sequence[Column], names: Sequence[str], shifts: Sequence[UnderShift]
) -> dict[str, list[float | None]]:
    """Of each score on shifted images: the effective robustness in every place."""
    held = {(one.column, one.metric): one.residuals for one in shifts if one.column in columns}
    return {
        metric: [held.get((column, metric), {}).get(name) for column in columns for name in names]
        for _, metric in held
    }


def _key(cell: Cell | None) -> str:
    return (cell.record.key[:KEY_DIGITS] if cell else "").ljust(KEY_DIGITS)


def _scores(
    cells: Sequence[Cell | None], gains: Mapping[str, list[float | None]]
) -> list[dict[str, Any]]:
    """Each further score by name, in the order in which records hold them: how it is read, its facets, and its values (mean over seeds)."""
    means = [_means(cell) if cell else {} for cell in cells]
    metrics = next((cell.record.task.metrics for cell in cells if cell), ())
    facets = {score.metric: score.facets for cell in cells if cell for score in cell.record.scores}
    primary = metrics[:1]
    found = [
        _score(name, facets[name], metrics, [own.get(name, NOTHING) for own in means])
        for name in facets
        if name not in primary
    ]
    return [
        score | ({"gain": float32s(gains[score["name"]])} if score["name"] in gains else {})
        for score in found
    ]


def _score(
    name: str, facets: Mapping[str, Any], metrics: Sequence[str], values: Sequence[Limits]
) -> dict[str, Any]:
    """Limits travel where the page draws them: for the parts of a task."""
    base = base_of(name, metrics)
    head = {
        "name": name,
        "base": base,
        "facets": dict(facets),
        "metric": metric(base),
        "value": float32s(value for value, _, _ in values),
    }
    return head | (
        {
            "low": float32s(low for _, low, _ in values),
            "high": float32s(high for _, _, high in values),
        }
        if facets
        else {}
    )


def _means(cell: Cell) -> dict[str, Limits]:
    """Of each score: means over seeds of value and limits; a seed without one leaves none."""
    found: dict[str, list[Score]] = {}
    for score in cell.record.scores:
        found.setdefault(score.metric, []).append(score)
    return {name: _limits(scores) for name, scores in found.items()}


def _limits(scores: Sequence[Score]) -> Limits:
    if len(scores) == 1:
        return scores[0].value, scores[0].low, scores[0].high
    return (
        _mean([s.value for s in scores]),
        _mean([s.low for s in scores]),
        _mean([s.high for s in scores]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _chosen(cells: Sequence[Cell | None]) -> dict[str, list[Any]]:
    """What the protocol chose under its first seed, key by key; single values only."""
    details = [cell.record.details[0] if cell and cell.record.details else {} for cell in cells]
    names = list(
        dict.fromkeys(
            name
            for own in details
            for name, value in own.items()
            if isinstance(value, str | int | float)
        )
    )
    return {name: [_short(own.get(name)) for own in details] for name in names}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return (
            float(f"{value:.{CHOSEN_DIGITS}g}")
            if value == value and abs(value) != float("inf")
            else str(value)
        )
    return value if isinstance(value, str | int) else None
