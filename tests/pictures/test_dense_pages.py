"""Pages of dense tasks: targets, predictions and errors, of one backbone and of two."""

import io
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bob.cli import main
from bob.datasets.dataset import Dataset, Split
from bob.features.store import FeatureStore
from bob.pictures.boxes import box_sections, discovery_sections, draw_boxes, mask_sections
from bob.pictures.colours import RIGHT, WRONG, class_colours
from bob.pictures.correspondence import (
    FOUND,
    MISSED,
    TRUE,
    correspondence_sections,
    draw_pair,
)
from bob.pictures.page import PageSection, Picture
from bob.pictures.pixels import depth_sections, segmentation_sections, video_sections
from bob.pictures.view import View
from bob.records.store import RecordStore
from tests.builders.boxes import box_dataset, image_boxes, masked_boxes
from tests.builders.correspondence import SIZE, point_dataset
from tests.builders.depth import depth_dataset
from tests.builders.leaderboard_records import record, task
from tests.builders.segmentation import mask_dataset

Command = Callable[..., tuple[int, str, str]]


def with_images(dataset: Dataset, size: tuple[int, int]) -> Dataset:
    """Return the dataset with grey images of a size (H, W)."""
    buffer = io.BytesIO()
    Image.new("RGB", size[::-1], (90, 90, 90)).save(buffer, "PNG")

    def shown(split: Split) -> Split:
        return replace(split, read=lambda i: buffer.getvalue())

    return replace(dataset, splits={name: shown(of) for name, of in dataset.splits.items()})


def view(dataset: Dataset, **settings: Any) -> View:
    of_task = task("dense").model_copy(update={"settings": settings})
    return View(record("a", task=of_task), dataset, FeatureStore(Path("none")), lambda note: None)


