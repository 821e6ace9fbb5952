"""Expected statistics of rankings with ties: by hand, and against an enumeration of all orders."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from bob.numerics.search.per_query import (
    first_places,
    ranking_statistics,
    tied_share,
    top_k_statistics,
)
from bob.numerics.search.rankings import RankedPositives
from bob.numerics.search.ranks import NO_TIES, TieGroups

Group = tuple[int, int]
"""Positives and others that are tied with each other."""


def ranked(*rankings: Sequence[Group]) -> list[RankedPositives]:
    """Return rankings that consist of groups, best first."""
    row: list[int] = []
    rank: list[int] = []
    ties: list[tuple[int, int, int]] = []
    for query, groups in enumerate(rankings):
        start = 0
        for positives, others in groups:
            if positives and others:
                ties.append((len(row), positives, others))
            row += [query] * positives
            rank += range(start, start + positives)
            start += positives + others
    positives_of = np.array([sum(p for p, _ in groups) for groups in rankings])
    columns = zip(*ties, strict=True) if ties else ((), (), ())
    return [
        RankedPositives(
            np.arange(len(rankings)),
            positives_of,
            np.array(row, np.int64),
            np.array(rank, np.int64),
            TieGroups(*(np.array(values, np.int64) for values in columns)),
        )
    ]


def orders(groups: Sequence[Group]) -> Iterator[list[bool]]:
    """Yield every order of a ranking, true for a positive, each with equal probability."""
    parts = []
    for positives, others in groups:
        n = positives + others
        parts.append(
            [
                [i in places for i in range(n)]
                for places in itertools.combinations(range(n), positives)
            ]
        )
    for chosen in itertools.product(*parts):
        yield [hit for part in chosen for hit in part]


def statistics_of(order: list[bool]) -> list[float]:
    """Return reciprocal rank, AP, trapezoid AP, R-precision and AP at R of one order."""
    hits = np.flatnonzero(order)
    r = len(hits)
    precision = [(i + 1) / (rank + 1) for i, rank in enumerate(hits)]
    before = [i / rank if rank else 1.0 for i, rank in enumerate(hits)]
    trapezoid = sum((a + b) / 2 for a, b in zip(before, precision, strict=True)) / r
    first_r = [p for p, rank in zip(precision, hits, strict=True) if rank < r]
    return [1 / (hits[0] + 1), sum(precision) / r, trapezoid, len(first_r) / r, sum(first_r) / r]


def top_statistics_of(order: list[bool], k: int) -> list[float]:
    """Return hits, whether there is one, AP at k, and precision until the last positive."""
    hits = np.flatnonzero(order)
    within = [(i + 1) / (rank + 1) for i, rank in enumerate(hits) if rank < k]
    end = min(k, hits[-1] + 1)
    until = sum(rank < end for rank in hits) / end
    return [len(within), bool(within), sum(within) / min(len(hits), k), until]


CASES = [
    [(1, 1)],
    [(2, 3)],
    [(0, 2), (3, 2)],
    [(1, 0), (2, 2), (0, 1), (1, 3)],
    [(0, 1), (1, 4), (2, 0)],
    [(3, 1), (0, 3), (1, 1)],
    [(4, 4)],
    [(2, 0), (0, 2)],
    [(1, 5)],
    [(5, 1), (1, 0), (1, 2)],
]


def test_first_places_are_means_over_all_orders_of_tied_items() -> None:
    """A query without a positive, between the others, has no place."""
    expected = [
        np.mean([np.flatnonzero(order)[0] + 1 for order in orders(groups)]) for groups in CASES
    ]
    together = ranked(*CASES[:4], [(0, 3)], *CASES[4:])
    assert first_places(together) == pytest.approx(expected)


@pytest.mark.parametrize("groups", CASES, ids=str)
def test_statistics_are_means_over_all_orders_of_tied_items(groups: list[Group]) -> None:
    (answer,) = np.transpose(ranking_statistics(ranked(groups))[2:])
    expected = np.mean([statistics_of(order) for order in orders(groups)], axis=0)
    np.testing.assert_allclose(answer, expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("groups", CASES, ids=str)
def test_statistics_of_the_first_k_are_means_over_all_orders(groups: list[Group], k: int) -> None:
    (answer,) = np.transpose(top_k_statistics(ranked(groups), k, full=True)[1:])
    expected = np.mean([top_statistics_of(order, k) for order in orders(groups)], axis=0)
    np.testing.assert_allclose(answer, expected, rtol=1e-12, atol=1e-15)
    (cut,) = np.transpose(top_k_statistics(ranked(groups), k, full=False)[1:])
    np.testing.assert_array_equal(cut[:3], answer[:3])
    assert np.isnan(cut[3])


def test_a_tie_by_hand() -> None:
    """One positive and one other share both places: AP is 1 or 1/2, R-precision 1 or 0."""
    _, _, reciprocal, ap, trapezoid, r_precision, ap_at_r = ranking_statistics(ranked([(1, 1)]))
    assert reciprocal == pytest.approx([3 / 4]) and ap == pytest.approx([3 / 4])
    assert trapezoid == pytest.approx([(1 + 1 / 4) / 2])
    assert r_precision == pytest.approx([1 / 2]) and ap_at_r == pytest.approx([1 / 2])


def test_average_precision_without_ties_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    orders_ = [rng.permutation(np.arange(40) < n) for n in (1, 7, 20)]
    rankings = [[(int(hit), int(not hit)) for hit in order] for order in orders_]
    _, _, _, ap, *_ = ranking_statistics(ranked(*rankings))
    theirs = [average_precision_score(order, -np.arange(40)) for order in orders_]
    np.testing.assert_allclose(ap, theirs, rtol=1e-12)


def test_queries_with_and_without_ties_do_not_mix() -> None:
    """The second query has no positive, and the others have the values that they have alone."""
    rankings = [[(2, 1), (1, 0)], [(0, 4)], [(1, 0), (0, 1), (2, 0)], [(0, 1), (1, 2)]]
    together = ranked(*rankings)
    for statistics in (
        lambda chunks: ranking_statistics(chunks)[1:],
        lambda chunks: top_k_statistics(chunks, 2, full=True),
    ):
        alone = [statistics(ranked(groups)) for groups in rankings]
        for values, *parts in zip(statistics(together), *alone, strict=True):
            np.testing.assert_array_equal(values, np.concatenate(parts))


def test_many_tied_items_have_the_values_of_chance() -> None:
    """30,000 items of which 300 are positive: precision is 0.01 in expectation everywhere, and a
    little more at the first positives.
    """
    _, _, reciprocal, ap, trapezoid, r_precision, _ = ranking_statistics(ranked([(300, 29_700)]))
    assert 0.01 < ap[0] < 0.0105 and r_precision == pytest.approx([0.01])
    assert 0.01 < trapezoid[0] < 0.0105
    # the first positive: Σ P(J > j - 1) P(hit at j) / j, nearly geometric with share 0.01
    geometric = 0.01 / 0.99 * -np.log(0.01)
    assert reciprocal[0] == pytest.approx(geometric, rel=0.01)
    _, hits, found, _, _ = top_k_statistics(ranked([(300, 29_700)]), 10, full=True)
    assert hits == pytest.approx([0.1]) and found[0] == pytest.approx(1 - 0.99**10, rel=0.01)


def test_the_share_of_tied_positives() -> None:
    assert tied_share(ranked([(1, 0), (2, 1), (0, 1), (1, 0)])) == 2 / 4
    assert tied_share(ranked([(1, 0)], [(0, 1)])) == 0


def test_queries_without_positives_are_excluded_from_the_statistics() -> None:
    """Three queries at 4, 5 and 6 with two, no and one positive; ranks 0 and 3 of the first, 2 of
    the last.
    """
    chunk = RankedPositives(
        np.array([4, 5, 6]), np.array([2, 0, 1]), np.array([0, 0, 2]), np.array([0, 3, 2]), NO_TIES
    )
    query, positives, reciprocal, *_ = ranking_statistics([chunk])
    assert (query.tolist(), positives.tolist()) == ([4, 6], [2, 1])
    assert reciprocal.tolist() == [1, 1 / 3]
    assert [len(values) for values in top_k_statistics([chunk], 2, full=True)] == [2] * 5
