"""Clips of moving drawings: masks are where drawings are, and clips are made alike again."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.readers.clips import (
    FRAMES,
    MovingDrawing,
    compose_frame,
    plan_clip,
)
from bob.datasets.readers.openmoji import Drawing
from bob.datasets.readers.scenes import SIDE_PX, SceneDrawings
from bob.registry import load_registry

ENTRIES = load_registry().datasets
SQUARE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">
<rect x="1" y="1" width="2" height="2" fill="#ff0000"/></svg>"""
"""Red in the middle half of the drawing."""


@pytest.fixture(scope="module")
def data(shared_cache: Path) -> Dataset:
    return open_dataset(ENTRIES["openmoji_clips"], shared_cache, entries=ENTRIES)


def test_frames_are_in_order_and_made_alike_again(data: Dataset) -> None:
    test = data.splits["test"]
    assert data.kind == "video" and len(test) == 20 * FRAMES and test.masks and test.groups
    assert list(test.groups[:17]) == ["clip_00"] * 16 + ["clip_01"]
    assert test.read(3) == test.read(3) != test.read(4)
    assert len({*test.content}) == len(test) == len({*test.masks.content})
    assert {*np.unique(test.masks.read(0)).tolist()} == {0, 1, 2}


def test_masks_are_where_the_drawings_are() -> None:
    """A square of 40 px in a drawing of 80 px, from (0, 0) to (150, 30); the upper one stays."""
    drawing = Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    drawings = SceneDrawings([drawing], ["x"], lambda _: SQUARE, {})
    clip = [
        MovingDrawing(0, 80, (0, 0), (150, 30)),
        MovingDrawing(0, 80, (100, 100), (100, 100)),
    ]
    image, mask = compose_frame(drawings, clip, 0, 5, "colour")  # a third of the way
    expected = np.zeros((SIDE_PX, SIDE_PX), int)
    expected[30:70, 70:110], expected[120:160, 120:160] = 1, 2
    assert np.array_equal(mask, expected)
    assert (np.asarray(image)[mask > 0][:, 0] > 200).all()


def test_drawings_stay_in_the_image() -> None:
    for number in range(20):
        for moving in plan_clip([5], number):
            for frame in range(FRAMES):
                place = moving.at(frame)
                assert min(place) >= 0 and max(place) + moving.side_px <= SIDE_PX
    assert plan_clip([5], 1) == plan_clip([5], 1) != plan_clip([5], 2)
