"""ranking.csv and ranking_by_task.csv: who stands where in which pool, and how sure that is."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bob.leaderboard.ranking import Ranking

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
"""The columns of ranking.csv in order, with their types; see `bob.leaderboard.ranking.Standing`.

pool: how many backbones and settings the z-scores and ranks are over. basis: what was resampled. incomplete: what keeps a backbone out of the
pool; such a row has no values. external: the table that published numbers were read from.
"""


def ranking_frame(rankings: Iterable[Ranking]) -> pd.DataFrame:
    """One row per backbone, best first, those left out last; one ranking after the other."""
    rows = [row for ranking in rankings for row in _rows(ranking)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def task_frame(rankings: Iterable[Ranking]) -> pd.DataFrame:
    """The same per task, with its name in the first column."""
    rows = [{"task": ranking.scope} | row for ranking in rankings for row in _rows(ranking)]
    return pd.DataFrame(rows, columns=["task", *COLUMNS]).astype(COLUMNS)


def _rows(ranking: Ranking) -> list[dict[str, Any]]:
    shared = {"pool": pool_text(ranking), "basis": ranking.basis, "external": ranking.origin}
    inside = [
        {name: getattr(standing, name) for name in COLUMNS if hasattr(standing, name)} | shared
        for standing in ranking.standings
    ]
    outside = [
        {"backbone": name, "incomplete": text, "pool": shared["pool"], "external": ranking.origin}
        for name, text in ranking.left_out.items()
    ]
    return inside + outside


def pool_text(ranking: Ranking) -> str:
    """`33 backbones × 8 settings on 8 datasets`."""
    counts = {
        "backbone": len(ranking.standings),
        "setting": len(ranking.settings),
        "dataset": ranking.datasets,
    }
    backbones, settings, datasets = (
        f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items()
    )
    return f"{backbones} × {settings} on {datasets}"