def pixels(picture: Picture) -> NDArray[np.uint8]:
    assert picture.uri.startswith("data:image/png")
    data = b64decode(picture.uri.partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def pictures(sections: list[PageSection], title: str) -> list[Picture]:
    (section,) = [section for section in sections if section.title == title]
    return [picture for strip in section.strips for picture in strip.pictures]


def kept(score: float, **arrays: Any) -> Mapping[str, NDArray[Any]]:
    """Return what a record holds of test image 0."""
    facts = {"position": 0, "score": score, "sampled": True, **arrays}
    return {name: np.asarray(values)[None] for name, values in facts.items()}


MASK = np.array([[0, 0], [1, 1]], np.int16).repeat(2, 0).repeat(2, 1)


def test_segmentation_shows_wrong_pixels_of_both_backbones() -> None:
    """Classes 0 above and 1 below; A says 1 at the upper left, B is right and alone has colours."""
    data = with_images(mask_dataset({"test": [MASK]}, 2), MASK.shape)
    a = kept(0.6, classes=np.array([[1, 0], [1, 1]], np.uint8))
    b = kept(
        1.0, classes=np.array([[0, 0], [1, 1]], np.uint8), colours=np.zeros((2, 2, 3), np.uint8)
    )
    sections = list(segmentation_sections([("A", a), ("B", b)], view(data)))
    assert [section.title for section in sections] == ["Classes", "B is better", "Sample"]
    assert [each.name for each in pictures(sections, "Classes")] == ["class_0", "class_1"]
    image, target, *of_backbones = pictures(sections, "B is better")
    assert image.name == "0" and target.name == "target"
    assert [each.name for each in of_backbones] == [
        "A: prediction",
        "A: wrong pixels",
        "B: prediction",
        "B: wrong pixels",
        "B: features of patches",
    ]
    assert of_backbones[0].lines == ("mean IoU 60 %",)
    assert (pixels(target) == class_colours(2)[MASK]).all()
    wrong = np.zeros((4, 4), bool)
    wrong[:2, :2] = True
    assert (pixels(of_backbones[1]) == np.where(wrong[..., None], WRONG, RIGHT)).all()
    assert (pixels(of_backbones[3]) == RIGHT).all()


def test_depth_shows_errors_by_ratio() -> None:
    """Depth 2 m everywhere; twice as much on the left is the darkest error, none on the right."""
    data = with_images(depth_dataset({"test": [np.full((4, 8), 2.0, np.float32)]}), (4, 8))
    depth = np.array([[4.0, 4.0, 2.0, 2.0]], np.float32)
    sections = list(depth_sections([("", kept(0.5, depth=depth))], view(data)))
    assert [section.title for section in sections] == ["Worst", "Sample"]
    _, target, prediction, errors = pictures(sections, "Worst")
    assert target.lines == ("2 to 2 m",) and prediction.lines == ("delta1 50 %",)
    assert pixels(errors)[0, 0].tolist() == [*WRONG] and pixels(errors)[3, 7].tolist() == [*RIGHT]


def test_an_image_without_known_depth_is_shown() -> None:
    unknown = np.full((4, 4), np.nan, np.float32)
    data = with_images(depth_dataset({"test": [unknown]}), (4, 4))
    shown = kept(np.nan, depth=np.ones((2, 2), np.float32))
    assert [s.title for s in depth_sections([("", shown)], view(data))] == ["Sample"]


def test_detection_shows_as_many_predictions_as_objects() -> None:
    """One object and one that is ignored: of two predictions the best is drawn, which is wrong."""
    true = image_boxes([[2, 1, 8, 6], [0, 0, 2, 2]], [1, 0], difficult=[False, True], size=(8, 10))
    data = with_images(box_dataset({"test": [true]}, 2), (8, 10))
    shown = kept(
        0.0,
        boxes=np.array([[1, 2, 5, 4], [2, 1, 8, 6], [0, 0, 0, 0]], np.float32),
        labels=np.array([0, 1, -1]),
        states=np.array([0, 1, 0], np.uint8),
    )
    sections = list(box_sections([("", shown)], view(data)))
    assert [section.title for section in sections] == ["Worst", "Sample"]
    image, target, predictions = pictures(sections, "Worst")
    assert image.name == "0" and target.name == "objects" and target.lines == ("class_1",)
    assert predictions.name == "best predictions, AP50 0 %"
    assert predictions.lines == ("0 of 1 right: class_0",)
    assert {*map(tuple, pixels(target).reshape(-1, 3))} == {(45, 45, 45), TRUE, (128, 128, 128)}
    assert {*map(tuple, pixels(predictions).reshape(-1, 3))} == {(45, 45, 45), MISSED}


def masked(masks: NDArray[np.bool_], labels: list[int]) -> Dataset:
    """Return a dataset of one image with these masks (n, H, W)."""
    data = box_dataset({"test": [masked_boxes(masks, labels)]}, 2)
    test = data.splits["test"]
    assert test.boxes is not None
    boxes = replace(test.boxes, masks=lambda i: masks)
    return with_images(replace(data, splits={"test": replace(test, boxes=boxes)}), masks.shape[1:])


def test_masks_are_shown_by_outline_and_pixels() -> None:
    """The object: rows 1 to 6, columns 2 to 7. What is found: its box, without the lower right."""
    mask = np.zeros((1, 8, 10), bool)
    mask[0, 1:7, 2:8] = True
    cells = np.ones((1, 2, 2), bool)
    cells[0, 1, 1] = False
    shown = kept(
        1.0,
        boxes=np.array([[2, 1, 8, 7]], np.float32),
        labels=np.array([1]),
        states=np.array([1], np.uint8),
        masks=np.packbits(cells, axis=-1),
    )
    sections = list(mask_sections([("", shown)], view(masked(mask, [1]))))
    _, target, predictions = pictures(sections, "Worst")
    white, half = np.array(TRUE), np.rint(0.5 * np.array(TRUE) + 0.5 * 45).astype(int)
    drawn = pixels(target)
    assert (drawn[1, 2:8] == white).all() and (drawn[2:6, 3:7] == half).all()
    assert (drawn[0] == 45).all() and (drawn[:, 8:] == 45).all()
    found = pixels(predictions)
    assert (found[1, 2:8] == FOUND).all() and (found[6, 7] == 45).all()
    assert (found[6, 2] == FOUND).all()
    assert predictions.lines == ("1 of 1 right: class_1",)


def test_boxes_without_masks_have_no_page_of_masks() -> None:
    data = masked(np.ones((1, 8, 10), bool), [0])
    test = data.splits["test"]
    assert test.boxes is not None
    bare = replace(test, boxes=replace(test.boxes, masks=None))
    assert not list(mask_sections([("", {})], view(replace(data, splits={"test": bare}))))


def test_discovery_shows_the_boxes_of_both_methods() -> None:
    """TokenCut's is the left half of the image, which is the object; LOST's is a corner."""
    true = image_boxes([[0, 0, 5, 8], [5, 0, 10, 8]], [1, 0], crowds=[False, True], size=(8, 10))
    data = with_images(box_dataset({"test": [true]}, 2), (8, 10))
    boxes = np.array([[0, 0, 0.5, 1], [0.8, 0, 1, 0.5]], np.float32)
    shown = kept(1.0, boxes=boxes, overlaps=np.array([1.0, 0.0]))
    sections = list(discovery_sections([("", shown)], view(data)))
    assert [section.title for section in sections] == ["Worst", "Sample"]
    _, target, token_cut, lost = pictures(sections, "Sample")
    assert target.lines == ("class_1",)
    assert (token_cut.name, token_cut.lines) == ("TokenCut", ("overlap 100 %",))
    assert (lost.name, lost.lines) == ("LOST", ("overlap 0 %",))
    assert (pixels(token_cut)[0, :6] == FOUND).all() and (pixels(token_cut)[0, 6:] == 45).all()
    assert (pixels(lost)[0, 8:] == MISSED).all() and (pixels(lost)[0, :8] == 45).all()


def test_videos_show_the_objects_of_a_frame() -> None:
    """Two objects above and below; the prediction takes the second one for the first."""
    mask = np.array([[1, 1], [2, 2]], np.int16).repeat(2, 0).repeat(2, 1)
    data = with_images(mask_dataset({"test": [mask]}, 2), mask.shape)
    shown = kept(0.25, objects=np.ones((2, 2), np.uint8))
    sections = list(video_sections([("", shown)], view(data)))
    assert sections[0].about == "The 1 frames with the lowest mean J of objects, the lowest first."
    _, target, prediction, wrong = pictures(sections, "Worst")
    assert (pixels(target) == class_colours(3)[mask]).all()
    assert prediction.lines == ("mean J of its objects 25 %",)
    assert (pixels(wrong)[:2] == RIGHT).all() and (pixels(wrong)[2:] == WRONG).all()


def test_boxes_are_drawn_on_the_thumbnail() -> None:
    """An image of 288 x 144 px becomes one of 144 x 72: edges at columns 10 and 30, row 20."""
    image = Image.new("RGB", (288, 144), (90, 90, 90))
    drawn = draw_boxes(image, np.array([[20.0, 40, 60, 200]]), [FOUND])
    assert drawn.shape == (72, 144, 3)
    blue = (drawn == FOUND).all(axis=2)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 71, 10, 30)
    assert not blue[21:71, 11:30].any()


