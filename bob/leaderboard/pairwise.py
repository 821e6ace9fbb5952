"""Two backbones side by side: paired tests on the same examples, setting by setting and over all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bob.leaderboard.cells import Cell, Column, is_share
from bob.leaderboard.ranking import ENOUGH_DATASETS, Basis
from bob.metrics import METRICS
from bob.metrics.intervals import resampled
from bob.metrics.metric import Metric
from bob.records.record import Record
from bob.statistics.aggregate import Floats
from bob.statistics.pairs import Difference, difference, mean_limits
from bob.statistics.resampling import TAILS, by_dataset
from bob.statistics.ties import ALPHA, holm

DRAWS = 1_000
"""Resamples of the examples for a metric that is no mean over them."""
Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""

Outcomes = Callable[[Record], Sequence[Any]]
"""Of a record: its headline outcome per seed; none where the arrays are not at hand."""


@dataclass(frozen=True)
class Duel:
    """Two backbones on one setting."""

    column: Column
    metric: str
    a: float
    b: float
    difference: Difference | None
    """a minus b on the same examples; None where these are not at hand."""
    p: float | None
    """Adjusted for the number of settings compared (Holm)."""

    @property
    def winner(self) -> int:
        """1 where a is told apart as better, -1 where b is, 0 where neither is or nothing could be tested."""
        if self.p is None or self.p >= ALPHA:
            return 0
        return 1 if (self.a > self.b) == higher_is_better(self.metric) else -1


@dataclass(frozen=True)
class Overall:
    """The mean of a minus b over settings whose metrics are shares."""

    value: float
    low: float | None
    high: float | None
    basis: Basis
    """What the 95 % interval is over; none: too few datasets, and no per-example results."""

    @property
    def told_apart(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Comparison:
    """Two backbones over the settings that both have a value for."""

    a: str
    b: str
    duels: tuple[Duel, ...]
    overall: Overall | None
    """None where some metric is no share, or nothing is shared."""


def compare(a: str, b: str, cells: Sequence[Cell], outcomes: Outcomes) -> Comparison:
    """Every setting that both have a value for; `cells` are those of comparable records."""
    held: dict[str, dict[Column, Cell]] = {a: {}, b: {}}
    for cell in cells:
        if cell.value is not None and cell.record.backbone_name in held:
            held[cell.record.backbone_name][cell.column] = cell
    pairs = [
        (held[a][column], held[b][column]) for column in sorted(held[a].keys() & held[b].keys())
    ]
    tested = [paired_difference(one, other, outcomes) for one, other in pairs]
    adjusted = iter(holm(np.array([found.p for found in tested if found is not None])).tolist())
    duels = tuple(
        Duel(
            one.column,
            one.metric,
            float(one.value or 0),
            float(other.value or 0),
            found,
            None if found is None else next(adjusted),
        )
        for (one, other), found in zip(pairs, tested, strict=True)
    )
    return Comparison(a, b, duels, _overall(pairs, outcomes))


def paired_difference(one: Cell, other: Cell, outcomes: Outcomes) -> Difference | None:
    """The first minus the second on the same examples; None where these are not at hand."""
    metric = METRICS.get(one.metric)
    left, right = outcomes(one.record), outcomes(other.record)
    if (
        metric is None
        or not left
        or not right
        or len({len(outcome) for outcome in (*left, *right)}) > 1
    ):
        return None
    if metric.each is None:
        return _bootstrap(metric, left, right)
    return difference(_each(metric, left), _each(metric, right), draws=metric.interval == "t")


def _each(metric: Metric, seeds: Sequence[Any]) -> Floats:
    """(N,) mean over seeds."""
    return (
        np.mean([metric.each(outcome) for outcome in seeds], axis=0, dtype=np.float64)
        if metric.each
        else np.empty(0)
    )


def _bootstrap(metric: Metric, left: Sequence[Any], right: Sequence[Any]) -> Difference | None:
    """For a metric that is no mean over examples: both on the same resamples. p from the share of draws on the other side of 0."""
    seen = float(
        np.mean([metric.function(outcome) for outcome in left])
        - np.mean([metric.function(outcome) for outcome in right])
    )
    drawn = np.mean([resampled(outcome, metric, 0, DRAWS) for outcome in left], axis=0)
    drawn = drawn - np.mean([resampled(outcome, metric, 0, DRAWS) for outcome in right], axis=0)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) <= DRAWS / 2:
        return None
    low, high = np.percentile(drawn, TAILS)
    other_side = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(
        seen,
        float(min(low, seen)),
        float(max(high, seen)),
        min(1.0, 2 * (other_side + 1) / (len(drawn) + 1)),
        len(left[0]),
        "bootstrap",
    )


def _overall(pairs: Sequence[tuple[Cell, Cell]], outcomes: Outcomes) -> Overall | None:
    """The mean difference; its interval is Student's over datasets, or with too few of them over their examples."""
    if not pairs or not all(is_share(one.metric) for one, _ in pairs):
        return None
    gaps = np.array([float(one.value or 0) - float(other.value or 0) for one, other in pairs])
    datasets = [one.column.dataset for one, _ in pairs]
    if len(set(datasets)) >= ENOUGH_DATASETS:
        low, high = mean_limits(by_dataset(gaps[None], datasets)[0])
        return Overall(float(gaps.mean()), low, high, "datasets")
    error = _sampling_error(pairs, outcomes)
    if error is None:
        return Overall(float(gaps.mean()), None, None, "none")
    return Overall(
        float(gaps.mean()),
        float(gaps.mean() - Z * error),
        float(gaps.mean() + Z * error),
        "examples",
    )


def _sampling_error(pairs: Sequence[tuple[Cell, Cell]], outcomes: Outcomes) -> float | None:
    """Standard error of the mean difference over settings; those on the same examples of a dataset are summed per example first."""
    summed: dict[tuple[str, int], Floats] = {}
    for one, other in pairs:
        metric, left, right = METRICS.get(one.metric), outcomes(one.record), outcomes(other.record)
        if (
            metric is None
            or metric.each is None
            or not left
            or not right
            or len({len(outcome) for outcome in (*left, *right)}) > 1
        ):
            return None
        gap = _each(metric, left) - _each(metric, right)
        place = one.column.dataset, len(gap)
        summed[place] = summed.get(place, np.zeros(len(gap))) + gap
    if any(len(gap) < 2 for gap in summed.values()):
        return None
    return float(np.sqrt(sum(gap.var(ddof=1) / len(gap) for gap in summed.values())) / len(pairs))


def higher_is_better(metric: str) -> bool:
    """Metrics of published tables that are not known here count as such."""
    return METRICS[metric].higher_is_better if metric in METRICS else True


def tally(duels: Sequence[Duel]) -> Mapping[str, int]:
    """How many settings each wins by a paired test, how many are not told apart, and how many were not tested."""
    tested = [duel for duel in duels if duel.p is not None]
    wins = [duel.winner for duel in tested]
    return {
        "a": wins.count(1),
        "b": wins.count(-1),
        "neither": wins.count(0),
        "untested": len(duels) - len(tested),
    }
