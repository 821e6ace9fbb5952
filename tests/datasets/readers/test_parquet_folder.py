"""Your own Parquet files by any naming: every file is read, noted or refused."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError, UnreadableImageError
from bob.specs import DataOptions, DatasetSpec, ParquetSource
from tests.builders.images import POINTER, make_class_folders, png


@pytest.fixture(autouse=True)
def no_progress_bars() -> None:
    datasets.disable_progress_bars()


def write(path: Path, n: int = 10, start: int = 0, labels: Any = None, **columns: Any) -> Path:
    """Write n images with labels a, b, a, ... in Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [png(start + i) for i in range(n)]
    values = {"image": images, "label": ["a", "b"] * n if labels is None else labels}
    values["label"] = values["label"][:n]
    pq.write_table(pa.table({**values, **columns}), path)
    return path


def opened(place: Path, cache: Path, test_split: str | None = None) -> Dataset:
    return open_dataset(spec_from_data_flag(str(place), DataOptions(test_split=test_split)), cache)


def counts(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def write_all(root: Path, names: Sequence[str]) -> Path:
    for n, name in enumerate(names):
        write(root / name, start=100 * n)
    return root


NAMES: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "words before": (("my_train.parquet", "my_test.parquet"), {"train": 10, "test": 10}),
    "a clone of a repository": (
        (
            "data/train-00000-of-00002-a09b74b3ef9c3b56.parquet",
            "data/train-00001-of-00002-b8c64a7f11e2a1de.parquet",
            "data/test-00000-of-00001-5f2c1b6f3e3a4d11.parquet",
        ),
        {"train": 20, "test": 10},
    ),
    "folders": (("train/0.parquet", "test/0.parquet"), {"train": 10, "test": 10}),
    "one config": (
        ("default/train/0000.parquet", "default/validation/0000.parquet", "default/test/0.parquet"),
        {"train": 10, "val": 10, "test": 10},
    ),
    "capitals": (("Images_Train.PARQUET", "Images_Test.parquet"), {"train": 10, "test": 10}),
    "no splits": (("part-0.parquet", "part-1.parquet"), {"train": 16, "test": 4}),
    "words that hold a split": (("latest.parquet", "strain.parquet"), {"train": 16, "test": 4}),
}


@pytest.mark.parametrize("naming", NAMES)
def test_every_file_is_read(naming: str, root: Path, cache: Path) -> None:
    names, sizes = NAMES[naming]
    dataset = opened(write_all(root, names), cache)
    assert counts(dataset) == sizes and dataset.classes == ("a", "b") and dataset.notes == ()
    read = {
        int(name.rpartition("/")[2]) + 100 * names.index(name.rpartition("/")[0]): split.read(i)
        for split in dataset.splits.values()
        for i, name in enumerate(split.ids)
    }
    assert read == {100 * n + i: png(100 * n + i) for n in range(len(names)) for i in range(10)}


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "some names": (
        ("train.parquet", "more.parquet"),
        "the names of 'more.parquet' say no split, and those of 'train.parquet' do. Or write an "
        "entry whose source says `splits:",
    ),
    "two splits": (("train_test.parquet", "x.parquet"), "'train_test.parquet' holds two splits"),
    "unclear": (
        ("train.parquet", "eval.parquet"),
        "'eval.parquet' may hold val or test images.* `--test-split eval`",
    ),
    "several datasets": (
        ("coarse/train.parquet", "fine/train.parquet"),
        "files in the folders 'coarse', 'fine', which may be several datasets. Give one",
    ),
    "a file beside a folder": (
        ("train.parquet", "extra/train.parquet"),
        r"files in the folders '\.', 'extra'",
    ),
    "test alone": (("test.parquet",), "holds test images and no train images"),
}


@pytest.mark.parametrize("naming", REFUSED)
def test_names_that_could_mean_two_things_are_refused(naming: str, root: Path, cache: Path) -> None:
    names, message = REFUSED[naming]
    with pytest.raises(DatasetError, match=message):
        opened(write_all(root, names), cache)


def test_other_files_are_noted(root: Path, cache: Path) -> None:
    write_all(root, ("train.parquet", "test.parquet", "unsupervised.parquet"))
    (root / "README.md").write_text("# data")
    (root / "assets").mkdir()
    (root / "assets" / "preview.png").write_bytes(png(0))
    dataset = opened(root, cache)
    assert counts(dataset) == {"train": 10, "test": 10}
    assert dataset.notes == ("skipped files: .md (1), file 'unsupervised.parquet' (1), images (1)",)


