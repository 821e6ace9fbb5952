"""The readers: folders, tables and Hugging Face copies made on the spot; every way in which they can be wrong."""

import importlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from datasets.exceptions import DatasetNotFoundError
from PIL import Image

from bob.datasets import fingerprints
from bob.datasets.assemble import natural
from bob.datasets.availability import availability
from bob.datasets.dataset import Dataset
from bob.datasets.images import decode
from bob.datasets.open import from_data_flag, limited, open_dataset
from bob.errors import BadImageError, ConfigError, DatasetError, UnavailableError
from bob.specs import DatasetSpec, FolderSource, HuggingFaceSource, TableSource


def png(shade: int) -> bytes:
    """A grey PNG; every shade is another image."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade % 256).resize((4 + shade // 256, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(root: Path, **counts: int) -> Path:
    """Class folders with so many distinct images each; `train__cat=3` is train/cat."""
    for n, (name, count) in enumerate(counts.items()):
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(png(20 * n + i))
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def open_folder(root: Path) -> Dataset:
    return open_dataset(from_data_flag(str(root)), root.parent / "cache")


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, an image that is hashed or read fails the test."""

    def fail(*_: object) -> None:
        raise AssertionError("an image was read")

    for module in ("fingerprints", "folder", "table", "huggingface", "samples"):
        monkeypatch.setattr(importlib.import_module(f"bob.datasets.{module}"), "read_file", fail, raising=False)
    monkeypatch.setattr("bob.datasets.fingerprints.Path.read_bytes", guarded(Path.read_bytes))
    monkeypatch.setattr("bob.datasets.huggingface.content_digest", fail)


def guarded(read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def only_memories(path: Path) -> bytes:
        assert path.suffix == ".json", f"{path} was read"
        return read(path)

    return only_memories


# --- folders ---


def test_class_folders(root: Path) -> None:
    dataset = open_folder(fill(root, cat=10, dog=5))
    assert dataset.name == "photos" and dataset.classes == ("cat", "dog")
    assert np.bincount(dataset.splits["train"].y).tolist() == [8, 4] and np.bincount(dataset.splits["test"].y).tolist() == [2, 1]
    assert dataset.split_origin == {"kind": "automatic", "share": 0.2, "seed": 0} and dataset.notes == ()
    for split in dataset.splits.values():
        for i, name in enumerate(split.ids):
            data = (root / name).read_bytes()
            assert split.read(i) == data and split.content[i] == xxhash.xxh3_128_hexdigest(data)
            assert name.startswith(dataset.classes[split.y[i]])


def test_split_folders(root: Path) -> None:
    dataset = open_folder(fill(root, train__cat=3, train__dog=2, valid__cat=1, valid__dog=1, Test__cat=1, Test__dog=2))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 5, "val": 2, "test": 3}
    assert dataset.split_origin == {"kind": "official"}
    assert dataset.splits["val"].ids == ("valid/cat/0.png", "valid/dog/0.png")


def test_train_folder_alone_is_split(root: Path) -> None:
    dataset = open_folder(fill(root, train__cat=10, train__dog=10, val__cat=1, val__dog=1))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "val": 2, "test": 4}
    assert dataset.split_origin["kind"] == "automatic"


def test_classes_and_files_are_in_natural_order(root: Path) -> None:
    """Text order would be 0, 1, 10, 11, 2, ..., and label 2 would be folder '10'."""
    dataset = open_folder(fill(root, **{str(i): 12 for i in range(12)}))
    assert dataset.classes == tuple(str(i) for i in range(12))
    of_first = [name for name in dataset.splits["train"].ids if name.startswith("0/")]
    assert of_first == sorted(of_first, key=lambda name: int(name[2:-4]))
    assert sorted(["b2", "b10", "a", "b01", "b1", "2", "10"], key=natural) == ["2", "10", "a", "b01", "b1", "b2", "b10"]


