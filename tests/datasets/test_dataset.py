"""Your own images in folders, their cached digests, and the checks of every dataset."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from bob.datasets.assemble import natural_key
from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.dataset import Dataset
from bob.datasets.open import limited, open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError, UnreadableImageError
from bob.specs import DatasetSpec, FolderSource
from tests.builders.images import forbid_reading, make_class_folders, png


def open_folder(root: Path) -> Dataset:
    return open_dataset(spec_from_data_flag(str(root)), root.parent / "cache")


def test_class_folders_are_split_automatically(root: Path) -> None:
    dataset = open_folder(make_class_folders(root, cat=10, dog=5))
    assert dataset.name == "photos" and dataset.classes == ("cat", "dog")
    assert np.bincount(dataset.splits["train"].y).tolist() == [8, 4] and np.bincount(
        dataset.splits["test"].y
    ).tolist() == [2, 1]
    assert (
        dataset.split_origin == {"kind": "automatic", "share": 0.2, "seed": 0}
        and dataset.notes == ()
    )
    for split in dataset.splits.values():
        for i, name in enumerate(split.ids):
            data = (root / name).read_bytes()
            assert split.read(i) == data and split.content[i] == xxhash.xxh3_128_hexdigest(data)
            assert name.startswith(dataset.classes[split.y[i]])


def test_split_folders_are_used_as_given(root: Path) -> None:
    dataset = open_folder(
        make_class_folders(
            root, train__cat=3, train__dog=2, valid__cat=1, valid__dog=1, Test__cat=1, Test__dog=2
        )
    )
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 5,
        "val": 2,
        "test": 3,
    }
    assert dataset.split_origin == {"kind": "official"}
    assert dataset.splits["val"].ids == ("valid/cat/0.png", "valid/dog/0.png")


def test_train_folder_alone_is_split(root: Path) -> None:
    dataset = open_folder(
        make_class_folders(root, train__cat=10, train__dog=10, val__cat=1, val__dog=1)
    )
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 16,
        "val": 2,
        "test": 4,
    }
    assert dataset.split_origin["kind"] == "automatic"


def test_classes_and_files_are_in_natural_order(root: Path) -> None:
    """In text order 0, 1, 10, 11, 2, ..., label 2 would be the folder '10'."""
    dataset = open_folder(make_class_folders(root, **{str(i): 12 for i in range(12)}))
    assert dataset.classes == tuple(str(i) for i in range(12))
    of_first = [name for name in dataset.splits["train"].ids if name.startswith("0/")]
    assert of_first == sorted(of_first, key=lambda name: int(name[2:-4]))
    assert sorted(["b2", "b10", "a", "b01", "b1", "2", "10"], key=natural_key) == [
        "2",
        "10",
        "a",
        "b01",
        "b1",
        "b2",
        "b10",
    ]


def test_class_may_be_called_train(root: Path) -> None:
    assert open_folder(make_class_folders(root, train=2, bus=2)).classes == ("bus", "train")


def test_other_files_are_skipped_and_noted(root: Path) -> None:
    make_class_folders(root, cat=3, dog=3)
    (root / "cat" / "deeper").mkdir()
    (root / "cat" / "deeper" / "UPPER.JPG").write_bytes(png(200))
    for name in ("README", "cat/.DS_Store", "cat/list.txt", "dog/list.txt"):
        (root / name).touch()
    (root / ".git").mkdir()
    dataset = open_folder(root)
    assert sum(len(split) for split in dataset.splits.values()) == 7
    assert dataset.notes == (
        "skipped files: .txt (2), hidden (1), hidden folders (1), outside the class folders (1)",
        "images in folders inside class folders count as those of the class: 'cat/deeper'",
    )


def test_links_are_followed_but_loops_are_not(root: Path) -> None:
    make_class_folders(root, cat=2)
    make_class_folders(root.parent / "elsewhere", dog=2)
    (root / "dog").symlink_to(root.parent / "elsewhere" / "dog")
    (root / "cat" / "again").symlink_to(root / "cat")
    assert sorted(name for split in open_folder(root).splits.values() for name in split.ids) == [
        "cat/0.png",
        "cat/1.png",
        "dog/0.png",
        "dog/1.png",
    ]


def test_split_does_not_depend_on_file_names(root: Path) -> None:
    make_class_folders(root, cat=20, dog=20)
    before = open_folder(root)
    for n, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed{n}.png"))
    after = open_folder(root)
    for side in ("train", "test"):
        assert sorted(after.splits[side].content) == sorted(before.splits[side].content)


def test_duplicates_across_splits_are_noted(root: Path) -> None:
    make_class_folders(root, train__cat=3, train__dog=3, test__cat=2, test__dog=2)
    (root / "test" / "cat" / "1.png").write_bytes(png(0))
    assert open_folder(root).notes == ("1 image of test is byte-identical to images of train",)
    (root / "test" / "cat" / "0.png").write_bytes(png(1))
    assert open_folder(root).notes == ("2 images of test are byte-identical to images of train",)


def test_classes_without_test_images_are_noted(root: Path) -> None:
    assert open_folder(make_class_folders(root, cat=5, dog=1)).notes == (
        "classes without test images: 'dog'",
    )


def test_one_class_is_assembled(root: Path) -> None:
    """Whether a task needs several classes is for the task to say."""
    assert open_folder(make_class_folders(root, cat=5)).classes == ("cat",)


def test_class_that_only_test_has_is_assembled(root: Path) -> None:
    counts = {"train__cat": 2, "train__dog": 2, "test__cat": 1, "test__owl": 1}
    dataset = open_folder(make_class_folders(root, **counts))
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.splits["test"].y.tolist() == [0, 2]
    assert dataset.notes == (
        "classes without test images: 'dog'",
        "classes without train images: 'owl'",
    )


FOLDERS: dict[str, tuple[dict[str, int], str]] = {
    "no class folders": ({}, "contains no class folders. Expected FOLDER/class/image.jpg"),
    "an empty class": (
        {"cat": 2, "dog": 0},
        r"class folder '.*dog' contains no images\. Add some \(\.jpg .*\), or remove the folder",
    ),
    "one image per class": (
        {"cat": 1, "dog": 1},
        "folder '.*photos': the images cannot be split: every class has a single image",
    ),
    "test without train": (
        {"test__cat": 2, "test__dog": 2},
        "holds test images and no train images. Add a train split, or call the only split",
    ),
    "splits beside others": (
        {"train__cat": 2, "test__cat": 2, "extra__cat": 2},
        "contains the splits test, train and also 'extra'. Move the folders that are not splits",
    ),
    "two names of one split": (
        {"train__cat": 2, "val__cat": 2, "valid__cat": 2},
        "'val' and 'valid' are names of the same split. Keep one of them",
    ),
    "images straight in a split": (
        {"train": 2, "test": 2},
        "'train' holds 2 images and no class folders. Expected FOLDER/class/image.jpg",
    ),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_wrong_folders_are_reported(what: str, root: Path) -> None:
    counts, message = FOLDERS[what]
    root.mkdir()
    with pytest.raises(DatasetError, match=message):
        open_folder(make_class_folders(root, **counts))


def test_missing_folder_is_reported(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (
        ("file", "file' is not a folder"),
        ("nowhere", "nowhere' does not exist. Expected"),
    ):
        with pytest.raises(DatasetError, match=message):
            open_dataset(
                DatasetSpec(
                    name="x", source=FolderSource(reader="folder", path=str(tmp_path / name))
                ),
                cache,
            )


def test_unreadable_folder_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_class_folders(root, cat=2, dog=2)
    scan = os.scandir

    def refuse(folder: Path) -> Any:
        if Path(folder).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr("bob.datasets.readers.tree.os.scandir", refuse)
    with pytest.raises(DatasetError, match=r"folder '.*dog' cannot be read \(Permission denied\)"):
        open_folder(root)


def test_digest_of_an_unreadable_file_is_not_cached(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_class_folders(root, cat=2, dog=2)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        split = open_folder(root).splits["train"]
        with pytest.raises(
            UnreadableImageError, match=r"image '.*\.png' cannot be read \(Permission denied\)"
        ):
            split.read(0)
    again = open_folder(root).splits["train"]
    assert not set(split.content) & set(again.content), (
        "the digest of an image that could not be read was cached"
    )
    assert xxhash.xxh3_128_hexdigest(again.read(0)) == again.content[0]


def test_broken_link_is_an_unreadable_image(root: Path) -> None:
    make_class_folders(root, cat=2, dog=2)
    for name in ("gone", "lost"):
        (root / "cat" / f"{name}.jpg").symlink_to(root / "nowhere.jpg")
    splits = open_folder(root).splits.values()
    split, gone = next((s, list(s.ids).index(i)) for s in splits for i in s.ids if "gone" in i)
    assert len(set(split.content)) == len(split)
    with pytest.raises(
        UnreadableImageError, match=r"image '.*gone.jpg' cannot be read \(No such file"
    ):
        split.read(gone)


def test_second_opening_reads_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_folder(make_class_folders(root, cat=5, dog=5))
    forbid_reading(monkeypatch)
    assert open_folder(root).fingerprint() == first.fingerprint()


def test_changed_file_is_detected_despite_its_old_time(root: Path) -> None:
    first = open_folder(make_class_folders(root, cat=5, dog=5))
    path = root / "cat" / "0.png"
    stat = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    while (
        path.stat().st_ctime_ns == stat.st_ctime_ns
    ):  # until the clock of the file system has ticked
        path.touch()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_folder(root).fingerprint() != first.fingerprint()


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"cat/0.png": 3}', '{"cat/0.png": [1, 2, 3, "x"]}']
)
def test_corrupt_cache_is_recomputed(damage: str, root: Path, cache: Path) -> None:
    first = open_folder(make_class_folders(root, cat=5, dog=5))
    (memory,) = (cache / "fingerprints").iterdir()
    memory.write_text(damage)
    assert open_folder(root).fingerprint() == first.fingerprint()


def test_unwritable_cache_does_not_prevent_opening(root: Path, cache: Path) -> None:
    cache.write_text("a file in place of a folder")
    assert len(open_folder(make_class_folders(root, cat=5, dog=5)).splits["train"]) == 8


def test_declared_counts_and_classes_are_checked(root: Path, cache: Path) -> None:
    make_class_folders(root, cat=10, dog=10)
    source = FolderSource(reader="folder", path=str(root))
    assert open_dataset(
        DatasetSpec(name="x", source=source, classes=2, counts={"train": 16, "test": 4}), cache
    )
    message = (
        "dataset 'x' is not as .* declares: there are 2 classes, declared 3; "
        "val holds 0 images, declared 1; test holds 4 images, declared 5"
    )
    with pytest.raises(DatasetError, match=message):
        open_dataset(
            DatasetSpec(
                name="x", source=source, classes=3, counts={"train": 16, "val": 1, "test": 5}
            ),
            cache,
        )


def test_data_flag_names_the_dataset_after_its_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_class_folders(root / "my cats", cat=1)
    monkeypatch.chdir(root / "my cats")
    assert spec_from_data_flag(".").name == spec_from_data_flag("../my cats/").name == "my_cats"
    with pytest.raises(ConfigError, match="--data 'nowhere': no such file or folder"):
        spec_from_data_flag("nowhere")
    with pytest.raises(
        ConfigError,
        match=r"expected a folder of class folders, a \.csv table or \.parquet files; got a "
        r"\.png file",
    ):
        spec_from_data_flag("cat/0.png")


def test_path_that_is_not_utf8_is_refused_with_the_remedy(root: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))
    folder.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"--data '.*caf\\\\xe9': the path is not UTF-8.* a link"):
        spec_from_data_flag(str(folder))


def test_limit_keeps_class_proportions(root: Path) -> None:
    dataset = limited(open_folder(make_class_folders(root, cat=20, dog=10)), 6)
    assert np.bincount(dataset.splits["train"].y).tolist() == [4, 2] and np.bincount(
        dataset.splits["test"].y
    ).tolist() == [4, 2]
    assert dataset.split_origin == {
        "kind": "automatic",
        "share": 0.2,
        "seed": 0,
        "limit": 6,
        "limit_seed": 0,
    }
    split = dataset.splits["test"]
    assert [xxhash.xxh3_128_hexdigest(split.read(i)) for i in range(6)] == list(split.content)


def test_limit_below_the_class_count_drops_classes(root: Path) -> None:
    dataset = limited(open_folder(make_class_folders(root, cat=10, dog=10, owl=5)), 2)
    assert set(dataset.splits["test"].y.tolist()) <= set(dataset.splits["train"].y.tolist())
    assert dataset.notes == ("classes without images within the limit of 2: 'owl'",)


def test_missing_path_is_unavailable(root: Path) -> None:
    spec = DatasetSpec(name="x", source=FolderSource(reader="folder", path=str(root)))
    assert (
        dataset_unavailable_reason(spec)
        == f"'{root}' does not exist. Correct its path in the registry."
    )
    root.mkdir()
    assert dataset_unavailable_reason(spec) is None


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "bob.datasets.availability",
            {"torch", "datasets", "pandas", "numpy", "PIL", "pyarrow"},
        ),
        ("bob.datasets.open, bob.datasets.content.images", {"torch", "datasets", "pandas"}),
    ],
)
def test_import_is_light(modules: str, heavy: set[str]) -> None:
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_a_dataset_is_shown_by_its_sizes(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "photos", train__cat=4, train__dog=3, test__cat=2, test__dog=2)
    dataset = open_dataset(spec_from_data_flag(str(tmp_path / "photos")), tmp_path / "cache")
    assert repr(dataset) == "Dataset('photos': 2 classes, train 7, test 4)"
    assert repr(dataset.splits["train"]) == "Split(7 images)"
