"""Pools: the backbones with a value in every setting of a scope, and what is missing elsewhere."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bob.leaderboards.cells import BoardCell, BoardColumn, is_baseline
from bob.leaderboards.dataset_units import dataset_units
from bob.leaderboards.metric_traits import metric_traits
from bob.numerics.arrays import Doubles
from bob.statistics.aggregate import scales, z_scores

Row = Mapping[BoardColumn, BoardCell]
"""Setting → cell of one backbone."""


@dataclass(frozen=True, eq=False)
class Pool:
    """R backbones with a value in each of S settings, and the baselines beside them."""

    settings: tuple[BoardColumn, ...]
    """The columns that are averaged."""
    ranked: Mapping[str, Row]
    """The pool, by name. Baselines and other tables' backbones are outside of it."""
    baselines: Mapping[str, Row]
    """B baselines with a value in every setting."""
    incomplete: dict[str, str]
    """Excluded backbones → the settings in which they have no value, as text."""
    excluded_settings: dict[BoardColumn, str]
    """Settings that are not averaged → why."""
    origin: str | None = None
    """Table of published results that is ranked; None for measured results."""

    @property
    def names(self) -> list[str]:
        """(R + B,) the pool, then the baselines."""
        return [*self.ranked, *self.baselines]

    @cached_property
    def values(self) -> Doubles:
        """(R + B, S) values, the pool's first."""
        rows = [*self.ranked.values(), *self.baselines.values()]
        values = [[row[column].value for column in self.settings] for row in rows]
        return np.array(values, np.float64).reshape(len(rows), len(self.settings))

    @cached_property
    def metrics(self) -> list[str]:
        """(S,) metric names."""
        row = next(iter(self.ranked.values()), {})
        return [row[column].metric for column in self.settings if column in row]

    @cached_property
    def higher(self) -> list[bool]:
        """(S,) whether higher values are better."""
        return [metric_traits(metric).higher_is_better for metric in self.metrics]

    @property
    def is_averageable(self) -> bool:
        """Whether the plain mean of the values over settings is meaningful."""
        return all(metric_traits(metric).is_share for metric in self.metrics)

    @cached_property
    def value_limits(self) -> tuple[Doubles, Doubles]:
        """(R,) and (R,) 95 % limits of the mean value; NaN where values may not be averaged, or
        where one has no interval.

        They cover other test images, not other datasets. Each distance of a limit to its value
        counts as that of a standard error: settings of the same images move together at worst, so
        that their distances add up; those of different datasets are independent, and their squares
        add up. The limits are thus too wide rather than too narrow.
        """
        size = len(self.ranked)
        if not size or not self.is_averageable:
            return np.full(size, np.nan), np.full(size, np.nan)
        values, units = self.values[:size], np.array(self.units)
        mean = values.mean(1)
        distances = []
        for limit in ("low", "high"):
            limits = [
                [getattr(row[column], limit) for column in self.settings]
                for row in self.ranked.values()
            ]
            distance = np.abs(np.array(limits, np.float64) - values)
            by_unit = [distance[:, units == unit].sum(1) for unit in np.unique(units)]
            distances.append(np.sqrt(np.sum(np.square(by_unit), 0)) / len(self.settings))
        return np.maximum(0.0, mean - distances[0]), np.minimum(1.0, mean + distances[1])

    @cached_property
    def scale(self) -> Doubles:
        """(S,) z-score per unit of each setting's value; 0 where all of the pool are equal."""
        return scales(self.values[: len(self.ranked)], self.higher)

    @cached_property
    def z(self) -> Doubles:
        """(R + B, S) z-scores relative to the pool; NaN in a pool of one."""
        return z_scores(self.values, self.higher, pool=len(self.ranked))

    @cached_property
    def quality(self) -> Doubles:
        """(R + B,) what orders the pool: the value of a single setting, else the mean z-score."""
        if len(self.settings) == 1:
            sign = 1.0 if self.higher[0] else -1.0
            return np.asarray(sign * self.values[:, 0])
        return np.asarray(self.z.mean(1))

    @cached_property
    def units(self) -> list[str]:
        """(S,) the dataset of each setting, where conditions of one dataset count as one."""
        units = dataset_units(column.dataset for column in self.settings)
        return [units[column.dataset] for column in self.settings]


def make_pool(cells: Iterable[BoardCell], origin: str | None = None) -> Pool:
    """Return the pool over all settings of the cells.

    `origin` selects measured results (None) or one published table. In a scope of one task,
    backbones to which the task does not apply take no part.
    """
    rows: dict[str, dict[BoardColumn, BoardCell]] = defaultdict(dict)
    baselines: dict[str, dict[BoardColumn, BoardCell]] = defaultdict(dict)
    cells = [cell for cell in cells if cell.record.external == origin]
    if len({cell.column.task for cell in cells}) == 1:
        cells = [cell for cell in cells if cell.status != "not_applicable"]
    for cell in cells:
        group = baselines if is_baseline(cell.record) else rows
        group[cell.record.backbone_name][cell.column] = cell
    settings, excluded_settings = common_settings(rows)
    incomplete = {
        name: missing
        for name, row in sorted(rows.items())
        if (missing := missing_settings(row, settings))
    }
    ranked = {name: row for name, row in sorted(rows.items()) if name not in incomplete}
    complete = {
        name: row
        for name, row in sorted(baselines.items())
        if settings and not missing_settings(row, settings)
    }
    return Pool(
        settings,
        ranked if settings else {},
        complete if ranked else {},
        incomplete,
        excluded_settings,
        origin,
    )


def common_settings(
    rows: Mapping[str, Mapping[BoardColumn, BoardCell]],
) -> tuple[tuple[BoardColumn, ...], dict[BoardColumn, str]]:
    """Return the settings that may be averaged, and for each other one why not.

    Excluded are settings that do not apply to some backbone or in which no backbone has a value.
    `rows` maps backbone → setting → cell.
    """
    by_column: dict[BoardColumn, list[BoardCell]] = defaultdict(list)
    for row in rows.values():
        for column, cell in row.items():
            by_column[column].append(cell)
    reasons = {column: _why_excluded(by_column[column]) for column in sorted(by_column)}
    return (
        tuple(column for column, reason in reasons.items() if not reason),
        {column: reason for column, reason in reasons.items() if reason},
    )


def _why_excluded(cells: Sequence[BoardCell]) -> str:
    """Return why a setting is not averaged; empty if it is.

    What is undefined for every backbone that was scored, for the same reason, is a property of the
    dataset: a class without enough images, say.
    """
    if any(metric_traits(cell.metric).describes for cell in cells):
        return "describes features, which says nothing about which are better"
    statuses = {cell.status for cell in cells}
    if "ok" in statuses:
        return "does not apply to every backbone" if "not_applicable" in statuses else ""
    reasons = {cell.reason for cell in cells if cell.status == "undefined"}
    if len(reasons) == 1:
        return f"undefined for every backbone: {reasons.pop()}"
    return "no backbone has a value"


def missing_settings(row: Mapping[BoardColumn, BoardCell], settings: Sequence[BoardColumn]) -> str:
    """Return the settings in which a backbone has no value, as text; empty for a complete row."""
    statuses = {column: row[column].status if column in row else "missing" for column in settings}
    return "; ".join(
        f"{status.replace('_', ' ')}: {column}"
        for column, status in statuses.items()
        if status != "ok"
    )
