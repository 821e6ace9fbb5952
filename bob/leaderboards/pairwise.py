"""Comparison of two backbones: paired tests on the same examples, per setting and over all.

The verdicts are those of the leaderboard: p-values are adjusted for the pool of each scope.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bob.errors import ConfigError, nearest
from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    board_cells,
    comparable,
    is_baseline,
)
from bob.leaderboards.dataset_units import dataset_units
from bob.leaderboards.metric_traits import metric_traits
from bob.leaderboards.per_example import ExampleValues, PerExample, has_draws, paired_test
from bob.leaderboards.ranking import Ranking, Rankings
from bob.leaderboards.verdicts import MIN_DATASETS, Basis, Relation
from bob.numerics.arrays import Doubles
from bob.records.record import Record
from bob.statistics.complementarity import Complementarity, complementarity
from bob.statistics.limits import Z
from bob.statistics.paired_tests import (
    PairedDifference,
    compare_paired,
    mean_limits,
    pairwise_limits,
)
from bob.statistics.resampling import dataset_contributions
from bob.statistics.sums_of_means import Sample, sum_covariance

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
    """a minus b on the same examples; None if it was not tested."""
    p: float | None
    """p-value, adjusted for the pool of the setting (Holm)."""
    relation: Relation
    """What the test says of a against b."""
    pool: int
    """Number of backbones in the setting's pool."""
    complementarity: Complementarity | None = None
    """Which examples each has right, where the metric is right or wrong for each example."""
    why_untested: str | None = None
    """Why there is no verdict; None where there is one."""


@dataclass(frozen=True)
class MeanDifference:
    """Mean of a minus b over settings whose metrics are shares, with its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    basis: Basis
    """What the interval is over; `none`: too few datasets, and no per-example results."""


@dataclass(frozen=True)
class Overall:
    """Comparison of backbones a and b over several settings."""

    settings: tuple[BoardColumn, ...]
    """Those that the ranking averages; if it lacks a or b, those in which both have a value."""
    difference: MeanDifference | None
    """None if some metric is not a share, or if there is no setting."""
    relation: Relation
    """What the ranking's test of the mean z-scores says of a against b."""
    p: float | None
    """p-value of that test, adjusted for the pool (Holm)."""
    ranking: Ranking
    unranked: str
    """Why the ranking lacks a or b, as text; empty if it has both."""
    why_untested: str | None = None
    """Why there is no verdict; None where there is one."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of two backbones in the settings in which both have a value."""

    a: str
    b: str
    per_setting: tuple[PairedComparison, ...]
    overall: Overall


