"""Semantic segmentation with a linear head that is solved from sums of one pass over the images.

Every image passes the backbone once: sums over the patches of the images to fit; sums over held-out
images and, for each strength of the head, their pixels right and wrong; then the test images with
the head of the chosen strength, solved on all train images. No feature map is stored.

The head is linear on patch features. Its logits are upsampled bilinearly to the mask's own size,
as in the linear probes of DINOv2 (arXiv:2304.07193; mmsegmentation) and DINOv3 (arXiv:2508.10104).
Differs from these in the following points:

- the head is a linear discriminant (or ridge regression) in closed form, where theirs minimises the
  cross-entropy of pixels by AdamW over 40,000 batches of augmented crops;
- the target of a patch is the share of its pixels in each class;
- the whole image is squashed to one size, for training and test, without sliding windows and flips;
- mean IoU is of all images' pixels, as theirs, and has an interval over images.

docs/explanation/dense.md compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import HoldOut, ImageSet
from bob.errors import DatasetError, NotApplicableError
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear.class_sums import HeadKind, Prior
from bob.outcomes import SegmentationCounts
from bob.protocols.needs import Inputs, Needs, StatisticsNeed
from bob.protocols.protocol import Protocol, Result
from bob.protocols.segmentation import (
    MapSettings,
    detail_of_test,
    require_masks,
    result_parts,
    sets_to_test,
    squashed,
)
from bob.protocols.segmentation_statistics import (
    HeadSettings,
    best_strength,
    counts_spec,
    mean_ious,
    sums_spec,
)
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

HELD_OUT_SEED = 0
FLOOR = 1e-4
"""Smallest shrinkage of the discriminant: the covariance of several layers' patches has a condition
of 1e9."""


class SegmentSettings(MapSettings):
    """Settings of segmentation."""

    head: HeadKind
    """`lda`, a linear discriminant, or `ridge`, ridge regression on shares."""
    log10_strength: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the shrinkage (lda: 0 to 1) or of the penalty per pixel (ridge), and
    the number of values."""
    prior: Prior = "train"
    """Class prior of the discriminant. `uniform` finds more of rare classes."""
    held_out: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of train images on which one of several strengths is chosen without a val split."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "SegmentSettings":
        first, last, count = self.log10_strength
        if self.head == "lda" and not (np.log10(FLOOR) - 1e-9 <= first <= last <= 0):
            raise ValueError(
                f"log10_strength of lda must ascend from {np.log10(FLOOR):g} or more to 0 or less; "
                f"got {list(self.log10_strength)!r}"
            )
        if (count > 1) != (self.held_out is not None):
            raise ValueError(
                "'held_out' goes with several strengths, of which one is chosen on held-out train "
                f"images; got {self.held_out!r} with {count}"
            )
        return self

    def head_settings(self) -> HeadSettings:
        """Return the heads as plain data."""
        return HeadSettings(self.head, self.prior, *self.log10_strength)


@dataclass(frozen=True, eq=False)
class SegmentProblem:
    """Counts of pixels (N, 3, C) of the test sets, and of held-out images at every strength."""

    classes: tuple[str, ...]
    train_pixels: Doubles
    """(C,) train pixels of each class, in cells: shares of cells are summed."""
    held_out: Ints | None
    """(M, S, 3, C)"""
    tests: Mapping[str, Arrays]
    """Test set → its counts; `test` is the first."""


class Segment(Protocol[SegmentSettings, SegmentProblem]):
    """The strength with the highest held-out mean IoU, refit on all train images."""

    name = "segment"
    settings = SegmentSettings
    kinds = frozenset({"segmentation"})
    outcomes = (SegmentationCounts,)

    def needs(self, settings: SegmentSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_masks(dataset)
        classes, head = len(dataset.classes), settings.head_settings()
        variant = squashed(backbone, settings)
        sums = sums_spec(classes)
        fitted, held_out = _fitted_and_held_out(settings, dataset)
        needs = [StatisticsNeed(variant, fitted, sums)]
        if held_out is not None:
            every = counts_spec(classes, head, every_strength=True)
            needs.append(StatisticsNeed(variant, held_out, sums))
            needs.append(StatisticsNeed(variant, held_out, every, after=(needs[0],)))
        chosen, after = counts_spec(classes, head, every_strength=False), tuple(needs)
        return needs + [
            StatisticsNeed(variant, ImageSet(name), chosen, after=after)
            for name in sets_to_test(dataset)
        ]

    def build(
        self,
        settings: SegmentSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> SegmentProblem:
        counts = np.zeros(len(dataset.classes))
        held_out, tests = None, {}
        for need in needs:
            assert isinstance(need, StatisticsNeed)
            statistics = inputs.statistics(need)
            if "gram" in statistics:
                counts += statistics["counts"]
            elif need.images.name in sets_to_test(dataset):
                tests[need.images.name] = statistics
            else:
                held_out = statistics["counts"]
        return SegmentProblem(dataset.classes, counts, held_out, tests)

    def solve(self, problem: SegmentProblem, settings: SegmentSettings, device: str) -> Result:
        detail = {
            **detail_of_test(problem.tests["test"], problem.classes),
            **_choice(problem, settings.head_settings()),
        }
        return Result(result_parts(problem.tests, problem.train_pixels), detail)


def _fitted_and_held_out(
    settings: SegmentSettings, dataset: Dataset
) -> tuple[ImageSet, ImageSet | None]:
    """Return the train images to fit, and those to choose a strength on.

    NotApplicableError where no train image can be held out.
    """
    if settings.held_out is None:
        return ImageSet("train"), None
    if "val" in dataset.splits:
        return ImageSet("train"), ImageSet("val")
    fitted, held_out = (
        ImageSet("train", part=HoldOut(settings.held_out, HELD_OUT_SEED, held))
        for held in (False, True)
    )
    try:
        held_out.open(dataset)
    except DatasetError as error:
        raise NotApplicableError(
            f"needs train images to hold out; dataset {dataset.name!r} has "
            f"{len(dataset.splits['train'])} that cannot be divided."
        ) from error
    return fitted, held_out


def _choice(problem: SegmentProblem, head: HeadSettings) -> dict[str, Any]:
    """Return which strength was chosen, and how."""
    if problem.held_out is None:
        return {"strength": head.strengths[0]}
    chosen, ious = best_strength(problem.held_out), mean_ious(problem.held_out)
    return {
        "strength": head.strengths[chosen],
        "strength_at_edge": chosen in (0, head.count - 1),
        "held_out_mean_iou": ious[chosen],
        "held_out_curve": ious,
        "held_out_images": len(problem.held_out),
    }


PROTOCOL = Segment()
