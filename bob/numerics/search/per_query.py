"""Statistics of rankings per query, with the expected value wherever items are tied.

Let a group of tied items have the places s + 1, ..., s + n of a ranking, and hold p positives and
n - p others, with b positives before it. Every order of the group is equally likely. Then place
s + j holds a positive with probability p / n, and in that case the places before it in the group
hold (j - 1) q more on average, q = (p - 1) / (n - 1). The expected sum of the precisions at the
group's positives among its first m places is therefore

    p/n Σ_j (b + 1 + (j - 1) q) / (s + j) = p/n (q m + (b + 1 - q (s + 1)) (H(s + m) - H(s)))

with the harmonic numbers H (McSherry & Najork 2008, doi:10.1007/978-3-540-78646-7_38). The first
positive has place s + j with probability C(n - j, p - 1) / C(n, p); the last one is its mirror
image.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from bob.numerics.arrays import Doubles, Ints
from bob.numerics.search.rankings import RankedPositives


def ranking_statistics(ranked: Sequence[RankedPositives]) -> tuple[NDArray[Any], ...]:
    """Return per query of full rankings (Q,): position, positives, reciprocal rank, AP, trapezoid
    AP, R-precision and AP at R. Queries without a positive are excluded.
    """
    return tuple(map(np.concatenate, zip(*map(_full_statistics, ranked), strict=True)))


def first_places(ranked: Sequence[RankedPositives]) -> Doubles:
    """Return the places (Q,) of the first positives of full rankings, counted from 1.

    Of a first positive that is tied, the expected place: s + (n + 1) / (p + 1), since p positives
    cut the other n - p places of the group into p + 1 parts of equal expected length. Queries
    without a positive are excluded.
    """
    return np.concatenate([_first_places_of(chunk) for chunk in ranked])


def top_k_statistics(
    ranked: Sequence[RankedPositives], k: int, *, full: bool
) -> tuple[NDArray[Any], ...]:
    """Return per query of the first k places (Q,): positives, hits, probability of a hit, AP, and
    the precision until the last positive, which only full rankings determine. Queries without a
    positive are excluded.
    """
    chunks = (_top_k_statistics(chunk, k, full) for chunk in ranked)
    return tuple(map(np.concatenate, zip(*chunks, strict=True)))


def tied_share(ranked: Sequence[RankedPositives]) -> float:
    """Return the share of the ranked positives that are tied with other items."""
    positives = sum(len(chunk.row) for chunk in ranked)
    return sum(int(chunk.ties.positives.sum()) for chunk in ranked) / max(positives, 1)


@dataclass(frozen=True, eq=False)
class _Groups:
    """The groups of one chunk that mix positives with other items; all fields are (T,)."""

    query: Ints
    """Which of the queries of the chunk."""
    start: Ints
    """s: number of items before the group."""
    before: Ints
    """b: number of positives before the group."""
    positives: Ints
    """p"""
    size: Ints
    """n"""
    entry: Ints
    """(Σ p,) positions of the groups' positives among those of the chunk."""

    def places(self, end: NDArray[Any]) -> Ints:
        """Return m: how many of its places are among the first `end` (T,) of the ranking."""
        return np.clip(end - self.start, 0, self.size)

    def hits(self, end: NDArray[Any]) -> Doubles:
        """Return the expected number of the group's positives among the first `end` places."""
        return self.positives * self.places(end) / self.size

    def precisions(self, end: NDArray[Any]) -> Doubles:
        """Return the expected sum of the precisions at these positives."""
        m, s, q = self.places(end), self.start, self._following
        harmonic = digamma(s + m + 1) - digamma(s + 1)
        total = q * m + (self.before + 1 - q * (s + 1)) * harmonic
        return np.asarray(self.positives / self.size * total)

    def precisions_before(self) -> Doubles:
        """Return the expected sum of the precisions just before the group's positives.

        Before the first place of a ranking it counts as 1.
        """
        s, q = self.start, self._following
        later = np.maximum(s, 1)  # the first place on which the precision before is a quotient
        places = s + self.size - later
        harmonic = digamma(later + places) - digamma(later)
        total = (s == 0) + q * places + (self.before - q * s) * harmonic
        return np.asarray(self.positives / self.size * total)

    @property
    def _following(self) -> Doubles:
        """q: share of positives among the group's other items, seen from a positive."""
        return (self.positives - 1) / (self.size - 1)

    def replace(self, values: NDArray[Any], sums: Doubles) -> Doubles:
        """Return values (P,) in which the groups' positives have these sums (T,)."""
        replaced: Doubles = values.astype(np.float64)
        replaced[self.entry] = np.repeat(sums / self.positives, self.positives)
        return replaced


def _first_places_of(ranked: RankedPositives) -> Doubles:
    """Return `first_places` of the queries of one chunk that have positives."""
    place: Doubles = (ranked.rank[_nth(ranked) == 0] + 1).astype(np.float64)
    groups = _groups(ranked)
    if groups is not None:
        first = groups.before == 0
        position = np.cumsum(ranked.positives > 0) - 1
        expected = groups.start + (groups.size + 1) / (groups.positives + 1)
        place[position[groups.query[first]]] = expected[first]
    return place


@functools.lru_cache(maxsize=64)
def _place_chances(size: int, positives: int) -> Doubles:
    """Return the probabilities (n - p + 1,) that the first positive has place 1, 2, ..."""
    j = np.arange(1, size - positives + 1)
    ratios = (size - j - positives + 1) / (size - j)
    return positives / size * np.cumprod(np.concatenate([[1.0], ratios]))