def test_a_class_may_be_called_train(root: Path) -> None:
    assert open_folder(fill(root, train=2, bus=2)).classes == ("bus", "train")


def test_what_is_no_image_is_left_out_and_noted(root: Path) -> None:
    fill(root, cat=3, dog=3)
    (root / "cat" / "deeper").mkdir()
    (root / "cat" / "deeper" / "UPPER.JPG").write_bytes(png(200))
    for name in ("README", "cat/.DS_Store", "cat/list.txt", "dog/list.txt"):
        (root / name).touch()
    (root / ".git").mkdir()
    dataset = open_folder(root)
    assert sum(len(split) for split in dataset.splits.values()) == 7
    assert dataset.notes == ("4 files that are no images were left out: .txt (2), hidden (1), outside the class folders, no extension (1)",)


def test_links_are_followed_and_loops_end(root: Path) -> None:
    fill(root, cat=2)
    fill(root.parent / "elsewhere", dog=2)
    (root / "dog").symlink_to(root.parent / "elsewhere" / "dog")
    (root / "cat" / "again").symlink_to(root / "cat")
    assert sorted(name for split in open_folder(root).splits.values() for name in split.ids) == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]


def test_the_split_does_not_depend_on_names(root: Path) -> None:
    fill(root, cat=20, dog=20)
    before = open_folder(root)
    for n, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed{n}.png"))
    after = open_folder(root)
    for side in ("train", "test"):
        assert sorted(after.splits[side].content) == sorted(before.splits[side].content)


def test_duplicates_across_given_splits_are_noted(root: Path) -> None:
    fill(root, train__cat=3, train__dog=3, test__cat=2, test__dog=2)
    (root / "test" / "dog" / "1.png").write_bytes(png(0))
    assert open_folder(root).notes == ("1 image of test is byte-identical to images of train",)
    (root / "test" / "dog" / "0.png").write_bytes(png(1))
    assert open_folder(root).notes == ("2 images of test are byte-identical to images of train",)


def test_classes_without_test_images_are_noted(root: Path) -> None:
    assert open_folder(fill(root, cat=5, dog=1)).notes == ("classes without test images: 'dog'",)


FOLDERS: dict[str, tuple[dict[str, int], str]] = {
    "no class folders": ({}, "no class folders inside. Expected FOLDER/class/image.jpg"),
    "an empty class": ({"cat": 2, "dog": 0}, "class folder '.*dog' holds no images. Remove it, or add some"),
    "one class": ({"cat": 5}, "all images are of one class, 'cat'; at least two are needed"),
    "one image per class": ({"cat": 1, "dog": 1}, "folder '.*photos': every class has a single image"),
    "class missing in train": (
        {"train__cat": 2, "train__dog": 2, "test__cat": 1, "test__owl": 1},
        "test holds images of 'owl', of which train has none",
    ),
    "test without train": ({"test__cat": 2, "test__dog": 2}, "holds test images and no train images. Add a train split, or call the only split"),
    "splits beside others": (
        {"train__cat": 2, "test__cat": 2, "extra__cat": 2},
        "holds the splits test, train and also 'extra'. Move those elsewhere",
    ),
    "two names of one split": ({"train__cat": 2, "val__cat": 2, "valid__cat": 2}, "val and valid are the same split. Keep one"),
    "images straight in a split": ({"train": 2, "test": 2}, "no train images|no images"),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_wrong_folders(what: str, root: Path) -> None:
    counts, message = FOLDERS[what]
    root.mkdir()
    with pytest.raises(DatasetError, match=message):
        open_folder(fill(root, **counts))


def test_no_folder(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (("file", "file' is not a folder"), ("nowhere", "nowhere' does not exist. Expected")):
        with pytest.raises(DatasetError, match=message):
            open_dataset(DatasetSpec(name="x", source=FolderSource(reader="folder", path=str(tmp_path / name))), cache)


def test_an_unreadable_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, cat=2, dog=2)
    scan = os.scandir

    def refuse(folder: Path) -> Any:
        if Path(folder).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr("bob.datasets.folder.os.scandir", refuse)
    with pytest.raises(DatasetError, match=r"folder '.*dog' cannot be read \(Permission denied\)"):
        open_folder(root)


def test_an_unreadable_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, cat=2, dog=2)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadImageError, match=r"image '.*\.png' cannot be read \(Permission denied\)"):
        open_folder(root)


