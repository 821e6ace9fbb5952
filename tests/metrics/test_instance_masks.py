"""Average precision of masks: by hand, and against pycocotools on random shapes."""

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from bob.datasets.boxes import ImageBoxes
from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.instance_masks import mask_ap, mask_ap_50, mask_ap_75, mask_ap_small
from bob.numerics.arrays import Bools
from bob.numerics.dense.mask_matching import MaskedObjects, mask_overlaps
from bob.outcomes import MaskMatches
from bob.protocols.mask_outcomes import joined, mask_matches
from tests.builders.boxes import masked_boxes, random_shapes

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CLASSES, IMAGES, SIZE = 3, 20, (120, 140)
OFFICIAL = {
    "mask_ap": "map",
    "mask_ap_50": "map_50",
    "mask_ap_75": "map_75",
    "mask_ap_small": "map_small",
    "mask_ap_medium": "map_medium",
}
"""Metric → its name in torchmetrics."""


def strip(first: int, last: int) -> Bools:
    """Return the columns from `first` to before `last` of 8 x 40 pixels."""
    mask = np.zeros((8, 40), bool)
    mask[:, first:last] = True
    return mask


def one_image(
    found: list[Bools], true: list[Bools], crowds: list[bool] | None = None
) -> MaskMatches:
    """Return matches of predictions of one class by descending scores."""
    masks = np.array(found).reshape(-1, 8, 40)
    scores = np.linspace(0.9, 0.1, len(masks))
    objects = MaskedObjects(scores, np.zeros(len(masks), np.int64), masks)
    boxes = masked_boxes(np.array(true).reshape(-1, 8, 40), [0] * len(true), crowds or ())
    return mask_matches(objects, boxes, np.array(true).reshape(-1, 8, 40), 1)


def test_a_mask_with_half_of_the_pixels_is_right_up_to_an_overlap_of_a_half() -> None:
    """The boxes are the same: every second row of ten columns."""
    half = strip(0, 10)
    half[1::2] = False
    outcome = one_image([half], [strip(0, 10)])
    assert mask_ap_50(outcome) == 1 and mask_ap_75(outcome) == 0
    assert mask_ap(outcome) == mask_ap_small(outcome) == pytest.approx(1 / 10)


def test_a_wrong_mask_between_two_right_ones() -> None:
    """Recalls 0 to 0.5 (51 of 101) at precision 1; 0.51 to 1 (50) at 2/3."""
    outcome = one_image([strip(0, 10), strip(30, 40), strip(15, 20)], [strip(0, 10), strip(15, 20)])
    assert mask_ap(outcome) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_masks_inside_a_crowd_are_neutral() -> None:
    """A quarter of the crowd, all of it inside; then the object that counts."""
    true = [strip(0, 20), strip(30, 40)]
    outcome = one_image([strip(0, 5), strip(30, 40)], true, [True, False])
    assert mask_ap(outcome) == 1


def test_overlaps_are_those_of_sets_of_pixels() -> None:
    """Columns 0 to 9 and 5 to 24: 5 of 25 are shared; of a crowd, 5 of the 10 found."""
    found, true = strip(0, 10)[None], np.array([strip(5, 25)] * 2 + [strip(0, 0)])
    overlaps = mask_overlaps(found, true, np.array([False, True, False]))
    assert overlaps.tolist() == [[5 / 25, 5 / 10, 0]]


def test_no_object_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="no test image has true"):
        mask_ap(one_image([strip(0, 5)], []))


Shapes = tuple[Bools, ImageBoxes]


def outcome_of(found: list[MaskedObjects], true: list[Shapes]) -> MaskMatches:
    return joined(
        [
            mask_matches(objects, boxes, masks, CLASSES)
            for objects, (masks, boxes) in zip(found, true, strict=True)
        ]
    )


def shapes(rng: np.random.Generator, n: int) -> Shapes:
    masks = random_shapes(rng, n, SIZE)
    labels = rng.integers(0, CLASSES, n).tolist()
    return masks, masked_boxes(masks, labels, (rng.uniform(size=n) < 1 / 8).tolist())


def near(rng: np.random.Generator, masks: Bools, boxes: ImageBoxes) -> MaskedObjects:
    """Return predictions: true masks that are moved by some pixels, and other shapes."""
    moved = [np.roll(mask, rng.integers(-2, 3, 2), (0, 1)) for mask in np.repeat(masks, 2, axis=0)]
    others = random_shapes(rng, 6, SIZE)
    found = np.concatenate([np.reshape(moved, (-1, *SIZE)), others])
    labels = np.concatenate([np.repeat(boxes.labels, 2), rng.integers(0, CLASSES, 6)])
    order = rng.permutation(len(found))
    scores = np.sort(rng.permutation(1000)[: len(found)] / 1000)[::-1]
    return MaskedObjects(scores, labels[order], found[order])


@pytest.mark.parametrize("seed", range(2))
def test_random_masks_score_as_pycocotools_scores_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = [shapes(rng, int(rng.integers(1, 7))) for _ in range(IMAGES)]
    found = [near(rng, *of) for of in true]
    official = MeanAveragePrecision(
        iou_type="segm",
        backend="pycocotools",
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    official.update(
        [
            {
                "masks": torch.from_numpy(of.masks),
                "scores": torch.from_numpy(of.scores.copy()),
                "labels": torch.from_numpy(of.labels),
            }
            for of in found
        ],
        [
            {
                "masks": torch.from_numpy(masks),
                "labels": torch.from_numpy(boxes.labels),
                "iscrowd": torch.from_numpy(boxes.crowds.astype(np.int64)),
                "area": torch.from_numpy(boxes.areas),
            }
            for masks, boxes in true
        ],
    )
    expected = official.compute()
    outcome = outcome_of(found, true)
    for name, theirs in OFFICIAL.items():
        assert 0.05 < expected[theirs] < 0.95
        value = metric_named(name).function(outcome)
        assert value == pytest.approx(float(expected[theirs]), abs=1e-6)


def test_true_masks_are_perfect() -> None:
    rng = np.random.default_rng(0)
    true = [shapes(rng, 5) for _ in range(6)]
    found = [MaskedObjects(np.linspace(0.9, 0.5, 5), of.labels, masks) for masks, of in true]
    outcome = outcome_of(found, true)
    assert mask_ap(outcome) == pytest.approx(1)