def _full_statistics(ranked: RankedPositives) -> tuple[NDArray[Any], ...]:
    """Return `ranking_statistics` of the queries of one chunk that have positives."""
    has, nth, groups = ranked.positives > 0, _nth(ranked), _groups(ranked)
    r, precision = ranked.positives[ranked.row], (nth + 1) / (ranked.rank + 1)
    within_r = ranked.rank < r
    before = np.divide(nth, ranked.rank, out=np.ones(len(nth)), where=ranked.rank > 0)
    values = [precision, (before + precision) / 2, within_r, precision * within_r]
    first = 1.0 / (ranked.rank[nth == 0] + 1)
    if groups is not None:
        end, of_group = groups.start + groups.size, ranked.positives[groups.query]
        full = groups.precisions(end)
        sums = [
            full,
            (groups.precisions_before() + full) / 2,
            groups.hits(of_group),
            groups.precisions(of_group),
        ]
        values = [groups.replace(*pair) for pair in zip(values, sums, strict=True)]
        _replace_reciprocal_ranks(first, groups, np.cumsum(has) - 1)
    means = [_sums(ranked, value)[has] / ranked.positives[has] for value in values]
    return (ranked.query[has], ranked.positives[has], first, *means)


def _replace_reciprocal_ranks(first: Doubles, groups: _Groups, position: Ints) -> None:
    """Put the expected values where the first positive is tied; `position` is that of a query."""
    for at in np.flatnonzero(groups.before == 0).tolist():
        start = int(groups.start[at])
        chance = _place_chances(int(groups.size[at]), int(groups.positives[at]))
        places = start + np.arange(1, len(chance) + 1)
        first[position[groups.query[at]]] = float((chance / places).sum())


def _top_k_statistics(ranked: RankedPositives, k: int, full: bool) -> tuple[NDArray[Any], ...]:
    """Return `top_k_statistics` of the queries of one chunk that have positives."""
    has, groups = ranked.positives > 0, _groups(ranked)
    within, positives = ranked.rank < k, ranked.positives[has]
    values = [within, (_nth(ranked) + 1) / (ranked.rank + 1) * within]
    if groups is not None:
        end = np.full(len(groups.start), k)
        sums = [groups.hits(end), groups.precisions(end)]
        values = [groups.replace(*pair) for pair in zip(values, sums, strict=True)]
    hits, precisions = (_sums(ranked, value)[has] for value in values)
    found = (hits > 0).astype(np.float64)
    until = np.full(len(positives), np.nan)
    if full:
        last = np.zeros(len(ranked.query), np.int64)
        last[ranked.row] = ranked.rank + 1  # ranks ascend within a query: the last one remains
        last = np.maximum(last[has], 1)
        until = np.where(last <= k, positives / last, hits / k)
    if groups is not None:
        position = np.cumsum(has) - 1
        _replace_chances(found, groups, position, k)
        if full:
            _replace_until_last(until, hits, groups, position, ranked, k)
    return positives, hits, found, precisions / np.minimum(positives, k), until


def _replace_chances(found: Doubles, groups: _Groups, position: Ints, k: int) -> None:
    """Put the probabilities of a hit where the first positive is tied."""
    for at in np.flatnonzero((groups.before == 0) & (groups.start < k)).tolist():
        chance = _place_chances(int(groups.size[at]), int(groups.positives[at]))
        some = chance[: k - int(groups.start[at])]
        found[position[groups.query[at]]] = 1.0 if len(some) == len(chance) else float(some.sum())


def _replace_until_last(
    until: Doubles, hits: Doubles, groups: _Groups, position: Ints, ranked: RankedPositives, k: int
) -> None:
    """Put the expected precisions where the last positive is tied.

    It has place s + j with probability P(j). Up to place k all positives R come before the end of
    the list, which is that place; else the list ends at k.
    """
    all_positives = ranked.positives[groups.query]
    for at in np.flatnonzero(groups.before + groups.positives == all_positives).tolist():
        query, start, size = (
            int(values[at]) for values in (groups.query, groups.start, groups.size)
        )
        chance = _place_chances(size, int(groups.positives[at]))[::-1]
        places = start + size - np.arange(len(chance))[::-1]
        inside = places <= k
        certain = int(all_positives[at]) * chance[inside]
        cut = 0.0 if inside.all() else hits[position[query]] - certain.sum()
        until[position[query]] = float((certain / places[inside]).sum() + cut / k)


def _groups(ranked: RankedPositives) -> _Groups | None:
    ties = ranked.ties
    if not len(ties):
        return None
    first = np.cumsum(ties.positives) - ties.positives
    within = np.arange(int(ties.positives.sum())) - np.repeat(first, ties.positives)
    return _Groups(
        query=ranked.row[ties.at],
        start=ranked.rank[ties.at],
        before=_nth(ranked)[ties.at],
        positives=ties.positives,
        size=ties.positives + ties.others,
        entry=np.repeat(ties.at, ties.positives) + within,
    )


def _nth(ranked: RankedPositives) -> Ints:
    """Return the number (P,) of each positive among those of its query, from 0."""
    return np.arange(len(ranked.row)) - np.searchsorted(ranked.row, ranked.row)


def _sums(ranked: RankedPositives, values: NDArray[Any]) -> Doubles:
    """Return the float64 sums (B,) of values (P,) per query."""
    return np.bincount(ranked.row, weights=values, minlength=len(ranked.query)).astype(
        np.float64, copy=False
    )
