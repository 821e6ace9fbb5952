"""Rankings against a full sort in float64: ties, chunks, excluded items, shortlists."""

import numpy as np
import pytest
import torch

from bob.numerics.arrays import Floats
from bob.numerics.search import distances
from bob.numerics.search import rankings as module
from bob.numerics.search.distances import ApproximateDistances, Gallery
from bob.numerics.search.rankings import RankedPositives, rankings, shortlists
from bob.numerics.search.relevance import Labelled, Relevance, judged
from bob.numerics.search.similarity import MetricName
from tests.builders.search import (
    Places,
    near_ties,
    places_of,
    places_of_ranks,
    slow_places,
    slow_scores,
)

METRICS: tuple[MetricName, ...] = ("cosine", "euclidean")
CASES = [
    (seed, q, g, labels)
    for seed, (q, g, labels) in enumerate(
        [(1, 2, 1), (5, 7, 2), (40, 60, 5), (33, 200, 40), (64, 300, 3)]
    )
]


def example(seed: int, q: int, g: int, labels: int) -> tuple[Floats, Floats, Labelled]:
    """Return queries (q, 6), a gallery (g, 6) with a few equal rows, and their relevance by label,
    with copies of images and groups to exclude.
    """
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.normal(size=(n, 6)).astype(np.float32) for n in (q, g))
    gallery[g // 2 :: 7] = gallery[0]
    label, image, group = (
        (rng.integers(most, size=q), rng.integers(most, size=g))
        for most in (labels, 3 * g, max(2, g // 3))
    )
    return queries, gallery, Labelled(label, image, group)


def expected_places(
    queries: Floats, gallery: Floats, relevance: Relevance, metric: MetricName = "cosine"
) -> list[Places]:
    scores = slow_scores(gallery, queries, metric)
    return slow_places(*scores, *relevance.masks(np.arange(len(queries))))


def by_query(ranked: list[RankedPositives]) -> list[Places]:
    return [
        places
        for chunk in ranked
        for places in places_of(chunk.row, chunk.rank, chunk.ties, len(chunk.query))
    ]


def ranks_of(
    queries: Floats, gallery: Floats, relevance: Relevance, metric: MetricName = "cosine"
) -> list[Places]:
    return by_query(rankings(queries, gallery, {"": relevance}, metric)[""])


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", METRICS)
def test_ranks_equal_those_of_a_full_sort(
    seed: int, q: int, g: int, labels: int, metric: MetricName
) -> None:
    arguments = example(seed, q, g, labels)
    assert ranks_of(*arguments, metric) == expected_places(*arguments, metric)


def test_chunk_and_block_sizes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = example(9, 50, 120, 6)
    usual = ranks_of(*arguments)
    for name, value in (("QUERIES_PER_CHUNK", 7), ("SORTED_CELLS", 250)):
        monkeypatch.setattr(module, name, value)
    for name, value in (("EXACT_BYTES", 8 * 6 * 11), ("FLOAT32_ROWS", 17)):
        monkeypatch.setattr(distances, name, value)
    assert ranks_of(*arguments) == usual


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", METRICS)
def test_shortlists_are_the_first_places_of_full_rankings(
    seed: int, q: int, g: int, labels: int, metric: MetricName
) -> None:
    queries, gallery, relevance = example(seed, q, g, labels)
    full = rankings(queries, gallery, {"": relevance}, metric)[""]
    cut = shortlists(queries, gallery, {"": relevance}, metric, depth=5)[""]
    assert by_query(cut) == [
        [(rank, p, others) for rank, p, others in places if rank < 5] for places in by_query(full)
    ]
    counts = [np.concatenate([chunk.positives for chunk in chunks]) for chunks in (full, cut)]
    np.testing.assert_array_equal(*counts)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("seed", "n", "width", "labels"), [(0, 300, 64, 4), (1, 240, 200, 30), (2, 200, 3, 2)]
)
def test_rows_that_float32_confuses_are_ranked_as_in_float64(
    seed: int, n: int, width: int, labels: int, metric: MetricName
) -> None:
    rows = near_ties(seed, n, width, shift=3 if metric == "euclidean" else 0)
    label = np.random.default_rng(seed).integers(labels, size=n)
    relevance = Labelled((label, label), (np.arange(n), np.arange(n)))
    assert ranks_of(rows, rows, relevance, metric) == expected_places(rows, rows, relevance, metric)


def test_an_error_beyond_the_measured_factor_is_noticed() -> None:
    """One in ten float32 distances is off by many times what the others are, after the factor was
    measured.
    """
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(2000, 16)).astype(np.float32)
    label = rng.integers(20, size=2000)
    relevance = Labelled((label[:200], label))
    gallery = Gallery(rows, "cosine", "cpu")
    expected = expected_places(rows[:200], rows, relevance)
    approximate = gallery.approximate(rows[:200], gallery.buffer(200))
    assert isinstance(approximate, ApproximateDistances)
    wrong = rng.random((200, 2000)) < 0.1
    error = (wrong * rng.uniform(-2e-6, 2e-6, (200, 2000))).astype(np.float32)
    approximate.values += torch.from_numpy(error)
    before = approximate.factor
    masks = relevance.masks(np.arange(200))
    found = module._reliable_ranks(approximate, slice(0, 200), *masks)
    assert approximate.factor > 8 * before
    assert places_of_ranks(found, 200) == expected


def test_rows_too_long_or_short_for_float32_squares_are_ranked_in_float64() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(60, 5)) * 10.0 ** rng.integers(-25, 20, size=(60, 1))).astype(
        np.float32
    )
    label = rng.integers(4, size=60)
    relevance = Labelled((label, label))
    assert not Gallery(rows, "cosine", "cpu").float32_safe
    assert ranks_of(rows, rows, relevance) == expected_places(rows, rows, relevance)


