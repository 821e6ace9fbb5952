"""Layouts of folders as people download and keep them: splits are splits, classes are classes.

Whatever the layout, each file is read, counted in the notes, or named in an error.
"""

import os
import random
import re
from pathlib import Path

import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.errors import DatasetError
from bob.specs import DatasetSpec, FolderSource
from tests.builders.images import POINTER, make_class_folders, png


def opened(root: Path, test_split: str | None = None) -> Dataset:
    source = FolderSource(reader="folder", path=str(root))
    spec = DatasetSpec(name="photos", source=source, test_split=test_split)
    return open_dataset(spec, root.parent / "cache")


def counts(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def nested(prefix: str, *names: str, images: int = 4) -> dict[str, int]:
    """Return folders `prefix/name` with so many images each."""
    return {f"{prefix}__{name}": images for name in names}


SPLITS: dict[str, tuple[dict[str, int], dict[str, int], str]] = {
    "cats and dogs": (
        {**nested("training_set", "cats", "dogs"), **nested("test_set", "cats", "dogs")},
        {"train": 8, "test": 8},
        "",
    ),
    "wrapped splits": (
        {
            **nested("training_set__training_set", "cats", "dogs"),
            **nested("test_set__test_set", "cats", "dogs"),
        },
        {"train": 8, "test": 8},
        "the class folders are in 'training_set/training_set'",
    ),
    "scenes": (
        {
            **nested("seg_train__seg_train", "cats", "dogs"),
            **nested("seg_test__seg_test", "cats", "dogs", images=2),
            "seg_pred__seg_pred": 5,
        },
        {"train": 8, "test": 4},
        "images of 'seg_pred', which have no labels (5)",
    ),
    "images in splits": (
        {**nested("train__images", "cats", "dogs"), **nested("test__images", "cats", "dogs")},
        {"train": 8, "test": 8},
        "the class folders are in 'test/images'",
    ),
    "years": (
        {**nested("train2017", "cats", "dogs", images=5), **nested("test2017", "cats", "dogs")},
        {"train": 10, "test": 8},
        "",
    ),
    "unlabelled images": (
        {
            **nested("train", "cats", "dogs"),
            **nested("test", "cats", "dogs", images=1),
            "unlabeled": 7,
        },
        {"train": 8, "test": 2},
        "images of 'unlabeled', which have no labels (7)",
    ),
    "a competition's test images": (
        {**nested("train", "cats", "dogs", images=5), "test": 3},
        {"train": 8, "test": 2},
        "images of 'test', outside class folders and so without labels (3)",
    ),
    "further images": (
        {**nested("Training", "cats", "dogs"), **nested("Test", "cats", "dogs"), "papers": 2},
        {"train": 8, "test": 8},
        "images of 'papers', beside the splits (2)",
    ),
}


@pytest.mark.parametrize("layout", SPLITS)
def test_folders_of_splits_are_splits(layout: str, root: Path) -> None:
    folders, sizes, note = SPLITS[layout]
    dataset = opened(make_class_folders(root, **folders))
    assert dataset.classes == ("cats", "dogs") and counts(dataset) == sizes
    assert note in " ".join(dataset.notes)


CLASSES: dict[str, tuple[dict[str, int], tuple[str, ...], str]] = {
    "a vehicle": (
        {"bus": 3, "train": 3},
        ("bus", "train"),
        "3 images have the label 'train', which is the name of a split",
    ),
    "documents": (
        {"valid": 3, "invalid": 3},
        ("invalid", "valid"),
        "3 images have the label 'valid', which is the name of a split",
    ),
    "words that hold a split": (
        {"train_station": 3, "test_tube": 3, "evaluation_board": 3},
        ("evaluation_board", "test_tube", "train_station"),
        "",
    ),
    "one folder per class": (
        {"cat__images": 3, "dog__images": 3},
        ("cat", "dog"),
        "images in folders inside class folders count as those of the class: 'cat/images', "
        "'dog/images'",
    ),
    "kinds of a class": (
        {"fruit__apple": 3, "fruit__pear": 2, "vegetable__leek": 2, "vegetable__other": 1},
        ("fruit", "vegetable"),
        "'fruit/apple', 'fruit/pear', 'vegetable/leek' and 1 more",
    ),
}


@pytest.mark.parametrize("layout", CLASSES)
def test_folders_of_classes_are_classes(layout: str, root: Path) -> None:
    folders, classes, note = CLASSES[layout]
    dataset = opened(make_class_folders(root, **folders))
    assert dataset.classes == classes and note in " ".join(dataset.notes)
    assert bool(note) == bool(dataset.notes)


REFUSED: dict[str, tuple[dict[str, int], str]] = {
    "eval": (
        {**nested("train", "a", "b"), **nested("eval", "a", "b")},
        "'eval' may hold val or test images. Rename it to 'val' or 'test', or test on it with "
        "`--test-split eval`",
    ),
    "hold-out": (
        {**nested("train", "a", "b"), **nested("hold-out", "a", "b")},
        "'hold-out' may hold val or test images",
    ),
    "extra": (
        {**nested("train", "a", "b"), **nested("extra", "a", "b")},
        "contains the split train and also 'extra'. Move the folders that are not splits elsewhere",
    ),
    "flat splits": ({"train": 4, "eval": 4}, "'train' holds 4 images and no class folders"),
    "test beside classes": (
        {"cat": 3, "dog": 3, "test": 3},
        "contains the split test and also 'cat', 'dog'. If 'test' is a class, list the images in "
        "a table",
    ),
    "unlabelled beside classes": (
        {"cat": 3, "dog": 3, "unlabeled_images": 3},
        "contains the split unlabeled_images and also 'cat', 'dog'",
    ),
    "a split of one class": ({"cat": 3, "dog": 3, "dog_test": 3}, "the names of 'dog_test' hold"),
    "class and split in one name": (
        {"cats_train": 3, "cats_test": 3, "dogs_train": 3, "dogs_test": 3},
        "the names of 'cats_test', 'cats_train', 'dogs_test', 'dogs_train' hold a class and a",
    ),
    "splits below classes": (
        {**nested("cat", "train", "test"), **nested("dog", "train", "test")},
        "the folders 'cat', 'dog' hold the folders 'test', 'train', which name splits",
    ),
    "colours above classes": (
        {**nested("colour", "cat", "dog"), **nested("grey", "cat", "dog")},
        "the folders 'colour', 'grey' hold no images directly, but folders with names that occur",
    ),
    "colours above classes in a split": (
        {
            f"{split}__{name}": 2
            for split in ("train", "test")
            for name in ("red__cat", "red__dog", "blue__cat", "blue__dog")
        },
        "the folders 'blue', 'red' hold no images directly",
    ),
    "images and masks": (
        {**nested("covid", "images", "masks"), **nested("normal", "images", "masks")},
        "the folders 'covid', 'normal' hold no images directly",
    ),
    "a copy beside the classes": (
        {"cat": 3, "dog": 3, **nested("more", "cat", "dog")},
        "the folder 'more' holds no images directly",
    ),
    "a wrapper in a wrapper": (
        nested("archive__data", "cat", "dog"),
        "contains only the folder 'archive/data', which holds the folders cat, dog and no images. "
        "Give '.*/archive/data' instead",
    ),
    "a wrapper of splits": (
        {**nested("archive__train", "cat", "dog"), **nested("archive__test", "cat", "dog")},
        "contains only the folder 'archive', which holds the folders test, train and no images",
    ),
    "a copy beside the splits": (
        {
            **nested("train", "cat", "dog"),
            **nested("test", "cat", "dog"),
            **nested("photos__train", "cat", "dog"),
        },
        "contains the splits test, train and also 'photos'",
    ),
    "two folders of one split": (
        {**nested("train1", "a", "b"), **nested("train2", "a", "b"), **nested("test", "a", "b")},
        "'train1' and 'train2' are names of the same split",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_folders_that_could_be_either_are_refused(layout: str, root: Path) -> None:
    folders, message = REFUSED[layout]
    with pytest.raises(DatasetError, match=message):
        opened(make_class_folders(root, **folders))


def test_declared_layout_is_not_questioned(root: Path) -> None:
    """The remedy of the message about colours: an entry that says what the levels are."""
    make_class_folders(root, **nested("red", "cat", "dog"), **nested("blue", "cat", "dog"))
    levels = FolderSource(reader="folder", path=str(root), levels=("colour",))
    classes = FolderSource(reader="folder", path=str(root), splits={"train": "."})
    found = open_dataset(DatasetSpec(name="x", source=levels), root.parent / "cache")
    assert found.classes == ("cat", "dog")
    assert set(found.splits["train"].attributes["colour"]) == {"red", "blue"}
    found = open_dataset(DatasetSpec(name="x", source=classes), root.parent / "cache")
    assert found.classes == ("blue", "red")


def test_folders_that_an_entry_does_not_name_are_noted(root: Path) -> None:
    make_class_folders(root, **nested("a", "cat", "dog"), **nested("b", "cat", "dog"))
    source = FolderSource(reader="folder", path=str(root), splits={"train": "a"})
    found = open_dataset(DatasetSpec(name="x", source=source), root.parent / "cache")
    assert "skipped files: folder 'b' (1)" in found.notes


def test_val_without_test_is_noted(root: Path) -> None:
    """A fifth of ten images per class is two: the test split is drawn from train."""
    dataset = opened(
        make_class_folders(
            root, **nested("train", "a", "b", images=10), **nested("val", "a", "b", images=3)
        )
    )
    assert counts(dataset) == {"train": 16, "val": 6, "test": 4}
    (note,) = dataset.notes
    assert "20% of train are drawn as test, and val chooses settings" in note
    assert "`--test-split val`" in note


@pytest.mark.parametrize("chosen", ["val", "validation", "Valid_Images"])
def test_val_can_be_the_test_split(chosen: str, root: Path) -> None:
    make_class_folders(root, **nested("train", "a", "b"), **nested("valid_images", "a", "b"))
    dataset = opened(root, chosen)
    assert counts(dataset) == {"train": 8, "test": 8} and dataset.notes == ()
    assert dataset.split_origin == {"kind": "official", "test_split": chosen}
    assert all(name.startswith("valid_images/") for name in dataset.splits["test"].ids)


def test_a_set_of_unclear_use_can_be_the_test_split(root: Path) -> None:
    make_class_folders(root, **nested("train", "a", "b"), **nested("hold-out", "a", "b"))
    assert counts(opened(root, "hold-out")) == {"train": 8, "test": 8}


def test_unused_test_split_is_noted(root: Path) -> None:
    make_class_folders(
        root, **nested("train", "a", "b"), **nested("val", "a", "b"), **nested("test", "a", "b")
    )
    dataset = opened(root, "val")
    assert counts(dataset) == {"train": 8, "test": 8}
    assert dataset.notes == ("skipped files: images of 'test', as another split is tested on (8)",)


def test_test_split_that_is_not_there_is_refused(root: Path) -> None:
    make_class_folders(root, **nested("train", "a", "b"), **nested("test", "a", "b"))
    with pytest.raises(DatasetError, match=r"no split 'val' to test on; the folder holds test, tr"):
        opened(root, "val")
    make_class_folders(root.parent / "plain", cat=3, dog=3)
    with pytest.raises(DatasetError, match="holds class folders and no splits"):
        opened(root.parent / "plain", "val")


def test_pointers_of_git_lfs_are_refused(root: Path) -> None:
    make_class_folders(root, cat=3, dog=3)
    for name in ("cat/0.png", "dog/2.png"):
        (root / name).write_bytes(POINTER)
    message = r"2 of 6 images are no images: '.*cat/0\.png' is a pointer of Git LFS.*git lfs pull"
    for _ in range(2):  # no digest of a pointer is remembered
        with pytest.raises(DatasetError, match=message):
            opened(root)
    for name in ("cat/0.png", "dog/2.png"):
        (root / name).write_bytes(png(100 + len(name)))
    assert counts(opened(root)) == {"train": 4, "test": 2}


def test_names_that_are_not_utf8_are_escaped(root: Path) -> None:
    """The folder café and the file ä.png as Latin-1 writes them."""
    make_class_folders(root, tea=5)
    folder = os.fsencode(root) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for i in range(5):
        Path(os.fsdecode(folder + b"/%d\xe4.png" % i)).write_bytes(png(50 + i))
    dataset = opened(root)
    assert dataset.classes == ("caf\\xe9", "tea")
    (note,) = dataset.notes
    assert note.startswith("5 names are not UTF-8, such as 'caf\\\\xe9/0\\\\xe4.png'")
    names = [name for split in dataset.splits.values() for name in split.ids]
    assert "caf\\xe9/3\\xe4.png" in names and len(dataset.fingerprint()) == 32
    for split in dataset.splits.values():
        assert all(split.read(i) for i in range(len(split)))
    assert opened(root).fingerprint() == dataset.fingerprint()


def test_folders_that_escaping_makes_equal_are_refused(root: Path) -> None:
    make_class_folders(root, **{"caf\\xe9": 3})
    folder = Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "0.png").write_bytes(png(99))
    with pytest.raises(DatasetError, match=r"two folders would be called 'caf"):
        opened(root)


def test_pipes_and_links_in_a_circle_do_not_stop_the_reader(root: Path) -> None:
    make_class_folders(root, cat=5, dog=5)
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "circle").symlink_to(root / "dog" / "circle")
    (root / "dog" / "up").symlink_to(root)
    dataset = opened(root)
    assert dataset.notes == (
        "skipped files: links to a folder above (1), no extension (1), not a regular file (1)",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data/0.tar", r"contains no images but \.tar \(1\)\. Tars .* `reader: webdataset`"),
        ("0.tar", r"contains no class folders.* `reader: webdataset`"),
        ("cat/all.zip", r"Unpack the archives first"),
        ("x/data.arrow", r"Give the folder that `save_to_disk` wrote"),
        ("x/y.npz", r"need an entry with `reader: medmnist`"),
    ],
)
def test_images_in_another_form_name_what_to_write(name: str, message: str, root: Path) -> None:
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(b"x")
    with pytest.raises(DatasetError, match=message):
        opened(root)


