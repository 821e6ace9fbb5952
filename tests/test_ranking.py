"""Rankings: against a full argsort, ties, chunks, what is left out, cut-off rankings; whitening against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from bob.errors import NotApplicableError
from bob.protocols import ranking
from bob.protocols.ranking import Found, ascending_on_cpu, ascending_on_device, rankings, retrieved, shortlist, shortlists
from bob.protocols.relevance import Judged, Labelled, codes, judged
from bob.protocols.whitening import fit_whitening

CASES = [(seed, q, g, labels) for seed, (q, g, labels) in enumerate([(1, 2, 1), (5, 7, 2), (40, 60, 5), (33, 200, 40), (64, 300, 3)])]


def drawn(seed: int, q: int, g: int, labels: int, width: int = 6) -> tuple[np.ndarray, np.ndarray, Labelled]:
    """Features with a few equal rows, labels, image contents with copies, groups."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.normal(size=(n, width)).astype(np.float32) for n in (q, g))
    gallery[g // 2 :: 7] = gallery[0]
    label, image, group = (((rng.integers(most, size=q)), rng.integers(most, size=g)) for most in (labels, 3 * g, max(2, g // 3)))
    return queries, gallery, Labelled(label, image, group)


def slow_ranks(queries: np.ndarray, gallery: np.ndarray, relevance: Labelled | Judged, metric: str) -> list[tuple[list[int], int]]:
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
        order = [j for j in np.argsort(far[i].astype(np.float32), kind="stable") if not left_out[i, j]]
        answers.append(([rank for rank, j in enumerate(order) if positive[i, j]], int(positive[i].sum())))
    return answers


def by_query(found: list[Found]) -> list[tuple[list[int], int]]:
    return [(part.rank[part.row == i].tolist(), int(n)) for part in found for i, n in enumerate(part.positives)]


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_ranks_against_a_full_argsort(seed: int, q: int, g: int, labels: int, metric: str) -> None:
    queries, gallery, relevance = drawn(seed, q, g, labels)
    assert by_query(rankings(queries, gallery, {"": relevance}, metric)[""]) == slow_ranks(queries, gallery, relevance, metric)


def test_chunks_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery, relevance = drawn(9, 50, 120, 6)
    whole = by_query(rankings(queries, gallery, {"": relevance}, "cosine")[""])
    for name, value in (("CELLS", 1000), ("SORTED_CELLS", 250), ("BLOCK_BYTES", 8 * 6 * 11)):
        monkeypatch.setattr(ranking, name, value)
    assert by_query(rankings(queries, gallery, {"": relevance}, "cosine")[""]) == whole


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_cut_off_rankings_are_the_first_places_of_whole_ones(seed: int, q: int, g: int, labels: int, metric: str) -> None:
    queries, gallery, relevance = drawn(seed, q, g, labels)
    whole = by_query(rankings(queries, gallery, {"": relevance}, metric)[""])
    cut = by_query(shortlists(queries, gallery, {"": relevance}, metric, depth=5)[""])
    assert cut == [([rank for rank in ranks if rank < 5], n) for ranks, n in whole]


def test_equal_similarities_go_to_the_lower_position_whatever_the_library() -> None:
    far = torch.tensor([[0.5, -0.0, 0.5, 0.0, -1.0, 0.5]]).add_(0.0)
    expected = [[4, 1, 3, 0, 2, 5]]
    assert ascending_on_cpu(far).tolist() == ascending_on_device(far).tolist() == expected
    rng = np.random.default_rng(0)
    many = torch.from_numpy(rng.integers(-4, 5, (20, 500)).astype(np.float32) * np.float32(1e-3))
    assert np.array_equal(ascending_on_cpu(many), ascending_on_device(many).numpy())


def test_ranks_read_on_a_device_are_those_read_by_numpy() -> None:
    _, gallery, relevance = drawn(3, 30, 80, 4)
    far = torch.from_numpy(np.random.default_rng(1).normal(size=(30, len(gallery))).astype(np.float32))
    rows = np.arange(30)
    both = [ranking._found(order, rows, *relevance.of(rows)) for order in (ascending_on_cpu(far), ascending_on_device(far))]
    assert by_query(both[:1]) == by_query(both[1:])


def test_equal_features_are_ranked_by_position() -> None:
    """A backbone that tells nothing apart has the ranking 0, 1, 2, ...: here the positives come at 1 and 3 for query 0."""
    same = np.ones((4, 3), np.float32)
    label = np.array([0, 0, 1, 0])
    relevance = Labelled((label, label), (np.arange(4), np.arange(4)))
    for metric in ("cosine", "euclidean"):
        ranks = by_query(rankings(same, same, {"": relevance}, metric)[""])
        assert ranks == [([0, 2], 2), ([0, 2], 2), ([], 0), ([0, 1], 2)]  # the query itself is left out


def test_zero_rows_are_similar_to_nothing() -> None:
    gallery = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    relevance = Labelled((np.array([0]), np.array([0, 1, 1])))
    assert by_query(rankings(np.array([[2, 0]], np.float32), gallery, {"": relevance}, "cosine")[""]) == [([1], 1)]


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
    found = {name: [np.flatnonzero(mask[0]).tolist() for mask in relevance.of(np.array([0]))] for name, relevance in relevances.items()}
    assert found == {"medium": [[0, 1, 2], [3]], "easy": [[0], [1, 2, 3]], "hard": [[1, 2], [0, 3]]}
    (plain,) = judged({"positive": [[4], []]}, gallery=6).values()
    assert [mask.sum(1).tolist() for mask in plain.of(np.array([0, 1]))] == [[1, 0], [0, 0]]


def test_an_item_cannot_be_positive_and_junk() -> None:
    with pytest.raises(ValueError, match="query 1: a gallery item is judged both positive and junk"):
        Judged([[0], [1]], [[1], [1, 2]], 3).of(np.array([0, 1]))


def test_relevance_is_asked_once_per_ranking() -> None:
    """Several ideas of relevance share one ranking: medium's positives are those of easy and of hard."""
    queries, gallery, _ = drawn(2, 8, 30, 3)
    rng = np.random.default_rng(0)
    lists = [rng.permutation(30)[:9] for _ in range(8)]
    relevances = judged({"easy": [row[:3] for row in lists], "hard": [row[3:6] for row in lists], "junk": [row[6:] for row in lists]}, 30)
    found = rankings(queries, gallery, relevances, "cosine")
    assert {name: [len(ranks) for ranks, _ in by_query(parts)] for name, parts in found.items()} == {
        "medium": [6] * 8,
        "easy": [3] * 8,
        "hard": [3] * 8,
    }
    for name, relevance in relevances.items():
        assert by_query(found[name]) == slow_ranks(queries, gallery, relevance, "cosine")


def test_queries_without_positives_are_not_in_the_outcome() -> None:
    found = [Found(np.array([4, 5, 6]), np.array([2, 0, 1]), np.array([0, 0, 2]), np.array([0, 3, 2]))]
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
