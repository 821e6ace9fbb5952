"""Nearest neighbours by hand, against float64 and faiss; ties, chunks and memory."""

import tracemalloc
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from bob.numerics.arrays import Floats, Ints
from bob.numerics.search.neighbours import Neighbours, search, tied_with_last
from bob.numerics.search.similarity import MetricName, Similarity, unit
from tests.builders.search import HARD_FEATURES, hard_features, slow_scores, tie_groups

METRICS: tuple[MetricName, ...] = ("cosine", "euclidean")
DEVICES = ("cpu", "cpu:0")
"""faiss, and torch as on an accelerator."""
MODULE = "bob.numerics.search.neighbours"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The searches are so small that threads would mostly wait for each other."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def gaussians(n: int, queries: int, width: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n + queries, width)).astype(np.float32)
    return x[:n], x[n:]


def slow_search(gallery: Floats, queries: Floats, k: int, metric: MetricName) -> Neighbours:
    """Return the k best rows by float64 score, tied ones by index."""
    index, tied = [], []
    scores, widths = slow_scores(gallery, queries, metric)
    for groups in map(tie_groups, scores, widths):
        index.append([item for group in groups for item in sorted(group)])
        tied.append([i < len(group) - 1 for group in groups for i in range(len(group))])
    best = np.array(index)[:, :k]
    similarity = np.take_along_axis(scores, best, 1)
    similarity = similarity if metric == "cosine" else -np.sqrt(-similarity)
    return Neighbours(similarity.astype(np.float32), best, np.array(tied)[:, :k])


def assert_same(nearest: Neighbours, expected: Neighbours) -> None:
    np.testing.assert_array_equal(nearest.index, expected.index)
    np.testing.assert_array_equal(nearest.tied, expected.tied)


def test_neighbours_by_hand() -> None:
    """From (3, 0) the distances are 3 to (0, 0), 1 to (4, 0), 5 to (3, 5) and 1 to (2, 0);
    the cosines are 0, 1, 3 / √34 = 0.5145 and 1.
    """
    x = np.array([[0, 0], [4, 0], [3, 5], [2, 0]], np.float32)
    query = np.array([[3, 0]], np.float32)
    near = search(x, query, 9, metric="euclidean")
    assert near.index.tolist() == [[1, 3, 0, 2]] and near.similarity.tolist() == [[-1, -1, -3, -5]]
    alike = search(x, query, 9, metric="cosine")
    assert alike.index.tolist() == [[1, 3, 2, 0]]
    assert alike.similarity[0] == pytest.approx([1, 1, 3 / 34**0.5, 0])


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_equal_those_of_faiss(metric: MetricName) -> None:
    """Wherever faiss's values differ by more than float32 rounds; elsewhere float64 decides."""
    x, queries = gaussians(2000, 100, 64)
    ours = search(x, queries, 200, metric=metric)
    index = faiss.IndexFlatIP(64) if metric == "cosine" else faiss.IndexFlatL2(64)
    index.add(unit(x) if metric == "cosine" else x)
    value, neighbours = index.search(unit(queries) if metric == "cosine" else queries, 201)
    value, rounding = (value, 5e-7) if metric == "cosine" else (-np.sqrt(value), 5e-6)
    np.testing.assert_allclose(ours.similarity, value[:, :200], rtol=0, atol=rounding)
    apart = -np.diff(value, axis=1) > rounding
    clear = apart & np.hstack([np.ones((100, 1), bool), apart[:, :-1]])
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(ours.index[clear], neighbours[:, :200][clear])


