"""Anomaly detection: scores against scikit-learn and by hand, laws, and what is normal."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.multilabel import roc_auc
from bob.metrics.ood_detection import auroc
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import MultilabelPredictions, OodScores
from bob.protocols.anomaly import (
    DOES_NOT_VARY,
    PROTOCOL,
    SCORES,
    AnomalyProblem,
    AnomalySettings,
    normality,
)
from bob.protocols.protocol import Result
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, labels, make_dataset, make_split

SETTINGS = AnomalySettings(normal="declared", k_cosine=5, k_euclidean=2)
EACH = AnomalySettings(normal="each", k_cosine=5, k_euclidean=2)


def make_problem(
    apart: float = 1.0, normal: tuple[int, ...] | None = (0,), width: int = 8
) -> AnomalyProblem:
    """Return three classes of 30 train and 20 test rows, whose means are `apart`."""
    rng = np.random.default_rng(0)
    means = apart * rng.normal(size=(3, width)) + 2

    def rows(y: Ints) -> Floats:
        return np.asarray(means[y] + rng.normal(size=(len(y), width)), np.float32)

    y, test_y = labels(30, 30, 30), labels(20, 20, 20)
    return AnomalyProblem(rows(y), y, rows(test_y), test_y, ("a", "b", "c"), normal)


def solve(problem: AnomalyProblem, settings: AnomalySettings = SETTINGS) -> Result:
    return PROTOCOL.solve(problem, settings, "cpu")


def outcomes_of(result: Result) -> dict[str, OodScores]:
    outcomes = {}
    for part in result.parts[1:]:
        assert isinstance(part.outcome, OodScores)
        outcomes[part.suffix] = part.outcome
    return outcomes


def changed(problem: AnomalyProblem, change: Callable[[Floats], Floats]) -> AnomalyProblem:
    """Return the problem with changed features."""
    x, test_x = (np.asarray(change(rows), np.float32) for rows in (problem.x, problem.test_x))
    return AnomalyProblem(x, problem.y, test_x, problem.test_y, problem.classes, problem.normal)


# --- scores


def test_scores_are_those_of_scikit_learn() -> None:
    problem = make_problem()
    outcomes = outcomes_of(solve(problem))
    fitted = problem.x[problem.y == 0].astype(np.float64)
    queries = problem.test_x.astype(np.float64)
    near = NearestNeighbors(n_neighbors=5).fit(normalize(fitted)).kneighbors(normalize(queries))[0]
    assert outcomes["knn_cosine"].score == pytest.approx((1 - near**2 / 2).sum(1))
    near = NearestNeighbors(n_neighbors=2).fit(fitted).kneighbors(queries)[0]
    assert outcomes["knn_euclidean"].score == pytest.approx(-(near**2).sum(1))
    expected = LedoitWolf().fit(normalize(fitted)).mahalanobis(normalize(queries))
    assert outcomes["gaussian"].score == pytest.approx(-expected, rel=1e-5)
    assert auroc(outcomes["gaussian"]) == pytest.approx(
        roc_auc_score(problem.test_y != 0, expected)
    )


def test_distances_by_hand() -> None:
    """To rows 0, 1 and 4 on a line, 2 has squared distances 4, 1 and 4: the nearest two sum to 5.
    The cosines of (3, 4) with (1, 0) and (0, 1) are 3/5 and 4/5.
    """
    settings = AnomalySettings(normal="declared", k_cosine=1, k_euclidean=2)
    line = np.array([[0], [1], [4]], np.float32)
    scores = normality(line, np.array([[2]], np.float32), settings, "cpu")
    assert scores["knn_euclidean"] == pytest.approx([-5])
    axes, query = np.eye(2, dtype=np.float32), np.array([[3, 4]], np.float32)
    assert normality(axes, query, settings, "cpu")["knn_cosine"] == pytest.approx([4 / 5])
    both = AnomalySettings(normal="declared", k_cosine=9, k_euclidean=1)
    assert normality(axes, query, both, "cpu")["knn_cosine"] == pytest.approx([7 / 5])


def test_the_headline_is_the_cosine_of_the_nearest_rows() -> None:
    result = solve(make_problem())
    assert result.outcome.score.tolist() == outcomes_of(result)["knn_cosine"].score.tolist()
    assert [part.suffix for part in result.parts] == ["", *SCORES]
    assert result.detail == {
        "normal": ["a"],
        "normal_train_images": 30,
        "anomaly_share": pytest.approx(2 / 3),
    }


# --- laws


def test_anomalies_equal_to_normal_images_are_ties() -> None:
    problem = make_problem()
    some = problem.test_x[:20]
    same = AnomalyProblem(
        problem.x, problem.y, np.concatenate([some, some]), labels(20, 20), ("a", "b"), (0,)
    )
    assert {auroc(outcome) for outcome in outcomes_of(solve(same)).values()} == {0.5}


def test_distant_anomalies_are_separated() -> None:
    problem = make_problem()
    moved = problem.test_x + 1e4 * (problem.test_y != 0)[:, None] * (np.arange(8) % 3)
    far = AnomalyProblem(
        problem.x, problem.y, moved.astype(np.float32), problem.test_y, problem.classes, (0,)
    )
    outcomes = outcomes_of(solve(far))
    assert auroc(outcomes["knn_euclidean"]) == 1


def test_a_train_image_has_distance_0() -> None:
    x = make_problem().x
    settings = AnomalySettings(normal="declared", k_cosine=1, k_euclidean=1)
    scores = normality(x, x, settings, "cpu")
    assert scores["knn_euclidean"] is not None and not scores["knn_euclidean"].any()
    assert scores["knn_cosine"] == pytest.approx(np.ones(len(x)), abs=1e-12)


def test_rotation_and_scale_change_nothing_and_translation_no_distance() -> None:
    problem = make_problem()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))[0]
    before = {name: auroc(o) for name, o in outcomes_of(solve(problem)).items()}
    turned = outcomes_of(solve(changed(problem, lambda rows: 7 * (rows @ turn))))
    assert {name: auroc(o) for name, o in turned.items()} == pytest.approx(before, abs=2e-3)
    moved = outcomes_of(solve(changed(problem, lambda rows: rows + 1)))
    assert auroc(moved["knn_euclidean"]) == before["knn_euclidean"]


def test_train_images_of_other_classes_change_nothing() -> None:
    problem = make_problem()
    other = AnomalyProblem(
        np.where((problem.y == 0)[:, None], problem.x, 9).astype(np.float32),
        problem.y,
        problem.test_x,
        problem.test_y,
        problem.classes,
        (0,),
    )
    for name, outcome in outcomes_of(solve(other)).items():
        assert np.array_equal(outcome.score, outcomes_of(solve(problem))[name].score)


def test_equal_normal_images_leave_the_gaussian_undefined() -> None:
    result = solve(changed(make_problem(), np.ones_like))
    assert {part.suffix: part.undefined for part in result.parts if part.undefined} == {
        "gaussian": DOES_NOT_VARY
    }
    assert auroc(result.outcome) == 0.5


# --- each class in turn


def test_each_class_in_turn_is_the_mean_over_classes() -> None:
    problem = make_problem(normal=None)
    result = solve(problem, EACH)
    singles = {c: outcomes_of(solve(make_problem(normal=(c,)))) for c in range(3)}
    for part in result.parts[1:4]:
        assert isinstance(part.outcome, MultilabelPredictions)
        expected = np.mean([auroc(singles[c][part.suffix]) for c in range(3)])
        assert roc_auc(part.outcome) == pytest.approx(expected)
    by_class = result.parts[4:]
    assert [part.facets["class"] for part in by_class] == ["a", "b", "c"]
    for c, part in enumerate(by_class):
        assert isinstance(part.outcome, OodScores)
        assert auroc(part.outcome) == auroc(singles[c]["knn_cosine"])


# --- what is normal


def test_the_only_class_of_train_is_normal() -> None:
    splits = {"train": make_split("ab", [1, 1]), "test": make_split("cde", [0, 1, 2])}
    dataset = make_dataset(splits, ("broken", "good", "torn"))
    needs = PROTOCOL.needs(SETTINGS, dataset, BASELINE)
    rows = np.arange(6, dtype=np.float32).reshape(3, 2) + 1
    inputs = make_inputs({"train": features_from(rows[:2]), "test": features_from(rows)})
    problem = PROTOCOL.build(SETTINGS, dataset, needs, inputs, 0)
    assert problem.normal == (1,)
    assert solve(problem).outcome.inside.tolist() == [False, True, False]


def test_classes_without_a_declaration_are_not_applicable() -> None:
    splits = {name: make_split(digests(4, name), [0, 1, 0, 1]) for name in ("train", "test")}
    with pytest.raises(
        NotApplicableError, match="needs to know what is normal: train of dataset 'd' holds 2"
    ):
        PROTOCOL.needs(SETTINGS, make_dataset(splits), BASELINE)
    assert PROTOCOL.needs(SETTINGS, make_dataset(splits, normal=(1,)), BASELINE)
    assert PROTOCOL.needs(EACH, make_dataset(splits), BASELINE)


def test_train_without_normal_images_is_not_applicable() -> None:
    splits = {"train": make_split("ab", [1, 1]), "test": make_split("cd", [0, 1])}
    with pytest.raises(NotApplicableError, match="train of dataset 'd' has none of 'a'"):
        PROTOCOL.needs(SETTINGS, make_dataset(splits, normal=(0,)), BASELINE)


def test_normal_images_that_cannot_be_read_leave_scores_undefined() -> None:
    problem = make_problem()
    unread = AnomalyProblem(
        problem.x[30:], problem.y[30:], problem.test_x, problem.test_y, problem.classes, (0,)
    )
    with pytest.raises(UndefinedError, match="none of the normal train images could be read"):
        solve(unread)