def test_columns_that_are_not_read_are_noted(root: Path, cache: Path) -> None:
    dataset = opened(write(root / "x.parquet", size=[1] * 10, author=["x"] * 10), cache)
    assert dataset.notes == ("columns that are not read: 'author', 'size'",)


def test_val_without_test_is_noted_and_can_be_the_test_split(root: Path, cache: Path) -> None:
    write_all(root, ("train.parquet", "valid.parquet"))
    dataset = opened(root, cache)
    assert counts(dataset) == {"train": 8, "val": 10, "test": 2}
    assert "`--test-split val`" in dataset.notes[0]
    chosen = opened(root, cache, "val")
    assert counts(chosen) == {"train": 10, "test": 10} and chosen.notes == ()
    assert chosen.split_origin == {
        "kind": "official",
        "test_split": "val",
        "options": {"test_split": "val"},
    }


def test_file_of_unclear_use_can_be_the_test_split(root: Path, cache: Path) -> None:
    write_all(root, ("train.parquet", "eval.parquet", "test.parquet"))
    dataset = opened(root, cache, "eval")
    assert counts(dataset) == {"train": 10, "test": 10}
    assert dataset.notes == ("skipped files: file 'test.parquet' (1)",)
    with pytest.raises(DatasetError, match="no split 'val' to test on; the files are"):
        opened(write_all(root.parent / "other", ("train.parquet", "test.parquet")), cache, "val")


def test_columns_split_and_group_are_used(root: Path, cache: Path) -> None:
    split = ["Train"] * 6 + ["test"] * 3 + ["unlabeled"]
    dataset = opened(write(root / "x.parquet", split=split, group=list("uuvvwwxyyz")), cache)
    assert counts(dataset) == {"train": 6, "test": 3}
    assert dataset.splits["test"].groups == ("x", "y", "y")
    assert [dataset.splits["test"].read(i) for i in range(3)] == [png(6), png(7), png(8)]
    assert dataset.notes == ("skipped files: rows of the split 'unlabeled' (1)",)
    with pytest.raises(DatasetError, match=r"column 'split': unknown split 'x'\. Known splits"):
        opened(write(root / "y.parquet", split=["x"] * 10), cache)


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        (["a", None, "b", None] + ["a"] * 6, "None"),
        ([0.0, float("nan"), 1.0, float("nan")] + [0.0] * 6, "nan"),
        ([0, None, 1, None] + [0] * 6, "None"),
        (["a", "", "b", " "] + ["a"] * 6, "''"),
    ],
)
def test_null_labels_are_refused(labels: list[Any], value: str, root: Path, cache: Path) -> None:
    write(root / "x.parquet", labels=labels)
    with pytest.raises(
        DatasetError,
        match=rf"x\.parquet, row 1: label column 'label' holds {value}; labels must be integers or "
        r"text \(2 of 10 rows have no label\)",
    ):
        opened(root, cache)


def test_labels_called_nan_are_noted(root: Path, cache: Path) -> None:
    dataset = opened(write(root / "x.parquet", labels=["a", "nan"] * 5), cache)
    assert dataset.notes == (
        "5 images have the label 'nan', which looks like a missing value; remove them if they "
        "have no label",
    )


def test_whole_numbers_are_one_label_in_any_type(root: Path, cache: Path) -> None:
    write(root / "train.parquet", labels=[0, 1] * 5)
    write(root / "test.parquet", start=50, labels=[0.0, 1.0] * 5)
    assert opened(root, cache).classes == ("0", "1")
    write(root / "test.parquet", start=50, labels=[0.0, 0.5] * 5)
    with pytest.raises(DatasetError, match=r"row 1: label column 'label' holds 0\.5; labels must"):
        opened(root, cache)


def test_class_names_of_each_file_are_its_own(root: Path, cache: Path) -> None:
    """Index 0 is a dog in one file and a cat in the other."""
    for n, name, names in ((0, "train", ["dog", "cat"]), (9, "test", ["cat", "dog"])):
        table = datasets.Dataset.from_dict(
            {
                "image": [{"bytes": png(n + i), "path": None} for i in range(4)],
                "label": [0, 1, 0, 1],
            }
        ).cast_column("label", datasets.ClassLabel(names=names))
        root.mkdir(exist_ok=True)
        table.to_parquet(str(root / f"{name}.parquet"))
    dataset = opened(root, cache)
    labels = {name: [dataset.classes[c] for c in split.y] for name, split in dataset.splits.items()}
    assert labels == {"train": ["dog", "cat"] * 2, "test": ["cat", "dog"] * 2}


