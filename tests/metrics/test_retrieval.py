"""Metrics of retrieval by hand, and their means over queries."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.metrics.retrieval import (
    METRICS,
    hit_at,
    map_at_r,
    mean_ap,
    mean_ap_at,
    mean_ap_trapezoid,
    mrr,
    precision_at,
    precision_until,
    r_precision,
    recall_at,
)
from bob.numerics.search.per_query import ranking_statistics, top_k_statistics
from bob.numerics.search.rankings import RankedPositives
from bob.numerics.search.ranks import TieGroups
from bob.outcomes import RetrievalResults, TopKResults

Query = tuple[list[int], int]
"""Ranks of a query's positives that were ranked, and the number of its positives."""


def ranked(*queries: Query) -> list[RankedPositives]:
    row = np.repeat(np.arange(len(queries)), [len(ranks) for ranks, _ in queries])
    rank = np.array([rank for ranks, _ in queries for rank in ranks], np.int64)
    positives = np.array([n for _, n in queries])
    return [RankedPositives(np.arange(len(queries)), positives, row, rank)]


def full(*queries: Query) -> RetrievalResults:
    return RetrievalResults(*ranking_statistics(ranked(*queries)))


def top(k: int, *queries: Query) -> TopKResults:
    return TopKResults(k, *top_k_statistics(ranked(*queries), k, full=True))


FIRST: Query = ([0, 2, 5], 3)
"""The ranking + - + - - + with 3 positives."""
SECOND: Query = ([1], 1)
"""The ranking - + with one positive."""


def test_metrics_of_full_rankings_by_hand() -> None:
    outcome = full(FIRST, SECOND)
    ap = (1 / 1 + 2 / 3 + 3 / 6) / 3
    assert mean_ap(outcome) == pytest.approx((ap + 1 / 2) / 2)
    # Between recall steps precision goes from nth/rank (1 at rank 0) to (nth + 1)/(rank + 1):
    # (1 + 1)/2, (1/2 + 2/3)/2, (2/5 + 3/6)/2 of the first query, and (0/1 + 1/2)/2 of the second.
    trapezoid = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3
    assert mean_ap_trapezoid(outcome) == pytest.approx((trapezoid + 1 / 4) / 2)
    assert r_precision(outcome) == pytest.approx((2 / 3 + 0) / 2)
    assert map_at_r(outcome) == pytest.approx(((1 + 2 / 3) / 3 + 0) / 2)
    assert mrr(outcome) == pytest.approx((1 + 1 / 2) / 2)


def test_metrics_of_the_first_k_by_hand() -> None:
    first_2 = top(2, FIRST, SECOND)
    assert hit_at(first_2) == pytest.approx(1.0)
    assert precision_at(first_2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert recall_at(first_2) == pytest.approx((1 / 3 + 1) / 2)
    assert mean_ap_at(first_2) == pytest.approx((1 / min(3, 2) + (1 / 2) / 1) / 2)
    first_4 = top(4, FIRST, SECOND)
    assert precision_at(first_4) == pytest.approx((2 / 4 + 1 / 4) / 2)
    # the second list ends at its last positive
    assert precision_until(first_4) == pytest.approx((2 / 4 + 1 / 2) / 2)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_queries_without_positives_leave_nothing_to_average(metric: Metric) -> None:
    queries: list[Query] = [([], 0), ([], 0)]
    outcome = full(*queries) if metric.outcome is RetrievalResults else top(3, *queries)
    assert len(outcome) == 0
    with pytest.raises(UndefinedError, match="no query has a positive in the gallery"):
        metric.function(outcome)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_are_means_over_queries(metric: Metric) -> None:
    queries: list[Query] = [([0, 4], 2), ([2], 1), ([1, 2, 3], 3)]
    outcome = full(*queries) if metric.outcome is RetrievalResults else top(3, *queries)
    assert metric.per_example is not None
    assert metric.per_example(outcome).mean() == pytest.approx(metric.function(outcome), abs=1e-15)
    expected = metric.per_example(outcome)[[2, 2, 0]].mean()
    assert metric.function(outcome.take(np.array([2, 2, 0]))) == pytest.approx(expected)


def test_metrics_of_tied_items_by_hand() -> None:
    """A positive and another item share the first two places: each order has probability 1/2. Their
    values are those of the orders + - and - +.
    """
    at = TieGroups(np.array([0]), np.array([1]), np.array([1]))
    one = np.array([1])
    chunk = [RankedPositives(np.array([0]), one, np.array([0]), np.array([0]), at)]
    outcome = RetrievalResults(*ranking_statistics(chunk))
    assert mean_ap(outcome) == pytest.approx((1 + 1 / 2) / 2)
    assert mean_ap_trapezoid(outcome) == pytest.approx((1 + 1 / 4) / 2)
    assert mrr(outcome) == pytest.approx((1 + 1 / 2) / 2)
    assert r_precision(outcome) == map_at_r(outcome) == pytest.approx(1 / 2)
    first = TopKResults(1, *top_k_statistics(chunk, 1, full=True))
    assert hit_at(first) == precision_at(first) == recall_at(first) == pytest.approx(1 / 2)
    assert mean_ap_at(first) == precision_until(first) == pytest.approx(1 / 2)
    two = TopKResults(2, *top_k_statistics(chunk, 2, full=True))
    assert hit_at(two) == recall_at(two) == 1 and precision_at(two) == 1 / 2
    assert precision_until(two) == pytest.approx((1 + 1 / 2) / 2)


def test_precision_until_the_last_positive_needs_full_rankings() -> None:
    outcome = TopKResults(2, *top_k_statistics(ranked(FIRST), 2, full=False))
    with pytest.raises(UndefinedError, match="precision_until needs full rankings"):
        precision_until(outcome)
