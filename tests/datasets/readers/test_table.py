"""Your own images in CSV tables, and every way in which a table can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import DatasetError
from bob.specs import DataOptions, DatasetSpec, TableSource
from tests.builders.images import POINTER, forbid_reading, make_class_folders


def table(root: Path, text: str) -> DatasetSpec:
    """Write a table beside ten cats and ten dogs, and return its entry."""
    make_class_folders(root, cat=10, dog=10)
    (root / "list.csv").write_text(text, encoding="utf-8")
    return spec_from_data_flag(str(root / "list.csv"))


ROWS = "".join(f"{name}/{i}.png,{name}\n" for name in ("cat", "dog") for i in range(10))


def test_table_is_read(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = table(root, "\ufeffPath, label\n" + ROWS + "\n")
    dataset = open_dataset(spec, cache)
    assert dataset.name == "list" and dataset.classes == ("cat", "dog")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "test": 4}
    assert dataset.splits["test"].read(0) == (root / dataset.splits["test"].ids[0]).read_bytes()
    forbid_reading(monkeypatch)
    assert open_dataset(spec, cache).fingerprint() == dataset.fingerprint()


def test_table_and_folder_of_the_same_images_split_alike(root: Path, cache: Path) -> None:
    spec = table(root, "path,label\n" + ROWS)
    assert set(open_dataset(spec, cache).splits["test"].ids) == set(
        open_dataset(spec_from_data_flag(str(root)), cache).splits["test"].ids
    )


def test_table_with_splits_groups_and_attributes(root: Path, cache: Path) -> None:
    rows = (
        "cat/0.png,cat,train,a,x\ndog/0.png,dog,Train,b,y\n"
        "cat/1.png,cat,test,a,z\ndog/1.png,dog,validation,c,\n"
    )
    dataset = open_dataset(table(root, "path,label,split,group,remark\n" + rows), cache)
    assert {name: split.ids for name, split in dataset.splits.items()} == {
        "train": ("cat/0.png", "dog/0.png"),
        "val": ("dog/1.png",),
        "test": ("cat/1.png",),
    }
    assert dataset.splits["train"].groups == ("a", "b")
    assert dataset.splits["train"].attributes == {"remark": ("x", "y")}
    assert dataset.notes == (
        "classes without test images: 'dog'",
        "1 group has images in both test and train",
    )


def test_groups_stay_on_one_side(root: Path, cache: Path) -> None:
    rows = "".join(
        f"{name}/{i}.png,{name},patient{i // 2}\n" for name in ("cat", "dog") for i in range(10)
    )
    dataset = open_dataset(table(root, "path,label,group\n" + rows), cache)
    assert not set(dataset.splits["train"].groups or ()) & set(dataset.splits["test"].groups or ())


def test_paths_may_be_absolute(root: Path, cache: Path) -> None:
    rows = "".join(f"{root / line}\n" for line in ROWS.splitlines())
    assert len(open_dataset(table(root, "path,label\n" + rows), cache).splits["train"]) == 16


TABLES = {
    "empty": ("", "column 'path' is missing. Columns: none"),
    "column missing": ("path,lable\n" + ROWS, "column 'label' is missing; did you mean 'lable'"),
    "semicolons": (
        "path;label\n",
        "column 'path' is missing.* Columns: 'path;label'",
    ),
    "column twice": ("path,label,label\n", "column 'label' occurs twice. Remove one of them"),
    "file missing": (
        "path,label\ncat/0.png,cat\ncat/77.png,cat\n",
        "row 3: no such file '.*77.png'. Paths are relative to the table's folder",
    ),
    "unknown split": (
        "path,label,split\ncat/0.png,cat,tset\n",
        "row 2: unknown split 'tset'; did you mean 'test'",
    ),
    "empty split": (
        "path,label,split\ncat/0.png,cat,\n",
        "row 2: unknown split ''. Known splits: train, training, val, valid, validation, dev, "
        "test, testing",
    ),
    "empty label": (
        "path,label\ncat/0.png,cat\ncat/1.png, \n",
        "row 3: the cell in column 'label' is empty. Fill it, or remove the row",
    ),
    "empty path": ("path,label\n,cat\n", "row 2: the cell in column 'path' is empty"),
    "empty group": (
        "path,label,group\ncat/0.png,cat,\n",
        "row 2: the cell in column 'group' is empty",
    ),
    "in two splits": (
        "path,label,split\ncat/0.png,cat,train\ncat/0.png,cat,test\n",
        "'cat/0.png' occurs in both train and test",
    ),
    "twice": (
        "path,label\ncat/0.png,cat\ncat/0.png,dog\n",
        "'cat/0.png' has two rows, with labels 'cat' and 'dog'",
    ),
    "ragged": (
        "path,label\ncat/0.png,cat,1\n",
        "row 2: expected 2 cells, one per column; got 3. Quote cells that contain a comma",
    ),
    "open quote": ('path,label\n"cat/0.png,cat\n', "is not a CSV file in UTF-8"),
    "header only": ("path,label\n", "holds no images"),
    "test only": (
        "path,label,split\ncat/0.png,cat,test\ndog/0.png,dog,test\n",
        "holds test images and no train images",
    ),
}


@pytest.mark.parametrize("what", TABLES)
def test_wrong_tables_are_reported(what: str, root: Path, cache: Path) -> None:
    text, message = TABLES[what]
    with pytest.raises(DatasetError, match=message):
        open_dataset(table(root, text), cache)


def test_table_in_another_encoding_is_reported(root: Path, cache: Path) -> None:
    spec = table(root, "")
    (root / "list.csv").write_bytes("path,label\ncat/0.png,Kätzchen\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8"):
        open_dataset(spec, cache)


def test_missing_table_is_reported(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"table '.*x\.csv' cannot be read \(No such file"):
        open_dataset(
            DatasetSpec(name="x", source=TableSource(reader="table", path=str(tmp_path / "x.csv"))),
            cache,
        )


def test_take_keeps_groups_and_attributes(root: Path, cache: Path) -> None:
    rows = "".join(f"{name}/{i}.png,{name},{i}\n" for name in ("cat", "dog") for i in range(10))
    split = open_dataset(table(root, "path,label,group\n" + rows), cache).splits["train"]
    taken = split.take(np.array([3, 1]))
    assert taken.groups == (split.groups[3], split.groups[1]) and taken.read(1) == split.read(1)  # type: ignore[index]


def splits_of(root: Path, cache: Path, *names: str, test_split: str | None = None) -> Dataset:
    """Open a table of ten images whose splits have these names in turn."""
    make_class_folders(root, x=10)
    rows = [f"x/{i}.png,{i // len(names) % 2},{names[i % len(names)]}" for i in range(10)]
    (root / "list.csv").write_text("\n".join(["path,label,split", *rows]))
    return open_dataset(
        spec_from_data_flag(str(root / "list.csv"), DataOptions(test_split=test_split)), cache
    )


def test_names_of_splits_are_read_as_those_of_folders(root: Path, cache: Path) -> None:
    dataset = splits_of(root, cache, "Training set", "test_set")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 5, "test": 5}


def test_val_can_be_the_test_split(root: Path, cache: Path) -> None:
    dataset = splits_of(root, cache, "train", "valid", test_split="val")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 5, "test": 5}
    dataset = splits_of(root, cache, "train", "val", "test", "train", "val", test_split="val")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}
    assert dataset.notes == ("skipped files: rows of the split 'test' (2)",)
    with pytest.raises(DatasetError, match="no split 'val' to test on; there are: test, train"):
        splits_of(root, cache, "train", "test", test_split="val")


def test_split_of_unclear_use_is_refused_or_chosen(root: Path, cache: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"row 3: the split 'eval' may hold val or test.* `--test-split eval`"
    ):
        splits_of(root, cache, "train", "eval")
    dataset = splits_of(root, cache, "train", "eval", test_split="eval")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 5, "test": 5}


def test_rows_without_labels_are_counted(root: Path, cache: Path) -> None:
    dataset = splits_of(root, cache, "train", "test", "unlabeled", "train", "test")
    assert dataset.notes == ("skipped files: rows of the split 'unlabeled' (2)",)


def test_suspicious_labels_are_noted(root: Path, cache: Path) -> None:
    make_class_folders(root, x=9)
    labels = ["1", "1.0", "nan"]
    rows = "\n".join(f"x/{i}.png,{labels[i % 3]}" for i in range(9))
    dataset = open_dataset(table(root, "path,label\n" + rows), cache)
    assert dataset.notes == (
        "3 images have the label 'nan', which looks like a missing value; remove them if they "
        "have no label",
        "classes that may be one, as they differ in case, spaces, number format or Unicode "
        "form only: '1' and '1.0'",
    )


def test_pointer_of_git_lfs_is_no_table(root: Path, cache: Path) -> None:
    root.mkdir()
    (root / "list.csv").write_bytes(POINTER)
    with pytest.raises(DatasetError, match=r"list\.csv' is a pointer of Git LFS.*git lfs pull"):
        open_dataset(spec_from_data_flag(str(root / "list.csv")), cache)


def test_name_that_is_too_long_is_no_file(root: Path, cache: Path) -> None:
    make_class_folders(root, x=1)
    with pytest.raises(DatasetError, match="row 2: no such file"):
        open_dataset(table(root, f"path,label\n{'y' * 300},a"), cache)