@pytest.mark.parametrize("width", [24, 48, 64])
def test_orthogonal_rows_of_whole_numbers_are_tied(width: int) -> None:
    """Squared cosines from integer products are exact fractions, so that ties are certain."""
    rows = np.random.default_rng(width).integers(-1, 2, (400, width))
    products = rows[:50] @ rows.T
    squares = (rows**2).sum(1)
    assert (products == 0).sum() > 1000
    label = np.random.default_rng(0).integers(5, size=400)
    relevance = Labelled((label[:50], label))
    fractions = np.sign(products) * products**2 / squares  # of one query: the order of the cosines
    expected = slow_places(
        fractions, np.full(fractions.shape, 1e-12), *relevance.masks(np.arange(50))
    )
    features = rows.astype(np.float32)
    assert ranks_of(features[:50], features, relevance) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_float64_features_are_ranked_as_they_are(metric: MetricName) -> None:
    queries, gallery, relevance = example(3, 30, 80, 4)
    wide = queries.astype(np.float64), gallery.astype(np.float64)
    expected = expected_places(queries, gallery, relevance, metric)
    assert by_query(rankings(*wide, {"": relevance}, metric)[""]) == expected
    assert np.array_equal(wide[0], queries) and np.array_equal(wide[1], gallery)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_features_share_all_places(metric: MetricName) -> None:
    """All similarities are equal, so that positives and others share places 0, 1 and 2; the query
    itself has none.
    """
    same = np.ones((4, 3), np.float32)
    label = np.array([0, 0, 1, 0])
    relevance = Labelled((label, label), (np.arange(4), np.arange(4)))
    expected = [[(0, 2, 1)], [(0, 2, 1)], [], [(0, 2, 1)]]
    assert ranks_of(same, same, relevance, metric) == expected
    cut = shortlists(same, same, {"": relevance}, metric, depth=1)[""]
    assert by_query(cut) == expected


def test_a_zero_row_has_cosine_0() -> None:
    """The cosines of (2, 0) are 0, 1 and −1, so that rows 1 and 0 precede row 2."""
    gallery = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    relevance = Labelled((np.array([0]), np.array([0, 1, 1])))
    assert ranks_of(np.array([[2, 0]], np.float32), gallery, relevance) == [[(1, 1, 0)]]


def test_definitions_of_relevance_share_a_ranking() -> None:
    """The positives of medium are those of easy and of hard."""
    queries, gallery, _ = example(2, 8, 30, 3)
    rng = np.random.default_rng(0)
    lists = [rng.permutation(30)[:9].tolist() for _ in range(8)]
    judgements = {
        "easy": [row[:3] for row in lists],
        "hard": [row[3:6] for row in lists],
        "junk": [row[6:] for row in lists],
    }
    relevances = judged(judgements, 30)
    ranked = {
        name: by_query(chunks)
        for name, chunks in rankings(queries, gallery, relevances, "cosine").items()
    }
    counts = {name: [len(places) for places in queries_] for name, queries_ in ranked.items()}
    assert counts == {"medium": [6] * 8, "easy": [3] * 8, "hard": [3] * 8}
    for name, relevance in relevances.items():
        assert ranked[name] == expected_places(queries, gallery, relevance)
