"""Rankings over several settings, by mean z-score over a pool of backbones.

The pool is complete and named: a backbone without a value in some setting is excluded and listed,
never averaged over the rest. z-scores over the pool follow *Battle of the Backbones*
(arXiv:2310.19909). docs/explanation/statistics.md describes how the uncertainty of an order is
estimated.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bob.leaderboards.cells import BoardCell, BoardColumn, higher_is_better, is_baseline, is_share
from bob.leaderboards.per_example import PerExample, p_matrix
from bob.numerics.arrays import Doubles
from bob.statistics.aggregate import borda, win_rate, wins, z_scores
from bob.statistics.paired_tests import t_tests
from bob.statistics.resampling import (
    dataset_contributions,
    normal_draws,
    normal_p_values,
    rank_interval,
    resampled_means,
    win_share,
)
from bob.statistics.ties import tie_groups

MIN_DATASETS = 6
"""Smallest number of datasets that are resampled.

With fewer, not even winning on all of them is significant: a sign test over 5 gives p = 2 / 2^5,
6 %.
"""

Basis = Literal["datasets", "examples", "none"]
"""What was resampled: datasets; their examples if there are too few datasets; or nothing, if there
are no per-example results either."""


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
    tie_group: int | None
    """1: statistically tied with the first. None if nothing could be resampled."""


@dataclass(frozen=True)
class Ranking:
    """The backbones of one pool, ordered by mean z-score."""

    scope: str
    """A task's name, or `overall`."""
    settings: tuple[BoardColumn, ...]
    """The columns that are averaged."""
    standings: tuple[Standing, ...]
    """The pool, best first."""
    incomplete: dict[str, str]
    """Excluded backbones → the settings in which they have no value, as text."""
    excluded_settings: dict[BoardColumn, str]
    """Settings that are not averaged → why."""
    basis: Basis
    origin: str | None = None
    """Table of published results that is ranked; None for measured results."""

    @property
    def pool(self) -> tuple[str, ...]:
        return tuple(standing.backbone for standing in self.standings)

    @property
    def datasets(self) -> int:
        return len({column.dataset for column in self.settings})


@dataclass(frozen=True)
class ScoreMatrix:
    """Values of R backbones in S settings, none missing."""

    cells: dict[str, dict[BoardColumn, BoardCell]]
    """Backbone → setting → a cell with a value."""
    settings: tuple[BoardColumn, ...]

    @cached_property
    def values(self) -> Doubles:
        """(R, S) values."""
        return np.array(
            [[row[column].value for column in self.settings] for row in self.cells.values()],
            np.float64,
        )

    @cached_property
    def metrics(self) -> list[str]:
        """(S,) metric names."""
        row = next(iter(self.cells.values()))
        return [row[column].metric for column in self.settings]

    @cached_property
    def higher(self) -> list[bool]:
        """(S,) whether higher values are better."""
        return [higher_is_better(metric) for metric in self.metrics]

    def per_example(self, column: BoardColumn, per_example: PerExample) -> list[Doubles | None]:
        """(R,) per-example values in one setting."""
        return [per_example(row[column].record) for row in self.cells.values()]


def ranking(
    scope: str, cells: Sequence[BoardCell], per_example: PerExample, origin: str | None = None
) -> Ranking:
    """Rank the backbones that have a value in every setting.

    Baselines are not ranked. `origin` selects measured results (None) or one published table.
    """
    rows: dict[str, dict[BoardColumn, BoardCell]] = defaultdict(dict)
    for cell in cells:
        if cell.record.external == origin and not is_baseline(cell.record):
            rows[cell.record.backbone_name][cell.column] = cell
    settings, excluded_settings = common_settings(rows)
    incomplete = {
        name: missing
        for name, row in sorted(rows.items())
        if (missing := missing_settings(row, settings))
    }
    pool = ScoreMatrix(
        {name: row for name, row in sorted(rows.items()) if name not in incomplete}, settings
    )
    standings, basis = _standings(pool, per_example) if pool.cells and settings else ((), "none")
    return Ranking(scope, settings, standings, incomplete, excluded_settings, basis, origin)


def common_settings(
    rows: Mapping[str, Mapping[BoardColumn, BoardCell]],
) -> tuple[tuple[BoardColumn, ...], dict[BoardColumn, str]]:
    """Return the settings that may be averaged, and for each other one why not.

    Excluded are settings that do not apply to some backbone or in which no backbone has a value.
    `rows` maps backbone → setting → cell.
    """
    columns = sorted({column for row in rows.values() for column in row})
    statuses = {
        column: {row[column].status for row in rows.values() if column in row} for column in columns
    }
    not_applicable = {
        column: "does not apply to every backbone"
        for column in columns
        if "not_applicable" in statuses[column]
    }
    excluded = not_applicable | {
        column: "no backbone has a value" for column in columns if "ok" not in statuses[column]
    }
    return tuple(column for column in columns if column not in excluded), excluded


