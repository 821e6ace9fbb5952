"""Verdicts: which backbones of a pool are statistically tied, better or not tested.

This is the only place where a p-value is compared with the significance level. Terminal, Markdown,
LaTeX, CSV files, page, `compare` and `recommend` read the `Verdicts` of a scope and compute none of
their own. Verdicts depend on the scope alone, never on limits or filters: those select backbones.
docs/decisions/011-one-verdict.md gives the reasons.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.per_example import ExampleValues, has_draws, paired_test
from bob.leaderboards.pools import Pool
from bob.numerics.arrays import Bools, Doubles
from bob.statistics.paired_tests import PairedTest, p_values, t_tests
from bob.statistics.resampling import dataset_contributions
from bob.statistics.sums_of_means import Sample, sum_covariance, sum_p_values
from bob.statistics.ties import ALPHA, groups_of, holm, holm_below

MIN_DATASETS = 6
"""Smallest number of datasets that are treated as a sample.

With fewer, not even winning on all of them is significant: a sign test over 5 gives p = 2 / 2^5,
6 %.
"""

Basis = Literal["datasets", "examples", "none"]
"""What is treated as a sample: datasets; their examples if there are too few datasets; or nothing,
if there are no per-example results either."""

Relation = Literal["better", "worse", "tied", "untested"]
"""What a paired test says of one backbone against another."""

Status = Literal["alone", "clear", "tied", "untested", "worse"]
"""A backbone of a pool against the best. The best itself is alone; clear, if all others are worse;
tied, if another is tied with it; else untested."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """All paired comparisons within a pool of R backbones, and of B baselines with the pool."""

    names: tuple[str, ...]
    """(R + B,) the pool, best first, then the baselines."""
    size: int
    """R."""
    quality: Doubles
    """(R + B,) what orders the pool; higher is better."""
    p: Doubles
    """(R + B, R + B) two-sided p-values of single pairs; NaN where a pair was not tested."""
    adjusted: Doubles
    """(R + B, R + B) the same after Holm's correction within the families of `holm_below`.

    The family of a baseline are its comparisons with the pool.
    """
    basis: Basis
    test: PairedTest | None = None
    """The test, in a single setting."""

    @property
    def order(self) -> tuple[str, ...]:
        """The pool, best first."""
        return self.names[: self.size]

    @property
    def best(self) -> str | None:
        return self.names[0] if self.size else None

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def tested(self) -> Bools:
        """(R + B, R + B) whether each pair was tested."""
        return ~np.isnan(self.adjusted)

    @cached_property
    def tied(self) -> Bools:
        """(R + B, R + B) whether each pair is statistically tied; False where it was not tested."""
        return self.adjusted >= ALPHA

    def relation(self, a: str, b: str) -> Relation:
        """Return what the test says of `a` against `b`; untested if either is not in the pool."""
        if a not in self._place or b not in self._place:
            return "untested"
        i, j = self._place[a], self._place[b]
        if not self.tested[i, j]:
            return "untested"
        if self.tied[i, j]:
            return "tied"
        return "better" if self.quality[i] > self.quality[j] else "worse"

    def status(self, name: str) -> Status | None:
        """Return the backbone's status against the best; None for a backbone outside the pool."""
        return self._statuses.get(name)

    @cached_property
    def _statuses(self) -> Mapping[str, Status]:
        return {name: self._status(name) for name in self.order}

    def _status(self, name: str) -> Status:
        best, *others = self.order
        if name != best:
            relation = self.relation(name, best)
            return "worse" if relation == "better" else relation
        relations = {self.relation(best, other) for other in others}
        if not others:
            return "alone"
        if "tied" in relations:
            return "tied"
        return "untested" if "untested" in relations else "clear"

    def related(self, name: str, relation: Relation, among: Iterable[str]) -> tuple[str, ...]:
        """Return the others of which the test says `relation` against `name`, in their order."""
        return tuple(
            other for other in among if other != name and self.relation(other, name) == relation
        )

    @cached_property
    def groups(self) -> dict[str, int | None]:
        """Tie group of each backbone of the pool; see `bob.statistics.ties.tie_groups`."""
        if self.size < 2:
            return dict.fromkeys(self.order)
        return dict(
            zip(self.order, groups_of(self.adjusted[: self.size, : self.size]), strict=True)
        )

    def p_values(self, a: str, b: str) -> tuple[float, float] | None:
        """Return the p-value of a pair and the adjusted one; None if it was not tested."""
        if self.relation(a, b) == "untested":
            return None
        place = self._place[a], self._place[b]
        return float(self.p[place]), float(self.adjusted[place])


EQUAL_DIGITS = 9
"""Decimals in which mean z-scores differ, beyond the rounding of their sums, and values of a single
setting as shares of the largest."""


def judge(pool: Pool, examples: ExampleValues) -> Verdicts:
    """Compare all backbones of a pool with each other, and the baselines with them.

    Over MIN_DATASETS datasets or more by paired t-tests over datasets, else on the examples: in one
    setting by its exact test, over several by the difference of the mean z-scores.
    Of equal mean z-scores, as two backbones have that win one of two settings each, the higher mean
    score comes first, where scores may be averaged.
    """
    if not pool.ranked:
        return Verdicts((), 0, np.empty(0), np.empty((0, 0)), np.empty((0, 0)), "none")
    names, size, quality = pool.names, len(pool.ranked), pool.quality
    p, test, basis = _p_values(pool, examples)
    descending = _descending(quality, is_relative=len(pool.settings) == 1).tolist()
    means = pool.values[:size].mean(1) if pool.is_averageable else np.zeros(size)
    order = sorted(range(size), key=lambda i: (descending[i], -means[i], names[i]))
    places = [*order, *range(size, len(names))]
    p = p[np.ix_(places, places)]
    compared = p[:size, :size] if size > 1 else p
    tested = np.isfinite(compared) & ~np.eye(len(compared), dtype=bool)
    return Verdicts(
        names=tuple(names[i] for i in places),
        size=size,
        quality=quality[places],
        p=p,
        adjusted=_adjusted(p, size),
        basis=basis if tested.any() else "none",
        test=test,
    )


