"""k-NN votes by hand, against a slow implementation and scikit-learn; and their laws."""

import tracemalloc
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bob.errors import ConfigError
from bob.io.paths import shipped
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.search.neighbours import Neighbours, search, tied_with_last
from bob.numerics.search.similarity import MetricName
from bob.outcomes import ClassPredictions
from bob.protocols.classification import ClassificationProblem
from bob.protocols.knn import PROTOCOL, KnnSettings, clamped, votes_per_k
from bob.protocols.protocol import Result
from bob.specs.yaml import build, read_yaml
from tests.builders.search import slow_scores, tie_groups

SETTINGS = KnnSettings(
    k=(1, 5, 10, 20, 50, 100, 200),
    metric="cosine",
    vote="weighted",
    temperature=0.07,
    held_out=0.2,
    max_queries=1000,
)

EUCLIDEAN = KnnSettings(k=(5,), metric="euclidean", vote="majority")
METRICS: tuple[MetricName, ...] = ("cosine", "euclidean")
TEMPERATURES = (0.07, 0.5, None)
"""Temperatures of the weighted vote; None is the majority vote."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The searches are small: threads would wait for each other more than work."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def blobs(
    n: int = 300, q: int = 60, d: int = 16, classes: int = 7, seed: int = 0
) -> tuple[Floats, Ints, Floats, Ints]:
    """Return Gaussian clusters: train rows and labels, then query rows and labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    y, query_y = rng.integers(classes, size=n), rng.integers(classes, size=q)
    x = (centres[y] + 1.5 * rng.normal(size=(n, d))).astype(np.float32)
    return x, y, (centres[query_y] + 1.5 * rng.normal(size=(q, d))).astype(np.float32), query_y


def solve(
    x: Floats,
    y: Ints,
    test_x: Floats,
    test_y: Ints,
    settings: KnnSettings = SETTINGS,
    held_out: np.ndarray | None = None,
    classes: int = 7,
) -> Result:
    """Solve a problem of which every fifth train row is held out."""
    if held_out is None:
        held_out = np.arange(len(y)) % 5 == 0
    problem = ClassificationProblem(x, y, held_out, test_x, test_y, classes)
    return PROTOCOL.solve(problem, settings, "cpu")


def rotation(d: int, seed: int = 1) -> Doubles:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return turn


def untied(similarity: list[list[float]], index: Ints) -> Neighbours:
    return Neighbours(np.array(similarity, np.float32), index, np.zeros(index.shape, bool))


def no_counts(rows: Ints) -> Ints:
    raise AssertionError("no neighbour is tied with rows that are not listed")


def vote(
    x: Floats,
    y: Ints,
    queries: Floats,
    query_y: Ints,
    classes: int,
    ks: list[int],
    temperature: float | None,
    metric: MetricName = "cosine",
) -> list[ClassPredictions]:
    """Return the outcomes at every k of one search."""
    nearest = search(x, queries, ks[-1], metric=metric)

    def counts(rows: Ints) -> Ints:
        ties = tied_with_last(x, queries[rows], nearest.take(rows), metric)
        return np.stack([np.bincount(y[tied], minlength=classes) for tied in ties])

    return votes_per_k(nearest, y, query_y, classes, ks, temperature, counts)


def slow_votes(
    x: Floats,
    y: Ints,
    queries: Floats,
    k: int,
    temperature: float | None,
    classes: int,
    metric: MetricName = "cosine",
) -> Doubles:
    """Return votes (Q, C): group by group of tied neighbours, which share places."""
    votes = np.zeros((len(queries), classes))
    scores, widths = slow_scores(x, queries, metric)
    similarity = scores if metric == "cosine" else -np.sqrt(-scores)
    for row, groups in enumerate(map(tie_groups, scores, widths)):
        left = k
        while left > 0:
            group = groups.pop(0)
            gap = similarity[row, group[0]] - similarity[row].max()
            weight = 1 if temperature is None else np.exp(gap / temperature)
            for c in set(y[group].tolist()):
                count = int((y[group] == c).sum())
                votes[row, c] += min(left, len(group)) * count / len(group) * weight
            left -= len(group)
    return votes