def missing_settings(row: Mapping[BoardColumn, BoardCell], settings: Sequence[BoardColumn]) -> str:
    """Return the settings in which a backbone has no value, as text; empty for a complete row."""
    statuses = {column: row[column].status if column in row else "missing" for column in settings}
    return "; ".join(
        f"{status.replace('_', ' ')}: {column}"
        for column, status in statuses.items()
        if status != "ok"
    )


def _standings(pool: ScoreMatrix, per_example: PerExample) -> tuple[tuple[Standing, ...], Basis]:
    z = z_scores(pool.values, pool.higher)
    names, means = list(pool.cells), z.mean(1)
    order = sorted(
        range(len(names)), key=lambda i: (-means[i] if np.isfinite(means[i]) else 0.0, names[i])
    )
    uncertainty = _uncertainty(pool, z, per_example, order)
    rank = len(names) - wins(pool.values, pool.higher).mean(1)
    value = pool.values.mean(1) if all(map(is_share, pool.metrics)) else np.full(len(names), np.nan)
    rates = win_rate(pool.values, pool.higher)
    points = borda(pool.values, pool.higher)
    standings = [
        Standing(
            backbone=name,
            mean_z=_float_or_none(means[i]),
            mean_rank=float(rank[i]),
            mean_value=_float_or_none(value[i]),
            win_rate=_float_or_none(rates[i]),
            borda=float(points[i]),
            win_share=_float_or_none(uncertainty.win_share[i]),
            rank_low=_int_or_none(uncertainty.rank_low[i]),
            rank_high=_int_or_none(uncertainty.rank_high[i]),
            tie_group=uncertainty.tie_group.get(i),
        )
        for i, name in enumerate(names)
    ]
    return tuple(standings[i] for i in order), uncertainty.basis


def _float_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _int_or_none(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class _Uncertainty:
    """Uncertainty of an order; arrays (R,), NaN if nothing was resampled."""

    basis: Basis
    win_share: Doubles
    rank_low: Doubles
    rank_high: Doubles
    tie_group: dict[int, int]
    """By position in the pool; empty if nothing was resampled."""


def _uncertainty(
    pool: ScoreMatrix, z: Doubles, per_example: PerExample, order: Sequence[int]
) -> _Uncertainty:
    """Resample datasets; with too few of them, examples; without per-example results, all are tied.

    Tie groups over datasets come from paired t-tests: among 33 equal backbones on 8 datasets these
    wrongly separate 1 % from the luckiest, the share of bootstrap draws 13 %.
    """
    datasets = [column.dataset for column in pool.settings]
    means, p = None, np.ones((len(z),) * 2)
    basis: Basis = "none"
    if len(z) > 1 and len(set(datasets)) >= MIN_DATASETS:
        means, basis = resampled_means(z, datasets), "datasets"
        p = t_tests(dataset_contributions(z, datasets))
    elif len(z) > 1 and (covariance := _sampling_covariance(pool, per_example)) is not None:
        means, basis = normal_draws(z.mean(1), covariance), "examples"
        p = _example_p_values(pool, z, covariance, per_example)
    elif len(z) > 1 and len(set(datasets)) > 1:
        means = resampled_means(z, datasets)
    if means is None:
        nan = np.full(len(z), np.nan)
        return _Uncertainty(basis, nan, nan, nan, {})
    groups = dict(zip(order, tie_groups(p[np.ix_(order, order)]), strict=True))
    return _Uncertainty(basis, win_share(means), *rank_interval(means), groups)


def _sampling_covariance(pool: ScoreMatrix, per_example: PerExample) -> Doubles | None:
    """(R, R) covariance of the mean z-scores over resampled examples.

    The pool's means and standard deviations are held fixed. Settings on the same examples (same
    dataset, equally many) are correlated: their standardised values are summed per example first.
    None if some cell has no per-example values.
    """
    scale = np.where(pool.higher, 1.0, -1.0) / np.where(
        np.ptp(pool.values, axis=0) > 0, pool.values.std(0, ddof=1), np.inf
    )
    summed: dict[tuple[str, int], Doubles] = {}
    for s, column in enumerate(pool.settings):
        arrays = pool.per_example(column, per_example)
        present = [values for values in arrays if values is not None]
        if len(present) < len(arrays) or len({len(values) for values in present}) > 1:
            return None
        n = len(present[0])
        if n < 2:
            return None
        examples = column.dataset, n
        summed[examples] = summed.get(examples, 0.0) + scale[s] * np.stack(present)
    total = sum(
        (np.cov(values) / values.shape[1] for values in summed.values()),
        np.zeros((len(pool.cells),) * 2),
    )
    return np.asarray(total / len(pool.settings) ** 2)


def _example_p_values(
    pool: ScoreMatrix, z: Doubles, covariance: Doubles, per_example: PerExample
) -> Doubles:
    """(R, R) p-values: exact for a single setting; over several the mean is taken as normal."""
    if len(pool.settings) > 1:
        return normal_p_values(z.mean(1), covariance)
    arrays = pool.per_example(pool.settings[0], per_example)
    return p_matrix([values for values in arrays if values is not None], pool.metrics[0])[0]
