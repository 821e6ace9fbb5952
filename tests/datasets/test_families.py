"""Families that hold out one domain, label sets as shifts, and datasets without a train split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bob.datasets import open as opening
from bob.datasets.dataset import Dataset
from bob.datasets.limit import limited
from bob.datasets.listing import ImageListing
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError
from bob.specs import DatasetSpec, FolderSource, ShiftSpec, TableSource
from bob.specs.yaml import build
from tests.builders.images import make_class_folders, png


def domains(root: Path, cache: Path, left_out: str) -> Dataset:
    """Open a dataset of ten dogs and ten elephants in three styles, one of them held out."""
    if not root.exists():
        for domain in ("photo", "sketch", "cartoon"):
            for c, animal in enumerate(("dog", "elephant")):
                make_class_folders(root / domain, **{f"{animal}": 10})
                for i, path in enumerate(sorted((root / domain / animal).iterdir())):
                    path.write_bytes(path.read_bytes() + f"{domain} {c} {i}".encode())
    source = FolderSource(reader="folder", path=str(root), levels=("domain",))
    return open_dataset(
        DatasetSpec(
            name=left_out, source=source, leave_out={"domain": (left_out,)}, classes=2, images=60
        ),
        cache,
    )


def test_one_domain_is_held_out(tmp_path: Path, cache: Path) -> None:
    """40 images of two domains are split 32/8 by class; all 20 of the third are the shift."""
    dataset = domains(tmp_path / "pacs", cache, "photo")
    shift = dataset.shifts["photo"]
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 32,
        "test": 8,
    } and len(shift.split) == 20
    assert (
        set(shift.split.attributes["domain"]) == {"photo"}
        and shift.kind == "shift"
        and shift.classes is None
    )
    assert {
        domain for split in dataset.splits.values() for domain in split.attributes["domain"]
    } == {"sketch", "cartoon"}
    assert dataset.split_origin == {
        "kind": "automatic",
        "share": 0.2,
        "seed": 0,
        "left_out": "photo",
    }


def test_datasets_that_shift_each_other_are_read_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two datasets are opened, each with the other as its shift; a shift adds no image of its own.

    An entry that has changed is read again.
    """
    make_class_folders(tmp_path / "a", cat=5, dog=5)
    make_class_folders(tmp_path / "b", cat=5, dog=5)
    other = {"a": "b", "b": "a"}
    entries = {
        name: DatasetSpec(
            name=name,
            source=FolderSource(reader="folder", path=str(tmp_path / name)),
            shifts={"other": ShiftSpec(dataset=other[name], split="test")},
        )
        for name in other
    }
    expected = [open_dataset(spec, cache, entries=entries) for spec in entries.values()]
    listed: list[str] = []
    listing = opening._listing

    def counted(spec: DatasetSpec, cache: Path, offline: bool) -> ImageListing:
        listed.append(spec.name)
        return listing(spec, cache, offline)

    monkeypatch.setattr(opening, "_listing", counted)
    read: opening.ReadDatasets = {}
    opened = [open_dataset(spec, cache, entries=entries, read=read) for spec in entries.values()]
    assert listed == ["a", "b"]
    assert [each.fingerprint() for each in opened] == [each.fingerprint() for each in expected]
    changed = entries["a"].model_copy(
        update={"source": FolderSource(reader="folder", path=str(tmp_path / "b")), "shifts": {}}
    )
    assert open_dataset(changed, cache, read=read).fingerprint() != opened[0].fingerprint()
    assert listed == ["a", "b", "a"]


def test_family_shares_the_rows_of_the_parent_split(tmp_path: Path, cache: Path) -> None:
    """All splits and shifts are views of the same 60 images, which are embedded once in total."""
    members = [domains(tmp_path / "pacs", cache, left_out) for left_out in ("photo", "sketch")]
    views = [
        split
        for one in members
        for split in (*one.splits.values(), *(shift.split for shift in one.shifts.values()))
    ]
    wholes = {
        (view.origin.name, view.origin.split.images_fingerprint, len(view.origin.split))
        for view in views
        if view.origin
    }
    assert len(views) == 6 and len(wholes) == 1 and next(iter(wholes))[2] == 60
    for view in views:
        assert view.origin is not None and [
            view.origin.split.content[p] for p in view.origin.positions
        ] == list(view.content)
        assert view.read(3) == view.origin.split.read(int(view.origin.positions[3]))
    assert members[0].fingerprint() != members[1].fingerprint()


