"""Which images of a race are scored, and by probes fitted to what."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bob.datasets.dataset import Split
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.racing.trial import (
    can_score_train,
    example_values,
    least_precision,
    least_value,
)
from bob.errors import UndefinedError
from bob.features.store import Features
from bob.protocols.knn import KnnSettings
from bob.protocols.retrieval import RetrievalSettings
from bob.registry import load_registry
from tests.builders.backbone_entries import entry
from tests.builders.splits import digests, features_from, make_dataset, make_split

TRAIN = {"content": "abacde", "y": [0, 1, 0, 1, 0, 1], "x": [0.0, 1.0, 0.0, 0.9, 0.8, 0.7]}
TEST = {"content": "vwx", "y": [0, 0, 1], "x": [0.1, 0.6, 0.2]}


class BlocksOfLists:
    """Blocks of two splits with features of width 1, in the order of the lists."""

    dataset = "d"

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {"train": TRAIN, "test": TEST}
        splits = {name: make_split(of["content"], of["y"]) for name, of in self.lists.items()}
        self.workspace = SimpleNamespace(
            dataset=lambda _: make_dataset(splits),
            settings=SimpleNamespace(seeds=(0,)),
            machine=SimpleNamespace(device="cpu"),
        )

    def split(self, name: str, count: int) -> Split:
        of = self.lists[name]
        return make_split(of["content"][:count], of["y"][:count])

    def features(self, spec: object, split: str, count: int) -> Features:
        return features_from(np.array(self.lists[split]["x"][:count], np.float32)[:, None])


def right(fitted: int, train: range, test: range) -> list[bool]:
    """Return which scored images the nearest of the first `fitted` train images has right."""
    task = load_registry().tasks["knn_euclidean"]
    nearest = KnnSettings(k=(1,), metric="euclidean", vote="majority")
    task = task.model_copy(update={"settings": nearest})
    blocks = cast(RaceBlocks, BlocksOfLists())
    scored = {"train": train, "test": test}
    answers = example_values(task, entry(), blocks, {"train": fitted}, scored)
    return [bool(answer) for answer in answers]


def test_scored_images_are_judged_by_the_train_images_before_them() -> None:
    """Fitted: 0.0 of class 0, 1.0 of class 1. Train 0.9 → 1 is right, 0.8 → 1 is not (0).

    Test 0.1 → 0 and 0.6 → 1, of which the second is wrong. The train image of class 0 at 0.8 would
    have turned the answer for 0.7, to which nothing but the first two is fitted: 1, right.
    """
    assert right(2, range(3, 6), range(2)) == [True, False, True, True, False]


def test_a_train_image_that_is_fitted_already_is_not_scored() -> None:
    """The third is a copy of the first."""
    assert right(2, range(2, 4), range(2)) == [True, True, False]
    with pytest.raises(UndefinedError, match="no image to score"):
        right(2, range(2, 3), range(0))


def test_queries_search_the_first_test_images() -> None:
    """The gallery is 0.0 and 0.4 of class 0, and 1.0 of class 1.

    Query 0.9 of class 0 finds 1.0, 0.4, 0.0: (1/2 + 2/3) / 2. Query 0.25 of class 1 finds 0.4, 0.0,
    1.0: 1/3.
    """
    blocks = BlocksOfLists()
    blocks.lists["test"] = {"content": "pqrst", "y": [0, 1, 0, 0, 1], "x": [0, 1, 0.4, 0.9, 0.25]}
    task = load_registry().tasks["retrieval"]
    task = task.model_copy(
        update={"settings": RetrievalSettings(metric="euclidean", label="class", k=())}
    )
    values = example_values(
        task, entry(), cast(RaceBlocks, blocks), {"test": 3}, {"test": range(3, 5)}
    )
    assert values == pytest.approx([7 / 12, 1 / 3])


def test_no_average_precision_is_below_that_of_positives_in_the_last_places() -> None:
    """Of the gallery p, q, r, s, three are of class 0: places 2, 3 and 4, or of class 1: place 4.

    With a copy in the split, a query of class 0 has two positives at least: of 4 images, places 3
    and 4, (1/3 + 2/4) / 2; a query of class 1 has one, or none and does not count.
    """
    blocks = BlocksOfLists()
    y = [0, 1, 0, 0, 1]
    blocks.lists["test"] = {"content": "pqrst", "y": y, "x": [0, 1, 0.4, 0.9, 0.25]}
    task = load_registry().tasks["retrieval"]
    raced = cast(RaceBlocks, blocks)
    assert least_value(task, entry(), raced, {"test": 4}) == 1 / 4
    assert least_value(task, entry(), raced, {"test": 1}) == 1
    assert least_precision(3, 4) == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert least_precision(2, 4) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert least_value(load_registry().tasks["knn"], entry(), raced, {"train": 2}) == 0


def test_copies_of_a_query_are_no_positives_of_it() -> None:
    """Six of class 0, two of class 1 and two copies in the split: 5 positives and 1, of 8."""
    blocks = BlocksOfLists()
    blocks.lists["test"] = {"content": "pqrstuvww", "y": [0] * 6 + [1] * 3, "x": [0] * 9}
    blocks.workspace.dataset = lambda _: make_dataset({"test": blocks.split("test", 9)})
    task = load_registry().tasks["retrieval"]
    least = least_value(task, entry(), cast(RaceBlocks, blocks), {"test": 8})
    assert least == pytest.approx(1 / 8)


def test_train_images_are_scored_where_test_images_were_drawn_from_them() -> None:
    content = digests(4)
    alone = {"train": make_split(content[:2], [0, 1]), "test": make_split(content[2:], [0, 1])}
    grouped = {**alone, "train": make_split(content[:2], [0, 1], groups=["p", "q"])}
    drawn = {"kind": "automatic", "share": 0.5, "seed": 0}
    assert can_score_train(make_dataset(alone, split_origin=drawn))
    assert not can_score_train(make_dataset(grouped, split_origin=drawn))
    assert not can_score_train(make_dataset(alone, split_origin={**drawn, "conditions": {}}))
    assert not can_score_train(make_dataset(alone, split_origin={"kind": "official"}))
