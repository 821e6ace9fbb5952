"""Datasets of small depth maps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.depths import DepthCrop, Depths
from bob.numerics.arrays import Floats
from bob.outcomes import DepthErrors
from bob.protocols import Result
from tests.builders.splits import digests, make_dataset, make_split

RANGE_M = (0.5, 10.0)


def blocky_depths(n: int, cells: int, cell_px: int, seed: int) -> list[Floats]:
    """Return depth maps of `cells` x `cells` cells, each at one depth from 1 m to 8 m."""
    grids = np.random.default_rng(seed).uniform(1, 8, (n, cells, cells))
    return list(np.kron(grids, np.ones((cell_px, cell_px))).astype(np.float32))


def make_depths(
    maps: Sequence[Floats], salt: str, range_m: tuple[float, float], crop: DepthCrop | None = None
) -> Depths:
    """Return depth maps of a split, at the positions of `maps`."""
    return Depths(digests(len(maps), f"depth {salt}"), maps.__getitem__, range_m, crop)


def depth_dataset(
    maps: Mapping[str, Sequence[Floats]],
    range_m: tuple[float, float] = RANGE_M,
    crop: DepthCrop | None = None,
) -> Dataset:
    """Return a dataset with these depth maps by split, and without classes."""
    splits = {
        name: make_split(
            digests(len(of_split), name),
            [-1] * len(of_split),
            depths=make_depths(of_split, name, range_m, crop),
        )
        for name, of_split in maps.items()
    }
    return make_dataset(splits, (), kind="depth")


def with_depths(dataset: Dataset, maps: Mapping[str, Sequence[Floats]]) -> Dataset:
    """Return a dataset with depth maps beside what its splits have."""
    splits = {
        name: replace(split, depths=make_depths(maps[name], name, RANGE_M))
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def depth_part(result: Result, suffix: str) -> DepthErrors:
    """Return the outcome of the part with this suffix."""
    (outcome,) = [part.outcome for part in result.parts if part.suffix == suffix]
    assert isinstance(outcome, DepthErrors)
    return outcome