def test_wrong_leave_out_is_reported(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(
        DatasetError,
        match=r"leave_out \{'domain': \('painting',\)\} leaves out no images\. There are: "
        r"domain cartoon, photo, sketch",
    ):
        domains(tmp_path / "pacs", cache, "painting")
    (tmp_path / "pacs" / "table.csv").write_text(
        "path,label,domain\n" + "photo/dog/0.png,dog,photo\nphoto/elephant/0.png,elephant,photo\n"
    )
    table = TableSource(reader="table", path=str(tmp_path / "pacs" / "table.csv"))
    with pytest.raises(
        DatasetError,
        match=r"leave_out names the attribute 'style', which images do not have\. Known: domain",
    ):
        open_dataset(DatasetSpec(name="x", source=table, leave_out={"style": ("photo",)}), cache)
    source = FolderSource(reader="folder", path=str(tmp_path / "pacs"), levels=("domain",))
    with pytest.raises(DatasetError, match="there are 60 images, declared 61"):
        open_dataset(
            DatasetSpec(name="x", source=source, leave_out={"domain": ("photo",)}, images=61), cache
        )


def patients(root: Path, scanners: dict[str, str], **changes: Any) -> DatasetSpec:
    """Return an entry of patients with two images of each class on each of their scanners."""
    rows, n = ["path,label,group,scanner"], 0
    root.mkdir(parents=True)
    for patient, used in scanners.items():
        for scanner in used:
            for label in ("ill", "well"):
                for _ in range(2):
                    (root / f"{n}.png").write_bytes(png(n))
                    rows.append(f"{n}.png,{label},{patient},{scanner}")
                    n += 1
    (root / "table.csv").write_text("\n".join(rows))
    source = TableSource(reader="table", path=str(root / "table.csv"))
    return DatasetSpec(name="x", source=source, leave_out={"scanner": ("B",)}, **changes)


def test_groups_of_a_shift_are_not_in_train(tmp_path: Path, cache: Path) -> None:
    """Patients 1 and 2 were on both scanners: their images of A are in test, not in train.

    Of 10 patients on A with 4 images each, 40 in all, the target is 8: those of 1 and 2.
    """
    spec = patients(tmp_path / "p", {"1": "AB", "2": "AB", **dict.fromkeys("34567890", "A")})
    dataset = open_dataset(spec, cache)
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert set(dataset.shifts["B"].split.groups or ()) == {"1", "2"} == set(test.groups or ())
    assert len(train) == 32 and len(test) == 8
    assert "8 images are in test because the shift 'B' has images of their groups too" in " ".join(
        dataset.notes
    )


def test_groups_of_a_shift_may_exceed_the_test_share(tmp_path: Path, cache: Path) -> None:
    """Three of four patients were on both scanners; only the fourth can be trained on."""
    spec = patients(tmp_path / "p", {"1": "AB", "2": "AB", "3": "AB", "4": "A"})
    dataset = open_dataset(spec, cache)
    assert set(dataset.splits["train"].groups or ()) == {"4"}
    assert len(dataset.splits["test"]) == 12


def test_shift_of_all_groups_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"every group has images that leave_out .* leaves out"):
        open_dataset(patients(tmp_path / "p", dict.fromkeys("1234", "AB")), cache)


def test_splits_that_leave_out_replaces_are_noted(tmp_path: Path, cache: Path) -> None:
    spec = patients(tmp_path / "p", {"1": "A", "2": "B", "3": "A"})
    table = Path(str(spec.source.path))  # type: ignore[union-attr]
    rows = [f"{row},train" for row in table.read_text().split("\n")]
    rows[0], rows[1] = "path,label,group,scanner,split", rows[1].replace("train", "test")
    table.write_text("\n".join(rows))
    notes = open_dataset(spec, cache).notes
    assert "the given splits (test) are not used: leave_out splits all images" in notes


