"""Boxes in COCO JSON: the layout of COCO, own images, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as official

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.errors import DatasetError, UnreadableImageError
from bob.registry import load_registry
from bob.specs import CocoSource, DatasetSpec

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
BOX: list[float] = [2, 1, 2, 3]
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def annotation(image: int, category: int, bbox: list[float], **facts: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": bbox, **facts}


def content(*annotations: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return a file of the images 1 and 2, of 30 x 20 px."""
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 30, "height": 20} for i in (2, 1)]
    return {"images": images, "annotations": [*annotations], "categories": CATEGORIES, **facts}


TWO = content(
    annotation(1, 7, [1, 2, 10.5, 4], area=31.5, iscrowd=0),
    annotation(1, 3, [0, 0, 30, 20], iscrowd=1),
)


def write(root: Path, values: Any = TWO) -> Path:
    """Write images and annotations of two splits in the layout of COCO."""
    for name in ("train2017", "val2017"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in (1, 2):
            pixels = np.full((20, 30, 3), 40 * i, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:012d}.jpg")
        file = root / "annotations" / f"instances_{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(values))
    return root


def opened(root: Path) -> Dataset:
    """Open COCO's entry at another place, without its counts."""
    spec = load_registry().datasets["coco2017_detection"]
    source = spec.source.model_copy(update={"path": str(root)})
    changes: dict[str, Any] = {"source": source, "counts": {}, "classes": None}
    return open_dataset(spec.model_copy(update=changes), root.parent / "cache")


def test_the_layout_of_coco(tmp_path: Path) -> None:
    """Classes are categories by id; left, top, width and height become edges."""
    data = opened(write(tmp_path / "coco"))
    assert data.kind == "object-detection" and data.classes == ("cat", "dog")
    test = data.splits["test"]
    assert [*test.ids] == ["val2017/000000000001.jpg", "val2017/000000000002.jpg"]
    assert test.boxes is not None
    boxes = test.boxes.read(0)
    assert boxes.size == (20, 30) and boxes.labels.tolist() == [1, 0]
    assert boxes.xyxy.tolist() == [[1, 2, 11.5, 6], [0, 0, 30, 20]]
    assert boxes.areas.tolist() == [31.5, 600]
    assert boxes.crowds.tolist() == boxes.ignored.tolist() == [False, True]
    assert test.boxes.read(1).xyxy.shape == (0, 4)


def test_images_that_no_file_lists_are_counted(tmp_path: Path) -> None:
    """Labelling tools often export annotated images alone."""
    root = write(tmp_path / "coco")
    assert opened(root).unread == {}
    for name in ("train2017/3.jpg", "val2017/more/4.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20)).save(root / name)
    data = opened(root)
    assert data.unread == {"images that no annotation file lists": 2}
    assert "skipped files: images that no annotation file lists (2)" in data.notes


def test_a_folder_that_cannot_be_read_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lost+found at the top of a disk: no listed image is in it."""
    root = write(tmp_path / "coco")
    (root / "val2017" / "lost+found").mkdir()
    scandir = os.scandir

    def refused(path: str) -> Any:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert len(opened(root).splits["test"]) == 2


def test_areas_of_zero_are_counted(tmp_path: Path) -> None:
    """Some tools export no other areas; COCO's evaluation goes by them."""
    values = content(annotation(1, 7, BOX, area=0), annotation(2, 3, BOX, area=6))
    data = opened(write(tmp_path / "coco", values))
    assert "2 of 4 annotations state an 'area' of 0, and count as small objects" in data.notes


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the annotation files list no images"):
        opened(write(tmp_path / "coco", content(images=[])))


def test_files_may_number_their_categories_differently(tmp_path: Path) -> None:
    """Cat and dog are 3 and 7 in train, 1 and 2 in test."""
    root = write(tmp_path / "coco")
    categories = [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(content(annotation(1, 2, [1, 2, 10.5, 4]), categories=categories)))
    data = opened(root)
    train, test = (data.splits[name].boxes for name in ("train", "test"))
    assert train is not None and test is not None and data.classes == ("cat", "dog")
    assert train.read(0).labels.tolist() == [1, 0] and test.read(0).labels.tolist() == [1]


def test_cars_are_learnt_of_a_game_and_found_in_cities(tmp_path: Path) -> None:
    """The layout of the entry: two folders of images with a file of boxes each."""
    spec = load_registry().datasets["sim10k_cityscapes"]
    for folder, name, file in (
        ("sim10k/images", "1.jpg", "sim10k/coco_car_annotations.json"),
        (
            "cityscapes/leftImg8bit/val",
            "ulm/ulm_0_leftImg8bit.png",
            "cityscapes/annotations/cityscapes_val_instances_cars.json",
        ),
    ):
        image = tmp_path / folder / name
        image.parent.mkdir(parents=True)
        Image.new("RGB", (30, 20), (len(name), 0, 0)).save(image)
        images = [{"id": 1, "file_name": name, "width": 30, "height": 20}]
        cars = [{"id": 4, "name": "car"}]
        values = content(annotation(1, 4, [1, 2, 3, 4]), images=images, categories=cars)
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(values))
    source = spec.source.model_copy(update={"path": str(tmp_path)})
    changes: dict[str, Any] = {"source": source, "counts": {}}
    data = open_dataset(spec.model_copy(update=changes), tmp_path / "cache")
    assert data.classes == ("car",)
    assert {name: [*split.ids] for name, split in data.splits.items()} == {
        "train": ["sim10k/images/1.jpg"],
        "test": ["cityscapes/leftImg8bit/val/ulm/ulm_0_leftImg8bit.png"],
    }
    boxes = data.splits["test"].boxes
    assert boxes is not None and boxes.read(0).xyxy.tolist() == [[1, 2, 4, 6]]


SQUARE = [[2, 1, 4, 1, 4, 4, 2, 4]]
PIXELS = np.zeros((20, 30), bool)
PIXELS[1:4, 2:4] = True
RUNS = [41, 3, 17, 3, 536]
"""Column by column: 2 of 20 px and one px outside, 3 px inside, 17 outside, 3 inside."""


@pytest.mark.parametrize(
    "segmentation",
    [SQUARE, {"size": [20, 30], "counts": RUNS}, {"size": [20, 30], "counts": ""}],
    ids=["polygons", "runs", "text"],
)
def test_objects_have_the_pixels_of_their_segmentation(tmp_path: Path, segmentation: Any) -> None:
    """A crowd has runs, whatever the others have. The text is pycocotools'."""
    if isinstance(segmentation, dict) and segmentation["counts"] == "":
        coded = official.encode(np.asfortranarray(PIXELS.astype(np.uint8)))["counts"].decode()
        segmentation = {"size": [20, 30], "counts": coded}
    data = opened(
        write(
            tmp_path / "coco",
            content(
                annotation(1, 7, [2, 1, 2, 3], segmentation=segmentation),
                annotation(
                    1,
                    3,
                    [0, 0, 30, 20],
                    iscrowd=1,
                    segmentation={"size": [20, 30], "counts": [0, 600]},
                ),
            ),
        )
    )
    boxes = data.splits["test"].boxes
    assert boxes is not None and boxes.masks is not None
    np.testing.assert_array_equal(boxes.masks(0), [PIXELS, np.ones((20, 30), bool)])
    assert boxes.masks(1).shape == (0, 20, 30)
    taken = boxes.take(np.array([1, 0])).masks
    assert taken is not None and taken(1).shape == (2, 20, 30)


def test_masks_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    other = [[2, 1, 4, 1, 4, 4]]
    one, two = (
        opened(
            write(tmp_path / name / "coco", content(annotation(1, 7, BOX, segmentation=polygons)))
        )
        for name, polygons in (("a", SQUARE), ("b", other))
    )
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.parametrize("bare", [[], None, [[1, 2]], [[0, 0, 1, 1, "x", 2]], {"counts": 3}])
def test_masks_are_read_where_every_object_has_one(tmp_path: Path, bare: Any) -> None:
    """Boxes are read all the same; the note says why there are no masks."""
    annotations = [annotation(1, 7, BOX, segmentation=of) for of in (SQUARE, bare)]
    data = opened(write(tmp_path / "coco", content(*annotations)))
    boxes = data.splits["test"].boxes
    assert boxes is not None and boxes.masks is None and len(boxes.read(0).labels) == 2
    assert any("2 of 4 annotations have no 'segmentation'" in note for note in data.notes)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [30, 20], "counts": RUNS}, r"its runs are of \[30, 20\], the image of \[20, 30"),
        ({"size": [20, 30], "counts": [1]}, "the runs fill 1 of 20 x 30 pixels"),
        ({"size": [20, 30], "counts": [600.0]}, "its runs are not whole numbers"),
        ({"size": [20, 30], "counts": "\t"}, "the text of runs holds"),
    ],
)
def test_masks_that_cannot_be_read_name_their_image(
    tmp_path: Path, segmentation: Any, message: str
) -> None:
    values = content(annotation(1, 7, BOX, segmentation=segmentation))
    boxes = opened(write(tmp_path / "coco", values)).splits["test"].boxes
    assert boxes is not None and boxes.masks is not None
    with pytest.raises(UnreadableImageError, match=rf"01.jpg: the .* annotation 0 .*{message}"):
        boxes.masks(0)