def _descending(quality: Doubles, is_relative: bool) -> Doubles:
    """Return numbers (R,) that are lower for a higher quality, and equal but for rounding."""
    numbers = np.where(np.isfinite(quality), -quality, 0.0)
    largest = np.abs(numbers).max(initial=0.0)
    unit = largest if is_relative and largest > 0 else 1.0
    return np.asarray((numbers / unit).round(EQUAL_DIGITS))


def _p_values(pool: Pool, examples: ExampleValues) -> tuple[Doubles, PairedTest | None, Basis]:
    """Return (R + B, R + B) p-values, NaN where a pair cannot be tested, and what they rest on."""
    if len(pool.settings) == 1:
        return *_column_p_values(pool, examples), "examples"
    if len(pool.ranked) < 2:  # which has no z-scores
        return np.full((len(pool.names),) * 2, np.nan), None, "none"
    if len(set(pool.units)) >= MIN_DATASETS:
        return t_tests(dataset_contributions(pool.z, pool.units)), None, "datasets"
    return _summed_p_values(pool, examples), None, "examples"


def _adjusted(p: Doubles, size: int) -> Doubles:
    """Return the p-values (R + B, R + B) after Holm's correction; `size` is R."""
    adjusted = p.copy()
    adjusted[:size, :size] = holm_below(p[:size, :size])
    for baseline in range(size, len(p)):
        adjusted[baseline, :size] = adjusted[:size, baseline] = holm(p[baseline, :size])
    np.fill_diagonal(adjusted, 1.0)
    return adjusted


def _column_p_values(pool: Pool, examples: ExampleValues) -> tuple[Doubles, PairedTest | None]:
    """Return (R + B, R + B) p-values in a single setting by its exact test, and the test."""
    (column,) = pool.settings
    (metric,) = pool.metrics
    values = _values(pool, examples, column)
    p = np.full((len(values),) * 2, np.nan)
    test = None
    for places in _comparable([(values_of,) for values_of in values]):
        stacked = _stacked(values, places)
        test = paired_test(stacked, metric)
        p[np.ix_(places, places)] = p_values(stacked, test)
    return p, test


def _summed_p_values(pool: Pool, examples: ExampleValues) -> Doubles:
    """Return (R + B, R + B) p-values of the mean z-scores over several settings, from examples."""
    p = np.full((len(pool.names),) * 2, np.nan)
    for places, samples in _samples(pool, examples):
        p[np.ix_(places, places)] = sum_p_values(samples)
    return p


def sampling_covariance(pool: Pool, examples: ExampleValues) -> Doubles | None:
    """(R, R) covariance of the pool's mean z-scores over other examples, in the pool's order.

    The pool's means and standard deviations are held fixed. None if some cell lacks per-example
    values, or if two backbones have different examples.
    """
    size = len(pool.ranked)
    for places, samples in _samples(pool, examples):
        if set(range(size)) <= set(places):
            ranked = [places.index(i) for i in range(size)]
            return sum_covariance([Sample(values[ranked], draws) for values, draws in samples])
    return None


def _samples(pool: Pool, examples: ExampleValues) -> Iterator[tuple[list[int], list[Sample]]]:
    """Yield groups of backbones with the same examples, and the samples that their mean z-scores
    are sums of means over.

    Settings on the same examples (same dataset, equally many, none of which are draws) are
    correlated: their standardised values are summed per example first; so are those on the same
    draws.
    """
    by_column = [_values(pool, examples, column) for column in pool.settings]
    for places in _comparable(list(zip(*by_column, strict=True))):
        summed: dict[tuple[str, int, bool], Sample] = {}
        for s, column in enumerate(pool.settings):
            values = _stacked(by_column[s], places) * (pool.scale[s] / len(pool.settings))
            draws = has_draws(pool.metrics[s])
            key = column.dataset, values.shape[1], draws
            before = summed.get(key, Sample(np.zeros_like(values), draws))
            summed[key] = Sample(before.values + values, draws)
        yield places, list(summed.values())


def _values(pool: Pool, examples: ExampleValues, column: BoardColumn) -> list[Doubles | None]:
    rows = (*pool.ranked.values(), *pool.baselines.values())
    return [examples(row[column].record) for row in rows]


def _stacked(values: Sequence[Doubles | None], places: Sequence[int]) -> Doubles:
    return np.stack([found for i in places if (found := values[i]) is not None])


def _comparable(rows: Sequence[Sequence[Doubles | None]]) -> list[list[int]]:
    """Return groups of two or more rows whose arrays are all there and equally long."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, arrays in enumerate(rows):
        if all(values is not None and len(values) for values in arrays):
            lengths = tuple(len(values) for values in arrays if values is not None)
            groups.setdefault(lengths, []).append(i)
    return [places for places in groups.values() if len(places) > 1]