def test_overlap_of_a_shift_and_train_is_noted(tmp_path: Path, cache: Path) -> None:
    """A shift from another entry shares an image and a patient with train."""
    for name, first in (("a", 0), ("b", 7)):
        (tmp_path / name).mkdir()
        rows = ["path,label,group,split"]
        for i in range(8):
            (tmp_path / name / f"{i}.png").write_bytes(png(first + i))
            rows.append(f"{i}.png,{i % 2},p{first + i},{'train' if i % 8 < 4 else 'test'}")
        (tmp_path / name / "t.csv").write_text("\n".join(rows))
    table = tmp_path / "b" / "t.csv"
    table.write_text(table.read_text().replace("4.png,0,p11", "4.png,0,p1"))
    (tmp_path / "b" / "5.png").write_bytes(png(2))
    entries = {
        name: DatasetSpec(
            name=name, source=TableSource(reader="table", path=str(tmp_path / name / "t.csv"))
        )
        for name in "ab"
    }
    spec = entries["a"].model_copy(update={"shifts": {"b": ShiftSpec(dataset="b")}})
    assert open_dataset(spec, cache, entries=entries).notes == (
        "1 image of the shift 'b' is byte-identical to images of train",
        "1 group has images in both the shift 'b' and train",
    )


def test_attribute_of_a_worst_group_score_must_exist(tmp_path: Path, cache: Path) -> None:
    """The attributes of a table are known only when it is opened."""
    make_class_folders(tmp_path / "p", cat=4, dog=4)
    rows = [
        f"{label}/{i}.png,{label},{'train' if i else 'test'},north"
        for label in ("cat", "dog")
        for i in range(4)
    ]
    (tmp_path / "p" / "table.csv").write_text("\n".join(["path,label,split,region", *rows]))
    source = TableSource(reader="table", path=str(tmp_path / "p" / "table.csv"))
    assert (
        open_dataset(DatasetSpec(name="x", source=source, worst_group="region"), cache).worst_group
        == "region"
    )
    message = (
        "worst_group names 'regoin', which images of train do not have; "
        "did you mean 'region'. Known: region"
    )
    with pytest.raises(DatasetError, match=message):
        open_dataset(DatasetSpec(name="x", source=source, worst_group="regoin"), cache)


