"""Boxes and cells: by hand, and against crops of coded images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from bob.backbones.pixels.geometry import Geometry
from bob.numerics.dense.boxes import (
    NO_BOX,
    box_overlaps,
    boxes_at_cells,
    boxes_of_cells,
    cell_centres,
    centreness,
    edge_distances,
)


def test_the_smallest_box_around_a_centre_is_predicted() -> None:
    """Cells of 10 x 20 px, centres at columns 5, 15, 25 and rows 10, 30."""
    boxes = np.array([[0, 0, 30, 40], [10, 5, 20, 35], [4, 9, 6, 11]], np.float64)
    expected = [[2, 1, 0], [0, 1, 0]]
    np.testing.assert_array_equal(boxes_of_cells(boxes, (40, 30), (2, 3)), expected)


def test_a_centre_on_an_edge_is_outside() -> None:
    """Centres at columns 5 and 15; the box begins at 5."""
    boxes = np.array([[5.0, 0, 20, 10]])
    assert boxes_of_cells(boxes, (10, 20), (1, 2)).tolist() == [[NO_BOX, 0]]
    assert boxes_of_cells(np.zeros((0, 4)), (10, 20), (1, 2)).tolist() == [[NO_BOX, NO_BOX]]


def test_distances_are_in_cells() -> None:
    """Centre (15, 10) of cells of 10 x 20 px: 10 left and 5 right, 5 up and 25 down."""
    boxes = np.array([[5.0, 5, 20, 35]])
    distances = edge_distances(boxes, (40, 30), (2, 3))[0, 0, 1]
    np.testing.assert_allclose(distances, [1, 5 / 20, 0.5, 25 / 20])


def test_centreness_is_the_ratio_of_distances() -> None:
    """1 to 4 columns, 3 to 2 rows: 1/4 times 2/3."""
    assert centreness(np.array([[1.0, 3, 4, 2], [2, 5, 2, 5]])) == pytest.approx([1 / 6, 1])


def test_boxes_follow_from_their_distances_and_end_at_the_image() -> None:
    size, grid = (37, 53), (3, 4)
    boxes = np.random.default_rng(0).uniform(0, 30, (5, 2))
    boxes = np.concatenate([boxes, boxes + 15], axis=1)
    boxes = np.minimum(boxes, (53, 37, 53, 37))
    for box, distances in zip(boxes, edge_distances(boxes, size, grid), strict=True):
        inside = (distances > 0).all(axis=-1)
        assert inside.any()
        found = boxes_at_cells(np.log(distances.clip(min=1e-9)), size, grid)[inside]
        np.testing.assert_allclose(found, np.broadcast_to(box, found.shape), atol=1e-6)
    everything = boxes_at_cells(np.full((3, 4, 4), 1000.0), size, grid)
    np.testing.assert_array_equal(everything, np.broadcast_to([0, 0, 53, 37], (3, 4, 4)))


@pytest.mark.parametrize("size", [(96, 64), (50, 120), (301, 977)])
def test_centres_follow_the_crop_of_a_coded_image(size: tuple[int, int]) -> None:
    """A bright box in a dark image of (width, height): the crop is bright where centres are inside.

    224 px in 7 cells; edges are in the middle between centres, where the filter does not reach.
    """
    width, height = size
    geometry = Geometry(224, 224, 1.0, "squash", "bilinear")
    box = np.array([2 * width / 7, height / 7, 5 * width / 7, 3 * height / 7]).round()
    grey = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box.astype(int)
    grey[top:bottom, left:right] = 255
    crop = geometry.crop(Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)))
    at_centres = crop.numpy()[0, 16::32, 16::32] > 127
    cells = boxes_of_cells(box[None], (height, width), (7, 7))
    np.testing.assert_array_equal(cells != NO_BOX, at_centres)
    assert at_centres.sum() == 6


def test_overlaps_are_torchvisions_and_of_crowds_the_share_inside() -> None:
    rng = np.random.default_rng(0)
    found, true = (np.sort(rng.uniform(0, 9, (n, 2, 2)), axis=1).reshape(n, 4) for n in (6, 4))
    none = np.zeros(4, bool)
    expected = box_iou(torch.from_numpy(found), torch.from_numpy(true)).numpy()
    np.testing.assert_allclose(box_overlaps(found, true, none), expected)
    assert expected.max() > 0.2
    # 3 of 4 columns of the found box are in the crowd
    crowd = box_overlaps(np.array([[0.0, 0, 4, 2]]), np.array([[1.0, 0, 9, 9]]), np.array([True]))
    assert crowd.tolist() == [[0.75]]


def test_centres_are_columns_and_rows() -> None:
    assert cell_centres((40, 30), (2, 3))[1, 2].tolist() == [25, 30]
