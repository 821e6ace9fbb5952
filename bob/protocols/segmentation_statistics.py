"""What segmentation sums over feature maps while they are computed; no map is stored.

`patch_sums` are the class sums of patches, from which linear heads are solved; and
`segmentation_counts` the pixels that such heads have right, image by image. Targets of a patch are
the shares of its pixels in each class; predictions are upsampled to the mask's own size.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.masks import Masks
from bob.errors import DatasetError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    add_arrays,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.metrics.segmentation import mean_iou
from bob.numerics.arrays import Floats, Ints
from bob.numerics.dense.cells import cell_shares
from bob.numerics.dense.pixels import agreement, upsampled_classes
from bob.numerics.linear.class_sums import ClassSums, HeadKind, LinearHead, Prior, head_path
from bob.outcomes import SegmentationCounts

CHUNK_VALUES = 2**22
"""Features that are converted to float64 at once."""


@dataclass(frozen=True)
class HeadSettings:
    """A path of linear heads, as plain data."""

    head: HeadKind
    prior: Prior
    first: float
    last: float
    count: int
    """The strengths are 10^first to 10^last, `count` of them."""

    @property
    def strengths(self) -> list[float]:
        return [float(value) for value in 10.0 ** np.linspace(self.first, self.last, self.count)]


def sums_spec(classes: int) -> AccumulatorSpec:
    """Return the class sums of patches."""
    return AccumulatorSpec("patch_sums", 1, (("classes", classes),))


def counts_spec(classes: int, head: HeadSettings, *, every_strength: bool) -> AccumulatorSpec:
    """Return the counts of pixels of the heads of `every_strength`, or of the chosen one.

    The former depend on the sums of the images to fit. The latter depend on these; and, where there
    are several strengths, on the sums and the counts of the held-out images, and the head is solved
    on all train images.
    """
    settings = {**vars(head), "classes": classes, "every_strength": every_strength}
    return AccumulatorSpec("segmentation_counts", 1, tuple(sorted(settings.items())))


@dataclass(frozen=True, eq=False)
class PatchSums:
    """Class sums over patches, in float64."""

    masks: Masks
    classes: int

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return sums of nothing."""
        width = shape[-1]
        return {
            "counts": np.zeros(self.classes),
            "sums": np.zeros((self.classes, width)),
            "gram": np.zeros((width, width)),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for at in _chunks(features):
            shares = [
                cell_shares(self.masks.read(position), features.shape[1:3], self.classes)
                for position in positions[at].tolist()
            ]
            x = features[at].reshape(-1, features.shape[3])
            sums = ClassSums.of(x, np.stack(shares).reshape(-1, self.classes))
            for name, values in vars(sums).items():
                statistics[name] += values

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Add the sums of shards."""
        return add_arrays(parts)


@dataclass(frozen=True, eq=False)
class HeadCounts:
    """Pixels right, predicted and true, per image and class, of one head or several.

    S heads, C classes; `counts` (N, S, 3, C). `ceiling` (N, 3, C) are those of the true shares of
    the cells: what a grid of this size can reach.
    """

    masks: Masks
    classes: int
    head: HeadSettings
    every_strength: bool
    earlier: Earlier

    @functools.cached_property
    def heads(self) -> list[LinearHead]:
        """The S heads, solved from the statistics of earlier passes."""
        earlier = self.earlier()
        sums = class_sums(earlier[0])
        strengths = self.head.strengths
        if not self.every_strength:
            chosen = 0
            if len(earlier) > 1:
                chosen = best_strength(earlier[2]["counts"])
                sums += class_sums(earlier[1])
            strengths = [strengths[chosen]]
        return head_path(self.head.head, sums, strengths, self.head.prior)

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return counts of no image."""
        heads = self.head.count if self.every_strength else 1
        return {
            "positions": np.zeros(0, np.int64),
            "counts": np.zeros((0, heads, 3, self.classes), np.int64),
            "ceiling": np.zeros((0, 3, self.classes), np.int64),
            "grid": np.array(shape[:2], np.int64),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        counts, ceilings = [], []
        for position, grid in zip(positions.tolist(), features, strict=True):
            mask = self.masks.read(position)
            counts.append(np.stack([self._counts(head, grid, mask) for head in self.heads]))
            shares = cell_shares(mask, grid.shape[:2], self.classes)
            best = upsampled_classes(shares, mask.shape)
            ceilings.append(agreement(mask, best, self.classes))
        added = {"positions": positions, "counts": np.stack(counts), "ceiling": np.stack(ceilings)}
        for name, values in added.items():
            statistics[name] = np.concatenate([statistics[name], values])

    def _counts(self, head: LinearHead, grid: Floats, mask: NDArray[Any]) -> Ints:
        return agreement(mask, upsampled_classes(head.logits(grid), mask.shape), self.classes)

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        names = ("positions", "counts", "ceiling")
        joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
        order = np.argsort(joined["positions"], kind="stable")
        return {
            **{name: values[order] for name, values in joined.items()},
            "grid": parts[0]["grid"],
        }


def class_sums(statistics: Arrays) -> ClassSums:
    """Return the sums that a pass has stored."""
    return ClassSums(statistics["counts"], statistics["sums"], statistics["gram"])


def outcome_of(counts: Ints) -> SegmentationCounts:
    """Return the outcome of counts (N, 3, C)."""
    return SegmentationCounts(counts[:, 0], counts[:, 1], counts[:, 2])


def mean_ious(counts: Ints) -> list[float]:
    """Return the mean IoU of each of S heads from counts (N, S, 3, C)."""
    return [mean_iou(outcome_of(counts[:, s])) for s in range(counts.shape[1])]


def best_strength(counts: Ints) -> int:
    """Return the head with the highest mean IoU, the strongest of equals."""
    ious = mean_ious(counts)
    return max(range(len(ious)), key=lambda s: (ious[s], s))


def _chunks(features: Floats) -> Iterator[slice]:
    """Yield slices of the images (n, h, w, D) of a bounded number of values."""
    images = max(1, CHUNK_VALUES // max(1, int(np.prod(features.shape[1:]))))
    for start in range(0, len(features), images):
        yield slice(start, start + images)


def _masks(split: Split) -> Masks:
    if split.masks is None:
        raise DatasetError("segmentation needs a mask for each image; these images have none.")
    return split.masks


def _make_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PatchSums:
    return PatchSums(_masks(split), settings["classes"])


def _make_counts(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> HeadCounts:
    names = ("head", "prior", "first", "last", "count")
    head = HeadSettings(**{name: settings[name] for name in names})
    return HeadCounts(_masks(split), settings["classes"], head, settings["every_strength"], earlier)


register_accumulator("patch_sums", _make_sums)
register_accumulator("segmentation_counts", _make_counts)