def test_replaced_file_with_the_old_time_is_read_again(root: Path, cache: Path) -> None:
    path = write(root / "mine.parquet")
    before, stat = opened(path, cache), path.stat()
    other = write(root / "other.parquet", start=100, labels=["c", "d"] * 5)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    after = opened(path, cache)
    assert after.classes == ("c", "d") and after.fingerprint() != before.fingerprint()
    split = after.splits["train"]
    assert [xxhash.xxh3_128_hexdigest(split.read(i)) for i in range(len(split))] == list(
        split.content
    )


def test_replaced_image_folder_with_the_old_time_is_read_again(root: Path, cache: Path) -> None:
    """Labels in a file beside the images, which `datasets` prepares."""
    make_class_folders(root, train=4)

    def label(names: str) -> None:
        rows = [f'{{"file_name": "{i}.png", "label": "{name}"}}' for i, name in enumerate(names)]
        (root / "new").write_text("\n".join(rows))
        os.utime(root / "new", ns=(10**18, 10**18))
        (root / "new").replace(root / "train" / "metadata.jsonl")

    source = {"reader": "huggingface", "path": str(root), "image": "image", "label": "label"}
    spec = DatasetSpec.model_validate(
        {"name": "x", "source": {**source, "splits": {"train": "train", "test": "train"}}}
    )
    label("abab")
    assert open_dataset(spec, cache).classes == ("a", "b")
    label("cdcd")
    assert open_dataset(spec, cache).classes == ("c", "d")


