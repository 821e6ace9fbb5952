"""What segmentation sums over feature maps while they are computed; no map is stored.

`patch_sums` are the class sums of patches, whose targets are the shares of their pixels in each
class, and `pixel_sums` those of pixels, whose features are upsampled bilinearly: linear heads are
solved from either. `segmentation_counts` are the pixels that such heads have right, image by image.
Predictions are upsampled to the mask's own size.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.datasets.masks import Mask, Masks
from bob.datasets.windows import WindowMasks
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
from bob.metrics.segmentation import class_iou, mean_iou
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.boundaries import boundary_fs
from bob.numerics.dense.cells import cell_shares
from bob.numerics.dense.map_sums import patch_sums, pixel_sums
from bob.numerics.dense.pixels import agreement, at_centres
from bob.numerics.dense.principal import PrincipalColours
from bob.numerics.dense.windows import joined_classes, of_complete_images, window_areas
from bob.numerics.linear.class_sums import (
    ClassSums,
    HeadKind,
    LinearHead,
    Prior,
    head_path,
    stacked_logits,
)
from bob.outcomes import SegmentationCounts
from bob.protocols.dense import StrengthPath, sums_and_strengths
from bob.protocols.kept_images import KeptImages, kept_images

SHOWN_PX = 72
"""Side of the map of predicted classes that is kept of an image: 5 kB."""


@dataclass(frozen=True)
class HeadSettings(StrengthPath):
    """A path of linear heads, as plain data."""

    head: HeadKind
    prior: Prior


FitOn = Literal["patches", "pixels"]
SUMS: Mapping[FitOn, str] = {"patches": "patch_sums", "pixels": "pixel_sums"}
"""What heads are fitted to → the accumulator of their sums."""


def sums_spec(classes: int, fit_on: FitOn) -> AccumulatorSpec:
    """Return the class sums of patches or of pixels."""
    return AccumulatorSpec(SUMS[fit_on], 1, (("classes", classes),))


def counts_spec(
    classes: int, head: HeadSettings, *, every_strength: bool, windows: int | None = None
) -> AccumulatorSpec:
    """Return the counts of pixels of the heads of `every_strength`, or of the chosen one.

    The former depend on the sums of the images to fit. The latter depend on these; and, where there
    are several strengths, on the sums and the counts of the held-out images, and the head is solved
    on all train images.
    """
    settings = {**vars(head), "classes": classes, "every_strength": every_strength}
    settings |= {} if windows is None else {"windows": windows}
    return AccumulatorSpec("segmentation_counts", 2, tuple(sorted(settings.items())))


@dataclass(frozen=True, eq=False)
class MapSums:
    """Class sums over maps, in float64."""

    masks: Masks
    classes: int
    sums_of: Callable[[Floats, Iterable[Mask], int], ClassSums]
    """Maps (n, h, w, D), the masks of the n images, and C → the sums over them."""

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
            masks = map(self.masks.read, positions[at].tolist())
            sums = self.sums_of(features[at], masks, self.classes)
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
    of the cells: what a grid of this size can reach. Of test images, `boundary_f` (N, 2) are the F
    of boundaries by the first predictor and by those shares. Of the images to keep, `classes`
    (K, 72, 72) are those that the first predictor gives to pixels at equal distances, and `colours`
    (K, h, w, 3) show the features of patches.
    """

    masks: Masks
    """Of whole images."""
    classes: int
    predictors: int
    predict: Predict
    kept: KeptImages | None = None
    """None of held-out images, of which only pixels are counted."""
    colours: Callable[[Floats], NDArray[np.uint8]] | None = None
    """Map of an image (h, w, D) → colours (h, w, 3)."""
    windows: int = 1
    """n of the n x n windows of an image whose maps are its own; 1 is the whole image."""

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return counts of no image."""
        counts = {
            "positions": np.zeros(0, np.int64),
            "counts": np.zeros((0, self.predictors, 3, self.classes), np.int64),
            "ceiling": np.zeros((0, 3, self.classes), np.int64),
            "grid": np.array(shape[:2], np.int64),
        }
        if self.kept is None:
            return counts
        shown = {"classes": np.zeros((0, SHOWN_PX, SHOWN_PX), self._shown_type)}
        if self.colours is not None:
            shown["colours"] = np.zeros((0, *shape[:2], 3), np.uint8)
        return {**counts, "boundary_f": np.zeros((0, 2)), **self.kept.start(shown)}

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,), or of windows of images.

        An image of which a window is missing is left out.
        """
        maps = self.windows**2
        complete = of_complete_images(positions, maps)
        if not complete.all():
            positions, features = positions[complete], features[complete]
        for at in image_chunks(features, maps):
            logits = self.predict(features[at])
            for i, position in enumerate((positions[at][::maps] // maps).tolist()):
                mask = self.masks.read(position)
                shares = [
                    cell_shares(mask[area], features.shape[1:3], self.classes)
                    for area in window_areas(mask.shape, self.windows)
                ]
                of_image = logits[:, i * maps : (i + 1) * maps]
                predicted = [joined_classes(of, mask.shape) for of in of_image]
                ceiling = joined_classes(np.stack(shares), mask.shape)
                added = {
                    "positions": np.array([position]),
                    "counts": np.stack([self._counts(of, mask) for of in predicted])[None],
                    "ceiling": self._counts(ceiling, mask)[None],
                }
                if self.kept is not None:
                    added["boundary_f"] = np.array([boundary_fs(mask, [predicted[0], ceiling])])
                    score = image_score(added["counts"][0, 0])
                    shown = self._shown(predicted[0], features[at][i * maps])
                    self.kept.add(statistics, position, score, shown)
                extend_images(statistics, added)

    def _counts(self, predicted: Ints, mask: Mask) -> Ints:
        return agreement(mask, predicted, self.classes)

    def _shown(self, predicted: Ints, grid: Floats) -> dict[str, NDArray[Any]]:
        """Return what is kept of an image."""
        classes = at_centres(predicted, (SHOWN_PX, SHOWN_PX)).astype(self._shown_type)
        colours = {} if self.colours is None else {"colours": self.colours(grid)}
        return {"classes": classes, **colours}

    @property
    def _shown_type(self) -> type[np.uint8 | np.int32]:
        return np.uint8 if self.classes <= 256 else np.int32

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        grid = {"grid": parts[0]["grid"]}
        if self.kept is None:
            return {**join_images(parts, ("counts", "ceiling")), **grid}
        joined = join_images(parts, ("counts", "ceiling", "boundary_f"))
        return {**joined, **self.kept.merge(parts), **grid}


def image_score(counts: Ints) -> float:
    """Return the mean IoU of one image from its counts (3, C); NaN without labelled pixels."""
    if not counts[2].any():
        return float("nan")
    return float(np.nanmean(class_iou(outcome_of(counts[None]))))


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """Linear heads that are solved from the statistics of earlier passes."""

    settings: HeadSettings
    every_strength: bool
    earlier: Earlier

    @functools.cached_property
    def heads(self) -> list[LinearHead]:
        """The head of every strength, or of the chosen one."""
        sums, strengths = self.sums_and_strengths()
        return head_path(self.settings.head, sums, strengths, self.settings.prior)

    def sums_and_strengths(self) -> tuple[ClassSums, list[float]]:
        """Sums over the images to fit; with a chosen strength, over all train images.

        They are read when something is solved from them, and not kept: X'X of each backbone of a
        pass would be, for each of its tasks.
        """
        sums, strengths = sums_and_strengths(
            self.settings, self.every_strength, self.earlier, lambda of: mean_ious(of["counts"])
        )
        return class_sums(sums), strengths

    @functools.cached_property
    def colours(self) -> PrincipalColours:
        """Colours of features along the principal axes of train patches, or of train pixels."""
        sums, _ = self.sums_and_strengths()
        return PrincipalColours.of(float(sums.counts.sum()), sums.sums.sum(axis=0), sums.gram)

    def __call__(self, maps: Floats) -> Doubles:
        """Return the logits (S, n, h, w, C) of maps (n, h, w, D)."""
        return stacked_logits(self.heads, maps)


def class_sums(statistics: Arrays) -> ClassSums:
    """Return the sums that a pass has stored."""
    return ClassSums(statistics["counts"], statistics["sums"], statistics["gram"])


def outcome_of(counts: Ints, boundary_f: Doubles | None = None) -> SegmentationCounts:
    """Return the outcome of counts (N, 3, C), and of the F of boundaries (N,) where computed."""
    of_images = np.full(len(counts), np.nan) if boundary_f is None else boundary_f
    return SegmentationCounts(counts[:, 0], counts[:, 1], counts[:, 2], of_images)


def mean_ious(counts: Ints) -> list[float]:
    """Return the mean IoU of each of S heads from counts (N, S, 3, C).

    Zero for each where no image has labelled pixels.
    """
    if not counts[:, :, 2].any():
        return [0.0] * counts.shape[1]
    return [mean_iou(outcome_of(counts[:, s])) for s in range(counts.shape[1])]


def masks_of(split: Split) -> Masks:
    """Return the masks of a split; DatasetError where it has none."""
    if split.masks is None:
        raise DatasetError("segmentation needs a mask for each image; these images have none.")
    return split.masks


def _make_patch_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> MapSums:
    return MapSums(masks_of(split), settings["classes"], patch_sums)


def _make_pixel_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> MapSums:
    return MapSums(masks_of(split), settings["classes"], pixel_sums)


def _make_counts(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PixelCounts:
    head, every = HeadSettings.read(settings), settings["every_strength"]
    classes, heads = settings["classes"], LinearHeads(head, every, earlier)
    windows = settings.get("windows", 1)
    if every:
        masks = whole_masks(masks_of(split))
        return PixelCounts(masks, classes, head.count, heads, windows=windows)
    counts = counts_of_test(split, classes, heads, windows)
    if windows > 1:  # colours are not joined
        return counts
    return replace(counts, colours=lambda grid: heads.colours(grid))


def counts_of_test(split: Split, classes: int, predict: Predict, windows: int = 1) -> PixelCounts:
    """Return the counts of one predictor on test images, or on the n x n windows of each."""
    kept = kept_images(split, windows)
    return PixelCounts(whole_masks(masks_of(split)), classes, 1, predict, kept, windows=windows)


def whole_masks(masks: Masks) -> Masks:
    """Return masks of whole images, from these or from those of their windows."""
    return masks.whole if isinstance(masks, WindowMasks) else masks


register_accumulator("patch_sums", _make_patch_sums)
register_accumulator("pixel_sums", _make_pixel_sums)
register_accumulator("segmentation_counts", _make_counts)
