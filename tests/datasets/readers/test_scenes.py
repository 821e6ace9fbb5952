"""The scenes of openmoji drawings: disjoint drawings, equal scenes, exact masks."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.masks import IGNORED
from bob.datasets.open import open_dataset
from bob.datasets.readers import scenes
from bob.datasets.readers.scene_boxes import VisibleDrawings
from bob.datasets.readers.scenes import CLASSES, SIDE_PX, Composer, Placement
from bob.registry import load_registry

ENTRIES = load_registry().datasets


@pytest.fixture(scope="module")
def cache(shared_cache: Path) -> Path:
    return shared_cache


@pytest.fixture(scope="module")
def data(cache: Path) -> Dataset:
    return open_dataset(ENTRIES["openmoji_scenes"], cache, entries=ENTRIES)


def test_masks_hold_the_classes_at_the_size_of_the_image(data: Dataset) -> None:
    assert data.kind == "segmentation" and data.classes == CLASSES
    split = data.splits["test"]
    assert split.masks is not None
    for i in (0, 7):
        mask = split.masks.read(i)
        assert split.decode(i).size == mask.shape == (SIDE_PX, SIDE_PX)
        assert IGNORED <= mask.min() < 0 < mask.max() < len(CLASSES)


def test_scenes_are_made_alike_again_and_anew(data: Dataset, cache: Path, tmp_path: Path) -> None:
    again = open_dataset(ENTRIES["openmoji_scenes"], tmp_path, entries=ENTRIES)
    assert again.fingerprint() == data.fingerprint()
    one, other = data.splits["train"], again.splits["train"]
    assert one.read(3) == other.read(3)
    assert one.read(3) != one.read(4) and len(set(one.content)) == len(one)


def test_train_and_test_drawings_are_disjoint_and_those_of_openmoji(
    data: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = []
    real = scenes._pools

    def recorded(drawings: list[scenes.Drawing], digests: list[str]) -> dict[str, list[list[int]]]:
        found = real(drawings, digests)
        pools.append({s: {drawings[i].svg.stem for c in p for i in c} for s, p in found.items()})
        return found  # type: ignore[return-value]

    monkeypatch.setattr(scenes, "_pools", recorded)
    open_dataset(ENTRIES["openmoji_scenes_line"], cache, entries=ENTRIES)
    (pool,) = pools
    openmoji = open_dataset(ENTRIES["openmoji"], cache, entries={**ENTRIES})
    for side in ("train", "test"):
        files = {name.split(" ")[0] for name in openmoji.splits[side].ids}  # type: ignore[index]
        assert pool[side] <= files
    assert not pool["train"] & pool["test"]


def test_the_line_style_has_the_same_masks_and_other_images(data: Dataset) -> None:
    test, line = data.splits["test"], data.shifts["line"].split
    assert test.masks is not None and line.masks is not None
    np.testing.assert_array_equal(test.masks.read(5), line.masks.read(5))
    assert test.read(5) != line.read(5)
    pixels = [np.asarray(split.decode(5)).astype(np.int64) for split in (test, line)]
    difference = np.abs(pixels[0] - pixels[1]).max(axis=2)
    assert difference.max() > 100
    assert difference[test.masks.read(5) == 0].max() <= scenes.UNCOVERED


SQUARE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">
<rect x="0" y="0" width="2" height="4" fill="#ff0000"/></svg>"""


