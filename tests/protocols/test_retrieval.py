"""Retrieval metrics and protocol: by hand, against torchmetrics, pytorch-metric-learning and scikit-learn, known answers, what is left out."""

import dataclasses

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import average_precision_score
from torchmetrics.functional import retrieval as tm

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError, UndefinedError
from bob.features.store import Effort, Features
from bob.metrics import METRICS, metric_named
from bob.metrics.retrieval import (
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
from bob.outcomes import Retrieved, Shortlist
from bob.protocols.ranking import Found, retrieved, shortlist
from bob.protocols.relevance import Labelled, judged
from bob.protocols.retrieval import Search, retrieval
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import RetrievalSettings
from bob.wiring.retrieval import RETRIEVAL

GRID = [
    (seed, q, g, labels)
    for seed, (q, g, labels) in enumerate(
        [(3, 2, 1), (10, 12, 2), (50, 60, 5), (80, 200, 30), (120, 121, 60)]
    )
]
COSINE = RetrievalSettings(metric="cosine", label="class", k=(1, 3, 10))


def placed(*queries: tuple[list[int], int]) -> list[Found]:
    """One Found of queries given as (ranks of the positives that were ranked, number of positives)."""
    row = np.repeat(np.arange(len(queries)), [len(ranks) for ranks, _ in queries])
    return [
        Found(
            np.arange(len(queries)),
            np.array([n for _, n in queries]),
            row,
            np.array([rank for ranks, _ in queries for rank in ranks], int),
        )
    ]


def search(
    seed: int, q: int, g: int, labels: int, skill: float = 1.0
) -> tuple[Search, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels, 8)) * skill
    y, gy = rng.integers(labels, size=q), rng.integers(labels, size=g)
    x, gx = (
        (rng.normal(size=(len(some), 8)) + centres[some]).astype(np.float32) for some in (y, gy)
    )
    return Search(x, gx, {"": Labelled((y, gy))}), y, gy


def values(result: object, k: int | None = None) -> dict[str, float]:
    """Every metric of the headline, or of the shortlist of k."""
    part = next(part for part in result.parts if part.facets.get("k") == k)  # type: ignore[attr-defined]
    return {
        name: metric.function(part.outcome)
        for name, metric in METRICS.items()
        if metric.outcome is type(part.outcome)
    }


# --- metrics


def test_by_hand() -> None:
    """Ranking + - + - - with 3 positives of which all are ranked: +(0) +(2) +(5). Second query: one positive, at rank 1."""
    found = placed(([0, 2, 5], 3), ([1], 1))
    whole = retrieved(found)
    ap = (1 / 1 + 2 / 3 + 3 / 6) / 3
    assert mean_ap(whole) == pytest.approx((ap + 1 / 2) / 2)
    # Between recall steps, precision goes from nth/rank (1 at rank 0) to (nth+1)/(rank+1): (1+1)/2, (1/2+2/3)/2, (2/5+3/6)/2; and (0/1+1/2)/2.
    trapezoid = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3
    assert mean_ap_trapezoid(whole) == pytest.approx((trapezoid + 1 / 4) / 2)
    assert r_precision(whole) == pytest.approx((2 / 3 + 0) / 2)
    assert map_at_r(whole) == pytest.approx(((1 + 2 / 3) / 3 + 0) / 2)
    assert mrr(whole) == pytest.approx((1 + 1 / 2) / 2)
    two = shortlist(found, 2, whole=True)
    assert (hit_at(two), precision_at(two), recall_at(two)) == pytest.approx(
        (1.0, (1 / 2 + 1 / 2) / 2, (1 / 3 + 1) / 2)
    )
    assert mean_ap_at(two) == pytest.approx((1 / min(3, 2) + (1 / 2) / 1) / 2)
    assert precision_until(shortlist(found, 4, whole=True)) == pytest.approx(
        (2 / 4 + 1 / 2) / 2
    )  # the second list ends at its last positive
    assert precision_at(shortlist(found, 4, whole=True)) == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_the_revisited_rules_by_hand() -> None:
    """One query, gallery in order of similarity: hard easy junk hard miss easy.

    Medium: H E . H m E, without the junk: positives at 0, 1, 2, 4 of 4. Easy: the hard ones and the junk are gone: E m E: 0, 2 of 2.
    Hard: H H m: 0, 1 of 2. Counting the easy ones as misses instead would give H m m H, and an AP of less than 1.
    """
    gallery = np.array(
        [[np.cos(angle), np.sin(angle)] for angle in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], np.float32
    )
    judgements = {"easy": [[1, 5]], "hard": [[0, 3]], "junk": [[2]]}
    result = retrieval(
        Search(np.array([[1, 0]], np.float32), gallery, judged(judgements, 6)), COSINE, "cpu"
    )
    whole = {
        str(part.facets.get("difficulty", "medium")): part.outcome
        for part in result.parts
        if isinstance(part.outcome, Retrieved)
    }
    medium = (1 + 1 + 1 + (3 / 4 + 4 / 5) / 2) / 4
    assert mean_ap_trapezoid(whole["medium"]) == pytest.approx(medium)
    assert mean_ap_trapezoid(whole["easy"]) == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert mean_ap_trapezoid(whole["hard"]) == 1.0
    tens = {
        part.suffix: precision_until(part.outcome)
        for part in result.parts
        if part.facets.get("k") == 10
    }  # type: ignore[arg-type]
    assert tens == pytest.approx(
        {"k10": 4 / 5, "easy_k10": 2 / 3, "hard_k10": 1.0}
    )  # k is cut to the rank of the last positive
    assert result.detail["queries_without_positives"] == {"medium": 0, "easy": 0, "hard": 0}