def test_boxes_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    moved = content(annotation(1, 7, [1, 3, 10.5, 4]))
    one, other = (
        opened(write(tmp_path / name / "coco", of)) for name, of in (("a", TWO), ("b", moved))
    )
    assert one.splits["test"].content == other.splits["test"].content
    assert one.fingerprint() != other.fingerprint()


def test_the_class_of_a_category_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """The id 3 is the second category of one file and the first of the other."""
    pairs = ([(1, "cow"), (3, "cat")], [(3, "cat"), (4, "cow")])
    box = annotation(1, 3, [1, 2, 3, 4])
    one, other = (
        opened(
            write(
                tmp_path / str(n) / "coco",
                content(box, categories=[{"id": i, "name": name} for i, name in names]),
            )
        ).splits["test"]
        for n, names in enumerate(pairs)
    )
    labels = [boxes.read(0).labels.tolist() for boxes in (one.boxes, other.boxes) if boxes]
    assert labels == [[1], [0]]
    assert one.fingerprint != other.fingerprint


def test_one_file_has_its_test_split_sampled(tmp_path: Path) -> None:
    root = write(tmp_path / "coco")
    source = CocoSource(
        reader="coco",
        path=str(root),
        annotations={"train": "annotations/instances_val2017.json"},
        images={"train": "val2017"},
    )
    data = open_dataset(DatasetSpec(name="own", source=source), tmp_path / "cache")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 1, "test": 1}
    assert data.split_origin["kind"] == "automatic" and data.kind == "object-detection"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "cannot be read as COCO JSON .it is no object"),
        ({"images": []}, "cannot be read as COCO JSON .it has no list 'annotations'"),
        (content(categories=[]), "needs at least one category"),
        (content(categories=[CATEGORIES[0]] * 2), "a name of its own"),
        (content(images=[{**TWO["images"][0], "width": "9"}]), "an entry has no 'width'"),
        (content(categories=[{"id": 1}]), "an entry has no 'name'"),
        (content(annotation(9, 7, [0, 0, 1, 1])), "image_id 9 and category_id 7"),
        (content(annotation(1, 1, [0, 0, 1, 1])), "image_id 1 and category_id 1"),
        (content(annotation(1, 7, [0, 0, 1])), r"annotation 0 needs 'bbox' .* got \[0, 0, 1\]"),
        (content(annotation(1, 7, [0, 0, -1, 1])), "annotation 0 needs 'bbox'"),
        (content(annotation(1, 7, [0, 0, 10**400, 1])), "annotation 0 needs 'bbox'"),
        (content(annotation(1, 7, [0, 0, 1, 1], area="x")), r"an 'area' .* got \[0, .* and 'x'"),
        (content(images=[{**TWO["images"][0], "file_name": "/a.jpg"}]), "file_name must count"),
        (content(images=TWO["images"][:1] * 2), "two images have the id 2"),
        (
            content(images=[TWO["images"][0], {**TWO["images"][0], "id": 1}]),
            "two images have the file_name '000000000002.jpg'",
        ),
        (content(annotation(1, 7, BOX, area=-1)), r"an 'area' that is at least 0 .* and -1"),
        (content(annotation(1, 7, BOX, iscrowd="0")), "annotation 0 needs an 'iscrowd' .* '0'"),
        (content(annotation(1, 7, [30, 0, 5, 5])), r"annotation 0 is outside of its image of 30 x"),
        (content(annotation(1, 7, [0, -5, 5, 5])), r"outside of its image of 30 x 20 px; got the"),
    ],
)
def test_inconsistent_files_are_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(write(tmp_path / "coco", values))


