"""k-NN votes by hand, against a slow implementation and scikit-learn; and their laws."""

import tracemalloc

import faiss
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bob.errors import ConfigError
from bob.io.paths import shipped
from bob.numerics.search.neighbours import Neighbours, search
from bob.outcomes import ClassPredictions
from bob.protocols.knn import clamped, knn, votes_per_k
from bob.protocols.protocol import Problem
from bob.specs import KnnSettings
from bob.specs.yaml import build, read_yaml
from tests.builders.search import slow_similarities

SETTINGS = KnnSettings(
    k=(1, 5, 10, 20, 50, 100, 200),
    metric="cosine",
    vote="weighted",
    temperature=0.07,
    held_out=0.2,
    max_queries=1000,
)

EUCLIDEAN = KnnSettings(k=(5,), metric="euclidean", vote="majority")
METRICS, VOTES = ("cosine", "euclidean"), (0.07, 0.5, None)
"""Votes by temperature; None is the majority."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The searches are small: threads would wait for each other more than work."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


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


def slow_votes(x, y, queries, k, temperature, classes, metric="cosine"):
    """One query at a time, a sort by (similarity, index), one neighbour at a time."""
    votes = np.zeros((len(queries), classes))
    for row, similarity in enumerate(slow_similarities(x, queries, metric)):
        for neighbour in sorted(range(len(x)), key=lambda i: (-similarity[i], i))[:k]:
            votes[row, y[neighbour]] += (
                1
                if temperature is None
                else np.exp((similarity[neighbour] - similarity.max()) / temperature)
            )
    return votes


def slow_rank(votes, true):
    """How many classes come before the true one; all C where it has no votes."""
    if votes[true] == 0:
        return len(votes)
    return sum(
        1
        for c in range(len(votes))
        if votes[c] > votes[true] or (votes[c] == votes[true] and c < true)
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", VOTES)
@pytest.mark.parametrize("classes", [7, 1000])
def test_votes_equal_a_slow_implementation(classes, temperature, metric):
    """Fewer classes than k, and more."""
    ks = [1, 5, 20, 100]
    x, y, queries, query_y = blobs(classes=classes)
    query_y[::2] = y[
        search(x, queries, 5, metric=metric).index[::2, 3]
    ]  # so that with 1,000 classes the true one is among the neighbours
    outcomes = votes_per_k(
        search(x, queries, 100, metric=metric), y, query_y, classes, ks, temperature
    )
    for k, outcome in zip(ks, outcomes, strict=True):
        expected = slow_votes(x, y, queries, k, temperature, classes, metric)
        assert outcome.predicted.tolist() == expected.argmax(1).tolist()
        assert outcome.rank.tolist() == [
            slow_rank(row, true) for row, true in zip(expected, query_y, strict=True)
        ]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", VOTES)
def test_every_k_from_one_search_equals_each_k_alone(temperature, metric):
    x, y, queries, query_y = blobs()
    ks = [1, 3, 10, 50]
    together = votes_per_k(search(x, queries, 50, metric=metric), y, query_y, 7, ks, temperature)
    for k, outcome in zip(ks, together, strict=True):
        (alone,) = votes_per_k(
            search(x, queries, k, metric=metric), y, query_y, 7, [k], temperature
        )
        np.testing.assert_array_equal(outcome.rank, alone.rank)
        np.testing.assert_array_equal(outcome.predicted, alone.predicted)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", VOTES)
@pytest.mark.parametrize("k", [1, 5, 50])
def test_predictions_are_scikit_learn_s(k, temperature, metric):
    """Its cosine distance is 1 − similarity. Its `uniform` vote gives ties to the lower class too."""
    x, y, queries, query_y = blobs(d=48)

    def weighted(distance):
        return np.exp(((1 - distance) if metric == "cosine" else -distance) / temperature)

    peer = KNeighborsClassifier(
        k, metric=metric, algorithm="brute", weights="uniform" if temperature is None else weighted
    ).fit(x, y)
    (outcome,) = votes_per_k(search(x, queries, k, metric=metric), y, query_y, 7, [k], temperature)
    assert outcome.predicted.tolist() == peer.predict(queries).tolist()


def test_no_queries_have_no_neighbours():
    x, y, _, _ = blobs()
    found = search(x, x[:0], 5)
    assert found.index.shape == (0, 5)
    assert [len(outcome) for outcome in votes_per_k(found, y, y[:0], 7, [1, 5], 0.07)] == [0, 0]


def test_votes_take_memory_for_neither_classes_nor_queries():
    """Votes of 2,000 queries on 100,000 classes would be 1.6 GB."""
    rng = np.random.default_rng(0)
    y, index = rng.integers(100_000, size=5000), rng.integers(5000, size=(2000, 100))
    neighbours = Neighbours(-np.sort(-rng.random((2000, 100), np.float32), 1), index)
    assert (
        traced_mib(lambda: votes_per_k(neighbours, y, y[:2000], 100_000, [1, 10, 100], 0.07)) < 32
    )


def traced_mib(call) -> float:
    """The most that numpy held at once during a call."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def test_equal_votes_go_to_the_lower_class():
    """Two neighbours, equally near, of classes 1 and 0: both have the same votes."""
    neighbours = Neighbours(np.array([[0.5, 0.5]], np.float32), np.array([[0, 1]]))
    (outcome,) = votes_per_k(neighbours, np.array([1, 0]), np.array([1]), 2, [2], 0.07)
    assert outcome.predicted.tolist() == [0] and outcome.rank.tolist() == [1]


