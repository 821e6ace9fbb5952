"""Boxes in Pascal VOC's XML files: the layout of 2007, difficult objects, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.readers.voc_boxes import list_voc_boxes, parse_voc
from bob.errors import DatasetError
from bob.registry import load_registry
from bob.specs import VocBoxesSource

OBJECT = """<object><name>{0}</name><pose>Rear</pose><truncated>0</truncated>
<difficult>{1}</difficult>
<bndbox><xmin>{2}</xmin><ymin>{3}</ymin><xmax>{4}</xmax><ymax>{5}</ymax></bndbox></object>"""
SIZE = "<size><width>30</width><height>20</height><depth>3</depth></size>"
INDEX = {"chair": 0, "dog": 1}


def xml(*objects: str) -> str:
    return f"<annotation><folder>VOC2007</folder>{SIZE}{''.join(objects)}</annotation>"


CHAIR, DOG = OBJECT.format("chair", 0, 1, 1, 1, 1), OBJECT.format("dog", 1, 3, 5, 30, 20)


def write(root: Path, values: str) -> Path:
    """Write a train and a test image in the layout of VOC2007."""
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    for name, split in (("000005", "trainval"), ("000001", "test")):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{name}\n")
        Image.new("RGB", (30, 20)).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(values)
    return root


def opened(root: Path, entry: str = "voc2007_detection") -> Dataset:
    """Open an entry at another place, without its counts."""
    spec = load_registry().datasets[entry]
    source = spec.source.model_copy(update={"path": str(root)})
    changes: dict[str, Any] = {"source": source, "counts": {}}
    return open_dataset(spec.model_copy(update=changes), root.parent / "cache")


def test_the_layout_of_voc(tmp_path: Path) -> None:
    """Pixels count from 1, and the last one belongs to the object."""
    data = opened(write(tmp_path / "VOC2007", xml(CHAIR, DOG)))
    assert data.kind == "object-detection" and len(data.classes) == 20
    assert [*data.splits["train"].ids] == ["JPEGImages/000005.jpg"]
    boxes = data.splits["test"].boxes
    assert boxes is not None
    of = boxes.read(0)
    assert of.size == (20, 30)
    assert [data.classes[c] for c in of.labels] == ["chair", "dog"]
    assert of.xyxy.tolist() == [[0, 0, 1, 1], [2, 4, 30, 20]]
    assert of.areas.tolist() == [1, 28 * 16]
    assert of.ignored.tolist() == [False, True] and not of.crowds.any()


@pytest.mark.parametrize(("order", "label"), [(("chair", "dog"), 0), (("dog", "chair"), 1)])
def test_the_order_of_classes_is_part_of_the_fingerprint(
    tmp_path: Path, order: tuple[str, ...], label: int
) -> None:
    root = write(tmp_path / "VOC2007", xml(CHAIR))
    source = load_registry().datasets["voc2007_detection"].source
    assert isinstance(source, VocBoxesSource)
    listings = [list_voc_boxes(source, root, tmp_path / "cache", names) for names in (order, INDEX)]
    one, other = (listing.boxes for listing in listings)
    assert one is not None and other is not None
    assert one.read(0).labels.tolist() == [label]
    assert (one.content == other.content) == (order == tuple(INDEX))


@pytest.mark.parametrize("entry", ["voc2007_discovery", "voc2012_discovery"])
def test_objects_are_discovered_in_trainval(tmp_path: Path, entry: str) -> None:
    root = write(tmp_path / "VOC", xml(CHAIR, DOG))
    assert [*opened(root, entry).splits] == ["test"]
    assert [*opened(root, entry).splits["test"].ids] == ["JPEGImages/000005.jpg"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    root = write(tmp_path / "VOC2007", xml(CHAIR))
    (root / "Annotations" / "000001.xml").unlink()
    with pytest.raises(DatasetError, match=r"name files that do not exist: '.*000001.xml'"):
        opened(root)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("<annotation>", "'a.xml': cannot be read as VOC's annotations"),
        ("<annotation></annotation>", "<annotation> has no size/height"),
        (xml(OBJECT.format("cow", 0, 1, 1, 2, 2)), "names the class 'cow'; there are: chair, dog"),
        (xml(OBJECT.format("dog", 0, 1, "x", 2, 2)), "could not convert string to float"),
        (xml(OBJECT.format("dog", 0, 5, 1, 2, 2)), "a bndbox has no extent"),
        (xml(OBJECT.format("dog", 0, 1, 1, "inf", 2)), "a bndbox has no extent"),
        (xml(OBJECT.format("dog", 0, 32, 1, 40, 2)), "outside of the image of 30 x 20 px"),
        (xml("<object><name>dog</name></object>"), "<object> has no bndbox/xmin"),
    ],
)
def test_other_files_are_refused(values: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        parse_voc(values.encode(), INDEX, "a.xml")


def test_an_image_without_objects_has_no_boxes() -> None:
    assert parse_voc(xml().encode(), INDEX, "a.xml").xyxy.shape == (0, 4)