def test_an_image_without_objects_is_in_the_sample() -> None:
    data = with_images(box_dataset({"test": [image_boxes([], [], size=(8, 10))]}, 2), (8, 10))
    nothing = {"boxes": np.zeros((2, 4), np.float32), "states": np.zeros(2, np.uint8)}
    shown = kept(np.nan, labels=np.full(2, -1), **nothing)
    (section,) = box_sections([("", shown)], view(data))
    predictions = pictures([section], "Sample")[2]
    assert predictions.name == "best predictions, AP50 undefined"
    assert predictions.lines == ("0 of 0 right",)


def test_correspondence_shows_pairs_with_their_points() -> None:
    """Radius 0.1 x 10 px: the first point is 0 px off, the second 2 px."""
    points = np.array([[3.0, 3.0], [8.0, 9.0]])
    data = with_images(point_dataset([points], [points]), SIZE)
    shown = {
        "pair": np.zeros(2, np.int64),
        "id": np.array([0, 1]),
        "target": np.zeros(2, np.int64),
        "xy": points,
        "found": points + np.array([[0, 0], [2, 0]]),
        "sampled": np.ones(2, bool),
    }
    sections = list(correspondence_sections([("", shown)], view(data, within=[0.1])))
    (picture,) = pictures(sections, "Worst")
    assert picture.lines == ("1 of 2 points found",) and picture.is_wide


