"""leaderboard.html: one self-contained page. Its data travels as JSON inside it; its script, page.js, draws table, plot and cards from that.

Nothing from a record reaches the page as markup: Jinja escapes what it prints, the JSON holds no `<`, and the script sets text, never HTML.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bob.leaderboard.cells import Cell, comparable, is_share, mean
from bob.leaderboard.table import Row, ranked
from bob.leaderboard.words import cell_text, leads, notes
from bob.metrics import METRICS
from bob.records import BackboneFacts, Record

DIGITS = 7
"""Decimals of the fractions in the page: enough that rounding them again to 0.1 % shows what the other files show, save for one value in 10,000."""

SHOWN_LEADS = 6
"""Leading backbones shown at once; the others unfold."""


def to_html(records: Iterable[Record]) -> str:
    """The whole page."""
    kept, aside = comparable(records)
    found = leads(kept)
    return _template().render(
        counts=_counts(kept),
        leads=found[:SHOWN_LEADS],
        more_leads=found[SHOWN_LEADS:],
        notes=notes(kept, aside),
        data=Markup(script_json(payload(kept))),
        style=Markup(_asset("page.css")),
        script=Markup(_asset("page.js")),
    )


def script_json(value: Any) -> str:
    """JSON that may stand inside <script>: no character of it can end the element or start a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def payload(records: Sequence[Record]) -> dict[str, Any]:
    """What page.js reads: columns, and backbones best first with one cell or null per column. `records` are comparable ones."""
    columns, rows = ranked(records)
    tasks = {record.task.name: record.task for record in records}
    heads = [{"task": column.task, "dataset": column.dataset} | _metrics(tasks[column.task].metrics) for column in columns]
    return {"columns": heads, "backbones": [_backbone(row) | {"cells": [_cell(row.cells.get(column)) for column in columns]} for row in rows]}


def _counts(records: Sequence[Record]) -> dict[str, int]:
    names = {"backbone": {r.backbone_name for r in records}, "dataset": {r.dataset_name for r in records}, "task": {r.task.name for r in records}}
    return {noun: len(values) for noun, values in names.items()}


def _metrics(names: Sequence[str]) -> dict[str, Any]:
    """The metric that ranks, and with it the names of the others."""
    return _metric(names[0]) | {"more": [{"metric": name, "percent": _metric(name)["percent"]} for name in names[1:]]}


def _metric(name: str) -> dict[str, Any]:
    """How a metric is read. One of a later version counts as a share."""
    known = METRICS.get(name)
    percent, higher = (known.highest == 1, known.higher_is_better) if known else (True, True)
    return {"metric": name, "summary": known.summary if known else "", "share": is_share(name), "percent": percent, "higher": higher}


def _backbone(row: Row) -> dict[str, Any]:
    """One backbone's facts; those of a backbone that never loaded are its name and family."""
    family = next(cell.record.family for cell in row.cells.values())
    return {"name": row.name, "family": family, "floor": row.is_floor, "facts": _facts(row.facts), "speed": _speed(row)} | {
        "params": row.facts.params if row.facts else None
    }


def _facts(facts: BackboneFacts | None) -> dict[str, Any] | None:
    """Provenance for the card, without what the row has already."""
    return None if facts is None else facts.model_dump(mode="json", exclude={"name", "family", "params"})


def _speed(row: Row) -> list[list[Any]]:
    """[device, images/s] per device: the fastest of its cells, since a busy machine only ever slows one down."""
    fastest: dict[str, float] = {}
    for cost in (cell.record.cost for cell in row.cells.values()):
        if cost and cost.images_per_s:
            fastest[cost.device] = max(cost.images_per_s, fastest.get(cost.device, 0.0))
    return [[device, round(speed, 1)] for device, speed in sorted(fastest.items())]


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    """A cell without a value has a status; one with a value has none, but `limits`: value, low, high."""
    if cell is None:
        return None
    if cell.value is None:
        return {"status": cell.status, "reason": cell.reason or ""}
    limits = [_rounded(value) for value in (cell.value, cell.low, cell.high)]
    return {"limits": limits, "n": cell.n, "more": _more(cell.record)} | _known(seeds=cell.seeds, chosen=_chosen(cell.record))


def _known(**values: Any) -> dict[str, Any]:
    """Those that hold something."""
    return {name: value for name, value in values.items() if value}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _more(record: Record) -> list[float | None]:
    """Of the task's other metrics, each one's mean over seeds; None where a seed has no value."""
    held: dict[str, list[float | None]] = {name: [] for name in record.task.metrics[1:]}
    for score in record.scores:
        held.get(score.metric, []).append(score.value)
    return [_rounded(mean(values)) if values else None for values in held.values()]


def _chosen(record: Record) -> dict[str, Any]:
    """What the protocol chose under its first seed; single values only."""
    details = record.details[0] if record.details else {}
    return {name: value for name, value in details.items() if isinstance(value, str | int | float)}


def _asset(name: str) -> str:
    return files("bob.leaderboard").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell_text
    return environment.from_string(_asset("template.html"))
