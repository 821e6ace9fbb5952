"""Folders of images with masks: own data, declared layouts, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bob.cli import main
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError, UnreadableImageError
from bob.specs import DataOptions, DatasetSpec, MasksSource
from tests.builders.images import save_pixels
from tests.builders.shipped_datasets import open_shipped

MASK = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)


def add(root: Path, name: str, mask: NDArray[np.uint8] = MASK, seed: int = 0) -> None:
    """Write an image and its mask."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), np.uint8)
    save_pixels(root / "images" / f"{name}.jpg", pixels)
    save_pixels(root / "masks" / f"{name}.png", mask)


def rooms(root: Path, *names: str) -> Path:
    """Write a folder of images with masks of two classes."""
    root.mkdir()
    for i, name in enumerate(names):
        add(root, name, seed=i)
    (root / "classes.txt").write_text("floor\nwall\n")
    return root


def opened(root: Path) -> Dataset:
    return open_dataset(spec_from_data_flag(str(root)), root.parent / "cache")


def masks_of(data: Dataset, split: str) -> list[Any]:
    masks = data.splits[split].masks  # type: ignore[index]
    assert masks is not None
    return [masks.read(i).tolist() for i in range(len(masks))]


CLASSES = [[0, 1, -1], [1, 1, 0]]


def test_folders_of_splits_are_read_as_given(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "train/2", "train/10", "val/a", "test/b")
    data = opened(root)
    assert data.name == "rooms" and data.kind == "segmentation"
    assert data.classes == ("floor", "wall") and data.split_origin == {"kind": "official"}
    assert [*data.splits["train"].ids] == ["images/train/2.jpg", "images/train/10.jpg"]
    assert masks_of(data, "val") == masks_of(data, "test") == [CLASSES]


def test_a_test_split_is_sampled_without_folders_of_splits(tmp_path: Path) -> None:
    data = opened(rooms(tmp_path / "rooms", *"abcdefghij"))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "test": 2}
    assert data.split_origin == {"kind": "automatic", "share": 0.2, "seed": 0}


@pytest.mark.parametrize(
    ("seeds", "reason"), [([0], "there is a single one"), ([0, 0], "all are byte-identical")]
)
def test_images_that_cannot_be_split_are_refused(
    tmp_path: Path, seeds: list[int], reason: str
) -> None:
    root = rooms(tmp_path / "rooms")
    for i, seed in enumerate(seeds):
        add(root, f"{i}", seed=seed)
    with pytest.raises(DatasetError, match=f"images cannot be split: {reason}. Add images"):
        opened(root)


def test_the_test_split_can_be_chosen(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "training/a", "validation/b")
    spec = spec_from_data_flag(str(root), DataOptions(test_split="validation"))
    data = open_dataset(spec, tmp_path / "cache")
    assert data.split_origin == {
        "kind": "official",
        "test_split": "validation",
        "options": {"test_split": "validation"},
    }
    assert {name: [*split.ids] for name, split in data.splits.items()} == {
        "train": ["images/training/a.jpg"],
        "test": ["images/validation/b.jpg"],
    }
    wrong = spec_from_data_flag(str(root), DataOptions(test_split="dev"))
    with pytest.raises(DatasetError, match="no folder 'dev' in 'images' to test on"):
        open_dataset(wrong, tmp_path / "cache")


def test_options_about_labels_of_images_are_refused(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "a", "b")
    with pytest.raises(ConfigError, match="holds images with masks, to which --label does not"):
        spec_from_data_flag(str(root), DataOptions(label="room"))


def test_the_layout_of_ade20k(tmp_path: Path) -> None:
    """images/training/*.jpg, annotations/training/*.png; 0 is no class, classes start at 1."""
    root = tmp_path / "ADEChallengeData2016"
    mask = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
    for split, name in (("training", "ADE_train_1"), ("validation", "ADE_val_1")):
        save_pixels(root / "images" / split / f"{name}.jpg", np.zeros((2, 3, 3), np.uint8))
        save_pixels(root / "annotations" / split / f"{name}.png", mask)
    data = open_shipped("ade20k", root)
    assert data.classes[:3] == ("wall", "building", "sky")
    assert masks_of(data, "test") == [[[-1, 0, 1], [2, 0, -1]]]


