"""Scenes of a single drawing: its box is around it, and scenes are made alike again."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.readers.object_scenes import place_drawing, textured
from bob.datasets.readers.openmoji import Drawing
from bob.datasets.readers.scenes import SIDE_PX, Composer, Placement, SceneDrawings
from bob.registry import load_registry

ENTRIES = load_registry().datasets
SQUARE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">
<rect x="1" y="1" width="2" height="2" fill="#ff0000"/></svg>"""
"""Red in the middle half of the drawing."""


@pytest.fixture(scope="module")
def data(shared_cache: Path) -> Dataset:
    return open_dataset(ENTRIES["openmoji_objects"], shared_cache, entries=ENTRIES)


def test_scenes_have_one_box_each_and_are_made_alike_again(data: Dataset) -> None:
    test = data.splits["test"]
    assert list(data.splits) == ["test"] and data.kind == "object-detection" and test.boxes
    for i in (0, 7, 150):
        boxes = test.boxes.read(i)
        assert boxes.xyxy.shape == (1, 4) and not boxes.ignored.any() and boxes.labels[0] > 0
        assert boxes.xyxy.min() >= 0 and boxes.xyxy.max() <= SIDE_PX
    assert test.read(3) == test.read(3) != test.read(4)
    assert len({*test.content}) == 200 == len({*test.boxes.content})


def test_the_box_is_around_the_drawing_on_its_ground() -> None:
    """A drawing of 80 px at (20, 40): its square is 40 px wide, from (40, 60)."""
    drawing = Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    drawings = SceneDrawings([drawing], ["x"], lambda _: SQUARE, {})
    layers = Composer(drawings, "colour", textured).layers("x", [Placement(0, 20, 40, 80, False)])
    assert layers.boxes.xyxy.tolist() == [[40, 60, 80, 100]]
    pixels = np.asarray(layers.image).astype(int)
    assert (pixels[61:99, 41:79, 0] > 200).all() and pixels[61:99, 41:79, 1].max() < 50
    ground = textured("x").astype(int)
    assert np.abs(pixels - ground)[:50].max() <= 20 and ground.std() > 0


def test_drawings_are_inside_the_image() -> None:
    for number in range(50):
        place = place_drawing([5], number)
        assert place.drawing == 5 and min(place.left, place.top) >= 0
        assert max(place.left, place.top) + place.side_px <= SIDE_PX
    assert place_drawing([5], 1) == place_drawing([5], 1) != place_drawing([5], 2)