WRONG = [
    ({"metric": "wurst_group"}, "metric must be one of 'top1', .*; got 'wurst_group'"),
    (
        {"worst_group": "region"},
        "worst_group names the attribute 'region', which the source does not provide; "
        "available attributes: none",
    ),
    (
        {"where": {"x": ["a"]}, "source": {"reader": "cifar_c", "path": "p"}},
        "where names the attribute 'x', .*; available attributes: corruption, severity",
    ),
    (
        {
            "leave_out": {"style": ["a"]},
            "source": {
                "reader": "huggingface",
                "hub": "a/b",
                "image": "i",
                "splits": {"train": "t"},
                "attributes": {"s": "s"},
            },
        },
        "leave_out names the attribute 'style', which the source does not provide; available "
        "attributes: s",
    ),
    (
        {"kind": "retrieval", "metric": "top1"},
        "metric must be one of hit_at, mean_ap, mean_ap_trapezoid, mean_ap_at, gap for kind "
        "'retrieval'; got 'top1'",
    ),
    (
        {"class_range": [5, 5]},
        r"class_range must be \[first, end\] with 0 <= first < end; got \[5, 5\]",
    ),
    (
        {
            "leave_out": {"d": ["photo"]},
            "counts": {"train": 3},
            "source": {"reader": "table", "path": "p"},
        },
        "leave_out cannot be combined with 'counts'.*; declare the total number of images as "
        "'images'",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_contradictory_entries_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(
            DatasetSpec,
            {"name": "x", "source": {"reader": "folder", "path": "p"}, **changes},
            "here",
        )


PLACES = [
    ({"hub": "a/b", "path": "c"}, "needs exactly one of hub, path; got both"),
    ({}, "needs exactly one of hub, path; got neither"),
    (
        {"hub": "a/b", "revision": "0" * 40, "revision_prefix": "0" * 7},
        "needs at most one of revision, revision_prefix; got both",
    ),
    ({"hub": "a/b", "revision_prefix": "xyz"}, "revision_prefix"),
]


@pytest.mark.parametrize(("place", "message"), PLACES)
def test_repository_has_exactly_one_location(place: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(
            DatasetSpec,
            {
                "name": "x",
                "source": {"reader": "webdataset", "data_files": {"test": "*.tar"}, **place},
            },
            "here",
        )


def labelled(folder: Path, rows: str) -> DatasetSpec:
    make_class_folders(folder, cat=4, dog=4)
    (folder / "table.csv").write_text("path,label,split\n" + rows)
    source = TableSource(reader="table", path=str(folder / "table.csv"), label_separator="|")
    return DatasetSpec(name="several", source=source, kind="multi-label")


ROWS = (
    "cat/0.png,cat|pet,train\ncat/1.png,,train\ndog/0.png,dog|pet,train\ndog/1.png,pet | dog,test\n"
)


def test_table_with_several_labels_per_image(tmp_path: Path, cache: Path) -> None:
    dataset = open_dataset(labelled(tmp_path / "p", ROWS), cache)
    assert dataset.classes == ("cat", "dog", "pet")
    assert dataset.splits["train"].labels is not None and dataset.splits["test"].labels is not None
    assert dataset.splits["train"].labels.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 1]]
    assert dataset.splits["train"].y.tolist() == [0, -1, 1] and dataset.splits[
        "test"
    ].labels.astype(int).tolist() == [[0, 1, 1]]
    small = limited(dataset, 1)
    assert {name: len(split) for name, split in small.splits.items()} == {"train": 1, "test": 1}, (
        "no class leaves a set of labels"
    )
    with pytest.raises(
        DatasetError,
        match="has no test split, and none can be sampled from images without one label each",
    ):
        open_dataset(labelled(tmp_path / "q", ROWS.replace("test", "train")), cache)


def test_registered_dataset_may_lack_train_images(tmp_path: Path, cache: Path) -> None:
    """A registered dataset may have no train split; in your own folder, this is a mistake."""
    make_class_folders(tmp_path / "p", test__cat=3, test__dog=2)
    source = FolderSource(reader="folder", path=str(tmp_path / "p"), splits={"test": "test"})
    dataset = open_dataset(DatasetSpec(name="x", source=source), cache)
    assert list(dataset.splits) == ["test"] and np.bincount(dataset.splits["test"].y).tolist() == [
        3,
        2,
    ]
    assert len(limited(dataset, 2).splits["test"]) == 2
    with pytest.raises(DatasetError, match="holds test images and no train images"):
        open_dataset(spec_from_data_flag(str(tmp_path / "p")), cache)


def test_label_sets_of_a_shift_use_the_classes_of_the_dataset(tmp_path: Path, cache: Path) -> None:
    """The shift's classes are cat, dog, pet; those of the dataset are dog, owl, pet, cat.

    This is the case of ReaL as a shift of ImageNet.
    """
    make_class_folders(tmp_path / "home", dog=5, owl=5, pet=5, cat=5)
    entries = {"several": labelled(tmp_path / "p", ROWS)}
    names = ("dog", "owl", "pet", "cat")
    home = DatasetSpec.model_validate(
        {
            "name": "home",
            "source": FolderSource(reader="folder", path=str(tmp_path / "home")),
            "class_names": names,
            "shifts": {"several": {"dataset": "several"}},
        }
    )
    shift = open_dataset(home, cache, entries=entries).shifts["several"]
    assert shift.split.labels is not None and shift.split.labels.astype(int).tolist() == [
        [1, 0, 1, 0]
    ]
    assert shift.classes == (0, 2, 3) and shift.split.y.tolist() == [0]