def slow_rank(votes: Doubles, true: int) -> int:
    """Return how many classes come before the true one; C where it has no votes."""
    if votes[true] == 0:
        return len(votes)
    return sum(
        1
        for c in range(len(votes))
        if votes[c] > votes[true] or (votes[c] == votes[true] and c < true)
    )


# --- votes


def test_equal_votes_go_to_the_lower_class() -> None:
    """Two equally near neighbours, of classes 1 and 0, have the same votes."""
    neighbours = untied([[0.5, 0.5]], np.array([[0, 1]]))
    (outcome,) = votes_per_k(neighbours, np.array([1, 0]), np.array([1]), 2, [2], 0.07, no_counts)
    assert outcome.predicted.tolist() == [0] and outcome.rank.tolist() == [1]


def test_majority_votes_by_hand() -> None:
    """Neighbours of classes 2, 0, 0, 1, 1 have one vote each, among 3 and among 9 classes.

    k = 1: class 2. k = 2: 0 and 2 tie, so 0. k = 3: 0. k = 5: 0 and 1 tie, and 2 is third.
    """
    neighbours, y = untied([[0.9, 0.8, 0.7, 0.6, 0.5]], np.arange(5)[None]), [2, 0, 0, 1, 1]
    for classes in (3, 9):
        outcomes = votes_per_k(
            neighbours, np.array(y), np.array([2]), classes, [1, 2, 3, 5], None, no_counts
        )
        assert [int(outcome.predicted[0]) for outcome in outcomes] == [2, 0, 0, 0]
        assert [int(outcome.rank[0]) for outcome in outcomes] == [0, 1, 1, 2]


def test_weighted_votes_by_hand() -> None:
    """T = 0.5, similarities 0.9, 0.8, 0.1 of classes 2, 0, 0.

    k = 1: class 2. k = 2: e^0 against e^-0.2, so class 2. k = 3: 1 against 0.8187 + e^-1.6 =
    0.2019, so 1 against 1.0206: class 0. At k = 1 class 0 has no votes at all.
    """
    neighbours, y = untied([[0.9, 0.8, 0.1]], np.array([[0, 1, 2]])), np.array([2, 0, 0])
    outcomes = votes_per_k(neighbours, y, np.array([0]), 3, [1, 2, 3], 0.5, no_counts)
    assert [int(outcome.predicted[0]) for outcome in outcomes] == [2, 2, 0]
    assert [int(outcome.rank[0]) for outcome in outcomes] == [3, 1, 0]


def test_a_distant_neighbour_s_vote_does_not_underflow_to_zero() -> None:
    """e^(−2 / 0.001) is 0 in float64; the class has a neighbour all the same, and comes second."""
    neighbours = untied([[1, -1]], np.array([[0, 1]]))
    (outcome,) = votes_per_k(neighbours, np.array([3, 5]), np.array([5]), 9, [2], 0.001, no_counts)
    assert outcome.rank.tolist() == [1]


def test_query_labels_beyond_the_classes_are_refused() -> None:
    neighbours = untied([[1]], np.array([[0]]))
    with pytest.raises(ValueError, match=r"query_y must lie in 0..2; got 3..3"):
        votes_per_k(neighbours, np.array([0]), np.array([3]), 3, [1], None, no_counts)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [7, 1000])
def test_votes_equal_a_slow_implementation(
    classes: int, temperature: float | None, metric: MetricName
) -> None:
    """With fewer classes than k, and with more."""
    ks = [1, 5, 20, 100]
    x, y, queries, query_y = blobs(classes=classes)
    # so that with 1,000 classes the true one is among the neighbours
    query_y[::2] = y[search(x, queries, 5, metric=metric).index[::2, 3]]
    outcomes = vote(x, y, queries, query_y, classes, ks, temperature, metric)
    for k, outcome in zip(ks, outcomes, strict=True):
        expected = slow_votes(x, y, queries, k, temperature, classes, metric)
        assert outcome.predicted.tolist() == expected.argmax(1).tolist()
        assert outcome.rank.tolist() == [
            slow_rank(row, true) for row, true in zip(expected, query_y, strict=True)
        ]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_every_k_from_one_search_equals_each_k_alone(
    temperature: float | None, metric: MetricName
) -> None:
    x, y, queries, query_y = blobs()
    ks = [1, 3, 10, 50]
    together = vote(x, y, queries, query_y, 7, ks, temperature, metric)
    for k, outcome in zip(ks, together, strict=True):
        (alone,) = vote(x, y, queries, query_y, 7, [k], temperature, metric)
        np.testing.assert_array_equal(outcome.rank, alone.rank)
        np.testing.assert_array_equal(outcome.predicted, alone.predicted)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("k", [1, 5, 50])
