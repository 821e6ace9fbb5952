"""Ranks of positives: float32 distances with float64 decisions, and the lookup of distances."""

import numpy as np
import pytest
import torch

from bob.numerics.search import lookup
from bob.numerics.search.distances import ApproximateDistances, ExactDistances, Gallery
from bob.numerics.search.ranks import ranks
from bob.numerics.search.relevance import Labelled
from bob.numerics.search.similarity import MetricName
from tests.builders.search import near_ties, places_of_ranks, slow_places, slow_scores


class Unlimited(ApproximateDistances):
    """Decides any number of comparisons one by one."""

    budget = None


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("seed", "n", "width", "labels"), [(0, 300, 64, 4), (1, 240, 200, 30), (2, 200, 3, 2)]
)
def test_comparisons_that_float32_leaves_open_are_decided_in_float64(
    seed: int, n: int, width: int, labels: int, metric: MetricName
) -> None:
    """Near ties and duplicates are on both sides of positives. By float32 alone, a third of the
    ranks of the first case would be wrong.
    """
    rows = near_ties(seed, n, width, shift=3 if metric == "euclidean" else 0)
    label = np.random.default_rng(seed).integers(labels, size=n)
    masks = Labelled((label, label), (np.arange(n), np.arange(n))).masks(np.arange(n))
    gallery = Gallery(rows, metric, "cpu")
    expected = slow_places(*slow_scores(rows, rows, metric), *masks)
    approximate = gallery.approximate(rows, gallery.buffer(n))
    approximate.__class__ = Unlimited
    assert places_of_ranks(ranks(approximate, *masks), n) == expected
    assert places_of_ranks(ranks(gallery.exact(rows), *masks), n) == expected
    values = approximate.values.double().clamp(min=-1 if metric == "cosine" else 0)
    alone = ExactDistances(gallery, values, approximate.squares)
    assert seed == 2 or places_of_ranks(ranks(alone, *masks), n) != expected


def test_too_many_open_comparisons_return_none() -> None:
    """All 500 rows are equal, so that every comparison is open."""
    rows = np.ones((500, 4), np.float32) + 0.1
    label = np.arange(500) % 2
    gallery = Gallery(rows, "cosine", "cpu")
    approximate = gallery.approximate(rows, gallery.buffer(500))
    masks = Labelled((label, label)).masks(np.arange(500))
    assert ranks(approximate, *masks) is None
    assert ranks(gallery.exact(rows), *masks) is not None


def test_positions_of_distances_are_the_same_on_the_cpu_and_on_a_device() -> None:
    """Equal values, zeros of both signs before the addition, and one removed position."""
    values = torch.tensor([0.5, -0.0, 0.5, 0.0, -1.0, 0.5, 2.0]).add_(0.0)
    removed = torch.tensor([True, False, False, False, False, False, False])
    wanted = np.array([0.0, 0.5], np.float32)
    on_cpu = lookup._positions_on_cpu(values.numpy(), removed.numpy(), wanted)
    on_device = lookup._positions_on_device(values, removed, wanted)
    assert on_cpu.tolist() == on_device.tolist() == [1, 2, 3, 5]
