"""Instance masks by trained heads: what is learnt, what bounds it, and the boxes of detect_fcos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bob.datasets.boxes import BoxSets
from bob.datasets.dataset import Dataset, Shift, Split
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.boxes import box_ap
from bob.metrics.instance_masks import mask_ap, mask_ap_50
from bob.numerics.arrays import Bools
from bob.outcomes import BoxMatches, MaskMatches
from bob.protocols import Result
from bob.protocols.detect_fcos import PROTOCOL as DETECTION
from bob.protocols.detect_masks import PROTOCOL, DetectMasksSettings
from tests.builders.boxes import box_dataset, masked_boxes
from tests.builders.protocols import BASELINE
from tests.builders.segmentation import Maps, statistics_of
from tests.builders.small_task_run import scores_of_small_run
from tests.builders.splits import digests, make_dataset
from tests.protocols.test_detect_fcos import SMALL as OF_BOXES

SIZE, GRID, CLASSES = (96, 96), (12, 12), 2
SMALL = DetectMasksSettings(
    **{**OF_BOXES.model_dump(), "epochs": 25},
    mask_px=12,
    mask_channels=16,
    mask_convolutions=1,
    mask_epochs=15,
)


def half_boxes(rng: np.random.Generator) -> Bools:
    """Return the masks of two objects of an image, in its left and right half: of each box, all
    pixels but those of one quarter."""
    masks = np.zeros((2, *SIZE), bool)
    for mask, left in zip(masks, (2, 50), strict=True):
        (x, y), (width, height) = rng.integers(0, 12, 2), rng.integers(28, 34, 2)
        top, start = 8 + y, left + x
        mask[top : top + height, start : start + width] = True
        down, right = rng.integers(0, 2, 2) * (height // 2, width // 2)
        mask[top + down :, start + right :][: height // 2, : width // 2] = False
    return masks


def dataset(n: int = 12) -> Dataset:
    rng = np.random.default_rng(0)
    masks = {name: [half_boxes(rng) for _ in range(n)] for name in ("train", "test")}
    labels = {name: rng.integers(0, CLASSES, (n, 2)).tolist() for name in masks}
    boxes = {
        name: [masked_boxes(*of) for of in zip(masks[name], labels[name], strict=True)]
        for name in masks
    }
    data = box_dataset(boxes, CLASSES)
    splits = {
        name: replace(
            split,
            boxes=BoxSets(
                digests(n, f"masks {name}"), boxes[name].__getitem__, masks[name].__getitem__
            ),
        )
        for name, split in data.splits.items()
    }
    return replace(data, splits=splits)


def pixels(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return maps that hold the share of each class, and of all pixels of boxes, in the cells."""
    assert split.boxes is not None and split.boxes.masks is not None
    maps = np.zeros((len(at), *GRID, CLASSES + 1), np.float32)
    for grid, position in zip(maps, at.tolist(), strict=True):
        boxes = split.boxes.read(position)
        for mask, label, box in zip(
            split.boxes.masks(position), boxes.labels, boxes.xyxy.astype(int), strict=True
        ):
            inside = np.zeros(SIZE)
            inside[box[1] : box[3], box[0] : box[2]] = 1
            grid[..., label] += cells(mask)
            grid[..., CLASSES] += cells(inside)
    return maps