def test_predictions_are_scikit_learn_s(
    k: int, temperature: float | None, metric: MetricName
) -> None:
    """Its cosine distance is 1 − similarity; its uniform vote gives ties to the lower class too."""
    x, y, queries, query_y = blobs(d=48)

    def weight(distance: Doubles) -> Doubles:
        assert temperature is not None
        similarity: Doubles = np.exp(
            ((1 - distance) if metric == "cosine" else -distance) / temperature
        )
        return similarity

    weights = "uniform" if temperature is None else weight
    peer = KNeighborsClassifier(k, metric=metric, algorithm="brute", weights=weights).fit(x, y)
    (outcome,) = vote(x, y, queries, query_y, 7, [k], temperature, metric)
    assert outcome.predicted.tolist() == peer.predict(queries).tolist()


def test_there_may_be_no_queries() -> None:
    x, y, _, _ = blobs()
    neighbours = search(x, x[:0], 5)
    assert neighbours.index.shape == (0, 5)
    outcomes = votes_per_k(neighbours, y, y[:0], 7, [1, 5], 0.07, no_counts)
    assert [len(outcome) for outcome in outcomes] == [0, 0]


def test_memory_of_votes_depends_on_neither_classes_nor_queries() -> None:
    """Votes of 2,000 queries on 100,000 classes would be 1.6 GB."""
    rng = np.random.default_rng(0)
    y, index = rng.integers(100_000, size=5000), rng.integers(5000, size=(2000, 100))
    similarity = -np.sort(-rng.random((2000, 100), np.float32), 1)
    for tied in (False, True):
        neighbours = Neighbours(similarity, index, np.full(index.shape, tied))
        neighbours.tied[:, -1] = False
        arguments = neighbours, y, y[:2000], 100_000, [1, 10, 100], 0.07, no_counts
        assert traced_mib(lambda arguments=arguments: votes_per_k(*arguments)) < 64


