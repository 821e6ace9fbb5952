"""Discovery of one object per image without training, by LOST and TokenCut, scored by CorLoc.

Both find the object in the similarities of an image's patches; see `bob.numerics.dense.discovery`.
Of transformers they read the keys of the last attention. Beside them stands what they find in the
features of the patches (`..._patches`), which is the headline of backbones without such keys; these
are standardised over the map first, as LOST's code does for convolutional networks. Differs from
the official code (github.com/valeoai/LOST, github.com/YangtaoWANG95/TokenCut) in the following
points:

- the image is squashed to one size, where theirs keeps its size and is padded to whole patches;
- of patches with the same degree, LOST's seed is the first one, where theirs is an arbitrary one;
- LOST's object grows from at most an eighth of the patches, which 100 are of VOC's images with
  patches of 16 px: on coarse grids it would else grow from all of them;
- TokenCut on features of patches is not in its paper.

Nothing is learnt: test images are read alone, and train images are not needed. Objects of all
classes count, also difficult ones, but not crowds. An image without objects is left out. The bounds
are boxes that see no image: all of it (`..._image`), and its middle half (`..._middle`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    extend_images,
    join_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.boxes import box_overlaps
from bob.outcomes import DiscoveredBoxes
from bob.protocols.box_statistics import boxes_of
from bob.protocols.dense import DENSE_KINDS, MapSettings, squashed
from bob.protocols.kept_images import KeptImages, kept_of
from bob.protocols.needs import Inputs, Needs, StatisticsNeed, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import KEYS, BackboneSpec
from bob.specs.numbers import Count

LOST_SHARE = 8
METHODS = ("token_cut", "lost")
BOUNDS = {"image": (0.0, 0.0, 1.0, 1.0), "middle": (0.25, 0.25, 0.75, 0.75)}
"""Name → left, top, right and bottom edge of a box, as shares of the image."""


class DiscoverSettings(MapSettings):
    """Settings of object discovery."""

    lost_patches: Count
    """Patches with the lowest degrees from which LOST's object grows; at most an eighth of all."""
    tau: Annotated[float, Field(ge=-1, le=1)]
    """Cosine above which TokenCut joins patches."""


@dataclass(frozen=True, eq=False)
class DiscoverProblem:
    """Overlaps of boxes by what is read: `keys`, where the backbone has them, and `patches`."""

    found: Mapping[str, Arrays]


