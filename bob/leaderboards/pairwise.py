"""Comparison of two backbones: paired tests on the same examples, per setting and over all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bob.errors import ConfigError, nearest
from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    board_cells,
    comparable,
    higher_is_better,
    is_share,
)
from bob.leaderboards.ranking import MIN_DATASETS, Basis
from bob.metrics import METRICS
from bob.metrics.intervals import DRAWS, resampled
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.records.record import Record
from bob.statistics.limits import Z
from bob.statistics.paired_tests import PairedDifference, compare_paired, mean_limits
from bob.statistics.resampling import TAILS, dataset_contributions
from bob.statistics.ties import ALPHA, holm

Outcomes = Callable[[Record], Sequence[Any]]
"""Maps a record to its headline outcome per seed; empty if its arrays are unavailable."""

CellPair = tuple[BoardCell, BoardCell]
"""Cells of two backbones in one setting, both with a value."""


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of backbones a and b in one setting."""

    column: BoardColumn
    metric: str
    a: float
    b: float
    difference: PairedDifference | None
    """a minus b on the same examples; None if per-example results are unavailable."""
    p: float | None
    """p-value, adjusted for the number of settings compared (Holm)."""

    @property
    def winner(self) -> int:
        """1 if a is significantly better, -1 if b is, 0 if neither is or nothing was tested."""
        if self.p is None or self.p >= ALPHA:
            return 0
        return 1 if (self.a > self.b) == higher_is_better(self.metric) else -1