def compare_records(
    a: str, b: str, records: Iterable[Record], per_example: PerExample
) -> Comparison:
    """Compare two backbones by their records, setting by setting and over all settings.

    `records` are those of all backbones, with which both are ranked. ConfigError if one of the two
    has no records, or if they share no setting.
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
    comparison = compare(a, b, board_cells(kept), per_example)
    if not comparison.per_setting:
        raise ConfigError(f"{a!r} and {b!r} share no setting in which both have a value.")
    return comparison


def compare(a: str, b: str, cells: Sequence[BoardCell], per_example: PerExample) -> Comparison:
    """Compare backbones a and b in every setting in which both have a value.

    `cells` are those of comparable records of all backbones.
    """
    examples = ExampleValues(per_example)
    rankings = Rankings(cells, examples)
    rows: dict[str, dict[BoardColumn, BoardCell]] = {a: {}, b: {}}
    for cell in cells:
        if cell.value is not None and cell.record.backbone_name in rows:
            rows[cell.record.backbone_name][cell.column] = cell
    common = sorted(rows[a].keys() & rows[b].keys())
    pairs = {column: (rows[a][column], rows[b][column]) for column in common}
    per_setting = tuple(_compare_in_setting(pair, rankings, examples) for pair in pairs.values())
    return Comparison(a, b, per_setting, _overall(a, b, pairs, rankings, examples))


def _compare_in_setting(
    pair: CellPair, rankings: Rankings, examples: ExampleValues
) -> PairedComparison:
    first, second = pair
    a, b, column = first.record.backbone_name, second.record.backbone_name, first.column
    ranking = rankings.over([column], origin=rankings.origin([column]), resample=False)
    verdicts = ranking.verdicts
    p_values = verdicts.p_values(a, b)
    left, right = examples(first.record), examples(second.record)
    difference = None
    if p_values and left is not None and right is not None:
        difference = compare_paired(left, right, verdicts.test, p_values[0])
    return PairedComparison(
        column=column,
        metric=first.metric,
        a=float(first.value or 0),
        b=float(second.value or 0),
        difference=difference,
        p=p_values[1] if p_values else None,
        relation=verdicts.relation(a, b),
        pool=len(verdicts.order),
        complementarity=(None if left is None or right is None else complementarity(left, right)),
        why_untested=(
            _why_untested(pair, left, right) if verdicts.relation(a, b) == "untested" else None
        ),
    )


def _why_untested(pair: CellPair, left: Doubles | None, right: Doubles | None) -> str:
    """Return why a pair of cells has no verdict."""
    names = [cell.record.backbone_name for cell in pair]
    lacking = [name for name, values in zip(names, (left, right), strict=True) if values is None]
    if lacking:
        return f"no per-example results of {' and '.join(lacking)}"
    if left is not None and right is not None and len(left) != len(right):
        return f"their results are on different examples ({len(left)} and {len(right)})"
    if all(is_baseline(cell.record) for cell in pair):
        return "both are baselines, and there is no pool of backbones beside them"
    return "one of them is outside the pool that is tested"


def _overall(
    a: str,
    b: str,
    pairs: Mapping[BoardColumn, CellPair],
    rankings: Rankings,
    examples: ExampleValues,
) -> Overall:
    columns = rankings.columns
    ranking = rankings.over(columns, origin=rankings.origin(columns), resample=False)
    absent = [name for name in (a, b) if name not in ranking.verdicts.names]
    settings = tuple(pairs) if absent else ranking.settings
    p_values = ranking.verdicts.p_values(a, b)
    unranked = "; ".join(_why_unranked(name, ranking) for name in absent)
    relation = ranking.verdicts.relation(a, b)
    return Overall(
        settings=settings,
        difference=mean_difference([pairs[column] for column in settings], examples),
        relation=relation,
        p=p_values[1] if p_values else None,
        ranking=ranking,
        unranked=unranked,
        why_untested=_why_untested_overall(ranking, unranked) if relation == "untested" else None,
    )


def _why_untested_overall(ranking: Ranking, unranked: str) -> str:
    """Return why there is no verdict over all settings."""
    if unranked:
        return f"not ranked: {unranked}"
    if len(ranking.settings) > 1 and len(ranking.pool) < 2:
        return "mean z-scores need a pool of two backbones beside baselines"
    return (
        f"too few datasets ({ranking.datasets} of {MIN_DATASETS}), and no per-example results on "
        "the same examples"
    )


def _why_unranked(name: str, ranking: Ranking) -> str:
    return f"{name} ({ranking.incomplete.get(name, 'outside the pool')})"


def mean_difference(pairs: Sequence[CellPair], examples: ExampleValues) -> MeanDifference | None:
    """Return the mean difference over settings; None if some metric is not a share.

    The interval is Student's over datasets, or normal over examples with too few datasets; that of
    a single setting is the paired difference's, as `compare_paired` and the page state it.
    """
    if not pairs or not all(metric_traits(first.metric).is_share for first, _ in pairs):
        return None
    gaps = np.array([float(first.value or 0) - float(second.value or 0) for first, second in pairs])
    mean = float(gaps.mean())
    if len(pairs) == 1:
        return _paired_difference(mean, *pairs[0], examples)
    units = dataset_units(first.column.dataset for first, _ in pairs)
    datasets = [units[first.column.dataset] for first, _ in pairs]
    if len(set(datasets)) >= MIN_DATASETS:
        low, high = mean_limits(dataset_contributions(gaps[None], datasets)[0])
        return MeanDifference(mean, low, high, "datasets")
    error = _standard_error(pairs, examples)
    if error is None:
        return MeanDifference(mean, None, None, "none")
    return MeanDifference(mean, mean - Z * error, mean + Z * error, "examples")


def _paired_difference(
    value: float, first: BoardCell, second: BoardCell, examples: ExampleValues
) -> MeanDifference:
    """Return the difference in one setting with the interval of the pair."""
    left, right = examples(first.record), examples(second.record)
    if left is None or right is None or len(left) != len(right) or len(left) < 2:
        return MeanDifference(value, None, None, "none")
    values = np.stack([left, right])
    low, high = pairwise_limits(values, paired_test(values, first.metric))
    return MeanDifference(value, low.item(), high.item(), "examples")


def _standard_error(pairs: Sequence[CellPair], examples: ExampleValues) -> float | None:
    """Return the standard error of the mean difference over settings.

    Settings on the same examples of a dataset are summed per example first. None if some setting
    has no per-example results on the same examples.
    """
    summed: dict[tuple[str, int, bool], Doubles] = {}
    for first, second in pairs:
        left, right = examples(first.record), examples(second.record)
        if left is None or right is None or len(left) != len(right):
            return None
        key = first.column.dataset, len(left), has_draws(first.metric)
        summed[key] = summed.get(key, np.zeros(len(left))) + (left - right)
    covariance = sum_covariance([Sample(gap[None], False) for gap in summed.values()])
    return None if covariance is None else float(np.sqrt(covariance.item())) / len(pairs)


def tally(comparisons: Sequence[PairedComparison]) -> Mapping[str, int]:
    """Count the settings won by `a` and by `b`, statistically tied (`neither`) and `untested`."""
    names: dict[Relation, str] = {
        "better": "a",
        "worse": "b",
        "tied": "neither",
        "untested": "untested",
    }
    relations = [comparison.relation for comparison in comparisons]
    return {name: relations.count(relation) for relation, name in names.items()}