@pytest.mark.parametrize(("seed", "q", "g", "labels"), GRID)
def test_against_torchmetrics(seed: int, q: int, g: int, labels: int) -> None:
    problem, y, gy = search(seed, q, g, labels)
    result = retrieval(problem, COSINE, "cpu")
    rows = problem.queries.astype(np.float64), problem.gallery.astype(np.float64)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows)
    scores, targets = (
        torch.from_numpy(a @ b.T + 2),
        torch.from_numpy(y[:, None] == gy),
    )  # torchmetrics takes scores above 0 alone as found
    pairs = [(score, target) for score, target in zip(scores, targets, strict=True) if target.any()]

    def mean(function: object, **options: int) -> float:
        return float(
            np.mean([function(score, target, **options).item() for score, target in pairs])
        )  # type: ignore[operator]

    whole = values(result)
    expected = (
        mean(tm.retrieval_average_precision),
        mean(tm.retrieval_reciprocal_rank),
        mean(tm.retrieval_r_precision),
    )
    assert (whole["mean_ap"], whole["mrr"], whole["r_precision"]) == pytest.approx(
        expected, abs=1e-6
    )
    assert whole["mean_ap"] == pytest.approx(
        np.mean([average_precision_score(target, score) for score, target in pairs]), abs=1e-9
    )
    for k in COSINE.k:
        at = values(result, k)
        others = tm.retrieval_hit_rate, tm.retrieval_precision, tm.retrieval_recall
        assert [at[name] for name in ("hit_at", "precision_at", "recall_at")] == pytest.approx(
            [mean(one, top_k=k) for one in others], abs=1e-6
        )
        cut = [  # torchmetrics divides by the hits among the first k, we by min(R, k)
            tm.retrieval_average_precision(score, target, top_k=k).item()
            * hits
            / min(int(target.sum()), k)
            for score, target in pairs
            if (hits := int(target[score.argsort(descending=True)[:k]].sum())) or True
        ]
        assert at["mean_ap_at"] == pytest.approx(np.mean(cut), abs=1e-6)


@pytest.mark.parametrize(("seed", "n", "labels"), [(0, 40, 4), (1, 90, 30), (2, 64, 2)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_leave_one_out_against_pytorch_metric_learning(seed: int, n: int, labels: int) -> None:
    problem, y, _ = search(seed, n, n, labels)
    own = np.arange(n)
    problem = Search(problem.queries, problem.queries, {"": Labelled((y, y), (own, own))})
    ours = values(retrieval(problem, cosine_but(metric="euclidean"), "cpu"))
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "r_precision", "mean_average_precision", "mean_reciprocal_rank", "precision_at_1"),
        k=n - 1, device=torch.device("cpu"),
    )  # fmt: skip
    theirs = calculator.get_accuracy(
        torch.from_numpy(problem.queries),
        torch.from_numpy(y),
        torch.from_numpy(problem.queries),
        torch.from_numpy(y),
        True,
    )
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours["mean_ap"] == pytest.approx(theirs["mean_average_precision"], abs=1e-6)
    assert ours["mrr"] == pytest.approx(theirs["mean_reciprocal_rank"], abs=1e-6)


