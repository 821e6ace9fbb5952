"""What protocols of semantic segmentation share: their needs and the parts of their results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bob.datasets.dataset import Dataset
from bob.errors import NotApplicableError, UndefinedError
from bob.features.shard import Arrays
from bob.metrics.segmentation import class_iou
from bob.numerics.arrays import Doubles
from bob.outcomes import SegmentationCounts
from bob.protocols.needs import require_splits
from bob.protocols.protocol import ResultPart
from bob.protocols.segmentation_statistics import outcome_of


def require_masks(dataset: Dataset) -> None:
    """Raise NotApplicableError where there are no train or test images, or images without masks."""
    require_splits(dataset, "train", "test")
    if missing := [name for name, split in dataset.splits.items() if split.masks is None]:
        raise NotApplicableError(
            f"needs a mask for each image; {missing[0]} of dataset {dataset.name!r} has none."
        )


def result_parts(tests: Mapping[str, Arrays], train_pixels: Doubles) -> tuple[ResultPart, ...]:
    """Return the parts of a result from the counts of each test set, `test` among them.

    The headline, the ceiling of the grid, and each shifted test set; beside them the most frequent
    class of train, by its pixels (C,). UndefinedError where there is one class alone, or none.
    """
    if not train_pixels.any():
        raise UndefinedError("there are no labelled train pixels")
    if (present := np.flatnonzero(train_pixels)).size == 1:
        raise UndefinedError(
            f"all train pixels are of the class with index {present[0]}, so that there is nothing "
            "to tell apart. Are the others ignored, as is 255 in masks of 0 and 255?"
        )
    test = tests["test"]
    of_ceiling = outcome_of(test["ceiling"], test["boundary_f"][:, 1])
    ceiling = ResultPart(of_ceiling, "ceiling", facets={"bound": "ceiling"})
    parts = [_part(test, train_pixels), ceiling]
    parts += [_part(of, train_pixels, name) for name, of in tests.items() if name != "test"]
    return tuple(parts)


def _part(statistics: Arrays, train_pixels: Doubles, shift: str = "") -> ResultPart:
    outcome = outcome_of(statistics["counts"][:, 0], statistics["boundary_f"][:, 0])
    common = int(np.argmax(train_pixels))
    right, predicted = np.zeros_like(outcome.true), np.zeros_like(outcome.true)
    right[:, common] = outcome.true[:, common]
    predicted[:, common] = outcome.true.sum(axis=1)
    none_right = np.where(np.isnan(outcome.boundary_f), np.nan, 0.0)
    majority = SegmentationCounts(right, predicted, outcome.true, none_right)
    facets = {"shift": shift} if shift else {}
    return ResultPart(outcome, shift, facets=facets, majority=majority)


def detail_of_test(test: Arrays, classes: Sequence[str]) -> dict[str, Any]:
    """Return the grid and the IoU of each class as JSON-ready values."""
    ious = class_iou(outcome_of(test["counts"][:, 0]))
    return {
        "grid": test["grid"].tolist(),
        "class_iou": {
            name: None if np.isnan(iou) else float(iou)
            for name, iou in zip(classes, ious, strict=True)
        },
    }