@pytest.mark.parametrize(
    ("entry", "folder", "train"),
    [
        ("voc2012_segmentation", "SegmentationClass", "train"),
        ("voc2012_segmentation_aug", "SegmentationClassAug", "trainaug"),
    ],
)
def test_the_layout_of_pascal_voc(tmp_path: Path, entry: str, folder: str, train: str) -> None:
    """Lists name the images of a split; others have no mask; masks are palette images."""
    root = tmp_path / "VOC2012"
    for name in ("a", "b", "unused"):
        save_pixels(root / "JPEGImages" / f"{name}.jpg", np.zeros((2, 3, 3), np.uint8))
    for name in ("a", "b"):
        image = Image.fromarray(MASK)
        image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
        (root / folder).mkdir(exist_ok=True)
        image.save(root / folder / f"{name}.png")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / f"{train}.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    data = open_shipped(entry, root)
    assert [*data.splits["test"].ids] == ["JPEGImages/b.jpg"]
    assert masks_of(data, "train") == [CLASSES]
    assert "train" in data.classes  # the vehicle
    assert not any("name of a split" in note for note in data.notes)


def test_the_layout_of_cityscapes(tmp_path: Path) -> None:
    root = tmp_path / "cityscapes"
    for split in ("train", "val"):
        save_pixels(
            root / "leftImg8bit" / split / "bonn" / "bonn_1_leftImg8bit.png",
            np.zeros((2, 3, 3), np.uint8),
        )
        save_pixels(root / "gtFine" / split / "bonn" / "bonn_1_gtFine_labelTrainIds.png", MASK)
        save_pixels(root / "gtFine" / split / "bonn" / "bonn_1_gtFine_instanceIds.png", MASK)
    data = open_shipped("cityscapes", root)
    assert masks_of(data, "train") == masks_of(data, "test") == [CLASSES]
    assert data.unread == {".png": 2}


def test_what_is_missing_of_an_archive_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    """Cityscapes without the masks that a script of its authors writes; and an empty folder."""
    root = tmp_path / "cityscapes"
    image = root / "leftImg8bit" / "train" / "bonn" / "bonn_1_leftImg8bit.png"
    save_pixels(image, np.zeros((2, 3, 3), np.uint8))
    save_pixels(root / "gtFine" / "train" / "bonn" / "bonn_1_gtFine_labelIds.png", MASK)
    layout = (
        r"Expected leftImg8bit/train/NAME_leftImg8bit\.jpg or \.png, and gtFine/train/NAME_gtFine"
    )
    for message in ("no mask in 'train' for 'bonn/bonn_1'", layout, "createTrainIdLabelImgs"):
        with pytest.raises(DatasetError, match=message):
            open_shipped("cityscapes", root)
    (tmp_path / "ade").mkdir()
    for message in (
        "has no folder 'images'",
        "annotations/training/NAME.png",
        "Unpack ADEChallenge",
    ):
        with pytest.raises(DatasetError, match=message):
            open_shipped("ade20k", tmp_path / "ade")


def test_copies_of_an_image_with_other_masks_are_told(tmp_path: Path) -> None:
    """Three copies, two of which have one mask; and two images with the masks of these."""
    root = rooms(tmp_path / "rooms", "train/e", "test/f")
    for name, mask in (("train/a", MASK), ("train/b", MASK), ("train/c", 1 - MASK % 2)):
        add(root, name, mask, seed=9)
    notes = opened(root).notes
    assert (
        "3 images are byte-identical to images with another mask, such as 'images/train/a.jpg' "
        "and 'images/train/b.jpg': where pixels differ, no prediction can fit both"
    ) in notes
    add(root, "train/c", MASK, seed=9)
    assert not any("another mask" in note for note in opened(root).notes)


def test_the_layout_of_coco_stuff(tmp_path: Path) -> None:
    """As mmsegmentation's converter leaves it, beside the maps that it read."""
    root = tmp_path / "coco_stuff164k"
    for split in ("train2017", "val2017"):
        save_pixels(root / "images" / split / "1.jpg", np.zeros((2, 3, 3), np.uint8))
        save_pixels(root / "annotations" / split / "1_labelTrainIds.png", MASK)
        save_pixels(root / "annotations" / split / "1.png", MASK)
    data = open_shipped("coco_stuff", root)
    assert masks_of(data, "train") == masks_of(data, "test") == [CLASSES]
    assert data.classes[80] == "banner" and len(data.classes) == 171


def test_a_missing_mask_or_image_is_named(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "a", "b")
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"no mask in 'images' for 'b'. Expected images/NAME"):
        opened(root)
    add(root, "b")
    (root / "images" / "a.jpg").unlink()
    with pytest.raises(DatasetError, match="no image in 'images' for 'a'"):
        opened(root)