def test_a_link_to_nothing(root: Path) -> None:
    fill(root, cat=2, dog=2)
    (root / "cat" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    with pytest.raises(BadImageError, match=r"image '.*gone.jpg' cannot be read \(No such file"):
        open_folder(root)


def test_an_image_that_vanishes_after_opening(root: Path) -> None:
    split = open_folder(fill(root, cat=2, dog=2)).splits["train"]
    (root / split.ids[0]).unlink()
    with pytest.raises(BadImageError, match="cannot be read"):
        split.read(0)


# --- fingerprints ---


def test_a_second_opening_reads_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_folder(fill(root, cat=5, dog=5))
    forbid_reading(monkeypatch)
    assert open_folder(root).fingerprint() == first.fingerprint()


def test_a_changed_file_is_seen_even_with_its_old_time(root: Path) -> None:
    first = open_folder(fill(root, cat=5, dog=5))
    path = root / "cat" / "0.png"
    stat = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_folder(root).fingerprint() != first.fingerprint()


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"cat/0.png": 3}', '{"cat/0.png": [1, 2, 3, "x"]}'])
def test_a_corrupt_memory_is_recomputed(damage: str, root: Path, cache: Path) -> None:
    first = open_folder(fill(root, cat=5, dog=5))
    (memory,) = (cache / "fingerprints").iterdir()
    memory.write_text(damage)
    assert open_folder(root).fingerprint() == first.fingerprint()


