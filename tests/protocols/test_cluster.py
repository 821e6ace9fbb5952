"""Clusters of test images: separated classes are found, labels are not read."""

import numpy as np
import pytest

from bob.errors import NotApplicableError, UnreadableImageError
from bob.metrics.clusters import adjusted_rand
from bob.protocols.cluster import PROTOCOL, ClusterProblem, ClusterSettings, assign
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

SETTINGS = ClusterSettings(methods=("kmeans", "ward"), restarts=3, most_ward=100)


def problem(n: int = 60, apart: float = 9.0) -> ClusterProblem:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    rows = apart * np.eye(3, 8)[y] + rng.normal(size=(n, 8))
    return ClusterProblem(rows.astype(np.float32), y)


def test_separated_classes_are_found() -> None:
    result = PROTOCOL.solve(problem(), SETTINGS, "cpu")
    assert [part.suffix for part in result.parts] == ["", "kmeans", "ward"]
    assert all(adjusted_rand(part.outcome) == 1 for part in result.parts)


def test_labels_only_say_how_many_clusters_there_are() -> None:
    data = problem(apart=1.0)
    other = ClusterProblem(data.x, np.roll(data.y, 1))
    for method in ("kmeans", "ward"):
        assert np.array_equal(assign(data, method, 3), assign(other, method, 3))


def test_equal_features_are_one_cluster_and_few_distinct_ones_are_as_many() -> None:
    data = problem()
    assert not assign(ClusterProblem(np.ones_like(data.x), data.y), "kmeans", 3).any()
    two = ClusterProblem(np.eye(2, 8, dtype=np.float32)[data.y % 2], data.y)
    assert len(np.unique(assign(two, "kmeans", 3))) == 2


def test_many_images_leave_ward_undefined() -> None:
    settings = SETTINGS.model_copy(update={"most_ward": 50})
    (*_, ward) = PROTOCOL.solve(problem(), settings, "cpu").parts
    assert ward.undefined == "Ward's linkage is for at most 50 images"


def test_a_single_class_is_not_applicable_and_unread_images_are_reported() -> None:
    one = make_dataset({"test": make_split("ab", [0, 0])})
    with pytest.raises(NotApplicableError, match="test images of at least two classes"):
        PROTOCOL.needs(SETTINGS, one, BASELINE)
    two = make_dataset({"test": make_split("ab", [0, 1])})
    needs = PROTOCOL.needs(SETTINGS, two, BASELINE)
    empty = make_inputs({"test": features_from(np.empty((0, 2), np.float32))})
    with pytest.raises(UnreadableImageError, match="none of the images of test"):
        PROTOCOL.build(SETTINGS, two, needs, empty, 0)
