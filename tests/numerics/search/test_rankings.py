"""Rankings: against a full argsort, ties, chunks, what is left out, cut-off rankings; whitening against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from bob.errors import NotApplicableError
from bob.numerics.search import gallery as galleries
from bob.numerics.search import ranks as counting
from bob.numerics.search.gallery import Exact, Gallery, Rough
from bob.numerics.search.ranks import ranks
from bob.protocols import ranking
from bob.protocols.ranking import Found, rankings, retrieved, shortlist, shortlists
from bob.protocols.relevance import Judged, Labelled, codes, judged
from bob.protocols.whitening import fit_whitening

CASES = [
    (seed, q, g, labels)
    for seed, (q, g, labels) in enumerate(
        [(1, 2, 1), (5, 7, 2), (40, 60, 5), (33, 200, 40), (64, 300, 3)]
    )
]


def drawn(
    seed: int, q: int, g: int, labels: int, width: int = 6
) -> tuple[np.ndarray, np.ndarray, Labelled]:
    """Features with a few equal rows, labels, image contents with copies, groups."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.normal(size=(n, width)).astype(np.float32) for n in (q, g))
    gallery[g // 2 :: 7] = gallery[0]
    label, image, group = (
        ((rng.integers(most, size=q)), rng.integers(most, size=g))
        for most in (labels, 3 * g, max(2, g // 3))
    )
    return queries, gallery, Labelled(label, image, group)


def slow_ranks(
    queries: np.ndarray, gallery: np.ndarray, relevance: Labelled | Judged, metric: str
) -> list[tuple[list[int], int]]:
    """For each query, the ranks of its positives among what is not left out, and how many positives there are; by plain lists."""
    a, b = queries.astype(np.float64), gallery.astype(np.float64)
    if metric == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        far = -(a @ b.T)
    else:
        far = ((a[:, None] - b) ** 2).sum(2)
    positive, left_out = relevance.of(np.arange(len(queries)))
    answers = []
    for i in range(len(queries)):
        order = [
            j for j in np.argsort(far[i].astype(np.float32), kind="stable") if not left_out[i, j]
        ]
        answers.append(
            ([rank for rank, j in enumerate(order) if positive[i, j]], int(positive[i].sum()))
        )
    return answers


def by_query(found: list[Found]) -> list[tuple[list[int], int]]:
    return [
        (part.rank[part.row == i].tolist(), int(n))
        for part in found
        for i, n in enumerate(part.positives)
    ]


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_ranks_against_a_full_argsort(seed: int, q: int, g: int, labels: int, metric: str) -> None:
    queries, gallery, relevance = drawn(seed, q, g, labels)
    assert by_query(rankings(queries, gallery, {"": relevance}, metric)[""]) == slow_ranks(
        queries, gallery, relevance, metric
    )


def test_chunks_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery, relevance = drawn(9, 50, 120, 6)
    whole = by_query(rankings(queries, gallery, {"": relevance}, "cosine")[""])
    for name, value in (("QUERIES", 7), ("SORTED_CELLS", 250)):
        monkeypatch.setattr(ranking, name, value)
    for name, value in (("EXACT_BYTES", 8 * 6 * 11), ("ROUGH_ROWS", 17)):
        monkeypatch.setattr(galleries, name, value)
    assert by_query(rankings(queries, gallery, {"": relevance}, "cosine")[""]) == whole


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_cut_off_rankings_are_the_first_places_of_whole_ones(
    seed: int, q: int, g: int, labels: int, metric: str
) -> None:
    queries, gallery, relevance = drawn(seed, q, g, labels)
    whole = by_query(rankings(queries, gallery, {"": relevance}, metric)[""])
    cut = by_query(shortlists(queries, gallery, {"": relevance}, metric, depth=5)[""])
    assert cut == [([rank for rank in ranks if rank < 5], n) for ranks, n in whole]


def confusing(seed: int, n: int, width: int, metric: str) -> np.ndarray:
    """Rows of which many differ by a few units in the last place of float32, and some by nothing; their mean is far from 0 for distances."""
    rng = np.random.default_rng(seed)
    few = rng.normal(size=(8, width)) + (3 if metric == "euclidean" else 0)
    rows = few[rng.integers(8, size=n)] * (1 + 1e-7 * rng.integers(-3, 4, size=(n, width)))
    rows[: n // 4] = rng.normal(size=(n // 4, width))
    return rows.astype(np.float32)


def in_float64(
    queries: np.ndarray, gallery: np.ndarray, relevance: Labelled | Judged, metric: str
) -> list[tuple[list[int], int]]:
    """By the distances that decide and numpy's stable argsort."""
    far = Gallery(gallery, metric, "cpu").exact(queries).far.numpy()
    positive, left_out = relevance.of(np.arange(len(queries)))
    orders = [
        [j for j in np.argsort(row, kind="stable") if not gone[j]]
        for row, gone in zip(far, left_out, strict=True)
    ]
    return [
        ([rank for rank, j in enumerate(order) if hit[j]], int(hit.sum()))
        for order, hit in zip(orders, positive, strict=True)
    ]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("seed", "n", "width", "labels"), [(0, 300, 64, 4), (1, 240, 200, 30), (2, 200, 3, 2)]
)
def test_what_float32_confuses_is_settled_as_in_float64(
    seed: int, n: int, width: int, labels: int, metric: str
) -> None:
    """Near ties and duplicates on both sides of positives. Left to float32 alone, a third of the ranks of the first case would be others."""
    rows = confusing(seed, n, width, metric)
    label = np.random.default_rng(seed).integers(labels, size=n)
    relevance = Labelled((label, label), (np.arange(n), np.arange(n)))
    expected = in_float64(rows, rows, relevance, metric)
    assert by_query(rankings(rows, rows, {"": relevance}, metric)[""]) == expected
    rough = Rough(Gallery(rows, metric, "cpu"), rows, torch.empty(n, n))
    rough.__class__ = type(
        "Unlimited", (Rough,), {"budget": None}
    )  # settles everything one by one, however much it is
    row, rank = ranks(rough, *relevance.of(np.arange(n))) or ([], [])
    assert [rank[row == i].tolist() for i in range(n)] == [places for places, _ in expected]
    trusting = ranks(Exact(rough.far), *relevance.of(np.arange(n))) or ([], [])
    assert seed == 2 or not np.array_equal(trusting[1], rank)


def test_an_error_beyond_what_was_reckoned_with_is_noticed() -> None:
    """float32 distances of which one in ten is off by many times what the others are, and a factor measured without them."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(2000, 16)).astype(np.float32)
    label = rng.integers(20, size=2000)
    relevance = Labelled((label[:200], label))
    gallery = Gallery(rows, "cosine", "cpu")
    expected = in_float64(rows[:200], rows, relevance, "cosine")
    rough = Rough(gallery, rows[:200], torch.empty(200, 2000))
    wrong = torch.from_numpy(rng.random((200, 2000)) < 0.1)
    rough.far += wrong * torch.from_numpy(rng.uniform(-2e-6, 2e-6, (200, 2000)).astype(np.float32))
    before = rough.factor
    row, rank = ranking._trusted(rough, slice(0, 200), *relevance.of(np.arange(200))) or ([], [])
    assert rough.factor > 8 * before
    assert [rank[row == i].tolist() for i in range(200)] == [places for places, _ in expected]


def test_lengths_that_float32_cannot_square_are_left_to_float64() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(60, 5)) * 10.0 ** rng.integers(-25, 20, size=(60, 1))).astype(
        np.float32
    )
    label = rng.integers(4, size=60)
    relevance = Labelled((label, label))
    assert not Gallery(rows, "cosine", "cpu").safe
    assert by_query(rankings(rows, rows, {"": relevance}, "cosine")[""]) == slow_ranks(
        rows, rows, relevance, "cosine"
    )


def test_what_stands_in_for_the_accelerator_finds_the_same() -> None:
    """Positions of wanted values, signed zeros and equal values among them, taken ones apart."""
    far = torch.tensor([0.5, -0.0, 0.5, 0.0, -1.0, 0.5, 2.0]).add_(0.0)
    taken = torch.tensor([True, False, False, False, False, False, False])
    wanted = np.array([0.0, 0.5], np.float32)
    assert counting._members_on_cpu(far.numpy(), taken.numpy(), wanted).tolist() == [1, 2, 3, 5]
    assert counting._members_on_device(far, taken, wanted).tolist() == [1, 2, 3, 5]


def test_equal_features_are_ranked_by_position() -> None:
    """A backbone that tells nothing apart has the ranking 0, 1, 2, ...: here the positives come at 1 and 3 for query 0."""
    same = np.ones((4, 3), np.float32)
    label = np.array([0, 0, 1, 0])
    relevance = Labelled((label, label), (np.arange(4), np.arange(4)))
    for metric in ("cosine", "euclidean"):
        found = by_query(rankings(same, same, {"": relevance}, metric)[""])
        assert found == [
            ([0, 2], 2),
            ([0, 2], 2),
            ([], 0),
            ([0, 1], 2),
        ]  # the query itself is left out


def test_zero_rows_are_similar_to_nothing() -> None:
    gallery = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    relevance = Labelled((np.array([0]), np.array([0, 1, 1])))
    assert by_query(
        rankings(np.array([[2, 0]], np.float32), gallery, {"": relevance}, "cosine")[""]
    ) == [([1], 1)]


def test_copies_and_groups_are_left_out_by_hand() -> None:
    """Query 0 (content x, group g): its copy (1), a group mate (2) of its label, a positive (3), a miss (4)."""
    image, group = codes(["x"], ["x", "x", "y", "z", "w"]), codes(["g"], ["g", "g", "g", "h", "h"])
    label = (np.array([7]), np.array([7, 7, 7, 7, 8]))
    rows = np.array([0])
    for groups, expected in ((None, [2, 3]), (group, [3])):
        positive, left_out = Labelled(label, image, groups).of(rows)
        assert np.flatnonzero(positive[0]).tolist() == expected
        assert np.flatnonzero(left_out[0]).tolist() == ([0, 1] if groups is None else [0, 1, 2])


def test_difficulties_of_the_revisited_sets() -> None:
    """Easy leaves out hard positives and junk; hard leaves out easy ones and junk; medium has both as positives."""
    relevances = judged({"easy": [[0]], "hard": [[1, 2]], "junk": [[3]]}, gallery=6)
    assert list(relevances) == ["medium", "easy", "hard"]
    found = {
        name: [np.flatnonzero(mask[0]).tolist() for mask in relevance.of(np.array([0]))]
        for name, relevance in relevances.items()
    }
    assert found == {"medium": [[0, 1, 2], [3]], "easy": [[0], [1, 2, 3]], "hard": [[1, 2], [0, 3]]}
    (plain,) = judged({"positive": [[4], []]}, gallery=6).values()
    assert [mask.sum(1).tolist() for mask in plain.of(np.array([0, 1]))] == [[1, 0], [0, 0]]


def test_an_item_cannot_be_positive_and_junk() -> None:
    with pytest.raises(
        ValueError, match="query 1: a gallery item is judged both positive and junk"
    ):
        Judged([[0], [1]], [[1], [1, 2]], 3).of(np.array([0, 1]))


def test_relevance_is_asked_once_per_ranking() -> None:
    """Several ideas of relevance share one ranking: medium's positives are those of easy and of hard."""
    queries, gallery, _ = drawn(2, 8, 30, 3)
    rng = np.random.default_rng(0)
    lists = [rng.permutation(30)[:9] for _ in range(8)]
    relevances = judged(
        {
            "easy": [row[:3] for row in lists],
            "hard": [row[3:6] for row in lists],
            "junk": [row[6:] for row in lists],
        },
        30,
    )
    found = rankings(queries, gallery, relevances, "cosine")
    assert {
        name: [len(ranks) for ranks, _ in by_query(parts)] for name, parts in found.items()
    } == {
        "medium": [6] * 8,
        "easy": [3] * 8,
        "hard": [3] * 8,
    }
    for name, relevance in relevances.items():
        assert by_query(found[name]) == slow_ranks(queries, gallery, relevance, "cosine")


def test_queries_without_positives_are_not_in_the_outcome() -> None:
    found = [
        Found(np.array([4, 5, 6]), np.array([2, 0, 1]), np.array([0, 0, 2]), np.array([0, 3, 2]))
    ]
    assert retrieved(found).query.tolist() == [4, 6]
    assert retrieved(found).first.tolist() == [0, 2]
    assert len(shortlist(found, 2, whole=True)) == 2


@pytest.mark.parametrize(("n", "d", "kept"), [(200, 8, 8), (200, 8, 3), (5, 8, 8)])
def test_whitening_is_scikit_learns_up_to_signs(n: int, d: int, kept: int) -> None:
    rng = np.random.default_rng(n + d)
    x = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10).astype(np.float32)
    ours = fit_whitening(x, kept)
    reached = ours.projection.shape[1]
    assert reached == min(kept, n - 1)
    theirs = PCA(reached, whiten=True, svd_solver="full").fit(x.astype(np.float64)).transform(x)
    assert np.abs(ours.apply(x)) == pytest.approx(np.abs(theirs), abs=2e-3)


def test_whitening_needs_rows_that_differ() -> None:
    with pytest.raises(NotApplicableError, match="the 4 rows here are all alike"):
        fit_whitening(np.ones((4, 3), np.float32), 2)
