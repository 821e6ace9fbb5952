"""Rankings over several settings, by mean z-score over a pool of backbones.

The pool is complete and named: a backbone without a value in some setting is excluded and listed,
never averaged over the rest. z-scores over the pool follow *Battle of the Backbones*
(arXiv:2310.19909). docs/explanation/statistics.md describes how the uncertainty of an order is
estimated.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

import numpy as np

from bob.leaderboards.cells import BoardCell, BoardColumn, is_baseline
from bob.leaderboards.per_example import ExampleValues
from bob.leaderboards.pools import Pool, make_pool
from bob.leaderboards.verdicts import Basis, Verdicts, judge, sampling_covariance
from bob.numerics.arrays import Doubles
from bob.statistics.aggregate import borda, win_rate, wins
from bob.statistics.resampling import (
    mean_interval,
    normal_draws,
    rank_interval,
    resampled_means,
    win_share,
)


@dataclass(frozen=True)
class Standing:
    """Result of one backbone of the pool."""

    backbone: str
    mean_z: float | None
    """Mean z-score over the settings; None in a pool of one."""
    mean_rank: float
    mean_value: float | None
    """None if some setting's metric is not a share of 1."""
    win_rate: float | None
    """Share of pairwise comparisons won, over all other backbones and all settings."""
    borda: float
    win_share: float | None
    """Share of resamples in which it has the highest mean z-score."""
    rank_low: int | None
    rank_high: int | None
    """95 % interval of its rank over resamples."""
    z_low: float | None
    z_high: float | None
    """95 % interval of its mean z-score over resamples."""
    value_low: float | None
    value_high: float | None
    """95 % interval of the mean value; see `Pool.value_limits`."""
    tie_group: int | None
    """1: statistically tied with the first. None if it was not tested against its group's best."""


@dataclass(frozen=True)
class Ranking:
    """The backbones of one pool, ordered by mean z-score (in a single setting, by value)."""

    scope: str
    """A task's name, or `overall`."""
    data: Pool
    standings: tuple[Standing, ...]
    """The pool, best first."""
    verdicts: Verdicts

    @property
    def settings(self) -> tuple[BoardColumn, ...]:
        """The columns that are averaged."""
        return self.data.settings

    @property
    def pool(self) -> tuple[str, ...]:
        """The pool's backbones, best first."""
        return self.verdicts.order

    @property
    def incomplete(self) -> dict[str, str]:
        """Excluded backbones → the settings in which they have no value, as text."""
        return self.data.incomplete

    @property
    def excluded_settings(self) -> dict[BoardColumn, str]:
        """Settings that are not averaged → why."""
        return self.data.excluded_settings

    @property
    def basis(self) -> Basis:
        return self.verdicts.basis

    @property
    def origin(self) -> str | None:
        """Table of published results that is ranked; None for measured results."""
        return self.data.origin

    @property
    def datasets(self) -> int:
        """Number of datasets, where conditions of one dataset count as one."""
        return len(set(self.data.units))


class Rankings:
    """Rankings over any settings of the same cells."""

    def __init__(self, cells: Iterable[BoardCell], examples: ExampleValues) -> None:
        self._examples = examples
        self._by_column: dict[BoardColumn, list[BoardCell]] = defaultdict(list)
        for cell in cells:
            self._by_column[cell.column].append(cell)

    @property
    def columns(self) -> list[BoardColumn]:
        return sorted(self._by_column)

    def cells(self, columns: Iterable[BoardColumn]) -> list[BoardCell]:
        return [cell for column in columns for cell in self._by_column.get(column, ())]

    def origin(self, columns: Iterable[BoardColumn]) -> str | None:
        """Return what is ranked in these columns: measured results, else the first table."""
        origins = {
            cell.record.external for cell in self.cells(columns) if not is_baseline(cell.record)
        }
        return None if None in origins or not origins else min(filter(None, origins))

    def over(
        self,
        columns: Collection[BoardColumn],
        scope: str = "",
        origin: str | None = None,
        resample: bool = True,
        cells: Collection[BoardCell] | None = None,
    ) -> Ranking:
        """Rank the backbones that have a value in every one of the columns.

        Baselines are not ranked. `origin` selects measured results (None) or one published table;
        without `resample` there are verdicts, but neither win shares nor rank intervals. `cells`
        replace those of the columns.
        """
        pool = make_pool(self.cells(columns) if cells is None else cells, origin)
        verdicts = judge(pool, self._examples)
        uncertainty = _uncertainty(pool, verdicts, self._examples) if resample else None
        return Ranking(scope, pool, _standings(pool, verdicts, uncertainty), verdicts)


@dataclass(frozen=True)
class _Uncertainty:
    """Uncertainty of an order over resamples; arrays (R,) in the pool's order."""

    win_share: Doubles
    rank_low: Doubles
    rank_high: Doubles
    z_low: Doubles
    z_high: Doubles


def _uncertainty(pool: Pool, verdicts: Verdicts, examples: ExampleValues) -> _Uncertainty | None:
    """Resample what the verdicts rest on: datasets or examples; None if neither is possible."""
    size = len(pool.ranked)
    z = pool.z[:size]
    if size < 2 or verdicts.basis == "none":
        return None
    if verdicts.basis == "datasets":
        means = resampled_means(z, pool.units)
    elif (covariance := sampling_covariance(pool, examples)) is not None:
        means = normal_draws(z.mean(1), covariance)
    else:
        return None
    return _Uncertainty(win_share(means), *rank_interval(means), *mean_interval(means))


def _standings(
    pool: Pool, verdicts: Verdicts, uncertainty: _Uncertainty | None
) -> tuple[Standing, ...]:
    size = len(pool.ranked)
    if not size:
        return ()
    values, names = pool.values[:size], list(pool.ranked)
    mean_value = values.mean(1) if pool.is_averageable else np.full(size, np.nan)
    low, high = pool.value_limits
    finite = {
        "mean_z": pool.z[:size].mean(1),
        "mean_value": mean_value,
        "win_rate": win_rate(values, pool.higher),
        "value_low": low,
        "value_high": high,
    }
    columns: dict[str, list[Any]] = {
        name: _finite_or_none(of_pool) for name, of_pool in finite.items()
    }
    columns["mean_rank"] = (size - wins(values, pool.higher).mean(1)).tolist()
    columns["borda"] = borda(values, pool.higher).tolist()
    for field in fields(_Uncertainty):
        columns[field.name] = _resampled(uncertainty, field.name, size)
    columns["tie_group"] = [verdicts.groups[name] for name in names]
    rows = zip(names, *columns.values(), strict=True)
    standings = {
        name: Standing(name, **dict(zip(columns, row, strict=True))) for name, *row in rows
    }
    return tuple(standings[name] for name in verdicts.order)


def _resampled(uncertainty: _Uncertainty | None, name: str, size: int) -> list[Any]:
    """Return one field of the uncertainty of each backbone, in the pool's order."""
    if uncertainty is None:
        return [None] * size
    values: Doubles = getattr(uncertainty, name)
    return list((values.astype(int) if name.startswith("rank") else values).tolist())


def _finite_or_none(values: Doubles) -> list[float | None]:
    """Return (R,) values as a list with None where one is not finite."""
    return [value if isfinite(value) else None for value in values.tolist()]
