"""Masks in boxes: where their cells are in the image, and a head that learns them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bob.backbones.pixels.geometry import Geometry
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.cells import cell_means
from bob.numerics.dense.mask_head import (
    AROUND,
    JITTER,
    MaskRecipe,
    MaskTarget,
    features_of_boxes,
    mask_target,
    masks_in_boxes,
    moved,
    pasted,
    resampled,
    shares_in_boxes,
    train_masks,
)
from tests.builders.boxes import masked_boxes, random_shapes

SMALL = MaskRecipe(
    mask_px=8,
    mask_channels=16,
    mask_convolutions=1,
    mask_epochs=30,
    batch=4,
    learning_rate=0.02,
    weight_decay=0,
)


def centres(box: Doubles, cells: int, axis: int) -> Doubles:
    """Return columns (axis 0) or rows (1) of the centres of a box's cells, in pixels."""
    return np.asarray(box[axis] + (np.arange(cells) + 0.5) / cells * (box[axis + 2] - box[axis]))


@pytest.mark.parametrize("size", [(96, 64), (50, 120), (301, 977)])
@pytest.mark.parametrize("fast", [False, True])
def test_features_of_a_box_follow_the_crop_of_a_coded_image(
    size: tuple[int, int], fast: bool
) -> None:
    """Pixels are as bright as their column is far right, then as their row is far down.

    The image is squashed to 224 px, whose 14 x 14 cells are the map. A cell of the box is as bright
    as its centre in the image says, up to the rounding of 256 levels.
    """
    width, height = size
    box = np.array([0.2 * width, 0.3 * height, 0.7 * width, 0.9 * height])
    for axis, length in enumerate((width, height)):
        code = (np.arange(length) + 0.5) / length
        coded = np.broadcast_to(code if axis == 0 else code[:, None], (height, width))
        grey = np.rint(255 * coded).astype(np.uint8)
        image = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
        crop = Geometry(224, 224, 1.0, "squash", "bilinear", fast).crop(image)[:1] / 255
        grid = torch.nn.functional.avg_pool2d(crop, 16)
        shares = torch.from_numpy(box / (width, height, width, height))[None]
        cells = features_of_boxes(grid[None], [shares], 6)[0, 0].numpy()
        expected = centres(box, 6, axis) / length
        along = cells if axis == 0 else cells.T
        np.testing.assert_allclose(along, np.tile(expected, (6, 1)), atol=0.006)


def test_shares_in_a_box_are_those_of_its_cells() -> None:
    """Of pixels 2 to 9 of 12 columns, in boxes at any place: means over cells, by exact overlap."""
    ramp = np.tile(np.arange(12.0), (12, 1))
    box = np.array([2.5, 3.0, 8.5, 9.0])
    shares = shares_in_boxes(torch.from_numpy(ramp)[None], torch.from_numpy(box)[None].float(), 4)
    np.testing.assert_allclose(shares[0], np.tile(centres(box, 4, 0) - 0.5, (4, 1)), atol=1e-5)
    whole = torch.tensor([[0.0, 0.0, 12.0, 12.0]])
    mask = random_shapes(np.random.default_rng(0), 1, (12, 12))
    expected, _ = cell_means(mask[0].astype(np.float64), np.ones((12, 12), bool), (12, 12))
    np.testing.assert_allclose(shares_in_boxes(torch.from_numpy(mask), whole, 12)[0], expected)


def test_there_is_no_mask_outside_of_the_image() -> None:
    """A mask of 4 x 4 pixels in a box of 12 x 12 around it."""
    shares = shares_in_boxes(torch.ones(1, 4, 4), torch.tensor([[-4.0, -4.0, 8.0, 8.0]]), 3)
    np.testing.assert_allclose(shares[0], [[0, 0, 0], [0, 1, 0], [0, 0, 0]], atol=0.25)
    assert shares[0, 0].max() == 0


def slowly_pasted(cells: Floats, box: Doubles, size: tuple[int, int]) -> Bools:
    """Return the mask pixel by pixel: interpolated between the centres of cells, kept at edges."""
    side = len(cells)
    mask = np.zeros(size, bool)
    for row, column in np.ndindex(size):
        x, y = column + 0.5, row + 0.5
        if not (box[0] <= x < box[2] and box[1] <= y < box[3]):
            continue
        u = np.clip((x - box[0]) / (box[2] - box[0]) * side - 0.5, 0, side - 1)
        v = np.clip((y - box[1]) / (box[3] - box[1]) * side - 0.5, 0, side - 1)
        i, j = min(int(v), side - 2), min(int(u), side - 2)
        upper = cells[i, j] * (j + 1 - u) + cells[i, j + 1] * (u - j)
        lower = cells[i + 1, j] * (j + 1 - u) + cells[i + 1, j + 1] * (u - j)
        mask[row, column] = upper * (i + 1 - v) + lower * (v - i) > 0.5
    return mask