def test_two_images_of_one_mask_are_refused(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "a", "b")
    Image.new("RGB", (3, 2)).save(root / "images" / "a.png")
    with pytest.raises(DatasetError, match=r"'a\.jpg' and 'a\.png' have the same name but for"):
        opened(root)


def test_lists_and_classes_may_begin_with_a_mark_of_utf_8(tmp_path: Path) -> None:
    """As editors on Windows write it."""
    root = rooms(tmp_path / "rooms", "a", "b")
    (root / "classes.txt").write_text("floor\nwall\n", encoding="utf-8-sig")
    assert opened(root).classes == ("floor", "wall")
    for name in "ab":
        (root / f"{name}.txt").write_text(f"{name}\n", encoding="utf-8-sig")
    lists = {"train": "a.txt", "test": "b.txt"}
    source = MasksSource.model_validate({"reader": "masks", "path": str(root), "lists": lists})
    data = open_dataset(DatasetSpec(name="own", source=source), tmp_path / "cache")
    assert [*data.splits["test"].ids] == ["images/b.jpg"]


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
def test_masks_are_read_in_every_mode_of_indices(tmp_path: Path, mode: str) -> None:
    root = rooms(tmp_path / "rooms", "train/a", "test/b")
    indices = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)
    image = {
        "P": Image.fromarray(indices),
        "1": Image.fromarray(indices.astype(bool)),
        "I;16": Image.fromarray(indices.astype(np.uint16)),
    }[mode]
    if mode == "P":
        image.putpalette([200, 0, 0, 0, 0, 200] + [0] * 762)
    assert image.mode == mode
    image.save(root / "masks" / "test" / "b.png")
    assert masks_of(opened(root), "test") == [indices.tolist()]


def test_class_names_are_needed_once_each(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "a", "b")
    (root / "classes.txt").write_text("floor\nfloor\n")
    with pytest.raises(DatasetError, match="must name at least two classes, each once"):
        opened(root)
    (root / "classes.txt").unlink()
    with pytest.raises(DatasetError, match=r"classes.txt is missing or cannot be read"):
        opened(root)


def test_a_folder_that_is_no_split_is_refused(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "train/a", "kitchen/b")
    with pytest.raises(DatasetError, match="folder 'kitchen' of 'images' is not a split"):
        opened(root)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"is 4 x 4 px, its image 3 x 2 px. They must have the same"),
        (np.full((2, 3), 7, np.uint8), "holds the index 7; the 2 classes are 0 to 1, and 255"),
        (np.full((2, 3), 65_535, np.uint16), "holds the index 65535; the 2 classes are 0 to 1"),
        (np.zeros((2, 3, 3), np.uint8), "holds colours"),
    ],
)
def test_a_wrong_mask_is_named(tmp_path: Path, mask: NDArray[Any], message: str) -> None:
    root = rooms(tmp_path / "rooms", "a", "b")
    save_pixels(root / "masks" / "a.png", mask)
    data = opened(root)
    masks = [m for split in data.splits.values() for m in [split.masks] if m is not None]
    with pytest.raises(UnreadableImageError, match=f"mask 'masks/a.png' {message}"):
        for of_split in masks:
            for i in range(len(of_split)):
                of_split.read(i)


@pytest.mark.parametrize(
    ("change", "train"),
    [({}, CLASSES), ({"ignored": [0, 255]}, [[-1, 1, -1], [1, 1, -1]]), ({"first_index": 1}, None)],
)
def test_what_indices_mean_is_part_of_the_fingerprint(
    tmp_path: Path, change: dict[str, Any], train: list[Any] | None
) -> None:
    """Statistics are stored by the split's fingerprint; files and names of classes are the same."""
    root = rooms(tmp_path / "rooms", "train/a", "test/b")
    source = {"reader": "masks", "path": str(root), "splits": {"train": "train", "test": "test"}}
    facts = {"name": "rooms", "kind": "segmentation", "class_names": ["floor", "wall"]}
    one, other = (
        open_dataset(
            DatasetSpec.model_validate({**facts, "source": {**source, **changes}}),
            tmp_path / "cache",
        )
        for changes in ({}, change)
    )
    same = one.splits["train"].fingerprint == other.splits["train"].fingerprint
    assert same == (not change)
    if train is not None:
        assert masks_of(other, "train") == [train]


def test_turned_images_are_refused(tmp_path: Path) -> None:
    root = rooms(tmp_path / "rooms", "train/a", "test/b")
    exif = Image.Exif()
    exif[274] = 3
    Image.new("RGB", (3, 2)).save(root / "images" / "train" / "a.jpg", exif=exif)
    masks = opened(root).splits["train"].masks
    assert masks is not None
    with pytest.raises(
        UnreadableImageError, match=r"a.jpg' is turned by EXIF, and its mask is not"
    ):
        masks.read(0)


