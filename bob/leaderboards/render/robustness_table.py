"""robustness.csv: effective robustness of every backbone under every shift."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bob.leaderboards.robustness import ShiftRobustness

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
"""Columns of robustness.csv, with their types.

effective_robustness: distance from the line
logit(shifted) = intercept + slope · logit(in_distribution); empty without a line, or for a score of
exactly 0 or 1.
draws_line: whether the backbone belongs to the pool that the line is fitted to.
"""


def robustness_frame(shifts: Iterable[ShiftRobustness]) -> pd.DataFrame:
    """Return one row per task, dataset, shift and backbone.

    The most robust backbones come first, those without a value last.
    """
    rows = [row for shift in shifts for row in _rows(shift)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _rows(shift: ShiftRobustness) -> list[dict[str, Any]]:
    residuals, pool = shift.residuals, set(shift.pool)
    shared = {
        "task": shift.column.task,
        "dataset": shift.column.dataset,
        "shift": shift.shift,
        "metric": shift.metric,
        "reference": shift.reference,
        "slope": shift.fit.slope if shift.fit else None,
        "intercept": shift.fit.intercept if shift.fit else None,
    }
    order = sorted(
        shift.values, key=lambda name: (name not in residuals, -residuals.get(name, 0.0), name)
    )
    rows = []
    for name in order:
        original, shifted = shift.values[name]
        scores = {
            "backbone": name,
            "in_distribution": original,
            "shifted": shifted,
            "change": shifted - original,
            "effective_robustness": residuals.get(name),
            "draws_line": name in pool,
        }
        rows.append(shared | scores)
    return rows