def test_odd_boxes_are_kept_and_counted(tmp_path: Path) -> None:
    """Published files have some of each kind; what is meant otherwise shows in their number."""
    values = content(
        annotation(1, 7, [20, 10, 30, 20]),  # left, top, right and bottom, in an image of 30 x 20
        annotation(1, 7, [29, 0, 2, 1]),  # reaches beyond by one pixel
        annotation(1, 3, [30, 20, 0, 0]),  # an empty box at the corner
        annotation(2, 3, BOX),
        annotation(2, 3, BOX),
    )
    root = write(tmp_path / "coco", values)
    file = "annotations/instances_val2017.json"
    source = CocoSource(
        reader="coco", path=str(root), annotations={"test": file}, images={"test": "val2017"}
    )
    data = open_dataset(DatasetSpec(name="own", source=source), tmp_path / "cache")
    boxes = data.splits["test"].boxes
    assert boxes is not None
    assert boxes.read(0).xyxy.tolist() == [[20, 10, 50, 30], [29, 0, 31, 1], [30, 20, 30, 20]]
    assert len(boxes.read(1).labels) == 2
    assert [*data.notes] == [
        "1 of 5 annotations reach beyond their image by more than a pixel: 'bbox' is left, top, "
        "width and height",
        "1 of 5 annotations are less than a pixel wide or high, and hardly found: 'bbox' is in "
        "pixels",
        "1 of 5 annotations repeat the image, category and box of another: one of both is not "
        "found",
    ]


def test_files_must_exist_and_agree(tmp_path: Path) -> None:
    root = write(tmp_path / "coco")
    (root / "val2017" / "000000000002.jpg").unlink()
    with pytest.raises(DatasetError, match=r"annotations name files that do not exist: '.*02.j"):
        opened(root)
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(content(categories=[{"id": 7, "name": "cow"}])))
    with pytest.raises(DatasetError, match="files differ in their categories"):
        opened(root)
    file.unlink()
    with pytest.raises(DatasetError, match=r"instances_val2017.json': cannot be read as COCO JSON"):
        opened(root)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "coco")
    Image.new("RGB", (20, 30)).save(root / "val2017" / "000000000001.jpg")
    boxes = opened(root).splits["test"].boxes
    assert boxes is not None
    with pytest.raises(UnreadableImageError, match="is 30 x 20 px, its image 20 x 30 px"):
        boxes.read(0)