def test_votes_are_counted_by_hand():
    """Classes 2, 0, 0, 1, 1, one vote each, of 3 and of 9 classes: k = 1: 2. k = 2: 0 and 2 tie: 0. k = 3: 0. k = 5: 0 and 1 tie, 2 is third."""
    neighbours = Neighbours(np.array([[0.9, 0.8, 0.7, 0.6, 0.5]], np.float32), np.arange(5)[None])
    for classes in (3, 9):
        outcomes = votes_per_k(
            neighbours, np.array([2, 0, 0, 1, 1]), np.array([2]), classes, [1, 2, 3, 5], None
        )
        assert [int(outcome.predicted[0]) for outcome in outcomes] == [2, 0, 0, 0]
        assert [int(outcome.rank[0]) for outcome in outcomes] == [0, 1, 1, 2]


def test_a_distant_neighbour_s_vote_does_not_underflow_to_none():
    """e^(−2 / 0.001) is 0 in float64; the class has a neighbour all the same, and comes second."""
    neighbours = Neighbours(np.array([[1, -1]], np.float32), np.array([[0, 1]]))
    (outcome,) = votes_per_k(neighbours, np.array([3, 5]), np.array([5]), 9, [2], 0.001)
    assert outcome.rank.tolist() == [1]


def test_a_class_beyond_the_classes_is_refused():
    neighbours = Neighbours(np.array([[1]], np.float32), np.array([[0]]))
    with pytest.raises(ValueError, match=r"query_y must lie in 0..2; got 3..3"):
        votes_per_k(neighbours, np.array([0]), np.array([3]), 3, [1], None)


def test_votes_by_hand():
    """T = 0.5, similarities 0.9, 0.8, 0.1 of classes 2, 0, 0.

    k = 1: class 2. k = 2: e^0 against e^-0.2: class 2. k = 3: 1 against 0.8187 + e^-1.6 = 0.2019, so 1 against 1.0206: class 0.
    """
    neighbours = Neighbours(np.array([[0.9, 0.8, 0.1]], np.float32), np.array([[0, 1, 2]]))
    outcomes = votes_per_k(neighbours, np.array([2, 0, 0]), np.array([0]), 3, [1, 2, 3], 0.5)
    assert [int(outcome.predicted[0]) for outcome in outcomes] == [2, 2, 0]
    assert [int(outcome.rank[0]) for outcome in outcomes] == [3, 1, 0], (
        "at k = 1 class 0 has no votes at all"
    )


def test_k_is_clamped_to_the_train_examples():
    assert clamped([1, 5, 200], 7) == [1, 5, 7] and clamped([10, 20], 4) == [4]
    x, y, queries, query_y = blobs(n=30)
    result = knn(problem(x, y, queries, query_y), SETTINGS, "cpu")
    assert [part.suffix for part in result.parts] == ["", "k1", "k5", "k10", "k20", "k30"]


@pytest.mark.parametrize("metric", METRICS)
def test_all_of_train_can_vote(metric):
    """k = N: every class has as many votes as train examples, whatever the query."""
    x, y, queries, query_y = blobs(n=40)
    (outcome,) = votes_per_k(search(x, queries, 40, metric=metric), y, query_y, 7, [40], None)
    assert set(outcome.predicted) == {np.bincount(y).argmax()}