def test_a_line_ends_where_a_point_was_found() -> None:
    """Both images become 200 px high: the point at (1, 1) of 2 px lies at 100, its place behind."""
    image = Image.new("RGB", (2, 2))
    at = np.array([[1.0, 1.0]])
    drawn = draw_pair(image, image, at, at, at, np.array([True]))
    assert drawn.size == (400, 200)
    assert [drawn.getpixel(place) for place in ((100, 100), (200, 100), (300, 100))] == [FOUND] * 3
    assert drawn.getpixel((320, 100)) == (0, 0, 0)


# ---- the commands


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two baselines on ten images of dark floors and bright walls."""
    root = tmp_path_factory.mktemp("dense")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / "rooms" / folder).mkdir(parents=True)
    for i in range(10):
        mask = np.kron(rng.integers(0, 2, (4, 4)), np.ones((8, 8))).astype(np.uint8)
        image = np.where(mask, 220, 30)[:, :, None] + rng.integers(0, 20, (32, 32, 3))
        Image.fromarray(image.astype(np.uint8)).save(root / "rooms" / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "rooms" / "masks" / f"{i}.png")
    (root / "rooms" / "classes.txt").write_text("floor\nwall\n")
    words = ["--data", str(root / "rooms"), "--tasks", "segment", "--runtime", "eager"]
    folders = ["--results", str(root / "results"), "--cache-dir", str(root / "cache")]
    assert main(["run", *words, "--backbones", "raw_pixels,random_convolution", *folders]) == 0
    return root


def titles(out: str) -> list[str]:
    match = re.search(r"written: (\S+\.html)", "".join(out.splitlines()))
    assert match is not None, out
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", Path(match[1]).read_text())


def test_the_commands_write_pages(ran: Path, capfd: pytest.CaptureFixture[str]) -> None:
    places = ["--results", str(ran / "results"), "--cache-dir", str(ran / "cache")]
    data = ["--data", str(ran / "rooms")]
    records = RecordStore(ran / "results").read_all()[0]
    capfd.readouterr()
    assert main(["show", records[0].key, "--images", *data, *places]) == 0
    assert titles(capfd.readouterr().out) == ["Classes", "Worst", "Sample"]
    assert main(["compare", "raw_pixels", "random_convolution", "--images", *data, *places]) == 0
    assert {*titles(capfd.readouterr().out)} >= {"Classes", "Sample"}


def test_a_record_holds_colours_and_classes_of_each_test_image(ran: Path) -> None:
    """Two of ten images are test; raw pixels' grid has 16 x 16 cells."""
    store = RecordStore(ran / "results")
    (raw,) = store.select(backbone="raw_pixels")
    shown = store.shown_arrays(raw)
    assert shown["classes"].shape == (2, 72, 72) and shown["colours"].shape == (2, 16, 16, 3)
    assert shown["sampled"].all() and len(store.headline_arrays(raw)) == 4
