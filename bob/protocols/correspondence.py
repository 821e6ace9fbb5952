"""Correspondence without training: points of one image are found in another by their features.

The feature of a source point is read from the source image's map of patches, upsampled bilinearly
to the image's own size; the prediction is the pixel of the target image whose upsampled feature has
the highest cosine to it. It is correct within a share of the longer side of the object's box in the
target image: PCK of SPair-71k, as DIFT's evaluation computes it (github.com/Tsingularity/dift,
eval_spair.py). Differs from that code in the following points:

- images are squashed to one size, for which DIFT has one for all images too (768 px; here that of
  the task);
- no upsampled map is made, and cosines are in float64; see `bob.numerics.dense.matching`;
- a point can lie between pixels, where the sample's warps put it; SPair's are at pixel centres.

Source images pass the backbone once, and target images once; an image that is both passes twice.
What is stored are the features of the source points, and the distance of each prediction.

Beside the score stand the share that random pixels find (`chance`), and that of predictions at the
same place in the target image as in the source image (`same_place`).
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.datasets.points import PointSets, TargetPoints
from bob.errors import DatasetError, NotApplicableError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    extend_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.matching import PixelSearch, features_at
from bob.outcomes import PairHits
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.kept_images import SAMPLED, WORST
from bob.protocols.needs import Inputs, Needs, StatisticsNeed, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec

Share = Annotated[float, Field(gt=0, le=1)]


class CorrespondenceSettings(MapSettings):
    """Settings of correspondence."""

    within: tuple[Share, ...] = Field(strict=False, min_length=1)
    """Distances within which a point is found, as shares of the longer side of the object's box in
    the target image; the first ranks."""


@dataclass(frozen=True, eq=False)
class CorrespondenceProblem:
    """M predicted points and the true ones."""

    matches: Arrays
    """See `PointMatches`."""


class Correspondence(Protocol[CorrespondenceSettings, CorrespondenceProblem]):
    """The nearest pixel by cosine."""

    name = "correspondence"
    settings = CorrespondenceSettings
    kinds = frozenset({"correspondence"})
    outcomes = (PairHits,)

    def needs(
        self, settings: CorrespondenceSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "query", "gallery")
        if missing := [name for name, split in dataset.splits.items() if split.points is None]:
            raise NotApplicableError(
                f"needs points that correspond; {missing[0]} of dataset {dataset.name!r} has none."
            )
        variant = squashed(backbone, settings)
        spec = AccumulatorSpec("source_points", 1)
        sources = StatisticsNeed(variant, ImageSet("query"), spec)
        matches = AccumulatorSpec("point_matches", 2)
        return [sources, StatisticsNeed(variant, ImageSet("gallery"), matches, after=(sources,))]

    def build(
        self,
        settings: CorrespondenceSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> CorrespondenceProblem:
        need = needs[1]
        assert isinstance(need, StatisticsNeed)
        return CorrespondenceProblem(inputs.statistics(need))

    def solve(
        self, problem: CorrespondenceProblem, settings: CorrespondenceSettings, device: str
    ) -> Result:
        matches, (first, *others) = problem.matches, settings.within
        headline = _pair_hits(matches, "found", first)
        same_place = _pair_hits(matches, "same_place", first)
        parts = [
            ResultPart(headline),
            ResultPart(same_place, "same_place", facets={"bound": "same_place"}),
        ]
        for share in others:
            hits = _pair_hits(matches, "found", share)
            parts.append(ResultPart(hits, f"{share:g}", facets={"within": share}))
        detail = {
            "grid": matches["grid"].tolist(),
            "within": list(settings.within),
            "pairs": len(headline),
            "points": int(headline.points.sum()),
            "pairs_without_source": int(matches["pairs"].sum()) - len(headline),
        }
        return Result(tuple(parts), detail, shown=_shown(matches, headline))


def _shown(matches: Arrays, hits: PairHits) -> dict[str, NDArray[Any]]:
    """Return the points of a sample of pairs, and of those with the fewest points found.

    The sample is at equal distances among the pairs' numbers, the same for all backbones.
    """
    numbers = np.unique(matches["pair"])
    worst = np.argsort(hits.hits / hits.points, kind="stable")[:WORST]
    sampled = np.arange(0, len(numbers), max(1, len(numbers) // SAMPLED))[:SAMPLED]
    rows = np.isin(matches["pair"], numbers[np.union1d(worst, sampled)])
    shown = {name: matches[name][rows] for name in ("pair", "id", "target", "xy", "found")}
    return {**shown, "sampled": np.isin(shown["pair"], numbers[sampled])}


def _pair_hits(matches: Arrays, predicted: str, within: float) -> PairHits:
    """Return the hits of each pair by the points of that name, in the order of pairs' numbers."""
    _, of = np.unique(matches["pair"], return_inverse=True)
    radii = within * matches["extent"]
    hits = np.hypot(*(matches[predicted] - matches["xy"]).T) <= radii
    by_chance = [
        share_within(size, xy, radius)
        for size, xy, radius in zip(matches["size"], matches["xy"], radii, strict=True)
    ]
    points = np.bincount(of)
    return PairHits(
        np.bincount(of, hits).astype(np.int64), points, np.bincount(of, by_chance) / points
    )


def share_within(size: Ints, xy: Doubles, radius: float) -> float:
    """Return the share of the pixels of an image (H, W) whose centres are within a radius of xy.

    Row by row: the columns c with |c + 0.5 - x| at most half the chord there.
    """
    height, width = size.tolist()
    down = np.arange(height) + 0.5 - xy[1]
    half = np.sqrt((radius**2 - down**2)[np.abs(down) <= radius].clip(min=0))
    first = np.ceil(xy[0] - half - 0.5).clip(min=0)
    last = np.floor(xy[0] + half - 0.5).clip(max=width - 1)
    return float((last - first + 1).clip(min=0).sum() / (height * width))


# --- the statistics of source and of target images


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
        return _joined(parts, ("ids", "features"))


@dataclass(frozen=True, eq=False)
class PointMatches:
    """Where the points of source images are found in target images.

    Of each of M points whose source is there: its `id`, the number of its `pair` and the position
    of the `target` image; `xy` where it is, `found`
    and `same_place` where it is predicted (M, 2); the `extent` of the object, and the `size` of the
    image (M, 2), height first. All lengths are in pixels of the target image. `pairs` (N,) counts
    the pairs of each image.
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
        return {
            "id": points.ids[there],
            "pair": points.pair[there],
            "xy": points.xy[there],
            "found": np.reshape(np.array(found, np.float64), (-1, 2)),
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
        names = ("id", "pair", "target", "xy", "found", "same_place", "extent", "size", "pairs")
        return {**_joined(parts, names), "grid": parts[0]["grid"]}


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


register_accumulator("source_points", _make_sources)
register_accumulator("point_matches", _make_matches)

PROTOCOL = Correspondence()