def test_turned_masks_are_refused(tmp_path: Path) -> None:
    """Upside down, a mask has the size of its image."""
    root = rooms(tmp_path / "rooms", "train/a", "test/b")
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(MASK).save(root / "masks" / "train" / "a.png", exif=exif)
    masks = opened(root).splits["train"].masks
    assert masks is not None
    with pytest.raises(UnreadableImageError, match=r"mask 'masks/train/a.png' is turned by EXIF"):
        masks.read(0)


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    """macOS leaves `._a.jpg` beside `a.jpg`; Jupyter a folder of its own."""
    root = rooms(tmp_path / "rooms", "train/a", "test/b")
    for hidden in (
        "images/train/._a.jpg",
        "masks/train/._a.png",
        "images/.ipynb_checkpoints/a.jpg",
    ):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_bytes(b"Mac OS X")
    data = opened(root)
    assert {name: [*split.ids] for name, split in data.splits.items()} == {
        "train": ["images/train/a.jpg"],
        "test": ["images/test/b.jpg"],
    }


def test_linked_folders_are_read(tmp_path: Path) -> None:
    """In a folder of a split, links lead to folders of images and masks elsewhere."""
    elsewhere = rooms(tmp_path / "elsewhere", "a", "b")
    root = rooms(tmp_path / "rooms", "train/c", "test/d")
    for folder in ("images", "masks"):
        (root / folder / "train" / "more").symlink_to(elsewhere / folder, target_is_directory=True)
    assert [*opened(root).splits["train"].ids] == [
        "images/train/c.jpg",
        "images/train/more/a.jpg",
        "images/train/more/b.jpg",
    ]


def test_files_beside_the_folders_of_splits_are_counted(tmp_path: Path) -> None:
    """Two images and their masks are in no split, and three masks are of no folder of images."""
    root = rooms(tmp_path / "rooms", "train/a", "test/b", "c", "d")
    for name in "xyz":
        save_pixels(root / "masks" / "val" / f"{name}.png", MASK)
    assert (
        "skipped files: images outside the folders of splits (2), "
        "masks outside the folders of splits (5)" in opened(root).notes
    )


def test_splits_are_folders_or_lists(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at most one of splits, lists; got both"):
        MasksSource(reader="masks", path="x", splits={"train": "a"}, lists={"train": "b"})


def test_own_images_with_masks_are_scored_by_the_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Floors are dark and walls bright, so that mean colours suffice; 2 of 10 images are broken.

    Of the 8 train images 2 are held out; all are counted once.
    """
    root, rng = tmp_path / "rooms", np.random.default_rng(0)
    for i in range(10):
        mask = np.kron(rng.integers(0, 2, (4, 4)), np.ones((16, 16))).astype(np.uint8)
        pixels = np.where(mask, 220, 30)[:, :, None] + rng.integers(0, 20, (64, 64, 3))
        save_pixels(root / "images" / f"{i}.png", pixels.astype(np.uint8))
        save_pixels(root / "masks" / f"{i}.png", mask)
    (root / "classes.txt").write_text("floor\nwall\n")
    words = ["run", "--data", str(root), "--backbones", "raw_pixels", "--tasks", "segment,knn"]
    places = ["--cache-dir", str(tmp_path / "cache"), "--results", str(tmp_path / "results")]
    assert main([*words, *places, "--runtime", "eager"]) == 0
    shown = capfd.readouterr()
    assert "task 'knn': takes datasets of kind" in shown.out + shown.err
    table = (tmp_path / "results" / "leaderboard.csv").read_text().splitlines()
    header, row = (line.split(",") for line in table[:2])
    values = dict(zip(header, row, strict=False))
    assert values["metric"] == "mean_iou" and float(values["value"]) > 0.95
    for split in opened(root).splits.values():
        (root / split.ids[0]).write_bytes(b"")
    again = [*words[:-1], "segment", *places[:2], "--results", str(tmp_path / "skipped")]
    assert main([*again, "--runtime", "eager", "--skip-bad-images"]) == 0
    (path,) = (tmp_path / "skipped" / "records").glob("segment/*/*.json")
    record = json.loads(path.read_text())
    assert sum(record["dataset"]["counts"].values()) == record["cost"]["images"] == 8
    assert sorted(map(len, record["dataset"]["bad_images"].values())) in ([1, 1], [2])