class Discover(Protocol[DiscoverSettings, DiscoverProblem]):
    """TokenCut's box, and LOST's."""

    name = "discover"
    settings = DiscoverSettings
    kinds = DENSE_KINDS
    outcomes = (DiscoveredBoxes,)

    def needs(self, settings: DiscoverSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_splits(dataset, "test")
        if dataset.splits["test"].boxes is None:
            raise NotApplicableError(f"needs boxes; test of dataset {dataset.name!r} has none.")
        patches = squashed(backbone, settings)
        return [
            StatisticsNeed(
                patches.variant(output=KEYS) if reads == "keys" else patches,
                ImageSet("test"),
                overlaps_spec(settings, standardised=reads == "patches"),
                optional=reads == "keys",
            )
            for reads in ("keys", "patches")
        ]

    def build(
        self,
        settings: DiscoverSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DiscoverProblem:
        found = {}
        for need in needs:
            assert isinstance(need, StatisticsNeed)
            reads = "keys" if need.backbone.output == KEYS else "patches"
            found[reads] = inputs.statistics(need)
        return DiscoverProblem(found)

    def solve(self, problem: DiscoverProblem, settings: DiscoverSettings, device: str) -> Result:
        headline, *others = problem.found
        parts = list(_parts(problem.found[headline], METHODS))
        for reads in others:
            parts += _parts(problem.found[reads], METHODS, reads)
        statistics = problem.found[headline]
        for bound in BOUNDS:
            parts.append(ResultPart(_outcome(statistics, bound), bound, facets={"bound": bound}))
        detail = {"grid": statistics["grid"].tolist(), "reads": headline}
        return Result(tuple(parts), detail, shown=kept_of(statistics))


def _parts(statistics: Arrays, methods: Sequence[str], reads: str = "") -> list[ResultPart]:
    """Return the outcome of each method; the first one's suffix is `reads` alone."""
    parts = []
    for i, method in enumerate(methods):
        suffix = "_".join(word for word in ("" if i == 0 else method, reads) if word)
        facets = {"method": method, **({"reads": reads} if reads else {})}
        parts.append(ResultPart(_outcome(statistics, method), suffix, facets=facets))
    return parts


def _outcome(statistics: Arrays, box: str) -> DiscoveredBoxes:
    return DiscoveredBoxes(statistics["overlaps"][:, (*METHODS, *BOUNDS).index(box)])


# --- the statistics of test images


def overlaps_spec(settings: DiscoverSettings, *, standardised: bool) -> AccumulatorSpec:
    """Return the overlaps of discovered boxes with true ones."""
    facts = {
        "lost_patches": settings.lost_patches,
        "tau": settings.tau,
        "standardised": standardised,
    }
    return AccumulatorSpec("discovered_overlaps", 2, tuple(sorted(facts.items())))


@dataclass(frozen=True, eq=False)
class DiscoveredOverlaps:
    """Largest overlaps (N, 4) of the boxes of METHODS and BOUNDS with a true box of each image.

    Of the images to keep, the `boxes` (K, 2, 4) of METHODS, as shares of the image, and their
    `overlaps` (K, 2).
    """

    boxes: BoxSets
    kept: KeptImages
    lost_patches: int
    tau: float
    standardised: bool

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return overlaps of no image."""
        return {
            "positions": np.zeros(0, np.int64),
            "overlaps": np.zeros((0, len(METHODS) + len(BOUNDS))),
            "grid": np.array(shape[:2], np.int64),
            **self.kept.start(
                {
                    "boxes": np.zeros((0, len(METHODS), 4), np.float32),
                    "overlaps": np.zeros((0, len(METHODS))),
                }
            ),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for position, grid in zip(positions.tolist(), features, strict=True):
            true = self.boxes.read(position)
            if (~true.crowds).any():
                predicted = self.predicted(grid)
                overlaps = largest_overlaps(predicted, true)
                added = {"positions": np.array([position]), "overlaps": overlaps[None]}
                extend_images(statistics, added)
                methods = slice(len(METHODS))
                shown: dict[str, NDArray[Any]] = {
                    "boxes": predicted[methods].astype(np.float32),
                    "overlaps": overlaps[methods],
                }
                self.kept.add(statistics, position, float(overlaps[0]), shown)

    def predicted(self, grid: Floats) -> Doubles:
        """Return the boxes (4, 4) of a map (h, w, D), as shares of the image."""
        from bob.numerics.dense.discovery import lost, standardised_map, token_cut

        features = standardised_map(grid) if self.standardised else grid
        height, width = grid.shape[:2]
        k = min(self.lost_patches, -(-height * width // LOST_SHARE))
        cells = np.array([token_cut(features, self.tau), lost(features, k)])
        return np.concatenate([cells / (width, height, width, height), [*BOUNDS.values()]])

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        joined = join_images(parts, ("overlaps",))
        return {**joined, "grid": parts[0]["grid"], **self.kept.merge(parts)}


def largest_overlaps(shares: Doubles, true: ImageBoxes) -> Doubles:
    """Return the largest intersection over union (n,) of boxes (n, 4), as shares of the image."""
    height, width = true.size
    objects = true.xyxy[~true.crowds]
    found = shares * (width, height, width, height)
    overlaps = box_overlaps(found, objects, np.zeros(len(objects), bool))
    return np.asarray(overlaps.max(axis=1), np.float64)


def _make_overlaps(
    settings: Mapping[str, Any], split: Split, earlier: Earlier
) -> DiscoveredOverlaps:
    return DiscoveredOverlaps(boxes_of(split), KeptImages.of(split), **settings)


register_accumulator("discovered_overlaps", _make_overlaps)

PROTOCOL = Discover()
