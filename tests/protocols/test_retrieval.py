"""Retrieval: rankings by hand, against torchmetrics and pytorch-metric-learning, laws, and what is
excluded from a ranking.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import average_precision_score
from torchmetrics.functional import retrieval as tm

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.metrics import METRICS, metric_named
from bob.metrics.retrieval import mean_ap_trapezoid, precision_until
from bob.numerics.arrays import Floats, Ints
from bob.numerics.search.relevance import Labelled, judged
from bob.numerics.search.similarity import MetricName
from bob.outcomes import RetrievalResults, TopKResults
from bob.protocols.protocol import Result
from bob.protocols.retrieval import PROTOCOL, RetrievalProblem, RetrievalSettings
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

SHAPES = [(3, 2, 1), (10, 12, 2), (50, 60, 5), (80, 200, 30), (120, 121, 60)]
CASES = [(seed, *shape) for seed, shape in enumerate(SHAPES)]
COSINE = RetrievalSettings(metric="cosine", label="class", k=(1, 3, 10))


def solve(problem: RetrievalProblem, **changes: Any) -> Result:
    return PROTOCOL.solve(problem, COSINE.model_copy(update=changes), "cpu")


def make_problem(seed: int, q: int, g: int, labels: int) -> tuple[RetrievalProblem, Ints, Ints]:
    """Return a problem of Gaussian classes, and the labels of its queries and gallery."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels, 8))
    y, gallery_y = rng.integers(labels, size=q), rng.integers(labels, size=g)
    queries, gallery = (
        (rng.normal(size=(len(label), 8)) + centres[label]).astype(np.float32)
        for label in (y, gallery_y)
    )
    return RetrievalProblem(queries, gallery, {"": Labelled((y, gallery_y))}), y, gallery_y


def leave_one_out(x: Floats, y: Ints, train: Floats | None = None) -> RetrievalProblem:
    """Return the problem in which each row queries all others."""
    rows = np.arange(len(x))
    return RetrievalProblem(x, x, {"": Labelled((y, y), (rows, rows))}, train)


def values(result: Result, k: int | None = None) -> dict[str, float]:
    """Return every metric of the headline, or of the first k places."""
    part = next(part for part in result.parts if part.facets.get("k") == k)
    return {
        name: metric.function(part.outcome)
        for name, metric in METRICS.items()
        if metric.outcome is type(part.outcome)
    }


# --- by hand


def test_the_revisited_rules_by_hand() -> None:
    """One query has the gallery, by similarity: hard easy junk hard miss easy.

    Medium: H E H m E without the junk, with the 4 positives at 0, 1, 2, 4. Easy: without the hard
    ones too, E m E, with the 2 positives at 0, 2. Hard: without the easy ones, H H m, with the 2
    positives at 0, 1. Counting the easy ones as misses instead would give H m m H, and an AP of
    less than 1.
    """
    angles = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    gallery = np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)
    judgements = {"easy": [[1, 5]], "hard": [[0, 3]], "junk": [[2]]}
    query = np.array([[1, 0]], np.float32)
    result = solve(RetrievalProblem(query, gallery, judged(judgements, 6)))
    full = {
        str(part.facets.get("difficulty", "medium")): part.outcome
        for part in result.parts
        if isinstance(part.outcome, RetrievalResults)
    }
    medium = (1 + 1 + 1 + (3 / 4 + 4 / 5) / 2) / 4
    assert mean_ap_trapezoid(full["medium"]) == pytest.approx(medium)
    assert mean_ap_trapezoid(full["easy"]) == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert mean_ap_trapezoid(full["hard"]) == 1.0
    first_10 = {
        part.suffix: precision_until(part.outcome)
        for part in result.parts
        if part.facets.get("k") == 10 and isinstance(part.outcome, TopKResults)
    }
    # k is cut to the rank of the last positive
    assert first_10 == pytest.approx({"k10": 4 / 5, "easy_k10": 2 / 3, "hard_k10": 1.0})
    assert result.detail["queries_without_positives"] == {"medium": 0, "easy": 0, "hard": 0}


# --- against other libraries


