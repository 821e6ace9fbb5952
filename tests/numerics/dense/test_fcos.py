"""The trained detection head: cells and targets by hand, torchvision's coder, what is learnt."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from bob.numerics.arrays import Floats, Ints
from bob.numerics.dense.fcos import (
    FcosRecipe,
    MapDetector,
    cell_boxes,
    detections_of,
    one_cycle,
    target_of,
    train_fcos,
)

SMALL = FcosRecipe(
    cells=8,
    levels=2,
    channels=32,
    convolutions=1,
    epochs=2,
    batch=4,
    learning_rate=1e-2,
    weight_decay=0.0,
)


def test_each_level_has_half_the_cells_rounded_up() -> None:
    recipe = FcosRecipe(28, 4, 32, 1, 1, 1, 1e-3, 0)
    assert recipe.grids == [28, 14, 7, 4]
    assert recipe.side == 28 * 16


def test_cells_cover_the_image_row_by_row() -> None:
    assert cell_boxes([2, 1], 32).tolist() == [
        *([0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]),
        [0, 0, 32, 32],
    ]


def test_cells_are_torchvisions_moved_by_half_a_stride() -> None:
    """Its cells have their centres at the corners of strides."""
    generator = AnchorGenerator(sizes=((16,), (32,)), aspect_ratios=((1.0,), (1.0,)))
    images = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)])
    (theirs,) = generator(images, [torch.zeros(1, 1, n, n) for n in (4, 2)])
    strides = torch.tensor([16.0] * 16 + [32.0] * 4)
    torch.testing.assert_close(cell_boxes([4, 2], 64), theirs + strides[:, None] / 2)


def test_targets_are_boxes_of_the_square_without_empty_ones() -> None:
    """An image of 100 rows and 200 columns becomes a square of 8 cells of 16 units."""
    xyxy = np.array([[50, 25, 100, 75], [20, 20, 20, 30]], np.float64)
    target = target_of(xyxy, np.array([2, 0]), (100, 200), SMALL)
    assert target["boxes"].tolist() == [[32, 32, 64, 96]]
    assert target["labels"].tolist() == [2]


def test_a_head_that_predicts_the_truth_detects_it() -> None:
    """One box of 40 x 24 units about the centre of a cell, in an image of 64 x 128 px."""
    detector = MapDetector(np.zeros(1), np.ones(1), 3, SMALL).eval()
    box = torch.tensor([[56 - 20, 72 - 12, 56 + 20, 72 + 12.0]])
    at = 4 * 8 + 3  # row 4 and column 3 of 16 units each: centre (56, 72)
    outputs = {
        "cls_logits": torch.full((1, 80, 3), -20.0),
        "bbox_regression": torch.zeros(1, 80, 4),
        "bbox_ctrness": torch.full((1, 80, 1), 20.0),
    }
    outputs["cls_logits"][0, at, 1] = 20
    coder = detector.fcos.box_coder
    outputs["bbox_regression"][0, at] = coder.encode(detector.anchors[at : at + 1], box)[0]
    detector.forward = lambda maps: outputs  # type: ignore[method-assign]
    (found,) = detections_of(detector, np.zeros((1, 4, 4, 1), np.float32), [(64, 128)])
    np.testing.assert_allclose(found.xyxy, [[36, 30, 76, 42]], atol=1e-4)
    assert found.labels.tolist() == [1]
    assert found.scores.tolist() == [pytest.approx(1)]


OBJECTS = [(0, 0, 0), (4, 0, 1), (0, 4, 1), (4, 4, 0), (2, 2, 0), (1, 3, 1)]
"""Row, column and class of one object of 4 x 4 cells in each image of 64 px."""
BOXES = [np.array([[8.0 * c, 8 * r, 8 * c + 32, 8 * r + 32]]) for r, c, _ in OBJECTS]
TARGETS = [
    target_of(xyxy, np.array([k]), (64, 64), SMALL)
    for xyxy, (_, _, k) in zip(BOXES, OBJECTS, strict=True)
]


def maps_of(at: Ints) -> Floats:
    """Return maps of 8 x 8 cells with one channel for each class: 1 inside its object."""
    maps = np.zeros((len(at), 8, 8, 3), np.float32)
    for grid, i in zip(maps, at.tolist(), strict=True):
        row, column, k = OBJECTS[i]
        grid[row : row + 4, column : column + 4, k] = 1
    return maps


def weights(seed: int) -> torch.Tensor:
    detector = train_fcos(maps_of, TARGETS, 2, SMALL, seed, "cpu")
    return torch.cat([of.flatten() for of in detector.parameters()])


def test_training_depends_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_a_head_finds_objects_that_the_map_shows() -> None:
    recipe = FcosRecipe(**{**vars(SMALL), "epochs": 60})
    detector = train_fcos(maps_of, TARGETS, 2, recipe, 0, "cpu")
    found = detections_of(detector, maps_of(np.arange(6)), [(64, 64)] * 6)
    for detections, xyxy, (_, _, k) in zip(found, BOXES, OBJECTS, strict=True):
        assert detections.labels[0] == k
        assert np.abs(detections.xyxy[0] - xyxy[0]).max() < 8


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 20, 30])
def test_the_rate_rises_to_its_highest_and_falls(steps: int) -> None:
    """PyTorch's cycle divides by zero where a tenth of the steps is one."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    moved = [0.0]
    for _, step in one_cycle(model, [torch.zeros(1)] * steps, 0.1, 0.0):
        step(-model.weight.sum())  # of a constant slope, AdamW moves by about the rate
        moved.append(model.weight.item())
    rates = np.diff(moved)
    peak = int(rates.argmax())
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()
    assert peak <= max(2, steps // 4) and (rates[:-1] > 0).all()
