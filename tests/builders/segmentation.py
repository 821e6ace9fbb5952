"""Datasets of small masks, and what a protocol needs of given feature maps."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from bob.datasets.dataset import Dataset, Split
from bob.datasets.masks import Mask, Masks
from bob.extraction.accumulators import temporary_arrays
from bob.features.shard import Arrays, Effort
from bob.features.store import Features
from bob.protocols import Inputs, Needs, StatisticsNeed
from bob.protocols.kept_images import kept_of
from bob.protocols.needs import FeatureNeed, TextNeed
from tests.builders.splits import digests, make_dataset, make_split

Maps = Callable[[Split, NDArray[np.int64]], NDArray[np.float32]]
"""Split and positions (n,) → feature maps (n, h, w, D)."""


def blocky_masks(n: int, classes: int, cells: int, cell_px: int, seed: int) -> list[Mask]:
    """Return masks of `cells` x `cells` cells, each of one class."""
    rng = np.random.default_rng(seed)
    grids = rng.integers(0, classes, (n, cells, cells)).astype(np.int16)
    return list(np.kron(grids, np.ones((cell_px, cell_px), np.int16)))


def mask_dataset(masks: Mapping[str, list[Mask]], classes: int) -> Dataset:
    """Return a dataset with these masks by split."""
    splits = {}
    for name, of_split in masks.items():
        content = digests(len(of_split), name)
        facts = Masks([f"mask {digest}" for digest in content], of_split.__getitem__)
        splits[name] = make_split(content, [-1] * len(of_split), masks=facts)
    names = [f"class_{c}" for c in range(classes)]
    return make_dataset(splits, names, kind="segmentation")


def statistics_of(needs: Needs, dataset: Dataset, maps: Maps, shard: int = 1000) -> Inputs:
    """Return maps, and the statistics of every need of them, in shards of `shard` images.

    Temporary arrays are for later statistics, not for protocols.
    """
    found: dict[StatisticsNeed, Arrays] = {}
    for need in needs:
        if isinstance(need, FeatureNeed):
            continue
        assert isinstance(need, StatisticsNeed)
        split = need.images.open(dataset)
        earlier = functools.partial(_all_of, found, need.after)
        accumulator = need.accumulator.create(split, earlier)
        parts = []
        for start in range(0, len(split), shard):
            at = np.arange(start, min(len(split), start + shard))
            features = maps(split, at)
            part = accumulator.start(features.shape[1:])
            accumulator.update(part, at, features)
            parts.append(part)
        found[need] = accumulator.merge(parts)

    def read(need: FeatureNeed | TextNeed) -> Features:
        assert isinstance(need, FeatureNeed) and need.accepts_grids
        split = need.images.open(dataset)
        at = np.arange(len(split))
        parts = [maps(split, at[i : i + shard]) for i in range(0, len(split), shard)]
        return Features(parts, at, {}, Effort())

    def read_statistics(need: StatisticsNeed) -> Arrays:
        temporary = temporary_arrays(need.accumulator.name)
        return {name: values for name, values in found[need].items() if name not in temporary}

    return Inputs(read, read_statistics)


def _all_of(
    found: Mapping[StatisticsNeed, Arrays], needs: Sequence[StatisticsNeed]
) -> list[Arrays]:
    return [found[need] for need in needs]


def stored_bytes(cache: Path) -> list[tuple[int, int]]:
    """Return the bytes of each stored shard: of what pages show of few images, and of all else."""
    sizes = []
    for path in (cache / "features").rglob("*.safetensors"):
        arrays = load_file(path)
        kept = sum(values.nbytes for values in kept_of(arrays).values())
        sizes.append((kept, sum(values.nbytes for values in arrays.values()) - kept))
    return sizes
