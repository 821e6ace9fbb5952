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

Where a dataset knows the object's surface (NAVI), distances between the predicted pixel's point and
the true one are measured on it too, as in Probe3D (arXiv:2404.08636, github.com/mbanani/probe3d):
the shares within `WITHIN_M`, and that within 2 cm by the angle between the cameras (`ANGLES`). A
pixel beside the object is at no distance. Differs from that code in the following points:

- a pair's points are drawn from those that both images show, where Probe3D takes the 1,000 points
  of the source's object whose nearest feature is the most distinct by Lowe's ratio;
- all pixels of the target image are searched, where Probe3D knows which are the object's;
- features are upsampled bilinearly to the image, where Probe3D upsamples bicubically to 128 px.

Source images pass the backbone once, and target images once; an image that is both passes twice.
What is stored are the features of the source points, and the distance of each prediction.

Beside the score stand the share that random pixels find (`chance`), and that of predictions at the
same place in the target image as in the source image (`same_place`).
"""

import itertools
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.extraction.accumulators import AccumulatorSpec
from bob.features.shard import Arrays
from bob.numerics.arrays import Bools, Doubles, Ints
from bob.outcomes import PairHits
from bob.protocols.correspondence_statistics import WITHIN_M
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.kept_images import SAMPLED, WORST
from bob.protocols.needs import Inputs, Needs, StatisticsNeed, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec

Share = Annotated[float, Field(gt=0, le=1)]
BY_ANGLE_M = 0.02
"""The one of `WITHIN_M` that is counted by angle."""
ANGLES = (0, 30, 60, 90, 120)
"""Bounds of the angles between cameras, in degrees."""


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
        matches = AccumulatorSpec("point_matches", 3)
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
        parts += _parts_on_surface(matches)
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
    radii = within * matches["extent"]
    hits = np.hypot(*(matches[predicted] - matches["xy"]).T) <= radii
    by_chance = [
        share_within(size, xy, radius)
        for size, xy, radius in zip(matches["size"], matches["xy"], radii, strict=True)
    ]
    return _of_pairs(matches["pair"], hits, np.array(by_chance))


def _parts_on_surface(matches: Arrays) -> list[ResultPart]:
    """Return the hits by distance on the object's surface, and by angle; none without surfaces."""
    parts: list[ResultPart] = []
    if not len(matches["angle"]):
        return parts
    pair = matches["pair"]
    for metres, by_chance in zip(WITHIN_M, matches["near"].T, strict=True):
        hits = matches["distance"] < metres
        name = f"{100 * metres:g}cm"
        facets: dict[str, str | int | float] = {"within_cm": round(100 * metres)}
        parts.append(ResultPart(_of_pairs(pair, hits, by_chance), name, facets=facets))
        if metres != BY_ANGLE_M:
            continue
        for least, most in itertools.pairwise(ANGLES):
            rows = (matches["angle"] >= least) & (matches["angle"] < most)
            if rows.any():
                of_angle = _of_pairs(pair[rows], hits[rows], by_chance[rows])
                at = {**facets, "angle": f"{least}-{most}"}
                parts.append(ResultPart(of_angle, f"{name}_{least}_{most}", facets=at))
    return parts


def _of_pairs(pair: Ints, hits: Bools, by_chance: Doubles) -> PairHits:
    """Return the hits of each pair, from (M,) hits and chances of points with their pairs."""
    _, of = np.unique(pair, return_inverse=True)
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


PROTOCOL = Correspondence()
