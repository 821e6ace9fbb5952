"""Instance masks of detected objects: Mask R-CNN's head beside that of FCOS, on frozen maps.

Boxes are those of `detect_fcos`, by the same head, recipe and seed. In each, a small head that is
trained once on the stored maps says which pixels belong to the object, whatever its class; see
`bob.numerics.dense.mask_head`. *Battle of the Backbones* (arXiv:2310.19909) has Cascade Mask R-CNN
on frozen backbones; differs from it in what `detect_fcos` lists, and in the following points:

- the mask head reads the frozen map by a 1 x 1 convolution of its own, without a pyramid: RoIAlign
  interpolates a map of any grid;
- it is trained on the objects' boxes, moved at random, where theirs is trained on proposals, and
  gives one mask, where theirs gives one for each class.

Masks are scored as COCO's evaluation does it (pycocotools), by the overlap of pixels; ignored
objects are neither learnt nor scored. Beside the score stand three bounds: `..._filled`, the boxes
that are found as masks, which is what the mask head must improve on; `..._true_boxes`, its masks in
the boxes of the objects, where nothing is missed; and `..._ceiling`, the objects' masks at the
resolution of the head, in these boxes. Of an image with more objects than detections that count
(100), both have the first ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.boxes import ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.errors import DatasetError, NotApplicableError, UndefinedError
from bob.numerics.arrays import Bools, Floats
from bob.numerics.dense.detections import MOST, Detections
from bob.numerics.dense.mask_matching import MaskedObjects
from bob.outcomes import BoxMatches, MaskMatches
from bob.protocols.box_statistics import outcome_of, require_boxes
from bob.protocols.dense import DENSE_KINDS
from bob.protocols.detect_fcos import PROTOCOL as DETECTION
from bob.protocols.detect_fcos import (
    DetectFcosProblem,
    DetectFcosSettings,
    MapsWithBoxes,
    detected,
    trained_detector,
    unlearnt_classes,
)
from bob.protocols.kept_detections import KeptDetections
from bob.protocols.kept_images import kept_of
from bob.protocols.mask_outcomes import joined, mask_matches
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.stored_maps import require_images
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

if TYPE_CHECKING:  # torch is imported when a head is trained
    from bob.numerics.dense.fcos import MapDetector
    from bob.numerics.dense.mask_head import MaskHead

BOUNDS = ("filled", "true_boxes", "ceiling")


class DetectMasksSettings(DetectFcosSettings):
    """Settings of `detect_fcos`, and of the mask head; the same for all backbones."""

    mask_px: Annotated[int, Field(ge=4, multiple_of=2)]
    """Cells of a side of a mask, in its box."""
    mask_channels: Count
    mask_convolutions: Count
    """3 x 3 convolutions of the mask head."""
    mask_epochs: Count
    """Its epochs; batches and rates are those of `detect_fcos`."""


@dataclass(frozen=True, eq=False)
class Heads:
    """Both heads."""

    boxes: "MapDetector"
    masks: "MaskHead"


class DetectMasks(Protocol[DetectMasksSettings, DetectFcosProblem]):
    """Two heads, each by one recipe, without a choice."""

    name = "detect_masks"
    settings = DetectMasksSettings
    kinds = DENSE_KINDS
    outcomes = (MaskMatches, BoxMatches)

    def uses_seed(self, settings: DetectMasksSettings, dataset: Dataset) -> bool:
        return True

    def needs(
        self, settings: DetectMasksSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_boxes(dataset)
        for name, split in dataset.splits.items():
            if split.boxes is None or split.boxes.masks is None:
                raise NotApplicableError(
                    f"needs the mask of each object; {name} of dataset {dataset.name!r} has boxes "
                    "alone."
                )
        return DETECTION.needs(settings, dataset, backbone)

    def build(
        self,
        settings: DetectMasksSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DetectFcosProblem:
        return DETECTION.build(settings, dataset, needs, inputs, seed)

    def solve(
        self, problem: DetectFcosProblem, settings: DetectMasksSettings, device: str
    ) -> Result:
        train, classes = problem.train, len(problem.classes)
        require_images({"train": train, **problem.tests})
        detector = trained_detector(problem, settings, device)
        heads = Heads(detector, trained_masks(train, settings, problem.seed, device))
        parts: list[ResultPart] = []
        shown: Mapping[str, NDArray[Any]] = {}
        for name, images in problem.tests.items():
            if name == "test":
                scored = score(heads, images, classes, BOUNDS)
                shown, boxes = scored.shown, outcome_of(scored.found, images.boxes, classes)
                parts += [ResultPart(scored.outcome("")), ResultPart(boxes)]
                parts += [
                    ResultPart(scored.outcome(bound), bound, facets={"bound": bound})
                    for bound in BOUNDS
                ]
            else:
                outcome = score(heads, images, classes).outcome("")
                parts.append(ResultPart(outcome, name, facets={"shift": name}))
        grid = [int(side) for side in train.maps.shape[:2]]
        detail = {"grid": grid, "train_images": len(train)}
        return Result(tuple(parts), detail, unlearnt_classes(problem), shown=shown)


def instances_of(split: Split, position: int) -> Bools:
    """Return the masks (n, H, W) of an image's objects; DatasetError where it has none."""
    if split.boxes is None or split.boxes.masks is None:
        raise DatasetError("instance masks are needed for each image; these images have none.")
    return split.boxes.masks(position)