def traced_mib(call: Callable[[], object]) -> float:
    """Return the peak memory that numpy allocated during a call."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


@pytest.mark.parametrize("metric", METRICS)
def test_all_train_rows_can_vote(metric: MetricName) -> None:
    """At k = N every class has as many votes as train examples, whatever the query."""
    x, y, queries, query_y = blobs(n=40)
    (outcome,) = vote(x, y, queries, query_y, 7, [40], None, metric)
    assert set(outcome.predicted) == {np.bincount(y).argmax()}


def test_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, queries, query_y = blobs(q=100)
    x[50:] = x[50]  # so that the last places are shared
    (together,) = vote(x, y, queries, query_y, 7, [20], 0.07)
    for name in ("QUERIES_PER_CHUNK", "NEIGHBOURS_PER_CHUNK"):
        monkeypatch.setattr(f"bob.numerics.search.votes.{name}", 7)
    (chunked,) = vote(x, y, queries, query_y, 7, [20], 0.07)
    assert isinstance(chunked, ClassPredictions)
    np.testing.assert_array_equal(together.rank, chunked.rank)


def test_permuting_train_rows_and_renumbering_classes_changes_no_score() -> None:
    x, y, queries, query_y = blobs()
    order = np.random.default_rng(1).permutation(len(x))
    number = np.random.default_rng(2).permutation(7)
    (plain,) = vote(x, y, queries, query_y, 7, [20], 0.07)
    (other,) = vote(x[order], number[y[order]], queries, number[query_y], 7, [20], 0.07)
    np.testing.assert_array_equal(plain.rank, other.rank)


# --- tied train rows


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [7, 1000])
@pytest.mark.parametrize("kind", ["copies", "constant", "zeros and ones"])
def test_tied_rows_share_the_last_places(
    kind: str, classes: int, temperature: float | None, metric: MetricName
) -> None:
    x, y, queries, query_y = blobs(n=120, q=30, d=6, classes=classes)
    if kind == "copies":
        x[40:80] = x[80:] = x[:40]  # every place is shared by three rows, of any classes
    elif kind == "constant":
        x[:] = queries[:] = 1
    else:
        x, queries = (x > 0).astype(np.float32), (queries > 0).astype(np.float32)
    ks = [1, 5, 20, 100]
    for k, outcome in zip(
        ks, vote(x, y, queries, query_y, classes, ks, temperature, metric), strict=True
    ):
        expected = slow_votes(x, y, queries, k, temperature, classes, metric)
        best = np.take_along_axis(expected, outcome.predicted[:, None], 1)
        np.testing.assert_allclose(best[:, 0], expected.max(1), rtol=1e-5)
        places = [slow_rank(row, true) for row, true in zip(expected, query_y, strict=True)]
        if temperature is None:  # whole numbers and thirds: equal votes are exactly equal
            assert outcome.predicted.tolist() == expected.argmax(1).tolist()
            assert outcome.rank.tolist() == places


def test_shared_places_by_hand() -> None:
    """All four train rows are equal, of classes 2, 0, 1, 1. At k = 1, 2 and 3 each has 1/4, 2/4 and
    3/4 of a vote: class 1 has twice as many as 0 and 2, whatever the order of the rows.
    """
    x = np.ones((4, 2), np.float32)
    for y in (np.array([2, 0, 1, 1]), np.array([0, 1, 1, 2])):
        outcomes = vote(x, y, x[:1], np.array([2]), 3, [1, 2, 3, 4], None)
        assert [int(outcome.predicted[0]) for outcome in outcomes] == [1] * 4
        assert [int(outcome.rank[0]) for outcome in outcomes] == [2] * 4


def test_equal_features_predict_the_commonest_class_in_any_order_of_train() -> None:
    """As the prior does: 5 of 8 train rows are of class 1, and 3 of the class that comes first."""
    y, test_y = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([0, 1, 1])
    x = np.full((8, 3), 0.3, np.float32)
    for order in (np.arange(8), np.arange(8)[::-1]):
        result = solve(x, y[order], x[:3], test_y, held_out=order % 4 == 0, classes=2)
        assert all(part.outcome.predicted.tolist() == [1, 1, 1] for part in result.parts)
    assert result.detail["queries_tied_at_k"] == 1
    assert result.caveats == (
        "all 8 train features are equal: they say nothing about the images",
        "all 3 test features are equal: they say nothing about the images",
        "100 % of test images have more equally near train images than votes",
    )


def test_the_order_of_train_rows_changes_no_score_with_copies_of_other_classes() -> None:
    x, y, queries, query_y = blobs(n=200)
    x[100:] = x[:100]
    order, held_out = np.random.default_rng(1).permutation(200), np.arange(200) % 5 == 0
    for settings in (SETTINGS, EUCLIDEAN):
        plain = solve(x, y, queries, query_y, settings, held_out)
        other = solve(x[order], y[order], queries, query_y, settings, held_out[order])
        assert plain.detail == other.detail
        for part, same in zip(plain.parts, other.parts, strict=True):
            np.testing.assert_array_equal(part.outcome.rank, same.outcome.rank)


# --- the protocol


def test_k_is_clamped_to_the_train_examples() -> None:
    assert clamped([1, 5, 200], 7) == [1, 5, 7] and clamped([10, 20], 4) == [4]
    result = solve(*blobs(n=30))
    assert [part.suffix for part in result.parts] == ["", "k1", "k5", "k10", "k20", "k30"]


def test_a_single_k_is_not_chosen() -> None:
    """The result is the same whether no row is held out or all rows are."""
    x, y, queries, query_y = blobs()
    results = [
        solve(x, y, queries, query_y, EUCLIDEAN, np.full(300, held)) for held in (False, True)
    ]
    for result in results:
        assert result.detail == {"k": 5, "queries_tied_at_k": 0}
        assert [part.suffix for part in result.parts] == ["", "k5"]
        peer = KNeighborsClassifier(5, algorithm="brute").fit(x, y)
        assert result.outcome.predicted.tolist() == peer.predict(queries).tolist()
    settings = SETTINGS.model_copy(update={"k": (10, 20)})
    few = solve(x[:4], y[:4], queries, query_y, settings, np.zeros(4, bool))
    assert few.detail["k"] == 4


def test_the_choice_of_k_does_not_depend_on_test_data() -> None:
    x, y, queries, query_y = blobs(n=600)
    detail = solve(x, y, queries, query_y).detail
    assert solve(x, y, queries[::-1].copy(), np.roll(query_y, 1)).detail == detail
    curve = detail["held_out_curve"]
    assert curve[str(detail["k"])] == max(curve.values())


def test_held_out_queries_are_searched_among_the_other_train_rows() -> None:
    """Each held-out row has a twin among the others, of the same class, so that its nearest
    neighbour is always right; or of another class, so that it is always wrong: a row never votes
    for itself.
    """
    x, y, queries, query_y = blobs(n=200)
    twins, held_out = np.repeat(x, 2, axis=0), np.tile([True, False], 200)
    same = solve(twins, np.repeat(y, 2), queries, query_y, held_out=held_out)
    assert same.detail["held_out_curve"]["1"] == 1.0
    other_y = np.stack([y, (y + 1) % 7], 1).ravel()
    other = solve(twins, other_y, queries, query_y, held_out=held_out)
    assert other.detail["held_out_curve"]["1"] == 0.0


def test_held_out_queries_are_limited() -> None:
    settings = SETTINGS.model_copy(update={"max_queries": 10})
    assert solve(*blobs(n=300), settings).detail["held_out_queries"] == 10


def test_scaling_and_rotating_features_changes_no_cosine() -> None:
    x, y, queries, query_y = blobs()
    turn = rotation(16)
    plain = solve(x, y, queries, query_y).outcome
    turned = solve(
        (100 * x @ turn).astype(np.float32), y, (7 * queries @ turn).astype(np.float32), query_y
    ).outcome
    np.testing.assert_array_equal(plain.predicted, turned.predicted)


def test_moving_and_rotating_features_changes_no_distance() -> None:
    x, y, queries, query_y = blobs()
    moved_x, moved_queries = (
        (3 * rows @ rotation(16) + 5).astype(np.float32) for rows in (x, queries)
    )
    plain = solve(x, y, queries, query_y, EUCLIDEAN).outcome
    moved = solve(moved_x, y, moved_queries, query_y, EUCLIDEAN).outcome
    np.testing.assert_array_equal(plain.predicted, moved.predicted)


def test_perfect_features_score_1_and_useless_ones_chance() -> None:
    rng, eye = np.random.default_rng(0), np.eye(4, dtype=np.float32)
    y, query_y = rng.integers(4, size=400), rng.integers(4, size=2000)
    perfect = solve(eye[y], y, eye[query_y], query_y, classes=4)
    assert (perfect.outcome.rank == 0).all()
    noise, query_noise = (rng.normal(size=(n, 8)).astype(np.float32) for n in (400, 2000))
    useless = solve(noise, y, query_noise, query_y, classes=4)
    assert (useless.outcome.rank == 0).mean() == pytest.approx(
        0.25, abs=3 * (0.25 * 0.75 / 2000) ** 0.5 + 0.02
    )


def test_a_zero_row_has_similarities_and_votes() -> None:
    x, y, queries, query_y = blobs()
    x[3] = 0
    queries[0] = 0
    assert np.isfinite(search(x, queries, 10).similarity).all()
    assert solve(x, y, queries, query_y).outcome.rank.max() <= 7


# --- settings


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
        ({"held_out": None}, "'held_out' is missing: with several k, the one that ranks is chosen"),
        ({"k": [5]}, r"'held_out' belongs to several k; got 0.2 with k \[5\]"),
    ],
)
def test_inconsistent_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^mine.yaml: settings: {message}"):
        build(KnnSettings, {**SETTINGS.model_dump(), **changes}, "mine.yaml: settings")


def test_the_shipped_tasks_are_those_of_the_papers() -> None:
    dino, corley = (
        build(KnnSettings, read_yaml(shipped("tasks") / f"{name}.yaml")["settings"], name)
        for name in ("knn", "knn_euclidean")
    )
    assert (dino.metric, dino.vote, dino.temperature) == ("cosine", "weighted", 0.07)
    assert {10, 20, 100, 200} <= set(dino.k)
    assert (corley.metric, corley.vote) == ("euclidean", "majority")
    assert (corley.temperature, corley.k) == (None, (5,))