def test_a_drawing_covers_the_pixels_that_the_mask_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The left half of 80 px at (10, 20); mirrored, the right half. Noise is off."""
    monkeypatch.setattr(scenes, "NOISE", 0)
    drawing = scenes.Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    drawings = scenes.SceneDrawings([drawing], ["x"], lambda _: SQUARE, {})
    composer = Composer(drawings, "colour")
    for mirrored, left in ((False, 10), (True, 50)):
        layers = composer.layers("x", [Placement(0, 10, 20, 80, mirrored)])
        expected = np.zeros((SIDE_PX, SIDE_PX), bool)
        expected[20:100, left : left + 40] = True
        np.testing.assert_array_equal(layers.mask == CLASSES.index("Objects"), expected)
        red = (np.asarray(layers.image) == [255, 0, 0]).all(axis=2)
        np.testing.assert_array_equal(red, expected)


def test_boxes_are_around_what_is_visible() -> None:
    """Drawings of 40 x 80 px: the second covers half of the first, the fourth all of the third."""
    drawing = scenes.Drawing(Path("x.svg"), "colour", "", {"category": "Objects"})
    drawings = scenes.SceneDrawings([drawing], ["x"], lambda _: SQUARE, {})
    places = [(10, 20), (30, 20), (100, 150), (100, 150), (230, 240), (225, 232)]
    placements = [Placement(0, left, top, 80, False) for left, top in places]
    layers = Composer(drawings, "colour").layers("x", placements)
    boxes = layers.boxes
    assert boxes.size == (SIDE_PX, SIDE_PX)
    # of the last but one, 26 x 16 px are in the image, all of which the last one covers
    expected = [[10, 20, 30, 100], [30, 20, 70, 100], [100, 150, 140, 230], [225, 232, 256, 256]]
    assert boxes.xyxy.tolist() == expected
    assert boxes.areas.tolist() == [20 * 80, 40 * 80, 40 * 80, 31 * 24]
    assert set(boxes.labels.tolist()) == {CLASSES.index("Objects")}
    assert not boxes.ignored.any() and not boxes.crowds.any()
    pixels = np.zeros((4, SIDE_PX, SIDE_PX), bool)
    for of, (left, top, right, bottom) in zip(pixels, expected, strict=True):
        of[top:bottom, left:right] = True
    np.testing.assert_array_equal(layers.instances, pixels)


def test_a_drawing_of_which_little_is_left_is_ignored() -> None:
    """8 of 40 columns of the first are visible, less than a quarter."""
    visible = VisibleDrawings.of_size(100, 100)
    for label, left in ((3, 0), (5, 8)):
        covered = np.zeros((100, 100), bool)
        covered[:80, left : left + 40] = True
        visible.add(label, covered, covered)
    boxes = visible.boxes()
    assert boxes.labels.tolist() == [3, 5] and boxes.ignored.tolist() == [True, False]
    assert boxes.xyxy.tolist() == [[0, 0, 8, 80], [8, 0, 48, 80]]


def test_instances_share_the_pixels_of_their_classes(data: Dataset) -> None:
    """Each pixel of a category belongs to one drawing, and the box is around its pixels."""
    for split in (data.splits["test"], data.shifts["line"].split):
        assert split.masks is not None and split.boxes is not None
        assert split.boxes.masks is not None
        mask, boxes = split.masks.read(7), split.boxes.read(7)
        pixels = split.boxes.masks(7)
        owned = (pixels * boxes.labels[:, None, None]).sum(axis=0)
        np.testing.assert_array_equal(owned, np.where(mask > 0, mask, 0))
        assert (pixels.sum(axis=0) <= 1).all()
        assert pixels.sum(axis=(1, 2)).tolist() == boxes.areas.tolist()
        for of_drawing, box in zip(pixels, boxes.xyxy.astype(int), strict=True):
            rows, columns = np.nonzero(of_drawing)
            edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert edges == tuple(box)


def test_boxes_hold_the_pixels_of_their_class(data: Dataset) -> None:
    split = data.splits["test"]
    assert split.masks is not None and split.boxes is not None
    for i in (0, 7):
        mask, boxes = split.masks.read(i), split.boxes.read(i)
        outside = np.ones_like(mask, bool)
        for (left, top, right, bottom), label in zip(
            boxes.xyxy.astype(int), boxes.labels, strict=True
        ):
            assert (mask[top:bottom, left:right] == label).any()
            outside[top:bottom, left:right] = False
        assert len(boxes.labels) >= 3 and (mask[outside] <= 0).all()