def cells(values: NDArray[np.generic]) -> NDArray[np.float64]:
    height, width = (side // cells for side, cells in zip(SIZE, GRID, strict=True))
    means = values.astype(np.float64).reshape(GRID[0], height, GRID[1], width).mean(axis=(1, 3))
    return np.asarray(means, np.float64)


def constant(split: Split, at: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ones((len(at), *GRID, 2), np.float32)


def solved(data: Dataset, maps: Maps, settings: DetectMasksSettings = SMALL) -> Result:
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, maps, shard=5)
    return PROTOCOL.solve(PROTOCOL.build(settings, data, needs, inputs, 0), settings, "cpu")


def part(result: Result, suffix: str) -> MaskMatches:
    (found,) = [
        part.outcome
        for part in result.parts
        if part.suffix == suffix and isinstance(part.outcome, MaskMatches)
    ]
    return found


def test_maps_that_show_masks_are_learnt_and_constant_ones_are_not() -> None:
    """A filled box has 4/3 of its object's pixels: an overlap of 3/4 at the most."""
    found, nothing = solved(dataset(), pixels), solved(dataset(), constant)
    assert mask_ap_50(found.outcome) > 0.9 and mask_ap_50(nothing.outcome) < 0.5
    assert mask_ap(part(found, "ceiling")) > 0.95
    assert mask_ap(part(found, "true_boxes")) > mask_ap(part(nothing, "true_boxes")) + 0.2
    assert mask_ap(found.outcome) > mask_ap(part(found, "filled"))
    assert found.detail == {"grid": [12, 12], "train_images": 12}
    shown = found.shown["masks"]
    assert shown.shape == (12, 32, 12, 2) and shown[:, 0].any()


def test_of_many_objects_the_bounds_find_as_many_as_detections_count() -> None:
    """120 squares of 4 px: with 100 of them, recalls of 0 to 0.83 (84 of 101) are reached."""
    masks = np.zeros((120, *SIZE), bool)
    for k, mask in enumerate(masks):
        top, left = 8 * (k // 12), 8 * (k % 12)
        mask[top : top + 4, left : left + 4] = True
    boxes = masked_boxes(masks, [0] * 120)
    data = box_dataset({"train": [boxes] * 2, "test": [boxes]}, 1)
    settings = SMALL.model_copy(update={"epochs": 1, "mask_epochs": 1})
    ceiling = part(solved(data, constant, settings), "ceiling")
    assert mask_ap(ceiling) == pytest.approx(84 / 101)


def test_boxes_are_those_of_detect_fcos() -> None:
    data = dataset(4)
    settings = SMALL.model_copy(update={"epochs": 2, "mask_epochs": 1})
    needs = PROTOCOL.needs(settings, data, BASELINE)
    inputs = statistics_of(needs, data, pixels)
    problem = PROTOCOL.build(settings, data, needs, inputs, 0)
    of_masks, boxes = PROTOCOL.solve(problem, settings, "cpu").parts[:2]
    expected = DETECTION.solve(problem, settings, "cpu").outcome
    assert isinstance(boxes.outcome, BoxMatches) and isinstance(of_masks.outcome, MaskMatches)
    for name, values in expected.to_arrays().items():
        np.testing.assert_array_equal(boxes.outcome.to_arrays()[name], values)
    np.testing.assert_array_equal(of_masks.outcome.scores, boxes.outcome.scores)
    assert box_ap(boxes.outcome) == box_ap(expected)


def test_shifted_sets_are_scored_by_the_same_heads() -> None:
    data = dataset(4)
    shifts = {"line": Shift(data.splits["test"], "shift")}
    shifted = make_dataset(data.splits, data.classes, kind=data.kind, shifts=shifts)
    settings = SMALL.model_copy(update={"epochs": 1, "mask_epochs": 1})
    result = solved(shifted, pixels, settings)
    line = part(result, "line").to_arrays()
    for name, values in result.outcome.to_arrays().items():
        np.testing.assert_array_equal(line[name], values)


def test_without_an_object_to_learn_masks_are_undefined() -> None:
    """All objects of train are difficult ones, or have no pixel."""
    data = dataset(2)
    train = data.splits["train"]
    assert train.boxes is not None
    read = train.boxes.read
    settings = SMALL.model_copy(update={"epochs": 1})
    for changes, message in (
        (
            {"read": lambda i: replace(read(i), ignored=np.ones(2, bool))},
            "no train image has an object that counts",
        ),
        (
            {"masks": lambda i: np.zeros((2, *SIZE), bool)},
            "no object of train that counts has a pixel",
        ),
    ):
        splits = {**data.splits, "train": replace(train, boxes=replace(train.boxes, **changes))}
        with pytest.raises(UndefinedError, match=message):
            solved(replace(data, splits=splits), constant, settings)


def test_images_may_have_no_object() -> None:
    """The first image of both splits: what is found in it is wrong."""
    data = dataset(3)
    splits = {}
    for name, split in data.splits.items():
        assert split.boxes is not None and split.boxes.masks is not None
        boxes, masks = split.boxes.read, split.boxes.masks
        empty = masked_boxes(np.zeros((0, *SIZE), bool), [])
        some = BoxSets(
            split.boxes.content,
            lambda i, boxes=boxes, empty=empty: boxes(i) if i else empty,  # type: ignore[misc]
            lambda i, masks=masks: masks(i) if i else np.zeros((0, *SIZE), bool),  # type: ignore[misc]
        )
        splits[name] = replace(split, boxes=some)
    settings = SMALL.model_copy(update={"epochs": 1, "mask_epochs": 1})
    result = solved(replace(data, splits=splits), pixels, settings)
    assert result.outcome.true[:, :, 0].sum(axis=1).tolist() == [0, 2, 2]
    assert part(result, "ceiling").labels[0].max() == -1


def test_boxes_alone_are_not_applicable() -> None:
    data = dataset(2)
    bare = {
        name: replace(split, boxes=replace(split.boxes, masks=None))  # type: ignore[type-var]
        for name, split in data.splits.items()
    }
    with pytest.raises(NotApplicableError, match="needs the mask of each object; train of dataset"):
        PROTOCOL.needs(SMALL, replace(data, splits=bare), BASELINE)


def test_a_run_scores_masks_and_boxes(tmp_path: Path) -> None:
    settings = {**SMALL.model_dump(mode="json"), "input_px": 64, "epochs": 1, "mask_epochs": 1}
    scores = scores_of_small_run(tmp_path, "detect_masks", settings, ["mask_ap", "box_ap"], 4)
    assert {*scores} == {
        "mask_ap",
        "mask_ap_filled",
        "mask_ap_true_boxes",
        "mask_ap_ceiling",
        "mask_ap_line",
        "box_ap",
    }
    assert scores["mask_ap_ceiling"] > 0.8
