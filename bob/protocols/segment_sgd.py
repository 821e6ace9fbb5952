"""Semantic segmentation with a linear head that is trained by descent, as papers train it.

The linear probes of DINOv3 (arXiv:2508.10104; github.com/facebookresearch/dinov3,
dinov3/eval/segmentation) and, with other settings, of DINOv2 (arXiv:2304.07193): dropout of
channels, batch norm and a 1 x 1 convolution on the patches of the last layer, trained by AdamW on
the cross-entropy of pixels; see `bob.numerics.dense.descent`. DINOv2's settings are a weight decay
of 1e-4, no dropout, and a linear decay. Differs from these in the following points:

- maps are stored and read again in each epoch, where theirs are computed again from crops of
  random place, scale and colour; the images are not augmented;
- the whole image is squashed to one size, for training and test, without sliding windows;
- features are standardised over all train patches before batch norm;
- the head is that of the last step, where theirs keeps the best one on validation images.

Maps are stored in the cache, in files that are mapped into memory, and read from there 16 images at
a time: `bob-bench cache` lists and removes them. A cell whose maps take more than the setting
`max_gib` is not applicable. Scores are computed as those of `segment`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.datasets.masks import Mask
from bob.features.shard import Arrays
from bob.numerics.arrays import Doubles
from bob.numerics.dense.pixels import at_centres
from bob.numerics.linear.class_sums import LinearHead
from bob.outcomes import SegmentationCounts
from bob.protocols.caveats import absent_classes
from bob.protocols.dense import DENSE_KINDS, sets_to_test
from bob.protocols.kept_images import kept_of
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result
from bob.protocols.segmentation import detail_of_test, require_masks, result_parts
from bob.protocols.segmentation_statistics import counts_of_test, masks_of
from bob.protocols.stored_maps import (
    StoredMaps,
    StoredMapSettings,
    map_needs,
    maps_by_set,
    require_images,
)
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

if TYPE_CHECKING:  # torch is imported when a head is trained
    from bob.numerics.dense.descent import Recipe, TrainImages

TEST_IMAGES = 64
"""Images whose maps are read at once."""


class SegmentSgdSettings(StoredMapSettings):
    """Settings of segmentation by a trained head."""

    epochs: Count
    batch: Count
    """Images per step."""
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    warm_up: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps in which the learning rate rises."""
    decay: Literal["cosine", "linear"]
    """How it falls after these."""
    loss_px: Count
    """Longest side at which the loss is computed; larger masks are subsampled evenly."""

    def recipe(self) -> "Recipe":
        """Return how the head is trained."""
        from bob.numerics.dense.descent import Recipe

        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})


@dataclass(frozen=True, eq=False)
class SegmentSgdProblem:
    """Maps and masks of train images and of test sets. Both are read while the head is trained."""

    classes: tuple[str, ...]
    train: StoredMaps
    tests: Mapping[str, StoredMaps]
    """`test` is the first."""
    seed: int


class SegmentSgd(Protocol[SegmentSgdSettings, SegmentSgdProblem]):
    """The head of the last step."""

    name = "segment_sgd"
    settings = SegmentSgdSettings
    kinds = DENSE_KINDS
    outcomes = (SegmentationCounts,)

    def needs(
        self, settings: SegmentSgdSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_masks(dataset)
        sets = [ImageSet(name) for name in ("train", *sets_to_test(dataset))]
        return map_needs(settings, backbone, sets)

    def build(
        self,
        settings: SegmentSgdSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> SegmentSgdProblem:
        images = maps_by_set(needs, dataset, inputs)
        return SegmentSgdProblem(dataset.classes, images.pop("train"), images, seed)

    def solve(
        self, problem: SegmentSgdProblem, settings: SegmentSgdSettings, device: str
    ) -> Result:
        from bob.numerics.dense.descent import trained_head

        classes, train = len(problem.classes), problem.train
        require_images({"train": train, **problem.tests})
        learnt = to_train(train, settings.loss_px)
        head = trained_head(learnt, classes, settings.recipe(), problem.seed, device)
        counts = {
            name: test_counts(of_test, head, classes) for name, of_test in problem.tests.items()
        }
        train_pixels = pixels_of_classes(train, classes)
        parts = result_parts(counts, train_pixels)
        detail = detail_of_test(counts["test"], problem.classes)
        caveats = absent_classes(train_pixels > 0, problem.classes, "train pixel")
        return Result(parts, detail, caveats, shown=kept_of(counts["test"]))

    def uses_seed(self, settings: SegmentSgdSettings, dataset: Dataset) -> bool:
        return True


def to_train(images: StoredMaps, px: int) -> "TrainImages":
    """Return images for training, by the rows of their maps; sides of masks up to `px`."""
    from bob.numerics.dense.descent import TrainImages

    positions, read = images.features.positions.tolist(), masks_of(images.split).read
    return TrainImages(
        len(positions), images.features.take, lambda i: limited_to(read(positions[i]), px)
    )


def pixels_of_classes(images: StoredMaps, classes: int) -> Doubles:
    """Return the pixels of each class (C,), in images: the shares of images are summed."""
    total = np.zeros(classes)
    for position in images.features.positions.tolist():
        mask = masks_of(images.split).read(position)
        total += np.bincount(mask[mask >= 0], minlength=classes) / mask.size
    return total


def test_counts(images: StoredMaps, head: LinearHead, classes: int) -> Arrays:
    """Return the counts of pixels of a head; see `counts_of_test`."""
    counts = counts_of_test(images.split, classes, lambda maps: head.logits(maps)[None])
    statistics = counts.start(images.features.shape)
    for positions, maps in images.features.batches(TEST_IMAGES):
        counts.update(statistics, positions, maps)
    return counts.merge([statistics])


def limited_to(mask: Mask, px: int) -> Mask:
    """Return a mask (H, W) whose longer side is at most `px`: pixels at equal distances."""
    shrunk = min(1.0, px / max(mask.shape))
    height, width = (max(1, round(side * shrunk)) for side in mask.shape)
    return np.asarray(at_centres(mask, (height, width)), np.int16)


PROTOCOL = SegmentSgd()
