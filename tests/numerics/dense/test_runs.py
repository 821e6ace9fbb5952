"""Masks of COCO's polygons and runs: by hand, and pixel by pixel those of pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as official

from bob.numerics.dense.runs import mask_of_polygons, mask_of_runs, runs_of_text

SIZE = (23, 31)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_runs_go_down_the_columns() -> None:
    """Of 2 x 3 pixels: one outside, three inside, two outside."""
    assert mask_of_runs([1, 3, 2], (2, 3)).tolist() == [[0, 1, 0], [1, 1, 0]]
    assert mask_of_runs([0, 6], (2, 3)).all()


def test_a_square_holds_the_pixels_inside_its_edges() -> None:
    """Columns 2 and 3, rows 1 to 3."""
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:4] = True
    np.testing.assert_array_equal(mask_of_polygons([[2, 1, 4, 1, 4, 4, 2, 4]], (6, 8)), expected)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_those_of_pycocotools(seed: int) -> None:
    """Of any shape: crossing themselves, beyond the image, with repeated corners."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-6, 36, (int(rng.integers(3, 12)), 2))
    if seed % 3 == 0:
        corners = corners.round()
    if seed % 4 == 0:
        corners[1] = corners[0]
    polygons = [corners.ravel().tolist(), rng.uniform(0, 23, 6).tolist()][: 1 + seed % 2]
    expected = official.decode(official.merge(official.frPyObjects(polygons, *SIZE)))
    np.testing.assert_array_equal(mask_of_polygons(polygons, SIZE), expected)


@pytest.mark.parametrize("seed", range(4))
def test_text_of_runs_is_that_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(size=SIZE) < (0.5, 0.01, 0.999, 0)[seed]
    text = official.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(mask_of_runs(runs_of_text(text), SIZE), pixels)


@pytest.mark.parametrize("runs", [[3, 4], [-1, 7], []])
def test_runs_must_fill_the_mask(runs: list[int]) -> None:
    with pytest.raises(ValueError, match=r"the runs fill \d of 2 x 3 pixels"):
        mask_of_runs(runs, (2, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [("1P", "ends within one"), ("1~", "holds '~'"), ("1\n", "holds"), ("P" * 15, "holds 'P'")],
)
def test_damaged_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runs_of_text(text)


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([0, 0, 1, 1], "a polygon has 2 corners"),
        ([0, 0, 1e9, 0, 0, 1e9], "longer than 2,000,000 px"),
        ([0, 0, float("nan"), 0, 0, 9], "longer than"),
    ],
)
def test_polygons_of_no_image_are_refused(polygon: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_of_polygons([polygon], (6, 8))
