"""k-NN against a slow implementation by hand, faiss and scikit-learn; and its laws."""

import faiss
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bob.outcomes import Classified
from bob.protocols.knn import clamped, knn, votes_per_k
from bob.protocols.neighbours import Neighbours, search, unit
from bob.protocols.protocol import Problem
from bob.specs import KnnSettings

SETTINGS = KnnSettings(k=(1, 5, 10, 20, 50, 100, 200), metric="cosine", vote="weighted", temperature=0.07, held_out=0.2, max_queries=1000)


def blobs(n: int = 300, q: int = 60, d: int = 16, classes: int = 7, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    y, query_y = rng.integers(classes, size=n), rng.integers(classes, size=q)
    x = (centres[y] + 1.5 * rng.normal(size=(n, d))).astype(np.float32)
    return x, y, (centres[query_y] + 1.5 * rng.normal(size=(q, d))).astype(np.float32), query_y


def problem(x, y, test_x, test_y, classes=7) -> Problem:
    held_out = np.zeros(len(y), bool)
    held_out[::5] = True
    return Problem(x, y, held_out, test_x, test_y, classes)


def slow_votes(x, y, queries, k, temperature, classes):
    """As one would write it down: float64, one query at a time, a sort by (similarity, index)."""
    votes = np.zeros((len(queries), classes))
    x = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    for row, query in enumerate(queries.astype(np.float64)):
        similarity = x @ (query / np.linalg.norm(query))
        for neighbour in sorted(range(len(x)), key=lambda i: (-similarity[i], i))[:k]:
            votes[row, y[neighbour]] += np.exp(similarity[neighbour] / temperature)
    return votes


@pytest.mark.parametrize("k", [1, 5, 20, 100])
def test_votes_equal_a_slow_implementation(k):
    x, y, queries, query_y = blobs()
    (outcome,) = votes_per_k(search(x, queries, k), y, query_y, 7, [k], 0.07)
    expected = slow_votes(x, y, queries, k, 0.07, 7)
    assert outcome.predicted.tolist() == expected.argmax(1).tolist()
    ranks = [sum(1 for c in range(7) if row[c] > row[t]) if row[t] > 0 else 7 for row, t in zip(expected, query_y, strict=True)]
    assert outcome.rank.tolist() == ranks


def test_every_k_from_one_search_equals_each_k_alone():
    x, y, queries, query_y = blobs()
    ks = [1, 3, 10, 50]
    together = votes_per_k(search(x, queries, 50), y, query_y, 7, ks, 0.07)
    for k, outcome in zip(ks, together, strict=True):
        (alone,) = votes_per_k(search(x, queries, k), y, query_y, 7, [k], 0.07)
        np.testing.assert_array_equal(outcome.rank, alone.rank)


def test_the_nearest_neighbour_is_scikit_learn_s():
    x, y, queries, query_y = blobs()
    (outcome,) = votes_per_k(search(x, queries, 1), y, query_y, 7, [1], 0.07)
    peer = KNeighborsClassifier(1, metric="cosine").fit(x, y)
    assert outcome.predicted.tolist() == peer.predict(queries).tolist()


def test_neighbours_are_faiss_s():
    x, _, queries, _ = blobs(n=2000, q=100, d=64)
    found = search(x, queries, 200)
    index = faiss.IndexFlatIP(64)
    index.add(unit(x))
    similarity, neighbours = index.search(unit(queries), 200)
    np.testing.assert_array_equal(found.index, neighbours)
    np.testing.assert_array_equal(found.similarity, similarity)


def test_the_accelerator_s_search_gives_the_same_answers():
    x, _, queries, _ = blobs(n=2000, q=100, d=64)
    x[500:510] = x[0]
    with_faiss, with_torch = search(x, queries, 50, "cpu"), search(x, queries, 50, "cpu:0")
    np.testing.assert_array_equal(with_faiss.index, with_torch.index)
    np.testing.assert_allclose(with_faiss.similarity, with_torch.similarity, rtol=1e-5)


@pytest.mark.parametrize("copies", [3, 40])
def test_equal_similarities_go_to_the_lower_index(copies):
    """The same row many times over, more often than is fetched beyond k: the first of them are the neighbours."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (100, 4)).astype(np.float32)
    x[60 : 60 + copies] = x[5] = (1, 2, 3, 4)
    found = search(x, x[5:6], 3)
    assert found.index.tolist() == [[5, 60, 61]]


def test_equal_votes_go_to_the_lower_class():
    """Two neighbours, equally near, of classes 1 and 0: both have the same votes."""
    neighbours = Neighbours(np.array([[0.5, 0.5]], np.float32), np.array([[0, 1]]))
    (outcome,) = votes_per_k(neighbours, np.array([1, 0]), np.array([1]), 2, [2], 0.07)
    assert outcome.predicted.tolist() == [0] and outcome.rank.tolist() == [1]


def test_votes_by_hand():
    """T = 0.5, similarities 0.9, 0.8, 0.1 of classes 2, 0, 0.

    k = 1: class 2. k = 2: e^0 against e^-0.2: class 2. k = 3: 1 against 0.8187 + e^-1.6 = 0.2019, so 1 against 1.0206: class 0.
    """
    neighbours = Neighbours(np.array([[0.9, 0.8, 0.1]], np.float32), np.array([[0, 1, 2]]))
    outcomes = votes_per_k(neighbours, np.array([2, 0, 0]), np.array([0]), 3, [1, 2, 3], 0.5)
    assert [int(outcome.predicted[0]) for outcome in outcomes] == [2, 2, 0]
    assert [int(outcome.rank[0]) for outcome in outcomes] == [3, 1, 0], "at k = 1 class 0 has no votes at all"


def test_k_is_clamped_to_the_train_examples():
    assert clamped([1, 5, 200], 7) == [1, 5, 7] and clamped([10, 20], 4) == [4]
    x, y, queries, query_y = blobs(n=30)
    result = knn(problem(x, y, queries, query_y), SETTINGS, "cpu")
    assert set(result.variants) == {"k1", "k5", "k10", "k20", "k30"}


def test_k_is_chosen_on_held_out_train_data_alone():
    x, y, queries, query_y = blobs(n=600)
    honest = knn(problem(x, y, queries, query_y), SETTINGS, "cpu")
    spoilt = knn(problem(x, y, queries[::-1].copy(), np.roll(query_y, 1)), SETTINGS, "cpu")
    assert honest.detail == spoilt.detail, "no choice looks at test"
    curve = honest.detail["held_out_curve"]
    assert curve[str(honest.detail["k"])] == max(curve.values())


def test_held_out_queries_are_searched_among_the_other_train_rows():
    """Each held-out row has a twin of the same class among the others, so the nearest neighbour is always right; with itself in the gallery too."""
    x, y, queries, query_y = blobs(n=200)
    twice = Problem(np.repeat(x, 2, axis=0), np.repeat(y, 2), np.tile([True, False], 200), queries, query_y, 7)
    assert knn(twice, SETTINGS, "cpu").detail["held_out_curve"]["1"] == 1.0
    unlike = Problem(np.repeat(x, 2, axis=0), np.stack([y, (y + 1) % 7], 1).ravel(), np.tile([True, False], 200), queries, query_y, 7)
    assert knn(unlike, SETTINGS, "cpu").detail["held_out_curve"]["1"] == 0.0, "a row never votes for itself"


def test_at_most_so_many_held_out_queries_are_searched():
    x, y, queries, query_y = blobs(n=300)
    few = SETTINGS.model_copy(update={"max_queries": 10})
    assert knn(problem(x, y, queries, query_y), few, "cpu").detail["held_out_queries"] == 10


def test_scaling_and_rotating_features_changes_nothing():
    x, y, queries, query_y = blobs()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))
    plain = knn(problem(x, y, queries, query_y), SETTINGS, "cpu").outcome
    turned = knn(problem((100 * x @ turn).astype(np.float32), y, (7 * queries @ turn).astype(np.float32), query_y), SETTINGS, "cpu").outcome
    np.testing.assert_array_equal(plain.predicted, turned.predicted)


def test_permuting_train_rows_and_relabelling_classes_changes_no_score():
    x, y, queries, query_y = blobs()
    order, names = np.random.default_rng(1).permutation(len(x)), np.random.default_rng(2).permutation(7)
    (plain,) = votes_per_k(search(x, queries, 20), y, query_y, 7, [20], 0.07)
    (other,) = votes_per_k(search(x[order], queries, 20), names[y[order]], names[query_y], 7, [20], 0.07)
    np.testing.assert_array_equal(plain.rank, other.rank)


def test_perfect_features_score_1_and_useless_ones_chance():
    rng = np.random.default_rng(0)
    y, query_y = rng.integers(4, size=400), rng.integers(4, size=2000)
    perfect = knn(problem(np.eye(4, dtype=np.float32)[y], y, np.eye(4, dtype=np.float32)[query_y], query_y, 4), SETTINGS, "cpu")
    assert (perfect.outcome.rank == 0).all()
    noise = knn(problem(rng.normal(size=(400, 8)).astype(np.float32), y, rng.normal(size=(2000, 8)).astype(np.float32), query_y, 4), SETTINGS, "cpu")
    assert (noise.outcome.rank == 0).mean() == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / 2000) ** 0.5 + 0.02)


def test_a_zero_row_is_no_trouble():
    x, y, queries, query_y = blobs()
    x[3] = 0
    queries[0] = 0
    assert np.isfinite(search(x, queries, 10).similarity).all()
    assert knn(problem(x, y, queries, query_y), SETTINGS, "cpu").outcome.rank.max() <= 7


def test_many_queries_are_voted_on_in_chunks(monkeypatch):
    x, y, queries, query_y = blobs(q=100)
    (whole,) = votes_per_k(search(x, queries, 20), y, query_y, 7, [20], 0.07)
    monkeypatch.setattr("bob.protocols.knn.QUERIES_PER_CHUNK", 7)
    (chunked,) = votes_per_k(search(x, queries, 20), y, query_y, 7, [20], 0.07)
    assert isinstance(chunked, Classified)
    np.testing.assert_array_equal(whole.rank, chunked.rank)