def test_one_k_leaves_nothing_to_choose():
    """No row is held out, or all are: neither matters."""
    x, y, queries, query_y = blobs()
    results = [
        knn(Problem(x, y, np.full(300, held), queries, query_y, 7), EUCLIDEAN, "cpu")
        for held in (False, True)
    ]
    for result in results:
        assert result.detail == {"k": 5} and [part.suffix for part in result.parts] == ["", "k5"]
        peer = KNeighborsClassifier(5, algorithm="brute").fit(x, y)
        assert result.outcome.predicted.tolist() == peer.predict(queries).tolist()
    few = knn(
        Problem(x[:4], y[:4], np.zeros(4, bool), queries, query_y, 7),
        SETTINGS.model_copy(update={"k": (10, 20)}),
        "cpu",
    )
    assert few.detail == {"k": 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vote": "majority"},
            "'temperature' belongs to vote 'weighted'; got 0.07 with vote 'majority'",
        ),
        ({"temperature": None}, "'temperature' is missing: vote 'weighted' needs one"),
        ({"metric": "manhattan"}, "metric must be one of 'cosine' or 'euclidean'; got 'manhattan'"),
        ({"vote": "weighed"}, "vote must be one of 'weighted' or 'majority'; got 'weighed'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ConfigError, match=f"^mine.yaml: settings: {message}"):
        build(KnnSettings, {**SETTINGS.model_dump(), **changes}, "mine.yaml: settings")


def test_the_tasks_are_what_the_papers_say():
    dino, corley = (
        build(KnnSettings, read_yaml(shipped("tasks") / f"{name}.yaml")["settings"], name)
        for name in ("knn", "knn_euclidean")
    )
    assert (dino.metric, dino.vote, dino.temperature) == ("cosine", "weighted", 0.07) and {
        10,
        20,
        100,
        200,
    } <= set(dino.k)
    assert (corley.metric, corley.vote, corley.temperature, corley.k) == (
        "euclidean",
        "majority",
        None,
        (5,),
    )


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
    twice = Problem(
        np.repeat(x, 2, axis=0), np.repeat(y, 2), np.tile([True, False], 200), queries, query_y, 7
    )
    assert knn(twice, SETTINGS, "cpu").detail["held_out_curve"]["1"] == 1.0
    unlike = Problem(
        np.repeat(x, 2, axis=0),
        np.stack([y, (y + 1) % 7], 1).ravel(),
        np.tile([True, False], 200),
        queries,
        query_y,
        7,
    )
    assert knn(unlike, SETTINGS, "cpu").detail["held_out_curve"]["1"] == 0.0, (
        "a row never votes for itself"
    )


def test_at_most_so_many_held_out_queries_are_searched():
    x, y, queries, query_y = blobs(n=300)
    few = SETTINGS.model_copy(update={"max_queries": 10})
    assert knn(problem(x, y, queries, query_y), few, "cpu").detail["held_out_queries"] == 10


def test_scaling_and_rotating_features_changes_nothing():
    x, y, queries, query_y = blobs()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))
    plain = knn(problem(x, y, queries, query_y), SETTINGS, "cpu").outcome
    turned = knn(
        problem(
            (100 * x @ turn).astype(np.float32), y, (7 * queries @ turn).astype(np.float32), query_y
        ),
        SETTINGS,
        "cpu",
    ).outcome
    np.testing.assert_array_equal(plain.predicted, turned.predicted)


def test_moving_and_rotating_features_changes_no_distance():
    x, y, queries, query_y = blobs()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))
    plain = knn(problem(x, y, queries, query_y), EUCLIDEAN, "cpu").outcome
    moved = knn(
        problem(
            (3 * x @ turn + 5).astype(np.float32),
            y,
            (3 * queries @ turn + 5).astype(np.float32),
            query_y,
        ),
        EUCLIDEAN,
        "cpu",
    ).outcome
    np.testing.assert_array_equal(plain.predicted, moved.predicted)


def test_permuting_train_rows_and_relabelling_classes_changes_no_score():
    x, y, queries, query_y = blobs()
    order, names = (
        np.random.default_rng(1).permutation(len(x)),
        np.random.default_rng(2).permutation(7),
    )
    (plain,) = votes_per_k(search(x, queries, 20), y, query_y, 7, [20], 0.07)
    (other,) = votes_per_k(
        search(x[order], queries, 20), names[y[order]], names[query_y], 7, [20], 0.07
    )
    np.testing.assert_array_equal(plain.rank, other.rank)


def test_perfect_features_score_1_and_useless_ones_chance():
    rng = np.random.default_rng(0)
    y, query_y = rng.integers(4, size=400), rng.integers(4, size=2000)
    perfect = knn(
        problem(
            np.eye(4, dtype=np.float32)[y], y, np.eye(4, dtype=np.float32)[query_y], query_y, 4
        ),
        SETTINGS,
        "cpu",
    )
    assert (perfect.outcome.rank == 0).all()
    noise = knn(
        problem(
            rng.normal(size=(400, 8)).astype(np.float32),
            y,
            rng.normal(size=(2000, 8)).astype(np.float32),
            query_y,
            4,
        ),
        SETTINGS,
        "cpu",
    )
    assert (noise.outcome.rank == 0).mean() == pytest.approx(
        0.25, abs=3 * (0.25 * 0.75 / 2000) ** 0.5 + 0.02
    )


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
    assert isinstance(chunked, ClassPredictions)
    np.testing.assert_array_equal(whole.rank, chunked.rank)