def cosine_but(**changes: object) -> RetrievalSettings:
    return COSINE.model_copy(update=changes)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if metric.outcome in (Retrieved, Shortlist)]
)
def test_no_query_with_positives_is_undefined(name: str) -> None:
    nothing = placed(([], 0), ([], 0))
    outcome = (
        retrieved(nothing)
        if metric_named(name).outcome is Retrieved
        else shortlist(nothing, 3, whole=True)
    )
    assert len(outcome) == 0
    with pytest.raises(UndefinedError, match="no query has a positive in the gallery"):
        metric_named(name).function(outcome)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if metric.outcome in (Retrieved, Shortlist)]
)
def test_each_is_what_the_metric_is_the_mean_of(name: str) -> None:
    found = placed(([0, 4], 2), ([2], 1), ([1, 2, 3], 3))
    metric = metric_named(name)
    outcome = retrieved(found) if metric.outcome is Retrieved else shortlist(found, 3, whole=True)
    assert metric.each is not None
    assert metric.each(outcome).mean() == pytest.approx(metric.function(outcome), abs=1e-15)
    again = metric.outcome.from_arrays(outcome.to_arrays())  # type: ignore[attr-defined]
    assert metric.function(again.take(np.array([2, 2, 0]))) == pytest.approx(
        metric.each(outcome)[[2, 2, 0]].mean()
    )


