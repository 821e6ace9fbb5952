"""What correspondence computes over feature maps while they pass; no map is stored.

`source_points` are the features of the points of source images, and `point_matches` where these are
found in target images, and how far from the truth. The former are temporary: once the points were
sought in all target images, the features are removed from the store.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.points import PointSets, SeenSurface, TargetPoints
from bob.errors import DatasetError
from bob.extraction.accumulators import Earlier, extend_images, register_accumulator
from bob.features.shard import Arrays
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.matching import PixelSearch, features_at

WITHIN_M = (0.01, 0.02, 0.05)
"""Distances on an object's surface within which a point is found, in metres."""


@dataclass(frozen=True, eq=False)
class SourceFeatures:
    """Features of source points: `ids` (n,) and `features` (n, D), of length 1."""

    points: PointSets

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return no points."""
        return {"ids": np.zeros(0, np.int64), "features": np.zeros((0, shape[2]), np.float32)}

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for position, grid in zip(positions.tolist(), features, strict=True):
            points = self.points.read(position)
            rows = features_at(grid, points.xy, points.size)
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            unit = rows / np.where(lengths > 0, lengths, 1)
            extend_images(statistics, {"ids": points.ids, "features": unit.astype(np.float32)})

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the points of all shards."""
        return _joined(parts, tuple(parts[0]))


@dataclass(frozen=True, eq=False)
class PointMatches:
    """Where the points of source images are found in target images.

    Of each of M points whose source is there: its `id`, the number of its `pair` and the position
    of the `target` image; `xy` where it is, `found`
    and `same_place` where it is predicted (M, 2); the `extent` of the object, and the `size` of the
    image (M, 2), height first. All lengths are in pixels of the target image. `distance` is that
    between what the predicted pixel shows and the point, in metres, infinite beside the object;
    `near` (M, 3) the share of the image's pixels within `WITHIN_M` of the point; and `angle` that
    between the cameras in degrees; these three are empty where surfaces are not known. `pairs` (N,)
    counts the pairs of each image.
    """

    points: PointSets
    earlier: Earlier

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return no matches."""
        return {
            "id": np.zeros(0, np.int64),
            "pair": np.zeros(0, np.int64),
            "target": np.zeros(0, np.int64),
            "xy": np.zeros((0, 2)),
            "found": np.zeros((0, 2)),
            "same_place": np.zeros((0, 2)),
            "extent": np.zeros(0),
            "size": np.zeros((0, 2), np.int64),
            "distance": np.zeros(0),
            "near": np.zeros((0, len(WITHIN_M))),
            "angle": np.zeros(0),
            "pairs": np.zeros(0, np.int64),
            "grid": np.array(shape[:2], np.int64),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for position, grid in zip(positions.tolist(), features, strict=True):
            points = self.points.read(position)
            assert isinstance(points, TargetPoints)
            pairs = np.array([len(np.unique(points.pair))])
            matches = self._matches(points, grid)
            target = np.full(len(matches["pair"]), position)
            extend_images(statistics, {**matches, "target": target, "pairs": pairs})

    def _matches(self, points: TargetPoints, grid: Floats) -> dict[str, NDArray[Any]]:
        search, rows = PixelSearch.of(grid, points.size), self.source_rows
        there = np.array([point in rows for point in points.ids.tolist()], bool)
        wanted = [rows[point] for point in points.ids[there].tolist()]
        found = [search.nearest(self.source_features[row].astype(np.float64)) for row in wanted]
        height, width = points.size
        places = np.reshape(np.array(found, np.float64), (-1, 2))
        return {
            "id": points.ids[there],
            "pair": points.pair[there],
            "xy": points.xy[there],
            "found": places,
            **_on_surface(points.surface, there, places),
            "same_place": points.source_place[there] * (width, height),
            "extent": points.extent_px[there],
            "size": np.tile(np.array(points.size, np.int64), (len(wanted), 1)),
        }

    @functools.cached_property
    def source_features(self) -> Floats:
        return self.earlier()[0]["features"]

    @functools.cached_property
    def source_rows(self) -> Mapping[int, int]:
        """Id of a source point → its row."""
        return {point: row for row, point in enumerate(self.earlier()[0]["ids"].tolist())}

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the points of all shards."""
        names = [name for name in parts[0] if name != "grid"]
        return {**_joined(parts, names), "grid": parts[0]["grid"]}


def _on_surface(surface: SeenSurface | None, there: Bools, found: Doubles) -> dict[str, Doubles]:
    """Return what `PointMatches` holds of points (n,) that are `there`, found at pixels (M, 2)."""
    if surface is None:
        return {"distance": np.zeros(0), "near": np.zeros((0, len(WITHIN_M))), "angle": np.zeros(0)}
    points = surface.points_m[there]
    columns, rows = np.floor(found).astype(np.int64).T
    gaps = np.linalg.norm(surface.pixels_m[rows, columns] - points, axis=1)
    pixels = surface.pixels_m.reshape(-1, 3)
    shown = pixels[~np.isnan(pixels[:, 0])]
    near = [
        [np.count_nonzero(gap < metres) / len(pixels) for metres in WITHIN_M]
        for gap in (np.linalg.norm(shown - point, axis=1) for point in points)
    ]
    return {
        "distance": np.where(np.isnan(gaps), np.inf, gaps),
        "near": np.reshape(near, (-1, len(WITHIN_M))),
        "angle": surface.angle_deg[there],
    }


def _joined(parts: Sequence[Arrays], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _points_of(split: Split) -> PointSets:
    if split.points is None:
        raise DatasetError("correspondence needs points of each image; these images have none.")
    return split.points


def _make_sources(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> SourceFeatures:
    return SourceFeatures(_points_of(split))


def _make_matches(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PointMatches:
    return PointMatches(_points_of(split), earlier)


register_accumulator("source_points", _make_sources, temporary=("ids", "features"))
register_accumulator("point_matches", _make_matches)
