"""Nearest other rows of parts of a set: those of a search of the part alone."""

import numpy as np
import pytest

from bob.numerics.arrays import Floats, Ints
from bob.numerics.search import nearest_others
from bob.numerics.search.nearest_others import NearestOthers
from bob.numerics.search.similarity import MetricName

METRICS: tuple[MetricName, MetricName] = ("euclidean", "cosine")


def slow(rows: Floats, kept: Ints, count: int, metric: MetricName) -> list[list[int]]:
    """Order the other rows by a full matrix; equal ones by position."""
    x = rows[kept].astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    distances = ((x[:, None] - x) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances.round(12), axis=1, kind="stable")[:, :count]
    return [[int(kept[i]) for i in of_row] for of_row in order]


@pytest.mark.parametrize("metric", METRICS)
def test_those_of_a_part_are_found_in_the_lists_of_all(metric: MetricName) -> None:
    rows = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    others = NearestOthers.of(rows, metric)
    for left_out in (None, 0, 1):
        kept = np.flatnonzero(np.arange(90) % 3 != left_out)
        assert others.among(kept, 2).tolist() == slow(rows, kept, 2, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_whose_list_is_left_out_are_searched(
    monkeypatch: pytest.MonkeyPatch, metric: MetricName
) -> None:
    """The three nearest of each row are its copies, which are in other parts."""
    monkeypatch.setattr(nearest_others, "LISTED", 4)
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.integers(-9, 9, (12, 3)), 4, 0).astype(np.float32) + np.float32(0.5)
    others = NearestOthers.of(rows, metric)
    kept = np.arange(0, 48, 4)
    assert others.among(kept, 2).tolist() == slow(rows, kept, 2, metric)


def test_two_rows_have_each_other() -> None:
    others = NearestOthers.of(np.eye(2, dtype=np.float32))
    assert others.among(np.arange(2), 1).tolist() == [[1], [0]]
