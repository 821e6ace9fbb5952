"""The nearest class mean: against scikit-learn, by hand, and its laws."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from bob.metrics.classification import top1
from bob.numerics.class_means import class_means
from bob.outcomes import ClassSubsets
from bob.protocols.centroid import (
    PROTOCOL,
    CentroidSettings,
    prototypes,
    sizes_of_tasks,
    unit_rows,
)
from bob.protocols.classification import ClassificationProblem
from tests.builders.classification import make_problem

COSINE = CentroidSettings(metric="cosine", tasks=3)
EUCLIDEAN = CentroidSettings(metric="euclidean", tasks=3)


def problem(classes: int = 7) -> ClassificationProblem:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(classes, 6))
    y, test_y = rng.integers(classes, size=90), rng.integers(classes, size=60)
    x, test_x = (
        (means[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32)
        for labels in (y, test_y)
    )
    return make_problem(x, y, test_x, test_y, classes)


def test_predictions_are_those_of_scikit_learn() -> None:
    data = problem()
    outcome = PROTOCOL.solve(data, EUCLIDEAN, "cpu").outcome
    reference = NearestCentroid().fit(normalize(data.x.astype(np.float64)), data.y)
    assert outcome.predicted.tolist() == reference.predict(normalize(data.test_x)).tolist()
    means = np.stack([data.x[data.y == c].mean(0) for c in range(7)])
    cosines = normalize(data.test_x) @ normalize(means).T
    predicted = PROTOCOL.solve(data, COSINE, "cpu").outcome.predicted
    assert predicted.tolist() == cosines.argmax(1).tolist()


def test_the_two_metrics_differ_by_hand() -> None:
    """Class 0 has (10, 0) and (0, 1): its raw mean points along (10, 1), that of unit rows along
    (1, 1). Class 1 is (3, 4). The query (1, 1) has cosines .77 and .99, and distances² to the means
    (.5, .5) and (.6, .8) of unit rows: .086 and .020; the query (1, 2) goes to class 1 by both.
    """
    x = np.array([[10, 0], [0, 1], [3, 4]], np.float32)
    y = np.array([0, 0, 1])
    raw, _ = prototypes(x, y, 2, "cosine")
    assert raw == pytest.approx(np.array([[10, 1], [3, 4]]) / np.sqrt([[101], [25]]))
    means, bias = prototypes(x, y, 2, "euclidean")
    assert means == pytest.approx(np.array([[0.5, 0.5], [0.6, 0.8]]), abs=1e-7)
    assert bias == pytest.approx([-0.25, -0.5], abs=1e-7)


def test_the_last_point_of_the_curve_is_the_accuracy_per_class() -> None:
    result = PROTOCOL.solve(problem(), COSINE, "cpu")
    curve = [part for part in result.parts if "classes" in part.facets]
    assert [part.facets["classes"] for part in curve] == [3, 6, 7] == result.detail["sizes"]
    assert all(isinstance(part.outcome, ClassSubsets) for part in curve)
    assert result.outcome.log_prob is None


def test_nothing_but_the_own_class_moves_a_prototype() -> None:
    data = problem()
    without = data.y != 3
    before, _ = prototypes(data.x, data.y, 7, "cosine")
    after, bias = prototypes(data.x[without], data.y[without], 7, "cosine")
    assert np.allclose(np.delete(after, 3, 0), np.delete(before, 3, 0), rtol=0, atol=1e-12)
    assert bias[3] == -np.inf


def test_two_classes_have_two_tasks_and_equal_rows_are_ties() -> None:
    assert sizes_of_tasks(2, 10).tolist() == [1, 2]
    assert sizes_of_tasks(100, 10).tolist() == list(range(10, 101, 10))
    assert sizes_of_tasks(38, 10).tolist() == [4, 8, 12, 16, 20, 24, 28, 32, 36, 38]
    data = problem()
    equal = make_problem(np.ones_like(data.x), data.y, data.test_x, data.test_y, 7)
    assert top1(PROTOCOL.solve(equal, COSINE, "cpu").outcome) == (data.test_y == 0).mean()


def test_a_single_size_is_undefined() -> None:
    data = problem(1)
    result = PROTOCOL.solve(data, COSINE, "cpu")
    assert result.parts[1].undefined == "there is a single task"


def test_means_of_equal_rows_are_equal_and_absent_classes_have_none() -> None:
    row = np.arange(1, 6, dtype=np.float32) / 30
    means = class_means(np.tile(row, (11, 1)), np.array([0] * 7 + [2] * 4), 4)
    assert (means[0] == means[2]).all() and not means[[1, 3]].any()


def test_a_zero_row_stays_zero() -> None:
    assert unit_rows(np.array([[0, 0], [3, 4]], np.float32)).tolist() == [[0, 0], [0.6, 0.8]]
