"""Semantic segmentation with a linear head that is solved from sums of one pass over the images.

Every image passes the backbone once: sums over the patches (or pixels) of the images to fit; sums
over held-out images and, for each strength of the head, their pixels right and wrong; then the test
images with the head of the chosen strength, solved on all train images. No feature map is stored.

The head is linear on patch features. Its logits are upsampled bilinearly to the mask's own size,
as in the linear probes of DINOv2 (arXiv:2304.07193; mmsegmentation) and DINOv3 (arXiv:2508.10104).
Differs from these in the following points:

- the head is a linear discriminant (or ridge regression) in closed form, where theirs minimises the
  cross-entropy of pixels by AdamW over 40,000 batches of augmented crops;
- the head is fitted to patches, whose target is the share of their pixels in each class; with
  `fit_on: pixels` to the upsampled features of pixels, as theirs;
- the whole image is squashed to one size, for training and test, without flips; so is each window
  with `windows`, which have the shape of the image and overlap by half (theirs are squares that
  overlap by a third);
- mean IoU is of all images' pixels, as theirs, and has an interval over images.

docs/explanation/dense.md compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import model_validator

from bob.datasets.dataset import Dataset
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear.class_sums import HeadKind, Prior
from bob.outcomes import SegmentationCounts
from bob.protocols.caveats import absent_classes
from bob.protocols.dense import (
    DENSE_KINDS,
    WindowSettings,
    choice_detail,
    path_needs,
    path_statistics,
    squashed,
)
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result
from bob.protocols.segmentation import (
    detail_of_test,
    require_masks,
    result_parts,
)
from bob.protocols.segmentation_statistics import (
    FitOn,
    HeadSettings,
    counts_spec,
    mean_ious,
    sums_spec,
)
from bob.specs import BackboneSpec

FLOOR = 1e-4
"""Smallest shrinkage of the discriminant: the covariance of several layers' patches has a condition
of 1e9."""


class SegmentSettings(WindowSettings):
    """Settings of segmentation."""

    head: HeadKind
    """`lda`, a linear discriminant, or `ridge`, ridge regression on shares."""
    prior: Prior = "train"
    """Class prior of the discriminant. `uniform` finds more of rare classes."""
    fit_on: FitOn = "patches"
    """What the head is fitted to: `patches`, each with the share of its pixels in each class, or
    `pixels`, each with the features upsampled bilinearly to it, as logits are for scores."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "SegmentSettings":
        first, last, _ = self.log10_strength
        if self.head == "lda" and not (np.log10(FLOOR) - 1e-9 <= first <= last <= 0):
            raise ValueError(
                f"log10_strength of lda must ascend from {np.log10(FLOOR):g} or more to 0 or less; "
                f"got {list(self.log10_strength)!r}"
            )
        if self.head == "ridge" and self.prior != "train":
            raise ValueError(
                f"prior is that of the head 'lda', and 'ridge' has none; got {self.prior!r}"
            )
        return self

    def head_settings(self) -> HeadSettings:
        """Return the heads as plain data."""
        return HeadSettings(*self.log10_strength, self.head, self.prior)


@dataclass(frozen=True, eq=False)
class SegmentProblem:
    """Counts of pixels (N, 3, C) of the test sets, and of held-out images at every strength."""

    classes: tuple[str, ...]
    train_pixels: Doubles
    """(C,) train pixels of each class, in cells: each image weighs as its grid has cells."""
    held_out: Ints | None
    """(M, S, 3, C)"""
    tests: Mapping[str, Arrays]
    """Test set → its counts; `test` is the first."""


class Segment(Protocol[SegmentSettings, SegmentProblem]):
    """The strength with the highest held-out mean IoU, refit on all train images."""

    name = "segment"
    settings = SegmentSettings
    kinds = DENSE_KINDS
    outcomes = (SegmentationCounts,)

    def needs(self, settings: SegmentSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        require_masks(dataset)
        classes, head = len(dataset.classes), settings.head_settings()
        return path_needs(
            squashed(backbone, settings),
            dataset,
            settings.held_out,
            sums_spec(classes, settings.fit_on),
            lambda every: counts_spec(
                classes, head, every_strength=every, windows=settings.joined_windows
            ),
            settings.windows,
        )

    def build(
        self,
        settings: SegmentSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> SegmentProblem:
        statistics = path_statistics(dataset, needs, inputs)
        pixels = np.sum([sums["counts"] for sums in statistics.sums], axis=0)
        held_out = None if statistics.held_out is None else statistics.held_out["counts"]
        return SegmentProblem(dataset.classes, pixels, held_out, statistics.tests)

    def solve(self, problem: SegmentProblem, settings: SegmentSettings, device: str) -> Result:
        path = settings.head_settings()
        choice = choice_detail(path, "mean_iou", problem.held_out, mean_ious)
        detail = {**detail_of_test(problem.tests["test"], problem.classes), **choice}
        parts = result_parts(problem.tests, problem.train_pixels)
        caveats = absent_classes(problem.train_pixels > 0, problem.classes, "train pixel")
        return Result(parts, detail, caveats, shown=settings.shown(problem.tests["test"]))


PROTOCOL = Segment()
