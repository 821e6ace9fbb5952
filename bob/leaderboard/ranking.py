"""Rankings over several settings. The pool is complete and named: a backbone that lacks a cell is left out and marked, never averaged in.

What is averaged are z-scores over the pool, as in *Battle of the Backbones* (arXiv:2310.19909). docs/statistics.md tells how sure an order is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bob.leaderboard.cells import Cell, Column, is_share
from bob.leaderboard.per_example import Evidence, is_rival, p_matrix
from bob.metrics import METRICS
from bob.statistics.aggregate import Floats, beaten, borda, win_rate, z_scores
from bob.statistics.pairs import t_tests
from bob.statistics.resampling import (
    by_dataset,
    drawn_means,
    normal_draws,
    normal_p_values,
    rank_interval,
    win_share,
)
from bob.statistics.ties import tie_groups

ENOUGH_DATASETS = 6
"""From this many datasets on, they are resampled. Of fewer, even one that wins on all is not told from luck: a sign test gives 2 / 2^5 = 6 %."""

Basis = Literal["datasets", "examples", "none"]
"""What was resampled: the datasets; with too few of them, their examples; or nothing, for want of per-example results."""


@dataclass(frozen=True)
class Standing:
    """One backbone of the pool."""

    backbone: str
    mean_z: float | None
    """None in a pool of one."""
    mean_rank: float
    mean_value: float | None
    """None where the settings' metrics are not all shares of 1."""
    win_rate: float | None
    """Share of duels won, over all others and all settings."""
    borda: float
    win_share: float | None
    """Share of resamples in which it has the highest mean z-score."""
    rank_low: int | None
    rank_high: int | None
    """95 % of resamples place it between these."""
    tie_group: int | None
    """1: not told apart from the first. None where nothing could be resampled."""


@dataclass(frozen=True)
class Ranking:
    """The backbones of one pool by mean z-score."""

    scope: str
    """A task's name, or `overall`."""
    settings: tuple[Column, ...]
    standings: tuple[Standing, ...]
    """Best first; together they are the pool."""
    left_out: dict[str, str]
    """Backbones that lack a cell → which."""
    not_asked: dict[Column, str]
    """Settings that are not averaged → why."""
    basis: Basis
    origin: str | None = None
    """The table of published numbers that this ranks; None for one's own records."""

    @property
    def pool(self) -> tuple[str, ...]:
        return tuple(standing.backbone for standing in self.standings)

    @property
    def datasets(self) -> int:
        return len({column.dataset for column in self.settings})


@dataclass(frozen=True)
class Pool:
    """Values without a gap."""

    cells: dict[str, dict[Column, Cell]]
    """Backbone → setting → a cell with a value."""
    settings: tuple[Column, ...]

    @cached_property
    def values(self) -> Floats:
        """(R, S)"""
        return np.array(
            [[held[column].value for column in self.settings] for held in self.cells.values()],
            np.float64,
        )

    @cached_property
    def metrics(self) -> list[str]:
        first = next(iter(self.cells.values()))
        return [first[column].metric for column in self.settings]

    @cached_property
    def higher(self) -> list[bool]:
        """(S,)"""
        return [
            METRICS[name].higher_is_better if name in METRICS else True for name in self.metrics
        ]


def ranking(
    scope: str, cells: Sequence[Cell], evidence: Evidence, origin: str | None = None
) -> Ranking:
    """The ranking of those backbones that have every setting, by the cells of `origin`: one's own, or those of one published table."""
    held: dict[str, dict[Column, Cell]] = defaultdict(dict)
    for cell in cells:
        if cell.record.external == origin and is_rival(cell.record):
            held[cell.record.backbone_name][cell.column] = cell
    settings, not_asked = common_settings(held)
    left_out = {name: text for name, own in sorted(held.items()) if (text := lacks(own, settings))}
    pool = Pool({name: own for name, own in sorted(held.items()) if name not in left_out}, settings)
    standings, basis = _standings(pool, evidence) if pool.cells and settings else ((), "none")
    return Ranking(scope, settings, standings, left_out, not_asked, basis, origin)


def common_settings(
    held: Mapping[str, Mapping[Column, Cell]],
) -> tuple[tuple[Column, ...], dict[Column, str]]:
    """Of backbone → setting → cell: the settings that may be averaged, and why the others may not.

    Those are no common ground: not applicable to someone, or without a value for anyone.
    """
    columns = sorted({column for own in held.values() for column in own})
    status = {
        column: {own[column].status for own in held.values() if column in own} for column in columns
    }
    alien = {
        column: "does not apply to every backbone"
        for column in columns
        if "not_applicable" in status[column]
    }
    not_asked = alien | {
        column: "no backbone has a value" for column in columns if "ok" not in status[column]
    }
    return tuple(column for column in columns if column not in not_asked), not_asked