def test_masks_are_pasted_as_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([[2.3, 1.0, 17.9, 11.6], [-3.0, 4.5, 9.0, 30.0], [5.0, 5.0, 5.0, 9.0]])
    cells = rng.uniform(size=(3, 6, 6)).astype(np.float32)
    masks = pasted(cells, boxes, (14, 20))
    for mask, of, box in zip(masks, cells, boxes, strict=True):
        np.testing.assert_array_equal(mask, slowly_pasted(of, box, (14, 20)))
    assert not masks[2].any()


def test_true_masks_survive_their_cells() -> None:
    """28 x 28 cells of shapes of up to 80 px: nine of ten pixels, at any place of the box."""
    masks = random_shapes(np.random.default_rng(1), 12, (120, 140))
    boxes = masked_boxes(masks, [0] * 12).xyxy
    found = resampled(masks, boxes, 28)
    overlap = (found & masks).sum(axis=(1, 2)) / (found | masks).sum(axis=(1, 2))
    assert overlap.min() > 0.9


def test_training_boxes_move_with_their_masks() -> None:
    """The mask is the left half of the object's box: its right edge is where it is in the image."""
    masks = np.zeros((1, 100, 200), bool)
    masks[0, 20:60, 40:80] = True
    box = np.array([[40.0, 20.0, 120.0, 60.0]])
    target = mask_target(box, masks, (100, 200), SMALL)
    assert target.around.shape == (1, 16, 16) and AROUND > 1 + 2 * JITTER
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(5):
        shares, cells = moved(target, 8, generator)
        left, top, right, bottom = (shares[0].numpy() * [200, 100, 200, 100]).tolist()
        assert (
            max(abs(left - 40), abs(right - 120)) <= 8 and max(abs(top - 20), abs(bottom - 60)) <= 4
        )
        inside = (max(left, 40), 80, max(top, 20), min(bottom, 60))
        area = (inside[1] - inside[0]) * (inside[3] - inside[2]) / ((right - left) * (bottom - top))
        assert float(cells.mean()) == pytest.approx(area, abs=0.03)
        seen.append(left)
    assert np.ptp(seen) > 2


def test_objects_without_pixels_are_not_learnt() -> None:
    masks = np.zeros((3, 20, 20), bool)
    masks[1:, 5:9, 5:9] = True
    boxes = np.array([[0, 0, 9, 9], [5, 5, 9, 9], [5, 5, 5, 9]], np.float64)
    assert mask_target(boxes, masks, (20, 20), SMALL).boxes.tolist() == [[5, 5, 9, 9]]


def test_training_begins_with_the_mean_mask() -> None:
    """Of two objects, one fills its box and one the left half: 1, which is cut to 0.99, and 1/2."""
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 8:40, 8:40] = masks[1, 24:56, 24:40] = True
    boxes = np.array([[8.0, 8, 40, 40], [24, 24, 56, 56]])
    targets = [mask_target(boxes, masks, (64, 64), SMALL)]
    maps = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    still = replace(SMALL, learning_rate=1e-12, mask_epochs=1)
    head = train_masks(lambda at: maps[at], targets, still, 0, "cpu")
    for cells in masks_in_boxes(head, maps[0], boxes, (64, 64)):
        np.testing.assert_allclose(cells[1:-1, 1:3], 0.99, atol=1e-3)
        np.testing.assert_allclose(cells[1:-1, 5:7], 0.5, atol=1e-2)


def learnt(seed: int) -> tuple[Floats, list[MaskTarget], list[Bools]]:
    """Return maps of 8 images whose one feature is the share of cells in the object's mask."""
    rng = np.random.default_rng(seed)
    masks = [random_shapes(rng, 1, (64, 64)) for _ in range(8)]
    maps = [of[0].reshape(16, 4, 16, 4).mean(axis=(1, 3)) for of in masks]
    targets = [mask_target(masked_boxes(of, [0]).xyxy, of, (64, 64), SMALL) for of in masks]
    return np.stack(maps)[..., None].astype(np.float32), targets, masks


def test_maps_that_show_masks_are_learnt() -> None:
    maps, targets, _ = learnt(0)

    def read(at: Ints) -> Floats:
        return maps[at]

    head = train_masks(read, targets, SMALL, 0, "cpu")
    again = train_masks(read, targets, SMALL, 0, "cpu")
    others, of_others, masks = learnt(1)
    overlaps = []
    for grid, target, mask in zip(others, of_others, masks, strict=True):
        boxes = target.boxes.numpy().astype(np.float64)
        cells = masks_in_boxes(head, grid, boxes, (64, 64))
        np.testing.assert_array_equal(cells, masks_in_boxes(again, grid, boxes, (64, 64)))
        found = pasted(cells, boxes, (64, 64))
        overlaps.append((found & mask).sum() / (found | mask).sum())
    assert np.mean(overlaps) > 0.8
    assert masks_in_boxes(head, maps[0], np.zeros((0, 4)), (64, 64)).shape == (0, 8, 8)