@pytest.mark.parametrize("kind", HARD_FEATURES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("k", [1, 20, 300])
def test_order_is_by_float64_similarity_then_by_index(
    k: int, device: str, metric: MetricName, kind: str
) -> None:
    """Half of the queries are gallery rows."""
    x = hard_features(kind)
    gallery, queries = x[:300], np.concatenate([x[:30], x[300:330]])
    expected = slow_search(gallery, queries, k, metric)
    nearest = search(gallery, queries, k, device, metric)
    assert_same(nearest, expected)
    scale = 1 if metric == "cosine" else np.linalg.norm(x, axis=1).max()
    np.testing.assert_allclose(
        nearest.similarity, expected.similarity, rtol=1e-3, atol=1e-6 * scale
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", DEVICES)
def test_order_holds_where_float32_errs_most(device: str, metric: MetricName) -> None:
    """The variance is in the first of 2,048 columns: sums are large from the start and lose what
    the many small terms add.
    """
    x = (np.random.default_rng(0).normal(size=(2100, 2048)) / np.arange(1, 2049)).astype(np.float32)
    gallery, queries = x[:2000], x[2000:]
    nearest = search(gallery, queries, 200, device, metric)
    assert_same(nearest, slow_search(gallery, queries, 200, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_features_of_any_scale_have_the_same_neighbours(metric: MetricName) -> None:
    """Powers of two change no digit; 2^-110 and 2^110 leave no squares in float32."""
    x = hard_features("plain")
    usual = search(x, x[:50], 10, metric=metric)
    for exponent in (-110, -40, -3, 5, 40, 110):
        scaled = np.ldexp(x, exponent)
        nearest = search(scaled, scaled[:50], 10, metric=metric)
        assert_same(nearest, usual)
        unit_of_length = 0 if metric == "cosine" else exponent
        np.testing.assert_array_equal(
            nearest.similarity, np.ldexp(usual.similarity, unit_of_length)
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_few_rows_far_away_leave_the_order_of_the_others(metric: MetricName, device: str) -> None:
    """Three rows are 1e20 as long as the others, which then vanish in float32 squares."""
    x = hard_features("plain")
    x[[7, 100, 399]] *= np.float32(1e20)
    assert_same(search(x, x[:60], 5, device, metric), slow_search(x, x[:60], 5, metric))


def test_cosines_are_ordered_far_from_zero() -> None:
    """With an offset of 1,000 standard deviations, cosines differ in the seventh digit, where
    float32 has 16 values left. The order is that of scikit-learn's float64 cosines, up to ties.
    """
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(600, 64)) + 1000).astype(np.float32)
    gallery, queries = x[:400], x[400:]
    theirs = cosine_similarity(queries.astype(np.float64), gallery.astype(np.float64))
    best = -np.sort(-theirs, axis=1)[:, :5]
    nearest = search(gallery, queries, 5)
    found = np.take_along_axis(theirs, nearest.index, 1)
    np.testing.assert_allclose(found, best, rtol=0, atol=1e-13)
    assert nearest.tied.mean() < 0.01
    by_float32 = np.argsort(-theirs.astype(np.float32), axis=1, kind="stable")[:, :5]
    assert (np.take_along_axis(theirs, by_float32, 1) < best - 1e-9).mean() > 0.2


def test_float64_features_are_searched_as_they_are() -> None:
    x = hard_features("plain").astype(np.float64)
    before = x.copy()
    for metric in METRICS:
        wide, narrow = (search(rows, rows, 20, metric=metric) for rows in (x, x.astype(np.float32)))
        np.testing.assert_array_equal(wide.index, narrow.index)
    np.testing.assert_array_equal(x, before)


def test_a_less_precise_library_finds_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 products, as an accelerator may be configured to make: the tolerance is measured, so
    float64 decides more.
    """

    def coarse(
        similarity: Similarity, gallery: torch.Tensor, queries: Floats, k: int
    ) -> tuple[Floats, Ints]:
        top = torch.topk((torch.from_numpy(queries).bfloat16() @ gallery.bfloat16().T).float(), k)
        return top.values.numpy(), top.indices.numpy()

    x = hard_features("plain")
    usual = search(x, x, 20)
    monkeypatch.setattr(f"{MODULE}._torch", coarse)
    np.testing.assert_array_equal(search(x, x, 20, "cpu:0").index, usual.index)


def test_faiss_and_torch_find_the_same_neighbours() -> None:
    x, queries = gaussians(2000, 100, 64)
    x[500:510] = x[0]
    with_faiss, with_torch = (search(x, queries, 50, device) for device in DEVICES)
    np.testing.assert_array_equal(with_faiss.index, with_torch.index)
    np.testing.assert_allclose(with_faiss.similarity, with_torch.similarity, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("copies", [3, 40])
def test_tied_rows_are_listed_by_index_and_marked(copies: int, metric: MetricName) -> None:
    """40 copies are more than the candidates beyond k. Beyond three, rows 4 and 6 are as far from
    row 5 in Euclidean distance.
    """
    x = np.zeros((100, 4), np.float32)
    x[:, 0], x[:, 1] = 100, np.arange(100)
    x[60 : 60 + copies] = x[5]
    nearest = search(x, x[5:6], 3, metric=metric)
    assert nearest.index.tolist() == [[5, 60, 61]] and nearest.tied.tolist() == [[True] * 3]
    (rest,) = tied_with_last(x, x[5:6], nearest, metric)
    assert rest.tolist() == [5, *range(60, 60 + copies)]
    five = search(x, x[5:6], 5, metric=metric)
    assert five.tied[0].tolist() == [
        True,
        True,
        True,
        copies == 40,
        copies == 40 or metric == "euclidean",
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_ties_among_some_rows_are_of_these_rows(metric: MetricName) -> None:
    x = hard_features("forty rows, ten times each")
    among = np.arange(0, 400, 2)  # each row five times, if at an even place
    nearest = search(x, x[:40:2], 3, metric=metric, among=among)
    for i, rest in enumerate(tied_with_last(x, x[:40:2], nearest, metric, among)):
        assert rest.tolist() == list(range(2 * i, 400, 40))


def test_a_zero_row_has_finite_similarities() -> None:
    x, queries = gaussians(300, 60, 16)
    x[3] = 0
    queries[0] = 0
    assert np.isfinite(search(x, queries, 10).similarity).all()


def test_no_queries_have_no_neighbours() -> None:
    x, _ = gaussians(300, 60, 16)
    assert search(x, x[:0], 5).index.shape == (0, 5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["plain", "forty rows, ten times each"])
def test_chunk_sizes_change_nothing(
    kind: str, device: str, metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 33 gallery rows, fewer than k; of at most 9 queries; of a few rows in float64."""
    x = hard_features(kind)[:200]
    usual = search(x, x, 50, device, metric)
    for name, value in (
        ("GALLERY_CHUNK_BYTES", 4 * 24 * 33),
        ("QUERIES_PER_CHUNK", 9),
        ("CELLS_PER_CHUNK", 250),
        ("EXACT_CELLS", 1000),
    ):
        monkeypatch.setattr(f"{MODULE}.{name}", value)
    chunked = search(x, x, 50, device, metric)
    np.testing.assert_array_equal(usual.index, chunked.index)
    np.testing.assert_allclose(usual.similarity, chunked.similarity, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["plain", "forty rows, ten times each"])
def test_a_search_among_some_rows_equals_a_search_of_these_rows(
    kind: str, metric: MetricName
) -> None:
    x, among = hard_features(kind), np.arange(1, 400, 3)
    some = search(x, x, 50, metric=metric, among=among)
    alone = search(x[among], x, 50, metric=metric)
    np.testing.assert_array_equal(some.index, among[alone.index])


def test_a_search_holds_no_second_copy_of_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MiB of gallery, 8 MiB of queries, chunks of 1 MiB and 0.5 MiB, neighbours under 1 MiB."""
    for name, value in (
        ("GALLERY_CHUNK_BYTES", 2**20),
        ("QUERIES_PER_CHUNK", 128),
        ("EXACT_CELLS", 2**17),
    ):
        monkeypatch.setattr(f"{MODULE}.{name}", value)
    x = np.random.default_rng(0).normal(size=(5120, 1024)).astype(np.float32)

    def searched(metric: MetricName) -> Callable[[], object]:
        return lambda: search(x, x[:2048], 4, metric=metric, among=np.arange(5120))

    for metric in METRICS:
        assert peak_mib(searched(metric)) < 7


def peak_mib(call: Callable[[], object]) -> float:
    """Return the most memory that numpy held at once during a call."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20
