"""The Pareto front of quality and cost."""

import numpy as np

from bob.statistics.pareto import pareto_front


def test_the_front_by_hand() -> None:
    quality = np.array([0.9, 0.8, 0.8, 0.7, np.nan, 0.95])
    cost = np.array([100.0, 50.0, 50.0, 60.0, 1.0, np.nan])
    assert pareto_front(quality, cost).tolist() == [True, True, True, False, False, False]
    assert pareto_front(np.array([0.9, 0.9]), np.array([2.0, 1.0])).tolist() == [False, True]


def test_the_front_follows_its_definition() -> None:
    rng = np.random.default_rng(4)
    quality, cost = rng.integers(0, 9, (2, 60)).astype(float)
    points = list(zip(quality, cost, strict=True))
    expected = [
        not any(p >= q and c <= d and (p, c) != (q, d) for p, c in points) for q, d in points
    ]
    assert pareto_front(quality, cost).tolist() == expected
