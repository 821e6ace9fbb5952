"""Datasets of a few points that correspond between small images."""

from collections.abc import Sequence

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.points import PointSets, SeenSurface, SourcePoints, TargetPoints
from bob.numerics.arrays import Doubles
from tests.builders.splits import digests, make_dataset, make_split

SIZE = (12, 16)


def point_dataset(
    sources: Sequence[Doubles],
    targets: Sequence[Doubles],
    surfaces: Sequence[SeenSurface] | None = None,
) -> Dataset:
    """Return pairs of a source and a target image of 12 x 16 px with points (n, 2) each.

    The object's extent is 10 px; points are numbered 100 i, 100 i + 1, ... in image i.
    """
    pairs = range(len(sources))
    ids = [100 * i + np.arange(len(sources[i])) for i in pairs]
    of_sources = [SourcePoints(SIZE, ids[i], sources[i]) for i in pairs]
    of_targets = [
        TargetPoints(
            SIZE,
            ids[i],
            targets[i],
            pair=np.full(len(ids[i]), i),
            extent_px=np.full(len(ids[i]), 10.0),
            source_place=sources[i] / SIZE[::-1],
            surface=None if surfaces is None else surfaces[i],
        )
        for i in pairs
    ]
    n = len(sources)
    query, gallery = digests(n, "query"), digests(n, "gallery")
    return make_dataset(
        {
            "query": make_split(
                query, [-1] * n, points=PointSets(digests(n, "p"), of_sources.__getitem__)
            ),
            "gallery": make_split(
                gallery,
                [-1] * n,
                points=PointSets(
                    digests(n, "t"), of_targets.__getitem__, [(f"{i}",) for i in pairs]
                ),
            ),
        },
        (),
        kind="correspondence",
    )


def random_points(n: int, points: int, seed: int) -> list[Doubles]:
    """Return points inside images of 12 x 16 px."""
    rng = np.random.default_rng(seed)
    return list(rng.uniform(1, 11, (n, points, 2)))
