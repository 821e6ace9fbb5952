"""The scenes of drawings on a ground: depth in perspective, nearer drawings before farther ones."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.masks import IGNORED
from bob.datasets.open import open_dataset
from bob.datasets.readers import ground_scenes
from bob.datasets.readers.ground_scenes import (
    FOCAL_PX,
    RANGE,
    Camera,
    GroundComposer,
    GroundScene,
    StandingDrawing,
    plan_scene,
)
from bob.datasets.readers.openmoji import Drawing
from bob.datasets.readers.scenes import CLASSES, SIDE_PX, Composer, SceneDrawings
from bob.registry import load_registry

ENTRIES = load_registry().datasets
SQUARE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">
<rect x="0" y="0" width="4" height="2" fill="#ff0000"/></svg>"""
"""Red above, and nothing in the lower half: its feet are in the middle of the square."""


@pytest.fixture(scope="module")
def data(shared_cache: Path) -> Dataset:
    return open_dataset(ENTRIES["openmoji_depth"], shared_cache, entries=ENTRIES)


def test_depth_and_masks_are_those_of_the_image(data: Dataset) -> None:
    assert data.kind == "depth" and data.classes == CLASSES
    split = data.splits["test"]
    assert split.masks is not None and split.depths is not None
    for i in (0, 7):
        mask, depth = split.masks.read(i), split.depths.read(i)
        assert split.decode(i).size == mask.shape == depth.shape == (SIDE_PX, SIDE_PX)
        np.testing.assert_array_equal(np.isnan(depth), mask == IGNORED)
        assert RANGE[0] < np.nanmin(depth) < np.nanmax(depth) < RANGE[1]
        assert np.nanmax(depth) / np.nanmin(depth) > 2


@pytest.mark.parametrize(
    ("name", "composer"), [("openmoji_depth", GroundComposer), ("openmoji_scenes", Composer)]
)
def test_a_scene_is_composed_once_for_its_image_and_the_targets_of_pixels(
    shared_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, composer: type
) -> None:
    calls: list[object] = []
    layers = composer.layers  # type: ignore[attr-defined]
    monkeypatch.setattr(
        composer, "layers", lambda *arguments: (calls.append(arguments), layers(*arguments))[1]
    )
    split = open_dataset(ENTRIES[name], shared_cache, entries=ENTRIES).splits["test"]
    image, (masks, depths) = split.decode(5), (split.masks, split.depths)
    assert masks is not None
    targets = [masks.read(5), *([] if depths is None else [depths.read(5)])]
    assert len(calls) == 1
    assert all(target.shape == image.size for target in targets)


def test_scenes_differ_and_the_line_style_has_their_depth(data: Dataset) -> None:
    test, line = data.splits["test"], data.shifts["line"].split
    assert test.depths is not None and line.depths is not None
    np.testing.assert_array_equal(test.depths.read(3), line.depths.read(3))
    assert test.read(3) != line.read(3) and test.read(3) != test.read(4)
    assert len({*data.splits["train"].content, *test.content}) == 560


def test_the_ground_is_in_perspective_up_to_the_wall() -> None:
    """A camera at 2 m and a horizon at row 56: row 156 is 100 px below it, at 220 x 2 / 100."""
    camera = Camera(horizon_px=55.5, camera_height=2.0, wall=11.0)
    depth = camera.depth()
    assert depth[155] == pytest.approx(FOCAL_PX * 2 / 100)
    assert camera.foot_px(4.4) == pytest.approx(155.5)
    # the wall stands 440 / 11 = 40 px below the horizon
    assert (depth[:95] == 11).all() and (depth[96:] < 11).all()


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> SceneDrawings:
    """Return one red drawing; noise is off."""
    monkeypatch.setattr("bob.datasets.readers.scenes.NOISE", 0)
    drawing = Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    return SceneDrawings([drawing], ["x"], lambda _: SQUARE, {})


def test_a_drawing_stands_on_the_ground_at_its_depth(drawings: SceneDrawings) -> None:
    """1 m at 2.2 m is 100 px wide; its feet are at row 56 + 220 x 1 / 2.2 = 156."""
    place = StandingDrawing(0, depth=2.2, height=1.0, centre_px=120.0, mirrored=False)
    scene = GroundScene("x", Camera(56.0, 1.0, 10.0), (place,))
    layers = GroundComposer(drawings, "colour").layers(scene)
    expected = np.zeros((SIDE_PX, SIDE_PX), bool)
    expected[106:156, 70:170] = True
    np.testing.assert_array_equal(layers.depth == np.float32(2.2), expected)
    np.testing.assert_array_equal(layers.mask == CLASSES.index("Objects"), expected)
    red = (np.asarray(layers.image) == [255, 0, 0]).all(axis=2)
    np.testing.assert_array_equal(red, expected)
    assert layers.boxes.xyxy.tolist() == [[70, 106, 170, 156]]


def test_boxes_are_around_drawings_of_many_sizes(data: Dataset) -> None:
    split = data.splits["test"]
    assert split.masks is not None and split.boxes is not None
    boxes = [split.boxes.read(i) for i in range(4)]
    for i, of in enumerate(boxes):
        for (left, top, right, bottom), label in zip(of.xyxy.astype(int), of.labels, strict=True):
            assert (split.masks.read(i)[top:bottom, left:right] == label).any()
    areas = np.concatenate([of.areas for of in boxes])
    assert areas.min() < 32**2 and areas.max() > 4 * 32**2


def test_nearer_drawings_cover_farther_ones() -> None:
    pool = [[0], [0]]
    scene = plan_scene(pool, "ground/test/000")
    depths = [place.depth for place in scene.standing]
    assert depths == sorted(depths, reverse=True) and len(depths) >= ground_scenes.DRAWINGS_LEAST
    assert scene == plan_scene(pool, "ground/test/000") != plan_scene(pool, "ground/test/001")