@pytest.mark.parametrize("group_rows", [7, 1000])
def test_rows_are_read_in_any_order_and_by_threads(
    group_rows: int, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups smaller and larger than a batch; a batch is forgotten after three others."""
    monkeypatch.setattr("bob.datasets.readers.parquet_rows.BATCHES_IN_MEMORY", 3)
    monkeypatch.setattr("bob.datasets.readers.parquet_rows.BATCH_ROWS", 16)
    root.mkdir()
    images = [png(i) for i in range(300)]
    table = pa.table({"image": images, "label": ["a", "b"] * 150})
    for name, part in (("train-0", table[:200]), ("train-1", table[200:]), ("test-0", table)):
        pq.write_table(part, root / f"{name}.parquet", row_group_size=group_rows)
    split = opened(root, cache).splits["train"]
    order = [(37 * i) % 300 for i in range(300)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(split.read, range(300))) == images
        assert list(pool.map(split.read, order)) == [images[i] for i in order]


def test_images_may_be_paths_beside_the_file(root: Path, cache: Path) -> None:
    make_class_folders(root / "i", cat=5, dog=5)
    paths = [f"cat/{i}.png" for i in range(5)] + [f"dog/{i}.png" for i in range(5)]
    labels = [path[:3] for path in paths]
    pq.write_table(pa.table({"image": paths, "label": labels}), root / "i" / "list.parquet")
    pairs = [{"bytes": None, "path": path} for path in paths]
    pq.write_table(pa.table({"image": pairs, "label": labels}), root / "i" / "pairs.parquet")
    contents = []
    for name in ("list", "pairs"):
        dataset = opened(root / "i" / f"{name}.parquet", cache)
        split = dataset.splits["train"]
        assert counts(dataset) == {"train": 8, "test": 2}
        assert xxhash.xxh3_128_hexdigest(split.read(0)) == split.content[0]
        contents.append(split.content)
    assert contents[0] == contents[1]
    pq.write_table(pa.table({"image": ["no file"], "label": ["a"]}), root / "bad.parquet")
    with pytest.raises(DatasetError, match=r"column 'image' holds string, not images.*'no file'"):
        opened(root / "bad.parquet", cache)


def test_row_without_an_image_is_unreadable(root: Path, cache: Path) -> None:
    root.mkdir()
    images = [png(i) if i != 3 else None for i in range(10)]
    pq.write_table(pa.table({"image": images, "label": ["a", "b"] * 5}), root / "train.parquet")
    write(root / "test.parquet", start=50)
    split = opened(root, cache).splits["train"]
    assert len(set(split.content)) == 10
    with pytest.raises(UnreadableImageError, match="column 'image' has no image in row 3"):
        split.read(3)


def test_categories_of_pandas_are_labels(root: Path, cache: Path) -> None:
    labels = pa.array(["a", "b"] * 5).dictionary_encode()
    assert opened(write(root / "x.parquet", labels=labels), cache).classes == ("a", "b")


def test_pointers_and_damaged_files_are_named(root: Path, cache: Path) -> None:
    write_all(root, ("data/train.parquet", "data/test.parquet"))
    complete = (root / "data" / "test.parquet").read_bytes()
    (root / "data" / "test.parquet").write_bytes(POINTER)
    with pytest.raises(DatasetError, match=r"test\.parquet' is a pointer of Git LFS.*git lfs pull"):
        opened(root, cache)
    (root / "data" / "test.parquet").write_bytes(complete[:-50])
    with pytest.raises(DatasetError, match=r"test\.parquet': is not a complete Parquet file"):
        opened(root, cache)
    (root / "data" / "test.parquet").write_bytes(complete[:4] + bytes(300) + complete[304:])
    with pytest.raises(DatasetError, match="the file is damaged"):
        opened(root, cache)


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_column_with_fewer_values_than_rows_is_damaged(
    root: Path, cache: Path, column: str
) -> None:
    """A page header that states 10 values of 11: pyarrow reads the others, and labels move up."""
    root.mkdir()
    table = pa.table({"image": [png(i) for i in range(11)], "label": ["a", "b"] * 5 + ["a"]})
    path = root / "train.parquet"
    pq.write_table(table.select([column]), path, use_dictionary=False, compression="none")
    header = path.read_bytes()[4:40]
    pq.write_table(table, path, use_dictionary=False, compression="none")
    sound, eleven, ten = path.read_bytes(), b"\x2c\x15\x16", b"\x2c\x15\x14"
    assert header.count(eleven) == 1 and sound.count(header) == 1
    path.write_bytes(sound.replace(header, header.replace(eleven, ten)))
    with pytest.raises(DatasetError, match=f"column '{column}' .* damaged .10 values in 11 rows"):
        opened(root, cache)


def test_folder_of_save_to_disk_is_read(root: Path, cache: Path) -> None:
    def rows(start: int) -> datasets.Dataset:
        images = [{"bytes": png(start + i), "path": None} for i in range(10)]
        return datasets.Dataset.from_dict({"image": images, "label": ["a", "b"] * 5})

    both = datasets.DatasetDict(train=rows(0), validation=rows(20), unsupervised=rows(40))
    both.save_to_disk(str(root / "both"))
    dataset = opened(root / "both", cache, "validation")
    assert counts(dataset) == {"train": 10, "test": 10}
    assert dataset.notes == ("skipped files: rows of the split 'unsupervised' (10)",)
    rows(0).save_to_disk(str(root / "one"))
    assert counts(opened(root / "one", cache)) == {"train": 8, "test": 2}
    datasets.DatasetDict(train=rows(0), odd=rows(20)).save_to_disk(str(root / "odd"))
    with pytest.raises(ConfigError, match="the split 'odd' may be of any use; there are: train"):
        opened(root / "odd", cache)


def test_metadata_in_parquet_does_not_hide_class_folders(root: Path, cache: Path) -> None:
    make_class_folders(root, cat=5, dog=5)
    pq.write_table(pa.table({"file": ["cat/0.png"], "size": [3]}), root / "metadata.parquet")
    dataset = opened(root, cache)
    assert dataset.classes == ("cat", "dog")
    assert dataset.notes == ("skipped files: outside the class folders (1)",)


def test_entry_names_files_by_pattern(root: Path, cache: Path) -> None:
    write_all(root, ("a-1.parquet", "a-2.parquet", "b.parquet", "c.parquet"))
    source = {"reader": "parquet", "path": str(root), "image": "image", "label": "label"}

    def entry(**splits: Any) -> DatasetSpec:
        made = ParquetSource.model_validate({**source, "splits": splits})
        return DatasetSpec(name="x", source=made)

    dataset = open_dataset(entry(train="a-*", test=["b.parquet"]), cache)
    assert counts(dataset) == {"train": 20, "test": 10}
    assert dataset.notes == ("skipped files: file 'c.parquet' (1)",)
    with pytest.raises(DatasetError, match=r"no file matches 'd\*'. Files: 'a-1\.parquet'"):
        open_dataset(entry(train="d*"), cache)
    with pytest.raises(DatasetError, match=r"'a-1\.parquet' matches the patterns of train and te"):
        open_dataset(entry(train="a-*", test="a-1*"), cache)


def test_files_of_one_split_must_agree(root: Path, cache: Path) -> None:
    """Two files that `datasets` takes for one split, with text and with numbers as labels."""
    write(root / "train-0.parquet", labels=["a", "b"] * 5)
    write(root / "train-1.parquet", start=50, labels=[0, 1] * 5)
    source = {"reader": "huggingface", "path": str(root), "image": "image", "label": "label"}
    spec = DatasetSpec.model_validate(
        {"name": "x", "source": {**source, "splits": {"train": "train"}}}
    )
    with pytest.raises(DatasetError, match=r"train-1\.parquet': column 'label' holds .* in .*n-0"):
        open_dataset(spec, cache)