@pytest.mark.parametrize(("seed", "q", "g", "labels"), CASES)
def test_metrics_agree_with_torchmetrics(seed: int, q: int, g: int, labels: int) -> None:
    problem, y, gallery_y = make_problem(seed, q, g, labels)
    result = solve(problem)
    a, b = (
        rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        for rows in (problem.queries, problem.gallery)
    )
    # torchmetrics ignores items whose score is not above 0
    scores, targets = torch.from_numpy(a @ b.T + 2), torch.from_numpy(y[:, None] == gallery_y)
    pairs = [(score, target) for score, target in zip(scores, targets, strict=True) if target.any()]

    def mean(function: Callable[..., torch.Tensor], **options: int) -> float:
        return float(
            np.mean([function(score, target, **options).item() for score, target in pairs])
        )

    full = values(result)
    expected = (
        mean(tm.retrieval_average_precision),
        mean(tm.retrieval_reciprocal_rank),
        mean(tm.retrieval_r_precision),
    )
    ours = full["mean_ap"], full["mrr"], full["r_precision"]
    assert ours == pytest.approx(expected, abs=1e-6)
    sklearn_ap = np.mean([average_precision_score(target, score) for score, target in pairs])
    assert full["mean_ap"] == pytest.approx(sklearn_ap, abs=1e-9)
    for k in COSINE.k:
        at = values(result, k)
        peers = tm.retrieval_hit_rate, tm.retrieval_precision, tm.retrieval_recall
        names = "hit_at", "precision_at", "recall_at"
        assert [at[name] for name in names] == pytest.approx(
            [mean(peer, top_k=k) for peer in peers], abs=1e-6
        )
        # torchmetrics divides by the hits among the first k, we by min(R, k)
        cut = []
        for score, target in pairs:
            hits = int(target[score.argsort(descending=True)[:k]].sum())
            ap = tm.retrieval_average_precision(score, target, top_k=k).item()
            cut.append(ap * hits / min(int(target.sum()), k))
        assert at["mean_ap_at"] == pytest.approx(np.mean(cut), abs=1e-6)


