"""Features of the first images of a race's order, read from full splits."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from bob.datasets.image_sets import ImageSet
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.racing.schedule import RaceStep
from bob.features.store import Features
from bob.plan import Workspace
from tests.builders.backbone_entries import entry
from tests.builders.splits import digests, features_from, make_dataset, make_split

IMAGES = 12


class FullSplits:
    """A store of the full splits of one backbone: image i has the feature i."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def stored_images(self, key: Any) -> int:
        return 0 if key.is_block else IMAGES

    def read(self, key: Any) -> Features:
        self.reads.append(key.split)
        return features_from(np.arange(IMAGES, dtype=np.float32)[:, None])


def key(_dataset: str, _spec: object, images: ImageSet) -> SimpleNamespace:
    is_block = images.block is not None
    return SimpleNamespace(
        split=images.split, is_block=is_block, count=IMAGES, digest=lambda: images.split
    )


def test_a_full_split_is_read_once_for_all_its_blocks() -> None:
    """Test images are in the order of a seeded permutation; two steps end at 5 and at 9 of 12."""
    store = FullSplits()
    dataset = make_dataset({"test": make_split(digests(IMAGES), [0] * IMAGES)})
    workspace = SimpleNamespace(
        places=SimpleNamespace(features=lambda: store),
        dataset=lambda _: dataset,
        feature_key=key,
    )
    steps = [RaceStep({"test": n}, {}, {}) for n in (5, 9)]
    blocks = RaceBlocks("d", cast(Workspace, workspace), steps, seed=3)
    order = np.random.default_rng(3).permutation(IMAGES)
    for count in (5, 7, 9):
        rows = blocks.features(entry(), "test", count).rows[:, 0]
        assert rows.tolist() == order[:count].tolist()
    assert store.reads == ["test"]
    assert blocks.split("test", 5).content[0] == digests(IMAGES)[order[0]]
