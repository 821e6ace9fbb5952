"""Segmentation by nearest patches: votes by hand, the memory's rule, bounds."""

from typing import Any

import numpy as np
import pytest
import torch

from bob.errors import UndefinedError
from bob.metrics.segmentation import mean_iou
from bob.protocols import Result
from bob.protocols.segment_knn import (
    PROTOCOL,
    PatchVotes,
    SegmentKnnSettings,
    rare_first,
    unit_rows,
)
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, blocky_masks, mask_dataset, statistics_of
from tests.protocols.test_segment import constant, dataset, noisy, shares_of

SETTINGS = SegmentKnnSettings(input_px=None, memory=12 * 8, k=5, temperature=0.02)
"""8 of the 16 patches of each of 12 train images."""


def solved(maps: Maps, settings: SegmentKnnSettings = SETTINGS, shard: int = 1000) -> Result:
    data = dataset()
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard)
    problem = PROTOCOL.build(settings, data, needs, inputs, 0)
    return PROTOCOL.solve(problem, settings, "cpu")


def test_votes_are_those_of_a_softmax_over_all_cosines() -> None:
    """k is the size of the memory: torch's softmax over all keys."""
    rng = np.random.default_rng(0)
    keys = unit_rows(rng.normal(size=(2, 6, 4)).reshape(12, 4).astype(np.float32))
    shares = rng.dirichlet([1, 1, 1], 12).astype(np.float32)
    memory = {"keys": keys.reshape(2, 6, 4), "shares": shares.reshape(2, 6, 3)}
    maps = rng.normal(size=(1, 2, 3, 4)).astype(np.float32)
    votes = PatchVotes(12, 0.1, lambda: [memory])(maps)
    queries = torch.nn.functional.normalize(torch.from_numpy(maps).reshape(6, 4))
    cosines = queries @ torch.from_numpy(keys).T
    expected = (cosines / 0.1).softmax(1) @ torch.from_numpy(shares)
    np.testing.assert_allclose(votes[0, 0].reshape(6, 3), expected.numpy(), atol=1e-5)


def test_a_memory_without_a_labelled_pixel_is_undefined() -> None:
    """Its votes would be none, and every pixel of the first class."""
    masks = {
        "train": [np.full((8, 8), -1, np.int16)] * 4,
        "test": blocky_masks(2, 2, 2, 4, seed=0),
    }
    data = mask_dataset(masks, 2)
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    inputs = statistics_of(needs, data, constant)
    with pytest.raises(UndefinedError, match="there are no labelled train pixels"):
        PROTOCOL.solve(PROTOCOL.build(SETTINGS, data, needs, inputs, 0), SETTINGS, "cpu")


def test_the_nearest_alone_votes_with_k_of_1() -> None:
    memory = {
        "keys": np.eye(2, dtype=np.float32)[None],
        "shares": np.array([[[0.25, 0.75], [1, 0]]], np.float32),
    }
    maps = np.array([[[[3.0, 1.0], [0.0, 9.0]]]], np.float32)
    votes = PatchVotes(1, 0.02, lambda: [memory])(maps)
    assert votes[0, 0, 0].tolist() == [[0.25, 0.75], [1, 0]]


def test_patches_with_rare_classes_are_kept_first_and_empty_ones_last() -> None:
    """99 patches of class 0 score u x 99, one of class 1 scores u x 1 and one has no class."""
    shares = np.zeros((101, 2))
    shares[:99, 0], shares[99, 1] = 1, 0.5
    places = [rare_first(shares, seed).tolist() for seed in range(50)]
    assert all(sorted(order) == [*range(101)] and order[-1] == 100 for order in places)
    assert np.mean([order.index(99) for order in places]) < 5
    assert places[0] == rare_first(shares, 0).tolist() and places[0] != places[1]


def test_perfect_features_reach_the_ceiling() -> None:
    result = solved(shares_of)
    assert mean_iou(result.outcome) == mean_iou(result.parts[1].outcome)  # type: ignore[arg-type]
    assert result.detail["memory_patches"] == 96


def test_constant_features_predict_one_class() -> None:
    """Every patch has the same neighbours."""
    outcome = solved(constant).outcome
    assert ((outcome.predicted > 0).sum(axis=1) == 1).all()


def test_results_do_not_depend_on_shards() -> None:
    whole, parts = solved(noisy), solved(noisy, shard=3)
    for name, values in whole.outcome.to_arrays().items():
        np.testing.assert_array_equal(values, parts.outcome.to_arrays()[name])


@pytest.mark.parametrize("memory", [1, 10**6])
def test_the_memory_holds_one_patch_of_each_image_to_all(memory: int) -> None:
    values: dict[str, Any] = {**SETTINGS.model_dump(), "memory": memory}
    result = solved(shares_of, SegmentKnnSettings.model_validate(values))
    assert result.detail["memory_patches"] == (12 if memory == 1 else 12 * 16)