# --- the protocol


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_perfect_features_score_1_and_useless_ones_chance(metric: str) -> None:
    y = np.repeat(np.arange(20), 10)
    own = np.arange(200)
    perfect = Search(
        np.eye(20, dtype=np.float32)[y],
        np.eye(20, dtype=np.float32)[y],
        {"": Labelled((y, y), (own, own))},
    )
    result = retrieval(perfect, cosine_but(metric=metric), "cpu")
    assert set(values(result).values()) == {1.0}
    assert values(result, 3)["hit_at"] == values(result, 3)["precision_at"] == 1.0
    noise = np.random.default_rng(0).normal(size=(200, 50)).astype(np.float32)
    useless = values(
        retrieval(
            Search(noise, noise, {"": Labelled((y, y), (own, own))}),
            cosine_but(metric=metric),
            "cpu",
        )
    )
    assert useless["r_precision"] == pytest.approx(
        9 / 199, abs=0.015
    )  # the share of positives among the others


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_rotating_features_changes_nothing(metric: str) -> None:
    problem, _, _ = search(5, 60, 80, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    turned = Search(
        (problem.queries @ rotation).astype(np.float32),
        (problem.gallery @ rotation).astype(np.float32),
        problem.relevances,
    )
    settings = cosine_but(metric=metric)
    assert values(retrieval(turned, settings, "cpu")) == pytest.approx(
        values(retrieval(problem, settings, "cpu")), abs=1e-12
    )


def test_relabelling_and_permuting_change_nothing() -> None:
    problem, y, gy = search(6, 40, 70, 5)
    order, names = np.random.default_rng(2).permutation(40), np.random.default_rng(3).permutation(5)
    other = Search(
        problem.queries[order], problem.gallery, {"": Labelled((names[y[order]], names[gy]))}
    )
    assert values(retrieval(other, COSINE, "cpu")) == pytest.approx(
        values(retrieval(problem, COSINE, "cpu")), abs=1e-12
    )


def test_whitening_finds_what_a_loud_direction_hides() -> None:
    """Two classes differ in a quiet direction; a direction a hundred times as loud says nothing. Whitening makes them equal."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    x = np.stack([rng.normal(size=300) * 100, (2 * y - 1) + 0.2 * rng.normal(size=300)], 1).astype(
        np.float32
    )
    own = np.arange(300)
    problem = Search(x, x, {"": Labelled((y, y), (own, own))}, train=x)
    plain, white = (
        retrieval(problem, cosine_but(whiten=whiten, metric="euclidean"), "cpu")
        for whiten in (None, 2)
    )
    assert values(plain)["mean_ap"] < 0.6 < 0.75 < values(white)["mean_ap"]
    assert white.detail["whitened_dimensions"] == 2


def test_a_depth_gives_the_same_shortlists_without_whole_rankings() -> None:
    problem, _, _ = search(7, 50, 90, 8)
    whole, cut = (
        retrieval(problem, COSINE, "cpu"),
        retrieval(problem, cosine_but(k=(1, 3), depth=10), "cpu"),
    )
    for k in (1, 3, 10):
        expected = {
            name: value for name, value in values(whole, k).items() if name != "precision_until"
        }
        part = next(part for part in cut.parts if part.facets["k"] == k)
        assert {name: metric_named(name).function(part.outcome) for name in expected} == expected
    assert (
        cut.parts[0].suffix == ""
        and isinstance(cut.parts[0].outcome, Shortlist)
        and cut.parts[0].outcome.k == 10
    )
    with pytest.raises(UndefinedError, match="precision_until needs whole rankings"):
        precision_until(cut.parts[0].outcome)


def test_settings_that_contradict_themselves() -> None:
    for changes, problem in [
        ({"k": (5, 1)}, "k must ascend"),
        ({"k": (1, 10), "depth": 10}, "every k must be below 'depth'"),
        ({"label": "group"}, "label 'group' needs exclude_groups: false"),
    ]:
        with pytest.raises(ValueError, match=problem):
            RetrievalSettings(**{"metric": "cosine", "label": "class", **changes})


# --- from a dataset to a search

FLOOR = BackboneSpec(
    name="raw_pixels", family="baseline", loader="floor", architecture="raw_pixels"
)


def split(y: list[int], content: list[str] | None = None, **facts: object) -> Split:
    ids = [f"{i}" for i in range(len(y))]
    return Split(ids, np.array(y), content or [f"c{i}" for i in ids], lambda i: b"", **facts)  # type: ignore[arg-type]


def task(**settings: object) -> TaskSpec:
    known = RetrievalSettings(**{"metric": "cosine", "label": "class", "k": (1,), **settings})
    return TaskSpec(
        name="retrieval",
        version=1,
        protocol="retrieval",
        summary="",
        settings=known,
        metrics=("mean_ap",),
        datasets=("all",),
    )


def solved(
    dataset: Dataset,
    asked: TaskSpec,
    rows: dict[str, np.ndarray],
    positions: dict[str, list[int]] | None = None,
) -> dict[str, object]:
    def features_of(need: object) -> Features:
        name = need.name  # type: ignore[attr-defined]
        return Features(
            rows[name], np.array((positions or {}).get(name, range(len(rows[name])))), {}, Effort()
        )

    needs = RETRIEVAL.needs(asked, dataset, FLOOR)
    result = RETRIEVAL.solve(asked, dataset, needs, features_of, 0, "cpu")
    return {
        "values": values(result),
        "detail": result.detail,
        "needs": [need.name for need in needs],
        "k": values(result, 1),
    }


def test_self_copies_and_groups_change_the_answer_if_wrongly_handled() -> None:
    """Angles 0, 0 (a copy of it), 1, 2, 3 degrees; classes a a b a a. Image 0 finds b first, then two of its class: AP (1/2 + 2/3) / 2.

    With itself or its copy counted as a hit its AP would be above that; with them counted as misses, below.
    """
    x = np.array(
        [[np.cos(angle), np.sin(angle)] for angle in np.deg2rad([0, 0, 1, 2, 3])], np.float32
    )
    test = split([0, 0, 1, 0, 0], ["same", "same", "p", "q", "r"])
    dataset = Dataset("five", ("a", "b"), {"test": test})
    found = solved(dataset, task(), {"test": x})
    # Queries 0 and 1: b(1°) a(2°) a(3°). Query 3 (2°): b(1°) and a(3°) are equally far; the lower position first: b a a a, 0 and its copy stay.
    # Query 4 (3°): a(2°) b(1°) a a. Query 2 is alone in its class.
    ap = [(1 / 2 + 2 / 3) / 2] * 2 + [(1 / 2 + 2 / 3 + 3 / 4) / 3, (1 + 2 / 3 + 3 / 4) / 3]
    assert found["values"]["mean_ap"] == pytest.approx(np.mean(ap))  # type: ignore[index]
    assert found["detail"] == {"queries": 5, "queries_without_positives": 1, "gallery": 5}
    grouped = dataclasses.replace(
        dataset, splits={"test": dataclasses.replace(test, groups=["g", "h", "i", "g", "j"])}
    )
    without = [
        1 / 2,
        (1 / 2 + 2 / 3) / 2,
        (1 / 2 + 2 / 3) / 2,
        (1 + 2 / 3 + 3 / 4) / 3,
    ]  # 0 and 3 do not see each other
    assert solved(grouped, task(), {"test": x})["values"]["mean_ap"] == pytest.approx(
        np.mean(without)
    )  # type: ignore[index]
    assert solved(grouped, task(exclude_groups=False), {"test": x})["values"][
        "mean_ap"
    ] == pytest.approx(np.mean(ap))  # type: ignore[index]


def test_labels_may_be_attributes_or_groups() -> None:
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    test = split(
        [0, 1, 0, 1], groups=["s", "s", "t", "t"], attributes={"object": ["u", "u", "", ""]}
    )
    dataset = Dataset("four", ("a", "b"), {"test": test})
    by_class = solved(
        dataset, task(), {"test": x}
    )  # across the groups: 1 and 3 find each other first, 0 and 2 find 3 and 1
    assert by_class["k"]["hit_at"] == 0.5  # type: ignore[index]
    assert (
        solved(dataset, task(label="group", exclude_groups=False), {"test": x})["k"]["hit_at"]
        == 1.0
    )  # type: ignore[index]
    by_object = solved(dataset, task(label="object", exclude_groups=False), {"test": x})
    assert by_object["k"]["hit_at"] == 1.0 and by_object["detail"]["queries_without_positives"] == 2  # type: ignore[index]


def test_query_and_gallery_splits_are_used_and_unreadable_images_stay_out() -> None:
    dataset = Dataset(
        "pairs",
        ("a", "b"),
        {"query": split([0, 1]), "gallery": split([0, 1, 1], ["d0", "d1", "d2"])},
    )
    gallery = np.array([[1, 0], [0, 1]], np.float32)
    found = solved(
        dataset,
        task(),
        {"query": np.eye(2, dtype=np.float32), "gallery": gallery},
        {"gallery": [0, 2]},
    )
    assert found["needs"] == ["query", "gallery"]
    assert found["values"]["mean_ap"] == 1.0 and found["detail"]["gallery"] == 2  # type: ignore[index]


def test_judgements_count_in_rows_that_could_be_read() -> None:
    judgements = {"positive": [[2], [0]], "junk": [[0], []]}
    dataset = Dataset(
        "judged",
        (),
        {"query": split([0, 0]), "gallery": split([0, 0, 0], ["d0", "d1", "d2"])},
        judgements=judgements,
    )
    rows = {
        "query": np.array([[1, 0], [1, 0]], np.float32),
        "gallery": np.array([[1, 0], [1, 0.2]], np.float32),
    }
    found = solved(dataset, task(), rows, {"gallery": [0, 2]})
    assert found["values"]["mean_ap"] == 1.0  # type: ignore[index]


def test_test_images_may_look_in_train() -> None:
    dataset = Dataset(
        "sides", ("a", "b"), {"train": split([0, 1], ["t0", "t1"]), "test": split([0, 1])}
    )
    found = solved(
        dataset,
        task(gallery="train", whiten=2),
        {"train": np.eye(2, dtype=np.float32), "test": np.eye(2, dtype=np.float32)},
    )
    assert found["needs"] == ["test", "train"]


@pytest.mark.parametrize(
    ("facts", "settings", "reason"),
    [
        (
            {"y": [0, 0]},
            {"label": "object"},
            "looks for images of the same object; dataset 'd' does not tell it",
        ),
        (
            {"y": [0, 0]},
            {"label": "group", "exclude_groups": False},
            "looks for images of the same group",
        ),
        ({"y": [0, 1]}, {}, "no two images of dataset 'd' have the same class"),
        (
            {"y": [0, 0], "content": ["c", "c"]},
            {},
            "no two images of dataset 'd' have the same class",
        ),
        ({"y": [0, 0], "labels": np.eye(2, dtype=bool)}, {}, "needs one label per image"),
        ({"y": [0, 0]}, {"gallery": "train"}, "dataset 'd' has no train split"),
        ({"y": [0, 0]}, {"whiten": 2}, "dataset 'd' has no train split"),
    ],
)
def test_datasets_that_cannot_carry_retrieval_say_why(
    facts: dict[str, object], settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        RETRIEVAL.needs(task(**settings), Dataset("d", ("a", "b"), {"test": split(**facts)}), FLOOR)  # type: ignore[arg-type]