def test_tables_and_other_files_are_named_where_there_are_no_class_folders(root: Path) -> None:
    root.mkdir()
    (root / "photos.zip").write_bytes(b"x")
    (root / "0.png").write_bytes(png(0))
    with pytest.raises(
        DatasetError,
        match=r"It holds: \.zip \(1\), images \(1\)\. Unpack the archives first",
    ):
        opened(root)


FILES = ("x1.png", "x2.jpg", "notes.txt", ".hidden", "table.csv", "README", "model.pt")


def test_every_file_is_read_or_counted(tmp_path: Path) -> None:
    """Good layouts with stray files: images read + files skipped = files there.

    A hidden folder counts as one, whatever is in it.
    """
    generator, accepted = random.Random(0), 0
    layouts = [folders for folders, *_ in (*SPLITS.values(), *CLASSES.values())]
    for n in range(100):
        root = make_class_folders(tmp_path / str(n), **generator.choice(layouts))
        for _ in range(generator.randint(1, 5)):
            below = sorted(path for path in root.rglob("*") if path.is_dir())
            folder = generator.choice([root, *below])
            folder /= generator.choice((".", ".", ".", ".cache", "deeper/still"))
            folder.mkdir(parents=True, exist_ok=True)
            for name in generator.sample(FILES, generator.randint(1, 4)):
                (folder / name).write_bytes(png(generator.randrange(5000)))
        try:
            dataset = opened(root)
        except DatasetError:
            continue
        accepted += 1
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        hidden = {name.split(".cache/")[0] for name in names if ".cache/" in name}
        expected = len(hidden) + sum(".cache/" not in name for name in names)
        read = sum(len(split) for split in dataset.splits.values())
        assert read + sum(dataset.unread.values()) == expected
        if dataset.unread:
            told = re.findall(r"\((\d+)\)", dataset.notes[0])
            assert sum(map(int, told)) == sum(dataset.unread.values())
    assert accepted > 50
