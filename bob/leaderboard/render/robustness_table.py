"""Robustness_table."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from bob.leaderboard.robustness import UnderShift

COLUMNS = {
    "task": "object",
    "dataset": "object",
    "shift": "object",
    "metric": "object",
    "reference": "object",
    "backbone": "object",
    "in_distribution": "float64",
    "shifted": "float64",
    "change": "float64",
    "effective_robustness": "float64",
    "draws_line": "bool",
    "slope": "float64",
    "intercept": "float64",
}
"""The columns of robustness.csv, with their types. draws_line: whether the backbone is of the pool whose line, logit(shifted) = intercept + slope ·
logit(in_distribution), the effective robustness is measured from. An empty one: no line, or a score of exactly 0 or 1.
"""


def robustness_frame(shifts: Iterable[UnderShift]) -> pd.DataFrame:
    """One row per task, dataset, shift and backbone; most robust first, those without a value last."""
    return pd.DataFrame(
        [row for one in shifts for row in _rows(one)], columns=list(COLUMNS)
    ).astype(COLUMNS)


def _rows(one: UnderShift) -> list[dict[str, Any]]:
    residuals: Mapping[str, float] = one.residuals
    pool = set(one.pool)
    shared = {
        "task": one.column.task,
        "dataset": one.column.dataset,
        "shift": one.shift,
        "metric": one.metric,
        "reference": one.reference,
    }
    line = {"slope": one.found.slope, "intercept": one.found.intercept} if one.found else {}
    order = sorted(
        one.values, key=lambda name: (name not in residuals, -residuals.get(name, 0.0), name)
    )
    return [
        shared
        | {
            "backbone": name,
            "in_distribution": one.values[name][0],
            "shifted": one.values[name][1],
            "change": one.values[name][1] - one.values[name][0],
        }
        | {"effective_robustness": residuals.get(name), "draws_line": name in pool}
        | line
        for name in order
    ]
