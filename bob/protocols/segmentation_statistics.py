"""What segmentation sums over feature maps while they are computed; no map is stored.

`patch_sums` are the class sums of patches, from which linear heads are solved; and
`segmentation_counts` the pixels that such heads have right, image by image. Targets of a patch are
the shares of its pixels in each class; predictions are upsampled to the mask's own size.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.masks import Mask, Masks
from bob.errors import DatasetError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    add_arrays,
    extend_images,
    image_chunks,
    join_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.metrics.segmentation import mean_iou
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_shares
from bob.numerics.dense.pixels import agreement, upsampled_classes
from bob.numerics.linear.class_sums import ClassSums, HeadKind, LinearHead, Prior, head_path
from bob.outcomes import SegmentationCounts
from bob.protocols.dense import StrengthPath, sums_and_strengths


@dataclass(frozen=True)
class HeadSettings(StrengthPath):
    """A path of linear heads, as plain data."""

    head: HeadKind
    prior: Prior


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
        for at in image_chunks(features):
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


Predict = Callable[[Floats], Doubles]
"""Maps of images (n, h, w, D) → logits of S predictors (S, n, h, w, C)."""


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Pixels right, predicted and true, per image and class, of one predictor or several.

    S predictors, C classes; `counts` (N, S, 3, C). `ceiling` (N, 3, C) are those of the true shares
    of the cells: what a grid of this size can reach.
    """

    masks: Masks
    classes: int
    predictors: int
    predict: Predict

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return counts of no image."""
        return {
            "positions": np.zeros(0, np.int64),
            "counts": np.zeros((0, self.predictors, 3, self.classes), np.int64),
            "ceiling": np.zeros((0, 3, self.classes), np.int64),
            "grid": np.array(shape[:2], np.int64),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for at in image_chunks(features):
            logits = self.predict(features[at])
            for i, position in enumerate(positions[at].tolist()):
                mask = self.masks.read(position)
                shares = cell_shares(mask, features.shape[1:3], self.classes)
                added = {
                    "positions": np.array([position]),
                    "counts": np.stack([self._counts(of[i], mask) for of in logits])[None],
                    "ceiling": self._counts(shares, mask)[None],
                }
                extend_images(statistics, added)

    def _counts(self, logits: Doubles, mask: Mask) -> Ints:
        return agreement(mask, upsampled_classes(logits, mask.shape), self.classes)

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        joined = join_images(parts, ("counts", "ceiling"))
        return {**joined, "grid": parts[0]["grid"]}


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """Linear heads that are solved from the statistics of earlier passes."""

    settings: HeadSettings
    every_strength: bool
    earlier: Earlier

    @functools.cached_property
    def heads(self) -> list[LinearHead]:
        """The head of every strength, or of the chosen one."""
        sums, strengths = sums_and_strengths(
            self.settings, self.every_strength, self.earlier, lambda of: mean_ious(of["counts"])
        )
        return head_path(self.settings.head, class_sums(sums), strengths, self.settings.prior)

    def __call__(self, maps: Floats) -> Doubles:
        """Return the logits (S, n, h, w, C) of maps (n, h, w, D)."""
        return np.stack([head.logits(maps) for head in self.heads])


def class_sums(statistics: Arrays) -> ClassSums:
    """Return the sums that a pass has stored."""
    return ClassSums(statistics["counts"], statistics["sums"], statistics["gram"])


def outcome_of(counts: Ints) -> SegmentationCounts:
    """Return the outcome of counts (N, 3, C)."""
    return SegmentationCounts(counts[:, 0], counts[:, 1], counts[:, 2])


def mean_ious(counts: Ints) -> list[float]:
    """Return the mean IoU of each of S heads from counts (N, S, 3, C)."""
    return [mean_iou(outcome_of(counts[:, s])) for s in range(counts.shape[1])]


def masks_of(split: Split) -> Masks:
    """Return the masks of a split; DatasetError where it has none."""
    if split.masks is None:
        raise DatasetError("segmentation needs a mask for each image; these images have none.")
    return split.masks


def _make_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PatchSums:
    return PatchSums(masks_of(split), settings["classes"])


def _make_counts(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PixelCounts:
    head, every = HeadSettings.read(settings), settings["every_strength"]
    predict = LinearHeads(head, every, earlier)
    return PixelCounts(masks_of(split), settings["classes"], head.count if every else 1, predict)


register_accumulator("patch_sums", _make_sums)
register_accumulator("segmentation_counts", _make_counts)