def trained_masks(
    train: MapsWithBoxes, settings: DetectMasksSettings, seed: int, device: str
) -> "MaskHead":
    """Return the mask head that is trained on the train images; UndefinedError without objects."""
    from bob.numerics.dense.mask_head import MaskRecipe, mask_target, train_masks

    recipe = MaskRecipe(**settings.model_dump(include={*MaskRecipe.__annotations__}))
    targets = []
    for position, boxes in zip(train.maps.positions.tolist(), train.boxes, strict=True):
        masks = instances_of(train.split, position)[~boxes.ignored]
        targets.append(mask_target(boxes.xyxy[~boxes.ignored], masks, boxes.size, recipe))
    if not any(len(target.boxes) for target in targets):
        raise UndefinedError("no object of train that counts has a pixel")
    return train_masks(train.maps.take, targets, recipe, seed, device)


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """What is found in N images."""

    found: list[Detections] = field(default_factory=list)
    """N detections, of boxes."""
    matches: dict[str, list[MaskMatches]] = field(default_factory=dict)
    """Bound, or nothing for the heads → N outcomes of one image."""
    shown: dict[str, NDArray[Any]] = field(default_factory=dict)

    def outcome(self, bound: str) -> MaskMatches:
        """Return the outcome of all images."""
        return joined(self.matches[bound])


def score(
    heads: Heads, images: MapsWithBoxes, classes: int, bounds: tuple[str, ...] = ()
) -> ScoredMasks:
    """Return which masks of the heads, and of the bounds, are right in each image."""
    kept = KeptDetections.of(images.split, heads.masks.recipe.mask_px)
    scored, statistics = ScoredMasks(), kept.start()
    for number, grid, found in detected(heads.boxes, images):
        position, boxes = int(images.maps.positions[number]), images.boxes[number]
        masks = instances_of(images.split, position)
        objects, cells = masks_of(heads, grid, found, boxes)
        named = {"": objects} | {
            bound: bounding_masks(bound, heads, grid, found, boxes, masks) for bound in bounds
        }
        for bound, of in named.items():
            outcome = mask_matches(of, boxes, masks, classes)
            scored.matches.setdefault(bound, []).append(outcome)
        kept.add(statistics, position, found, scored.matches[""][-1], cells > 0.5)
        scored.found.append(found)
    scored.shown.update(kept_of(statistics))
    return scored


def masks_of(
    heads: Heads, grid: Floats, found: Detections, boxes: ImageBoxes
) -> tuple[MaskedObjects, Floats]:
    """Return detections of an image with their masks, and the probabilities of their cells."""
    from bob.numerics.dense.mask_head import masks_in_boxes, pasted

    cells = masks_in_boxes(heads.masks, grid, found.xyxy, boxes.size)
    masks = pasted(cells, found.xyxy, boxes.size)
    return MaskedObjects(found.scores, found.labels, masks), cells


def bounding_masks(
    bound: str, heads: Heads, grid: Floats, found: Detections, boxes: ImageBoxes, masks: Bools
) -> MaskedObjects:
    """Return the predictions of one of `BOUNDS` in an image."""
    from bob.numerics.dense.mask_head import box_pixels, resampled

    if bound == "filled":
        return MaskedObjects(found.scores, found.labels, box_pixels(found.xyxy, boxes.size))
    counted = np.flatnonzero(~boxes.ignored)[:MOST]
    true = Detections(boxes.xyxy[counted], np.ones(len(counted)), boxes.labels[counted])
    if bound == "true_boxes":
        return masks_of(heads, grid, true, boxes)[0]
    kept = resampled(masks[counted], true.xyxy, heads.masks.recipe.mask_px)
    return MaskedObjects(true.scores, true.labels, kept)


PROTOCOL = DetectMasks()
