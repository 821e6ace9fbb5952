"""The report on a dataset, whose counts are those of files that each test writes."""

from pathlib import Path
from typing import Any

import pytest

from bob.datasets.conflicts import label_conflicts
from bob.datasets.content.repeats import repeats
from bob.datasets.content.sequences import Digests
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.own import spec_from_data_flag
from bob.datasets.report import data_report
from bob.leaderboards.render.data_report import report_facts
from bob.records.data_report import DataReport
from tests.builders.images import make_class_folders, png


def opened(path: Path) -> Dataset:
    return open_dataset(spec_from_data_flag(str(path)), path.parent / "cache")


def report_of(path: Path) -> DataReport:
    return data_report(opened(path), spec_from_data_flag(str(path)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return 4 + 2 cats and 3 + 2 dogs, all different."""
    folder = tmp_path / "photos"
    make_class_folders(folder, train__cat=4, train__dog=3, test__cat=2, test__dog=2)
    return folder


def test_images_classes_and_splits_are_counted(photos: Path) -> None:
    report = report_of(photos)
    assert (report.images, report.classes, report.split_source) == (11, 2, "names of folders")
    assert [(size.name, size.images) for size in report.smallest] == [("dog", 5), ("cat", 6)]
    train = report.splits["train"]
    assert train.smallest and train.largest
    assert (train.images, train.classes) == (7, 2)
    assert (train.smallest.name, train.smallest.images) == ("dog", 3)
    assert (train.largest.name, train.largest.images) == ("cat", 4)
    assert report.groups is None and not report.conflicts and not report.shared


def test_a_test_split_that_is_drawn_is_stated(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "photos", cat=10, dog=10)
    source = report_of(tmp_path / "photos").split_source
    assert source == "20% of train drawn as test, automatically (seed 0)"


def test_duplicates_and_label_conflicts_are_counted(photos: Path) -> None:
    """Three cats of train share their bytes with a dog of train, and a dog of test with another."""
    cats, dogs = photos / "train" / "cat", photos / "train" / "dog"
    same = (cats / "0.png").read_bytes()
    for path in (cats / "1.png", cats / "2.png", dogs / "0.png"):
        path.write_bytes(same)
    (photos / "test" / "dog" / "0.png").write_bytes((dogs / "1.png").read_bytes())
    dataset, report = opened(photos), report_of(photos)
    assert report.splits["train"].duplicates == 3 and report.splits["test"].duplicates == 0
    assert [(s.split, s.other, s.images) for s in report.shared] == [("test", "train", 1)]
    assert (report.conflicting_contents, report.conflicting_images) == (1, 4)
    (conflict,) = report.conflicts
    assert conflict.labels == ("cat", "dog")
    assert conflict.images == ("train/cat/0.png", "train/dog/0.png")
    assert (
        "4 images are byte-identical to images with another label, such as 'train/cat/0.png' (cat) "
        "and 'train/dog/0.png' (dog): no classifier can get all of them right"
    ) in dataset.notes


def test_a_conflict_between_splits_counts(photos: Path) -> None:
    (photos / "test" / "dog" / "0.png").write_bytes((photos / "train/cat/0.png").read_bytes())
    assert report_of(photos).conflicting_images == 2


def test_unreadable_files_of_all_splits_are_named_at_once(photos: Path) -> None:
    (photos / "train" / "cat" / "0.png").write_bytes(b"")
    (photos / "train" / "cat" / "1.png").write_bytes(b"<html>")
    (photos / "test" / "dog" / "0.png").write_bytes(png(0)[:20])
    report = report_of(photos)
    assert report.splits["train"].unreadable == ("train/cat/0.png", "train/cat/1.png")
    assert report.splits["test"].traits == {"unreadable": 1}
    assert (
        "3 files cannot be read as images (train: 'train/cat/0.png', 'train/cat/1.png'; "
        "test: 'test/dog/0.png'). Repair or remove them, or leave them out with --skip-bad-images"
    ) in opened(photos).notes


def test_files_cut_short_are_named_before_a_run(photos: Path) -> None:
    file = photos / "train" / "cat" / "0.png"
    file.write_bytes(png(0)[:-20])
    report = report_of(photos)
    assert report.splits["train"].cut == ("train/cat/0.png",)
    assert ("cut short", "train: 'train/cat/0.png'") in report_facts(report)
    assert (
        "1 file is cut short (train: 'train/cat/0.png'). Repair or remove it, or leave it out with "
        "--skip-bad-images"
    ) in opened(photos).notes


def test_files_that_are_not_read_and_groups_are_counted(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "photos", cat=4, dog=4)
    rows = [
        f"photos/{label}/{i}.png,{label},patient{i // 2}"
        for label in ("cat", "dog")
        for i in range(4)
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,group", *rows]))
    report = report_of(table)
    assert report.groups == 2 and report.largest_group and report.largest_group.images == 4
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("spotted on Monday")
    assert report_of(tmp_path / "photos").unread == {".txt": 1}


def test_a_table_of_numbers_needs_no_classes(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "photos", cat=10)
    table = tmp_path / "ages.csv"
    table.write_text("\n".join(["path,target", *(f"photos/cat/{i}.png,{i}" for i in range(10))]))
    dataset = opened(table)
    assert dataset.target == "target" and len(dataset.classes) == 1
    assert {str(name): len(split) for name, split in dataset.splits.items()} == {
        "train": 8,
        "test": 2,
    }


@pytest.mark.parametrize("packed", [True, False])
def test_repeats_compares_digests_in_full(packed: bool) -> None:
    """The first two share 8 bytes and no more; the third and the last are equal."""
    digests = ["ab" * 8 + "00" * 8, "ab" * 8 + "11" * 8, "cd" * 16, "ef" * 16, "cd" * 16]
    content: Any = Digests.of(digests, [0] * 5) if packed else digests
    assert repeats(content) == [[2, 4]]


def test_images_without_labels_do_not_conflict(photos: Path) -> None:
    assert label_conflicts([], ()) == []