@dataclass(frozen=True)
class MeanDifference:
    """Mean of a minus b over settings whose metrics are shares, with its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    basis: Basis
    """What the interval is over; `none`: too few datasets, and no per-example results."""

    @property
    def is_significant(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Comparison:
    """Comparison of two backbones in the settings in which both have a value."""

    a: str
    b: str
    per_setting: tuple[PairedComparison, ...]
    overall: MeanDifference | None
    """None if some metric is not a share, or if there is no common setting."""


def compare_records(a: str, b: str, records: Iterable[Record], outcomes: Outcomes) -> "Comparison":
    """Compare two backbones by their records, setting by setting and over all settings.

    ConfigError if one of them has no records, or if they share no setting.
    """
    kept, _ = comparable(records)
    names = sorted({record.backbone_name for record in kept})
    for name in (a, b):
        if name not in names:
            raise ConfigError(
                f"no records of backbone {name!r}{nearest(name, names)} "
                f"Backbones with records: {', '.join(names)}."
            )
    if a == b:
        raise ConfigError(f"backbone {a!r} is given twice; name two.")
    comparison = compare(a, b, board_cells(kept), outcomes)
    if not comparison.per_setting:
        raise ConfigError(f"{a!r} and {b!r} share no setting in which both have a value.")
    return comparison


def compare(a: str, b: str, cells: Sequence[BoardCell], outcomes: Outcomes) -> Comparison:
    """Compare backbones a and b in every setting in which both have a value.

    `cells` are those of comparable records.
    """
    rows: dict[str, dict[BoardColumn, BoardCell]] = {a: {}, b: {}}
    for cell in cells:
        if cell.value is not None and cell.record.backbone_name in rows:
            rows[cell.record.backbone_name][cell.column] = cell
    common = sorted(rows[a].keys() & rows[b].keys())
    pairs = [(rows[a][column], rows[b][column]) for column in common]
    differences = [paired_difference(first, second, outcomes) for first, second in pairs]
    p = np.array([difference.p for difference in differences if difference is not None])
    adjusted = iter(holm(p).tolist())
    per_setting = tuple(
        PairedComparison(
            column=first.column,
            metric=first.metric,
            a=float(first.value or 0),
            b=float(second.value or 0),
            difference=difference,
            p=None if difference is None else next(adjusted),
        )
        for (first, second), difference in zip(pairs, differences, strict=True)
    )
    return Comparison(a, b, per_setting, _overall(pairs, outcomes))


def paired_difference(
    first: BoardCell, second: BoardCell, outcomes: Outcomes
) -> PairedDifference | None:
    """Test first minus second on the same examples; None if their results are unavailable."""
    paired = _paired_outcomes(first, second, outcomes)
    if paired is None:
        return None
    metric, left, right = paired
    if metric.per_example is None:
        return _bootstrap(metric, left, right)
    return compare_paired(
        _per_example(metric, left), _per_example(metric, right), draws=metric.interval == "t"
    )


def _paired_outcomes(
    first: BoardCell, second: BoardCell, outcomes: Outcomes
) -> tuple[Metric, Sequence[Any], Sequence[Any]] | None:
    """Return the metric and the outcomes of both cells, per seed; None if they cannot be paired."""
    metric = METRICS.get(first.metric)
    left, right = outcomes(first.record), outcomes(second.record)
    if metric is None or not left or not right:
        return None
    if len({len(outcome) for outcome in (*left, *right)}) > 1:
        return None
    return metric, left, right


def _per_example(metric: Metric, outcomes: Sequence[Any]) -> Doubles:
    """(N,) value of each example, mean over seeds."""
    if metric.per_example is None:
        raise ValueError(f"metric {metric.name!r} is not a mean over examples")
    by_seed = [metric.per_example(outcome) for outcome in outcomes]
    mean: Doubles = np.mean(by_seed, axis=0, dtype=np.float64)
    return mean


def _bootstrap(
    metric: Metric, left: Sequence[Any], right: Sequence[Any]
) -> PairedDifference | None:
    """Paired bootstrap for a metric that is not a mean over examples.

    Both backbones see the same resamples; p is twice the share of resamples in which the difference
    has the other sign. None if half of the resamples have no value.
    """
    value = float(
        np.mean([metric.function(outcome) for outcome in left])
        - np.mean([metric.function(outcome) for outcome in right])
    )
    draws = np.mean([resampled(outcome, metric, 0, DRAWS) for outcome in left], axis=0)
    draws = draws - np.mean([resampled(outcome, metric, 0, DRAWS) for outcome in right], axis=0)
    draws = draws[~np.isnan(draws)]
    if len(draws) <= DRAWS / 2:
        return None
    low, high = np.percentile(draws, TAILS)
    other_side = min((draws <= 0).sum(), (draws >= 0).sum())
    return PairedDifference(
        value=value,
        low=float(min(low, value)),
        high=float(max(high, value)),
        p=min(1.0, 2 * (other_side + 1) / (len(draws) + 1)),
        n=len(left[0]),
        test="bootstrap",
    )


def _overall(pairs: Sequence[CellPair], outcomes: Outcomes) -> MeanDifference | None:
    """Return the mean difference over settings; None if some metric is not a share.

    The interval is Student's over datasets, or normal over examples with too few datasets.
    """
    if not pairs or not all(is_share(first.metric) for first, _ in pairs):
        return None
    gaps = np.array([float(first.value or 0) - float(second.value or 0) for first, second in pairs])
    mean = float(gaps.mean())
    datasets = [first.column.dataset for first, _ in pairs]
    if len(set(datasets)) >= MIN_DATASETS:
        low, high = mean_limits(dataset_contributions(gaps[None], datasets)[0])
        return MeanDifference(mean, low, high, "datasets")
    error = _standard_error(pairs, outcomes)
    if error is None:
        return MeanDifference(mean, None, None, "none")
    return MeanDifference(mean, mean - Z * error, mean + Z * error, "examples")


def _standard_error(pairs: Sequence[CellPair], outcomes: Outcomes) -> float | None:
    """Return the standard error of the mean difference over settings.

    Settings on the same examples of a dataset are summed per example first. None if some setting
    has no per-example results.
    """
    summed: dict[tuple[str, int], Doubles] = {}
    for first, second in pairs:
        paired = _paired_outcomes(first, second, outcomes)
        if paired is None or paired[0].per_example is None:
            return None
        metric, left, right = paired
        gap = _per_example(metric, left) - _per_example(metric, right)
        examples = first.column.dataset, len(gap)
        summed[examples] = summed.get(examples, np.zeros(len(gap))) + gap
    if any(len(gap) < 2 for gap in summed.values()):
        return None
    return float(np.sqrt(sum(gap.var(ddof=1) / len(gap) for gap in summed.values())) / len(pairs))


def tally(comparisons: Sequence[PairedComparison]) -> Mapping[str, int]:
    """Count the settings won by `a` and by `b`, statistically tied (`neither`) and `untested`."""
    winners = [comparison.winner for comparison in comparisons if comparison.p is not None]
    return {
        "a": winners.count(1),
        "b": winners.count(-1),
        "neither": winners.count(0),
        "untested": len(comparisons) - len(winners),
    }
