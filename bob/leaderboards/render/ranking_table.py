"""ranking.csv and ranking_by_task.csv: the order of each pool, and its uncertainty."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bob.leaderboards.ranking import Ranking

COLUMNS = {
    "backbone": "object",
    "mean_z": "float64",
    "mean_rank": "float64",
    "mean_value": "float64",
    "win_share": "float64",
    "tie_group": "Int64",
    "rank_low": "Int64",
    "rank_high": "Int64",
    "win_rate": "float64",
    "borda": "float64",
    "basis": "object",
    "pool": "object",
    "incomplete": "object",
    "external": "object",
}
"""Columns of ranking.csv in order, with their types; see `bob.leaderboards.ranking.Standing`.

pool: numbers of backbones and settings that z-scores and ranks are over.
basis: what was resampled.
incomplete: missing values that exclude a backbone from the pool; such a row has no values.
external: table that published results were read from.
"""


def ranking_frame(rankings: Iterable[Ranking]) -> pd.DataFrame:
    """Return one row per backbone, one ranking after the other.

    Within a ranking, rows are best first, and excluded backbones come last.
    """
    rows = [row for ranking in rankings for row in _rows(ranking)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def task_frame(rankings: Iterable[Ranking]) -> pd.DataFrame:
    """Return the same with the task's name in the first column, of published tables as well."""
    rows = [{"task": ranking.scope} | row for ranking in rankings for row in _rows(ranking)]
    return pd.DataFrame(rows, columns=["task", *COLUMNS]).astype(COLUMNS)


def _rows(ranking: Ranking) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {"pool": pool_text(ranking), "external": ranking.origin}
    ranked = [
        {name: getattr(standing, name) for name in COLUMNS if hasattr(standing, name)}
        | {"basis": ranking.basis}
        | shared
        for standing in ranking.standings
    ]
    excluded = [
        {"backbone": name, "incomplete": missing} | shared
        for name, missing in ranking.incomplete.items()
    ]
    return ranked + excluded


def pool_text(ranking: Ranking, backbones: int | None = None) -> str:
    """Return the size of the pool: `33 backbones × 8 settings on 8 datasets`.

    `backbones` is their number if not that of the pool.
    """
    counts = {
        "backbone": len(ranking.standings) if backbones is None else backbones,
        "setting": len(ranking.settings),
        "dataset": ranking.datasets,
    }
    rows, settings, datasets = (
        f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items()
    )
    return f"{rows} × {settings} on {datasets}"