def test_a_cache_that_cannot_be_written_costs_only_the_memory(root: Path, cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    assert len(open_folder(fill(root, cat=5, dog=5)).splits["train"]) == 8


# --- tables ---


def table(root: Path, text: str) -> DatasetSpec:
    """A table beside ten cats and ten dogs."""
    fill(root, cat=10, dog=10)
    (root / "list.csv").write_text(text, encoding="utf-8")
    return from_data_flag(str(root / "list.csv"))


ROWS = "".join(f"{name}/{i}.png,{name}\n" for name in ("cat", "dog") for i in range(10))


def test_a_table(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = table(root, "\ufeffPath, label\n" + ROWS + "\n")
    dataset = open_dataset(spec, cache)
    assert dataset.name == "list" and dataset.classes == ("cat", "dog")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "test": 4}
    assert dataset.splits["test"].read(0) == (root / dataset.splits["test"].ids[0]).read_bytes()
    forbid_reading(monkeypatch)
    assert open_dataset(spec, cache).fingerprint() == dataset.fingerprint()


def test_a_table_and_a_folder_of_the_same_images_split_alike(root: Path, cache: Path) -> None:
    spec = table(root, "path,label\n" + ROWS)
    assert set(open_dataset(spec, cache).splits["test"].ids) == set(open_folder(root).splits["test"].ids)


def test_a_table_with_splits_groups_and_more(root: Path, cache: Path) -> None:
    rows = "cat/0.png,cat,train,a,x\ndog/0.png,dog,Train,b,y\ncat/1.png,cat,test,a,z\ndog/1.png,dog,validation,c,\n"
    dataset = open_dataset(table(root, "path,label,split,group,remark\n" + rows), cache)
    assert {name: split.ids for name, split in dataset.splits.items()} == {
        "train": ("cat/0.png", "dog/0.png"),
        "val": ("dog/1.png",),
        "test": ("cat/1.png",),
    }
    assert dataset.splits["train"].groups == ("a", "b")
    assert dataset.notes == (
        "columns without meaning here were passed over: remark",
        "classes without test images: 'dog'",
        "1 group has images in both test and train",
    )


def test_groups_of_a_table_stay_together(root: Path, cache: Path) -> None:
    rows = "".join(f"{name}/{i}.png,{name},patient{i // 2}\n" for name in ("cat", "dog") for i in range(10))
    dataset = open_dataset(table(root, "path,label,group\n" + rows), cache)
    assert not set(dataset.splits["train"].groups or ()) & set(dataset.splits["test"].groups or ())


def test_paths_may_be_absolute(root: Path, cache: Path) -> None:
    rows = "".join(f"{root / line}\n" for line in ROWS.splitlines())
    assert len(open_dataset(table(root, "path,label\n" + rows), cache).splits["train"]) == 16


TABLES = {
    "empty": ("", "column 'path' is missing. Columns, separated by commas: none"),
    "column missing": ("path,labels\n" + ROWS, "column 'label' is missing; did you mean 'labels'"),
    "semicolons": ("path;label\n", "column 'path' is missing.* Columns, separated by commas: 'path;label'"),
    "column twice": ("path,label,label\n", "column 'label' is there twice"),
    "file missing": ("path,label\ncat/0.png,cat\ncat/77.png,cat\n", "row 3: there is no file '.*77.png'. Paths are relative to the table's folder"),
    "unknown split": ("path,label,split\ncat/0.png,cat,tset\n", "row 2: unknown split 'tset'; did you mean 'test'"),
    "empty split": ("path,label,split\ncat/0.png,cat,\n", "row 2: unknown split ''. Known: train, val, valid, validation, test"),
    "empty label": ("path,label\ncat/0.png,cat\ncat/1.png, \n", "row 3: label is empty"),
    "empty path": ("path,label\n,cat\n", "row 2: path is empty"),
    "empty group": ("path,label,group\ncat/0.png,cat,\n", "row 2: group is empty"),
    "in two splits": ("path,label,split\ncat/0.png,cat,train\ncat/0.png,cat,test\n", "'cat/0.png' is in both train and test"),
    "twice": ("path,label\ncat/0.png,cat\ncat/0.png,dog\n", "'cat/0.png' has two rows, with labels 'cat' and 'dog'"),
    "ragged": ("path,label\ncat/0.png,cat,1\n", "row 2: 3 cells under 2 columns. Quote cells that hold a comma"),
    "open quote": ('path,label\n"cat/0.png,cat\n', "is not a CSV file in UTF-8"),
    "header only": ("path,label\n", "holds no images and no train images"),
    "test only": ("path,label,split\ncat/0.png,cat,test\ndog/0.png,dog,test\n", "holds test images and no train images"),
}


@pytest.mark.parametrize("what", TABLES)
def test_wrong_tables(what: str, root: Path, cache: Path) -> None:
    text, message = TABLES[what]
    with pytest.raises(DatasetError, match=message):
        open_dataset(table(root, text), cache)


def test_a_table_in_another_encoding(root: Path, cache: Path) -> None:
    spec = table(root, "")
    (root / "list.csv").write_bytes("path,label\ncat/0.png,Kätzchen\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8"):
        open_dataset(spec, cache)


def test_no_table(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"table '.*x\.csv' cannot be read \(No such file"):
        open_dataset(DatasetSpec(name="x", source=TableSource(reader="table", path=str(tmp_path / "x.csv"))), cache)


# --- Hugging Face ---


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`datasets` with a cache of its own, and no progress bars."""
    home = tmp_path / "prepared"
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home)
    datasets.disable_progress_bars()
    return home


def rows(n: int, start: int = 0, **columns: Any) -> datasets.Dataset:
    """n encoded images with the given columns."""
    pictures = [{"bytes": png(start + i), "path": None} for i in range(n)]
    return datasets.Dataset.from_dict({"image": pictures, **columns}).cast_column("image", datasets.Image())


def entry(path: Path, **changes: Any) -> DatasetSpec:
    source = {"reader": "huggingface", "path": str(path), "image": "image", "label": "label", "splits": {"train": "train"}, **changes}
    return DatasetSpec(name="mine", source=HuggingFaceSource.model_validate(source))


PETS = datasets.ClassLabel(names=["dog", "cat"])


def save(kind: str, path: Path, train: datasets.Dataset, test: datasets.Dataset) -> None:
    if kind == "save_to_disk":
        datasets.DatasetDict(train=train, test=test).save_to_disk(str(path))
    else:
        path.mkdir()
        train.to_parquet(str(path / "train-00000-of-00001.parquet"))
        test.to_parquet(str(path / "test-00000-of-00001.parquet"))


@pytest.mark.parametrize("kind", ["save_to_disk", "parquet"])
@pytest.mark.parametrize(
    ("values", "feature", "classes"),
    [
        ([0, 1] * 5, PETS, ("dog", "cat")),
        ([0, 10] * 5, None, ("0", "10")),
        (["b10", "b9"] * 5, None, ("b9", "b10")),
        ([True, False] * 5, None, ("False", "True")),
    ],
)
def test_local_copies(kind: str, values: list[Any], feature: Any, classes: tuple[str, ...], tmp_path: Path, cache: Path, hub: Path) -> None:
    train, test = rows(10, label=values), rows(4, 10, label=values[:4])
    if feature:
        train, test = train.cast_column("label", feature), test.cast_column("label", feature)
    save(kind, tmp_path / "copy", train, test)
    dataset = open_dataset(entry(tmp_path / "copy", splits={"train": "train", "test": "test"}), cache)
    assert dataset.classes == classes and dataset.split_origin == {"kind": "official"}
    assert [classes[c] for c in dataset.splits["train"].y] == [feature.names[v] if feature else str(v) for v in values]
    assert dataset.splits["test"].ids == ("test/0", "test/1", "test/2", "test/3")
    assert [dataset.splits["test"].read(i) for i in range(4)] == [png(10 + i) for i in range(4)]
    assert dataset.splits["test"].content[1] == xxhash.xxh3_128_hexdigest(png(11))


def test_without_a_test_split_train_is_split_by_group(tmp_path: Path, cache: Path, hub: Path) -> None:
    rows(40, label=[0, 1] * 20, site=[i // 4 for i in range(40)]).save_to_disk(str(tmp_path / "copy"))
    dataset = open_dataset(entry(tmp_path / "copy", group="site"), cache)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 32, "test": 8}
    assert not set(dataset.splits["train"].groups or ()) & set(dataset.splits["test"].groups or ())


def test_one_parquet_file_of_other_tools(tmp_path: Path, cache: Path, hub: Path) -> None:
    """Bare bytes, written by pyarrow without the metadata of `datasets`."""
    pq.write_table(pa.table({"image": [png(i) for i in range(10)], "label": ["a", "b"] * 5}), tmp_path / "mine.parquet")
    dataset = open_dataset(entry(tmp_path / "mine.parquet"), cache)
    assert dataset.classes == ("a", "b") and decode(dataset.splits["test"].read(0), "x").size == (4, 3)


def test_rewritten_parquet_is_seen(tmp_path: Path, cache: Path, hub: Path) -> None:
    first, path = rows(10, label=[0, 1] * 5), tmp_path / "mine.parquet"
    first.to_parquet(str(path))
    before = open_dataset(entry(path), cache).fingerprint()
    rows(10, 100, label=[0, 1] * 5).to_parquet(str(path))
    assert open_dataset(entry(path), cache).fingerprint() != before


def test_images_kept_as_files(tmp_path: Path, cache: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image folder opened by `datasets`, whose rows hold paths."""
    fill(tmp_path / "copy", cat=10, dog=10)
    dataset = open_dataset(entry(tmp_path / "copy"), cache)
    assert dataset.classes == ("cat", "dog") and len(dataset.splits["test"]) == 4
    assert xxhash.xxh3_128_hexdigest(dataset.splits["test"].read(1)) == dataset.splits["test"].content[1]
    forbid_reading(monkeypatch)
    assert open_dataset(entry(tmp_path / "copy"), cache).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("kind", ["save_to_disk", "parquet"])
def test_a_warm_opening_reads_no_image_bytes(kind: str, tmp_path: Path, cache: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(kind, tmp_path / "copy", rows(10, label=[0, 1] * 5), rows(4, 10, label=[0, 1] * 2))
    spec = entry(tmp_path / "copy", splits={"train": "train", "test": "test"})
    first = open_dataset(spec, cache)
    monkeypatch.setattr("bob.datasets.huggingface.content_digest", None)
    assert open_dataset(spec, cache).fingerprint() == first.fingerprint()


def test_threads_read_the_same_rows(tmp_path: Path, cache: Path, hub: Path) -> None:
    rows(200, label=[0, 1] * 100).save_to_disk(str(tmp_path / "copy"), num_shards=3)
    split = open_dataset(entry(tmp_path / "copy"), cache).splits["train"]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(len(split)) if xxhash.xxh3_128_hexdigest(split.read(i)) != split.content[i])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_declared_class_without_images_is_left_out(tmp_path: Path, cache: Path, hub: Path) -> None:
    names = datasets.ClassLabel(names=["dog", "owl", "cat"])
    rows(10, label=[0, 2] * 5).cast_column("label", names).save_to_disk(str(tmp_path / "copy"))
    dataset = open_dataset(entry(tmp_path / "copy"), cache)
    assert dataset.classes == ("dog", "cat") and dataset.notes == ("classes without images are left out: 'owl'",)


WRONG_COLUMNS = [
    ({"image": "img"}, "there is no column 'img'.* Columns: image, label"),
    ({"label": "lable"}, "there is no column 'lable'; did you mean 'label'"),
    ({"group": "site"}, "there is no column 'site'"),
    ({"splits": {"train": "train", "test": "tset"}}, "there is no split 'tset'; did you mean 'test'.* Splits: train, test"),
    ({"image": "label"}, "column 'label' holds .*, not images"),
    ({"label": "size"}, r"row 0: label column 'size' holds 0.5, which is no ClassLabel, whole number or text"),
    ({"label": "none"}, r"row 1: label column 'none' holds None"),
    ({"label": "hidden"}, r"row 1: label column 'hidden' holds -1"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_COLUMNS)
def test_wrong_columns(changes: dict[str, Any], message: str, tmp_path: Path, cache: Path, hub: Path) -> None:
    made = rows(4, label=[0, 1, 0, 1], size=[0.5] * 4, none=[0, None, 0, 1], hidden=[0, -1, 0, 1])
    made = made.cast_column("hidden", PETS)
    save("save_to_disk", tmp_path / "copy", made, made)
    with pytest.raises(DatasetError, match=message):
        open_dataset(entry(tmp_path / "copy", **changes), cache)


@pytest.mark.parametrize("others", [0, 9])
def test_a_row_without_an_image(others: int, tmp_path: Path, cache: Path, hub: Path) -> None:
    pictures = [*({"bytes": png(i), "path": None} for i in range(others)), {"bytes": None, "path": None}]
    made = datasets.Dataset.from_dict(
        {"image": pictures, "label": list(range(others + 1))},
        features=datasets.Features(image=datasets.Image(decode=False), label=datasets.Value("int64")),
    )
    made.save_to_disk(str(tmp_path / "copy"))
    with pytest.raises(BadImageError, match=f"column 'image' has no image in row {others}"):
        open_dataset(entry(tmp_path / "copy"), cache)


def test_a_copy_that_is_not_there_or_not_a_dataset(tmp_path: Path, cache: Path, hub: Path) -> None:
    with pytest.raises(UnavailableError, match=r"dataset 'mine' \(.*nowhere\): '.*nowhere' does not exist"):
        open_dataset(entry(tmp_path / "nowhere"), cache)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="cannot be loaded from '.*bad.parquet'"):
        open_dataset(entry(tmp_path / "bad.parquet"), cache)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_entry(revision: str | None = COMMIT, **changes: Any) -> DatasetSpec:
    return entry(Path(), path=None, hub="owner/CamelPets", revision=revision, **changes)


def prepare(hub: Path, revision: str, shards: int = 1) -> Path:
    """What `datasets` leaves in its cache after it prepared owner/CamelPets."""
    folder = hub / "owner___camel_pets" / "default" / "0.0.0" / revision
    folder.mkdir(parents=True)
    table = rows(10, label=["a", "b"] * 5)
    for i in range(shards):
        name = f"camel_pets-train-{i:05d}-of-{shards:05d}" if shards > 1 else "camel_pets-train"
        part = table.shard(shards, i, contiguous=True).flatten_indices()
        with datasets.arrow_writer.ArrowWriter(path=str(folder / f"{name}.arrow"), features=part.features) as writer:
            writer.write_table(part.data.table)
            writer.finalize()
    (folder / "dataset_info.json").write_text(json.dumps({"config_name": "default"}))
    return folder


def refuse(error: Exception) -> Callable[..., Any]:
    def load(*_: Any, **__: Any) -> Any:
        raise error

    return load


@pytest.mark.parametrize("shards", [1, 3])
def test_a_prepared_commit_is_opened_without_the_hub(shards: int, hub: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(hub, COMMIT, shards)
    prepare(hub, "f" * 40)
    monkeypatch.setattr(datasets, "load_dataset", refuse(AssertionError("the hub was asked")))
    dataset = open_dataset(hub_entry(), cache)
    split = dataset.splits["train"]
    assert [split.read(i) for i in range(len(split))] == [png(int(name[6:])) for name in split.ids]
    assert len(split) == 8 and availability(hub_entry()) is None


def test_offline_with_nothing_prepared(hub: Path, cache: Path) -> None:
    """The library itself, kept from the network."""
    with pytest.raises(UnavailableError, match=r"owner/CamelPets\): not on this machine, and the hub cannot be reached .* set HF_HOME to a copy"):
        open_dataset(hub_entry(), cache, offline=True)
    assert datasets.config.HF_HUB_OFFLINE is False
    assert availability(hub_entry()) == "not on this machine; the hub has it as owner/CamelPets. Run once with a network."


def test_offline_without_a_pin_the_last_copy_is_taken(hub: Path, cache: Path) -> None:
    prepare(hub, COMMIT)
    assert availability(hub_entry(None)) is None and availability(hub_entry(None, config="other")) is not None


def test_another_revision_is_refused(hub: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = prepare(hub, "f" * 40)
    table = datasets.Dataset.from_file(str(other / "camel_pets-train.arrow"))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.DatasetDict(train=table))
    with pytest.raises(UnavailableError, match=f"the hub cannot be reached, and this machine has revision '{'f' * 40}' and not '{COMMIT}'"):
        open_dataset(hub_entry(), cache)


HUB_ERRORS = [
    (DatasetNotFoundError("Dataset 'x' is a gated dataset on the Hub."), UnavailableError, "is gated. Accept its terms .* `hf auth login`"),
    (DatasetNotFoundError("Revision 'x' doesn't exist for dataset"), UnavailableError, f"the hub has no revision '{COMMIT}' of it"),
    (DatasetNotFoundError("Dataset 'x' doesn't exist"), UnavailableError, "the hub has no such dataset, or it is private. Check the id"),
    (ConnectionError("Couldn't reach"), UnavailableError, r"the hub cannot be reached \(ConnectionError\). Run once with a network"),
    (
        ValueError("BuilderConfig 'x' not found. Available: ['y']"),
        DatasetError,
        r"owner/CamelPets\): BuilderConfig 'x' not found. Available: \['y'\]",
    ),
    (RuntimeError("Dataset scripts are no longer supported"), DatasetError, "Dataset scripts are no longer supported"),
]


@pytest.mark.parametrize(("error", "kind", "message"), HUB_ERRORS)
def test_hub_errors(error: Exception, kind: type[Exception], message: str, hub: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", refuse(error))
    with pytest.raises(kind, match=message):
        open_dataset(hub_entry(), cache)


# --- opening ---


def test_declared_counts_and_classes(root: Path, cache: Path) -> None:
    fill(root, cat=10, dog=10)
    source = FolderSource(reader="folder", path=str(root))
    assert open_dataset(DatasetSpec(name="x", source=source, classes=2, counts={"train": 16, "test": 4}), cache)
    message = "dataset 'x' is not as its registry entry declares: there are 2 classes, declared 3; val holds 0 images, declared 1; test holds 4 images, declared 5"
    with pytest.raises(DatasetError, match=message):
        open_dataset(DatasetSpec(name="x", source=source, classes=3, counts={"train": 16, "val": 1, "test": 5}), cache)


def test_data_flag(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root / "my cats", cat=1)
    monkeypatch.chdir(root / "my cats")
    assert from_data_flag(".").name == from_data_flag("../my cats/").name == "my_cats"
    with pytest.raises(ConfigError, match="--data 'nowhere': there is no such folder or table"):
        from_data_flag("nowhere")
    with pytest.raises(ConfigError, match=r"must be a folder of class folders, or a table whose name ends in \.csv"):
        from_data_flag("cat/0.png")


def test_limited(root: Path) -> None:
    dataset = limited(open_folder(fill(root, cat=20, dog=10)), 6)
    assert np.bincount(dataset.splits["train"].y).tolist() == [4, 2] and np.bincount(dataset.splits["test"].y).tolist() == [4, 2]
    assert dataset.split_origin == {"kind": "automatic", "share": 0.2, "seed": 0, "limit": 6, "limit_seed": 0}
    split = dataset.splits["test"]
    assert [xxhash.xxh3_128_hexdigest(split.read(i)) for i in range(6)] == list(split.content)


def test_limited_below_the_class_count(root: Path) -> None:
    dataset = limited(open_folder(fill(root, cat=10, dog=10, owl=5)), 2)
    assert set(dataset.splits["test"].y.tolist()) <= set(dataset.splits["train"].y.tolist())
    assert dataset.notes == ("1 classes have no images within the limit of 2",)


def test_take_keeps_groups_and_attributes(root: Path, cache: Path) -> None:
    rows = "".join(f"{name}/{i}.png,{name},{i}\n" for name in ("cat", "dog") for i in range(10))
    split = open_dataset(table(root, "path,label,group\n" + rows), cache).splits["train"]
    taken = split.take(np.array([3, 1]))
    assert taken.groups == (split.groups[3], split.groups[1]) and taken.read(1) == split.read(1)  # type: ignore[index]


def test_availability_of_paths(root: Path) -> None:
    spec = DatasetSpec(name="x", source=FolderSource(reader="folder", path=str(root)))
    assert availability(spec) == f"'{root}' does not exist. Correct its path in the registry."
    root.mkdir()
    assert availability(spec) is None


def test_availability_imports_nothing_heavy() -> None:
    code = "import sys, bob.datasets.availability; print([m for m in ('torch', 'datasets', 'pandas', 'numpy', 'PIL', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_opening_imports_no_torch() -> None:
    code = "import sys, bob.datasets.open, bob.datasets.images; print([m for m in ('torch', 'datasets', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
