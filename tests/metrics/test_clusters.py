"""Agreement of clusters with classes: by hand, against scikit-learn, and laws."""

import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    v_measure_score,
)

from bob.errors import UndefinedError
from bob.metrics.clusters import METRICS, adjusted_rand, v_measure
from bob.metrics.intervals import interval
from bob.outcomes import ClusterAssignments


def outcome_of(y: list[int], cluster: list[int]) -> ClusterAssignments:
    return ClusterAssignments(np.array(y), np.array(cluster))


def random_outcome(seed: int, n: int = 80, agreement: float = 0.6) -> ClusterAssignments:
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n)
    cluster = np.where(rng.random(n) < agreement, (y + 1) % 4, rng.integers(5, size=n))
    return ClusterAssignments(y, cluster)


def test_by_hand() -> None:
    """Classes 0 0 1 1, clusters 0 0 1 2: one pair together in both; 2 pairs by class, 1 by cluster,
    6 in all: (1 − 1/3) / (3/2 − 1/3) = 4/7. H(class) = ln 2, H(cluster) = 1.5 ln 2, information
    ln 2: 2 / 2.5.
    """
    outcome = outcome_of([0, 0, 1, 1], [0, 0, 1, 2])
    assert adjusted_rand(outcome) == pytest.approx(4 / 7)
    assert v_measure(outcome) == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    outcome = random_outcome(seed, agreement=seed / 5)
    assert adjusted_rand(outcome) == pytest.approx(adjusted_rand_score(outcome.y, outcome.cluster))
    assert v_measure(outcome) == pytest.approx(v_measure_score(outcome.y, outcome.cluster))
    nmi = normalized_mutual_info_score(outcome.y, outcome.cluster)
    assert v_measure(outcome) == pytest.approx(nmi)


def test_perfect_and_useless_clusters_and_names_of_clusters() -> None:
    assert [m.function(outcome_of([0, 0, 1, 2], [3, 3, 0, 1])) for m in METRICS] == [1, 1]
    one = outcome_of([0, 0, 1, 1], [0, 0, 0, 0])
    assert adjusted_rand(one) == 0 and v_measure(one) == pytest.approx(0)
    assert [m.function(outcome_of([0, 0], [0, 0])) for m in METRICS] == [1, 1]


def test_clusters_opposed_to_classes_are_below_0_within_their_interval() -> None:
    outcome = outcome_of([0, 0, 1, 1] * 5, [0, 1, 0, 1] * 5)
    value, low, high, _ = interval("adjusted_rand", outcome, 0)
    assert value == pytest.approx(adjusted_rand_score(outcome.y, outcome.cluster)) and value < 0
    assert low is not None and high is not None and -0.5 <= low <= value <= high <= 1


def test_intervals_contain_the_value() -> None:
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, random_outcome(0), 0)
        assert low is not None and high is not None and low < value < high


def test_undefined_without_images_and_shapes() -> None:
    with pytest.raises(UndefinedError, match="there are no images"):
        v_measure(outcome_of([], []).take(np.array([], np.int64)))
    with pytest.raises(ValueError, match="must both have shape"):
        outcome_of([0], [0, 1])