def lacks(own: Mapping[Column, Cell], settings: Sequence[Column]) -> str:
    """What a backbone has no value for, in words; empty for a complete row."""
    states = {column: own[column].status if column in own else "missing" for column in settings}
    return "; ".join(
        f"{state.replace('_', ' ')}: {column}" for column, state in states.items() if state != "ok"
    )


def _standings(pool: Pool, evidence: Evidence) -> tuple[tuple[Standing, ...], Basis]:
    z = z_scores(pool.values, pool.higher)
    names, means = list(pool.cells), z.mean(1)
    order = sorted(range(len(names)), key=lambda i: (-_finite(means[i], 0.0), names[i]))
    sure = _certainty(pool, z, evidence, order)
    rank = len(names) - beaten(pool.values, pool.higher).mean(1)
    value = pool.values.mean(1) if all(map(is_share, pool.metrics)) else np.full(len(names), np.nan)
    columns = zip(
        names,
        means,
        rank,
        value,
        win_rate(pool.values, pool.higher),
        borda(pool.values, pool.higher),
        sure.share,
        sure.low,
        sure.high,
        strict=True,
    )
    rows = [
        Standing(
            name,
            _known(m),
            float(r),
            _known(v),
            _known(w),
            float(b),
            _known(s),
            _whole(low),
            _whole(high),
            sure.group.get(i),
        )
        for i, (name, m, r, v, w, b, s, low, high) in enumerate(columns)
    ]
    return tuple(rows[i] for i in order), sure.basis


def _finite(value: float, other: float) -> float:
    return value if np.isfinite(value) else other


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _whole(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class _Certainty:
    """How sure the order is; arrays (R,), NaN where nothing was resampled. `group` is by position in the pool."""

    basis: Basis
    share: Floats
    low: Floats
    high: Floats
    group: dict[int, int]


def _certainty(pool: Pool, z: Floats, evidence: Evidence, order: Sequence[int]) -> _Certainty:
    """From resampled datasets; with too few of them from their examples; where these are not at hand, nothing is told apart.

    Ties over datasets come from t-tests: among 33 equals on 8 datasets these tell 1 % apart from the luckiest, the share of bootstrap draws 13 %.
    """
    datasets = [column.dataset for column in pool.settings]
    drawn, p = None, np.ones((len(z),) * 2)
    basis: Basis = "none"
    if len(z) > 1 and len(set(datasets)) >= ENOUGH_DATASETS:
        drawn, basis = drawn_means(z, datasets), "datasets"
        p = t_tests(by_dataset(z, datasets))
    elif len(z) > 1 and (covariance := _sampling_covariance(pool, evidence)) is not None:
        drawn, basis = normal_draws(z.mean(1), covariance), "examples"
        p = _example_p_values(pool, z, covariance, evidence)
    elif len(z) > 1 and len(set(datasets)) > 1:
        drawn = drawn_means(z, datasets)
    group = dict(zip(order, tie_groups(p[np.ix_(order, order)]), strict=True))
    if drawn is None:
        nothing = np.full(len(z), np.nan)
        return _Certainty(basis, nothing, nothing, nothing, {})
    return _Certainty(basis, win_share(drawn), *rank_interval(drawn), group)


def _sampling_covariance(pool: Pool, evidence: Evidence) -> Floats | None:
    """(R, R) covariance of the mean z-scores over resampled examples, the pool's means and spreads held fixed; None where a cell has no evidence.

    Settings that share examples (a dataset's, equally many) move together: their standardised values are summed per example first.
    """
    scale = np.where(pool.higher, 1.0, -1.0) / np.where(
        np.ptp(pool.values, axis=0) > 0, pool.values.std(0, ddof=1), np.inf
    )
    summed: dict[tuple[str, int], Floats] = {}
    for s, column in enumerate(pool.settings):
        each = [evidence(own[column].record) for own in pool.cells.values()]
        held = [values for values in each if values is not None]
        if len(held) < len(each) or len({len(values) for values in held}) > 1 or len(held[0]) < 2:
            return None
        place = column.dataset, len(held[0])
        summed[place] = summed.get(place, 0.0) + scale[s] * np.stack(held)
    total = sum(
        (np.cov(values) / values.shape[1] for values in summed.values()),
        np.zeros((len(pool.cells),) * 2),
    )
    return np.asarray(total / len(pool.settings) ** 2)


def _example_p_values(pool: Pool, z: Floats, covariance: Floats, evidence: Evidence) -> Floats:
    """(R, R). A single setting has its own exact test; over several the mean is taken for normal."""
    if len(pool.settings) > 1:
        return normal_p_values(z.mean(1), covariance)
    each = [evidence(own[pool.settings[0]].record) for own in pool.cells.values()]
    return p_matrix([values for values in each if values is not None], pool.metrics[0])[0]