@pytest.mark.parametrize(("seed", "n", "labels"), [(0, 40, 4), (1, 90, 30), (2, 64, 2)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_leave_one_out_agrees_with_pytorch_metric_learning(seed: int, n: int, labels: int) -> None:
    problem, y, _ = make_problem(seed, n, n, labels)
    ours = values(solve(leave_one_out(problem.queries, y), metric="euclidean"))
    names = {
        "map_at_r": "mean_average_precision_at_r",
        "r_precision": "r_precision",
        "mean_ap": "mean_average_precision",
        "mrr": "mean_reciprocal_rank",
    }
    calculator = AccuracyCalculator(
        include=tuple(names.values()), k=n - 1, device=torch.device("cpu")
    )
    x, label = torch.from_numpy(problem.queries), torch.from_numpy(y)
    theirs = calculator.get_accuracy(x, label, x, label, True)
    for name, peer in names.items():
        assert ours[name] == pytest.approx(theirs[peer], abs=1e-6)


# --- laws


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_perfect_features_score_1_and_useless_ones_chance(metric: MetricName) -> None:
    y = np.repeat(np.arange(20), 10)
    perfect = solve(leave_one_out(np.eye(20, dtype=np.float32)[y], y), metric=metric)
    assert set(values(perfect).values()) == {1.0}
    assert values(perfect, 3)["hit_at"] == values(perfect, 3)["precision_at"] == 1.0
    noise = np.random.default_rng(0).normal(size=(200, 50)).astype(np.float32)
    useless = values(solve(leave_one_out(noise, y), metric=metric))
    # chance is the share of positives among the others
    assert useless["r_precision"] == pytest.approx(9 / 199, abs=0.015)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_rotating_features_changes_nothing(metric: MetricName) -> None:
    problem, _, _ = make_problem(5, 60, 80, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    queries, gallery = (
        (rows @ rotation).astype(np.float32) for rows in (problem.queries, problem.gallery)
    )
    turned = RetrievalProblem(queries, gallery, problem.relevances)
    expected = values(solve(problem, metric=metric))
    assert values(solve(turned, metric=metric)) == pytest.approx(expected, abs=1e-12)


def test_permuting_queries_and_renumbering_classes_changes_nothing() -> None:
    problem, y, gallery_y = make_problem(6, 40, 70, 5)
    order = np.random.default_rng(2).permutation(40)
    number = np.random.default_rng(3).permutation(5)
    relevance = Labelled((number[y[order]], number[gallery_y]))
    other = RetrievalProblem(problem.queries[order], problem.gallery, {"": relevance})
    assert values(solve(other)) == pytest.approx(values(solve(problem)), abs=1e-12)


METRIC_NAMES: tuple[MetricName, ...] = ("cosine", "euclidean")


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_equal_features_score_chance_whatever_the_order_of_the_gallery(metric: MetricName) -> None:
    """A dead backbone: 90 images in three classes of 50, 30 and 10, in the order of the classes. Of
    the 89 others, 49, 29 or 9 are positive, and so is that share of any first places.
    """
    y = np.repeat([0, 1, 2], [50, 30, 10])
    share = np.array([49, 29, 9])[y] / 89
    for order in (np.arange(90), np.random.default_rng(0).permutation(90)):
        result = solve(leave_one_out(np.full((90, 4), 0.7, np.float32), y[order]), metric=metric)
        scores = values(result)
        assert scores["r_precision"] == pytest.approx(share.mean())
        for k in (1, 3, 10):
            assert values(result, k)["precision_at"] == pytest.approx(share.mean())
            assert values(result, k)["recall_at"] == pytest.approx(k / 89)
        assert values(result, 1)["hit_at"] == pytest.approx(share.mean())
        # the chance that none of three others is positive
        none = [comb(89 - p, 3) / comb(89, 3) for p in (49, 29, 9)]
        assert values(result, 3)["hit_at"] == pytest.approx(1 - np.array(none)[y].mean())
        # E(AP) by hand: place j holds a positive with share s, and then 1 + (j - 1) t of the first
        # j places are positive, t being the share among the 88 others
        j = np.arange(1, 90)
        ap = [(p / 89 / p * (1 + (j - 1) * (p - 1) / 88) / j).sum() for p in (49, 29, 9)]
        assert scores["mean_ap"] == pytest.approx(np.array(ap)[y].mean())
        assert result.detail["tied_positives"] == 1
        queries, gallery, tied = result.caveats
        assert queries == "all 90 query features are equal: they say nothing about the images"
        assert gallery == "all 90 gallery features are equal: they say nothing about the images"
        assert "100 % of the positives are as similar to their query" in tied


@pytest.mark.parametrize("depth", [None, 12])
@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_the_order_of_the_gallery_changes_nothing(metric: MetricName, depth: int | None) -> None:
    """Each row occurs four times, with labels of its own, so that every place is shared."""
    problem, y, gallery_y = make_problem(3, 40, 100, 4)
    gallery = np.tile(problem.gallery[:25], (4, 1))
    order = np.random.default_rng(2).permutation(100)
    plain = solve(
        RetrievalProblem(problem.queries, gallery, {"": Labelled((y, gallery_y))}),
        metric=metric,
        depth=depth,
    )
    permuted = solve(
        RetrievalProblem(problem.queries, gallery[order], {"": Labelled((y, gallery_y[order]))}),
        metric=metric,
        depth=depth,
    )
    assert len(plain.parts) == len(permuted.parts)
    for part, other in zip(plain.parts, permuted.parts, strict=True):
        for name, array in part.outcome.to_arrays().items():
            np.testing.assert_allclose(other.outcome.to_arrays()[name], array, rtol=1e-12)
    if depth is not None:
        full = solve(
            RetrievalProblem(problem.queries, gallery, {"": Labelled((y, gallery_y))}),
            metric=metric,
        )
        by_k = {part.facets.get("k"): part.outcome for part in full.parts}
        for part in plain.parts[1:]:
            for name in ("positives", "hits", "found", "ap"):
                expected = getattr(by_k[part.facets["k"]], name)
                np.testing.assert_allclose(getattr(part.outcome, name), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_features_of_any_scale_have_the_same_scores(metric: MetricName) -> None:
    problem, _, _ = make_problem(5, 60, 80, 6)
    expected = values(solve(problem, metric=metric))
    for exponent in (-110, -40, -3, 7, 40, 110):
        queries, gallery = (np.ldexp(x, exponent) for x in (problem.queries, problem.gallery))
        scaled = RetrievalProblem(queries, gallery, problem.relevances)
        assert values(solve(scaled, metric=metric)) == expected
    for factor in (1e-10, 1e25):
        queries, gallery = (x * np.float32(factor) for x in (problem.queries, problem.gallery))
        scaled = RetrievalProblem(queries, gallery, problem.relevances)
        assert values(solve(scaled, metric=metric)) == pytest.approx(expected)


def test_whitening_recovers_what_a_direction_of_large_variance_hides() -> None:
    """Two classes differ in one direction; another, a hundred times as large, is noise. Whitening
    makes both equally large.
    """
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    noise, signal = rng.normal(size=300) * 100, (2 * y - 1) + 0.2 * rng.normal(size=300)
    x = np.stack([noise, signal], 1).astype(np.float32)
    plain, whitened = (
        solve(leave_one_out(x, y, train=x), whiten=whiten, metric="euclidean")
        for whiten in (None, 2)
    )
    assert values(plain)["mean_ap"] < 0.6 < 0.75 < values(whitened)["mean_ap"]
    assert whitened.detail["whitened_dimensions"] == 2


def test_a_depth_gives_the_first_places_of_full_rankings() -> None:
    problem, _, _ = make_problem(7, 50, 90, 8)
    full, cut = solve(problem), solve(problem, k=(1, 3), depth=10)
    for k in (1, 3, 10):
        expected = values(full, k)
        del expected["precision_until"]  # needs full rankings
        part = next(part for part in cut.parts if part.facets["k"] == k)
        assert {name: metric_named(name).function(part.outcome) for name in expected} == expected
    headline = cut.parts[0]
    assert headline.suffix == ""
    assert isinstance(headline.outcome, TopKResults) and headline.outcome.k == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": (5, 1)}, "k must ascend"),
        ({"k": (1, 10), "depth": 10}, "every k must be below 'depth'"),
        ({"label": "group"}, "label 'group' needs exclude_groups: false"),
    ],
)
def test_inconsistent_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalSettings(**{"metric": "cosine", "label": "class", **changes})


# --- from a dataset to a problem


@dataclass(frozen=True)
class Retrieved:
    """The needs of a dataset, and the values of full rankings and of the first place."""

    needs: list[str]
    full: dict[str, float]
    first: dict[str, float]
    detail: Mapping[str, Any]


def retrieve(
    dataset: Dataset,
    rows: Mapping[str, Floats],
    positions: Mapping[str, Sequence[int]] | None = None,
    **changes: Any,
) -> Retrieved:
    """Solve a dataset with these features; `positions` are the readable images of some splits."""
    settings = RetrievalSettings(**{"metric": "cosine", "label": "class", "k": (1,), **changes})
    needs = PROTOCOL.needs(settings, dataset, BASELINE)
    features = {
        name: features_from(x, (positions or {}).get(name, range(len(x))))
        for name, x in rows.items()
    }
    problem = PROTOCOL.build(settings, dataset, needs, make_inputs(features), seed=0)
    result = PROTOCOL.solve(problem, settings, "cpu")
    names = [need.name for need in needs]
    return Retrieved(names, values(result), values(result, 1), result.detail)


def test_the_query_its_copies_and_its_group_are_excluded() -> None:
    """Images at 0, 0 (a copy), 1.1, 2, 3 degrees have classes a a b a a. Image 0 ranks b first,
    then two of its class: AP (1/2 + 2/3) / 2. With itself or its copy counted as a hit its AP would
    be above that; with them counted as misses, below.

    Queries 0 and 1: b(1.1°) a(2°) a(3°). Query 3 (2°): b(1.1°) is nearer than a(3°): b a a a, where
    0 and its copy remain. Query 4 (3°): a(2°) b(1.1°) a a. Query 2 is alone in its class.
    """
    degrees = np.deg2rad([0, 0, 1.1, 2, 3])
    x = np.array([[np.cos(angle), np.sin(angle)] for angle in degrees], np.float32)
    test = make_split(["same", "same", "p", "q", "r"], [0, 0, 1, 0, 0])
    ungrouped = retrieve(make_dataset({"test": test}), {"test": x})
    ap = [(1 / 2 + 2 / 3) / 2] * 2 + [(1 / 2 + 2 / 3 + 3 / 4) / 3, (1 + 2 / 3 + 3 / 4) / 3]
    assert ungrouped.full["mean_ap"] == pytest.approx(np.mean(ap))
    counts = {"queries": 5, "queries_without_positives": 1, "gallery": 5, "tied_positives": 0}
    assert ungrouped.detail == counts
    # with groups, 0 and 3 are excluded from each other's rankings
    grouped = make_dataset({"test": dataclasses.replace(test, groups=["g", "h", "i", "g", "j"])})
    ap_without_groups = [
        1 / 2,
        (1 / 2 + 2 / 3) / 2,
        (1 / 2 + 2 / 3) / 2,
        (1 + 2 / 3 + 3 / 4) / 3,
    ]
    excluded = retrieve(grouped, {"test": x})
    assert excluded.full["mean_ap"] == pytest.approx(np.mean(ap_without_groups))
    included = retrieve(grouped, {"test": x}, exclude_groups=False)
    assert included.full["mean_ap"] == pytest.approx(np.mean(ap))


def test_positives_may_share_a_group_or_an_attribute() -> None:
    """Across the groups, 1 and 3 rank each other first, while 0 and 2 rank 3 and 1 first."""
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    objects = {"object": ["u", "u", "", ""]}
    test = make_split("abcd", [0, 1, 0, 1], ["s", "s", "t", "t"], attributes=objects)
    dataset = make_dataset({"test": test})
    assert retrieve(dataset, {"test": x}).first["hit_at"] == 0.5
    by_group = retrieve(dataset, {"test": x}, label="group", exclude_groups=False)
    assert by_group.first["hit_at"] == 1.0
    by_object = retrieve(dataset, {"test": x}, label="object", exclude_groups=False)
    assert by_object.first["hit_at"] == 1.0
    assert by_object.detail["queries_without_positives"] == 2


def test_few_queries_with_a_positive_are_a_caveat() -> None:
    """Of seven images, two share a class; with one more pair, half of eight do."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    few = solve(leave_one_out(x[:7], np.array([0, 0, 1, 2, 3, 4, 5])), k=(1,))
    assert few.caveats == (
        "scores are those of 2 of 7 queries; the others have no positive in the gallery",
    )
    half = solve(leave_one_out(x, np.array([0, 0, 1, 1, 2, 3, 4, 5])), k=(1,))
    assert half.caveats == ()


def test_unreadable_images_are_not_in_the_gallery() -> None:
    splits = {"query": make_split("ab", [0, 1]), "gallery": make_split("cde", [0, 1, 1])}
    rows = {
        "query": np.eye(2, dtype=np.float32),
        "gallery": np.array([[1, 0], [0, 1]], np.float32),
    }
    retrieved = retrieve(make_dataset(splits), rows, {"gallery": [0, 2]})
    assert retrieved.needs == ["query", "gallery"]
    assert retrieved.full["mean_ap"] == 1.0 and retrieved.detail["gallery"] == 2


def test_judgements_refer_to_the_images_that_could_be_read() -> None:
    splits = {"query": make_split("ab", [0, 0]), "gallery": make_split("cde", [0, 0, 0])}
    judgements = {"positive": [[2], [0]], "junk": [[0], []]}
    dataset = make_dataset(splits, (), judgements=judgements)
    rows = {
        "query": np.array([[1, 0], [1, 0]], np.float32),
        "gallery": np.array([[1, 0], [1, 0.2]], np.float32),
    }
    assert retrieve(dataset, rows, {"gallery": [0, 2]}).full["mean_ap"] == 1.0


def test_train_can_be_the_gallery() -> None:
    splits = {"train": make_split("ab", [0, 1]), "test": make_split("cd", [0, 1])}
    rows = {name: np.eye(2, dtype=np.float32) for name in splits}
    retrieved = retrieve(make_dataset(splits), rows, gallery="train", whiten=2)
    assert retrieved.needs == ["test", "train"]


@pytest.mark.parametrize(
    ("test", "settings", "reason"),
    [
        (
            make_split("ab", [0, 0]),
            {"label": "object"},
            "looks for images of the same object; dataset 'd' does not have it",
        ),
        (
            make_split("ab", [0, 0]),
            {"label": "group", "exclude_groups": False},
            "looks for images of the same group",
        ),
        (make_split("ab", [0, 1]), {}, "no two images of dataset 'd' have the same class"),
        (make_split("aa", [0, 0]), {}, "no two images of dataset 'd' have the same class"),
        (
            make_split("ab", [0, 0], labels=np.eye(2, dtype=bool)),
            {},
            "needs one label per image",
        ),
        (make_split("ab", [0, 0]), {"gallery": "train"}, "dataset 'd' has no train split"),
        (make_split("ab", [0, 0]), {"whiten": 2}, "dataset 'd' has no train split"),
    ],
)
def test_datasets_without_positives_are_not_applicable(
    test: Split, settings: dict[str, Any], reason: str
) -> None:
    chosen = RetrievalSettings(**{"metric": "cosine", "label": "class", "k": (1,), **settings})
    with pytest.raises(NotApplicableError, match=reason):
        PROTOCOL.needs(chosen, make_dataset({"test": test}), BASELINE)


def test_a_single_class_and_classes_that_train_lacks_can_be_retrieved() -> None:
    """Classifiers refuse both; see `tests.protocols.test_classification`."""
    one_class = make_dataset({"test": make_split("ab", [0, 0])}, ("a",))
    assert [need.name for need in PROTOCOL.needs(COSINE, one_class, BASELINE)] == ["test"]
    splits = {"train": make_split("abc", [0, 0, 1]), "test": make_split("de", [2, 2])}
    unseen = make_dataset(splits, ("a", "b", "c"))
    assert [need.name for need in PROTOCOL.needs(COSINE, unseen, BASELINE)] == ["test"]
