"""Tars of samples: what is read of them, what can be wrong, and datasets larger than the disk."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from bob.datasets.open import open_dataset
from bob.errors import (
    ChangedImageError,
    ConfigError,
    DatasetError,
    UnavailableError,
    UnreadableImageError,
)
from bob.specs import DatasetSpec, WebDatasetSource
from tests.builders.hub_process import run_with_hub
from tests.builders.images import POINTER, png
from tests.builders.loopback_hub import COMMIT, serving_all
from tests.builders.tars import write_tar


def samples(first: int, n: int, **others: bytes) -> list[tuple[str, bytes]]:
    """Return images a/0000.png ... of alternating classes, with the other files beside each."""
    members = []
    for i in range(first, first + n):
        files = {"png": png(i), "cls": str(i % 2).encode(), **others}
        members += [(f"a/{i:04d}.{extension}", data) for extension, data in files.items()]
    return members


def entry(folder: Path, **changes: Any) -> DatasetSpec:
    source = {
        "reader": "webdataset",
        "path": str(folder),
        "data_files": {"test": "*.tar"},
        **changes,
    }
    return DatasetSpec(name="mine", source=WebDatasetSource.model_validate(source))


def npy(*values: float) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values))
    return buffer.getvalue()


def test_images_are_read_in_place(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 5))
    write_tar(tmp_path / "1.tar", samples(5, 3))
    dataset = open_dataset(entry(tmp_path), tmp_path / "cache")
    split = dataset.splits["test"]
    assert [split.read(i) for i in range(8)] == [png(i) for i in range(8)]
    assert list(split.content) == [xxhash.xxh3_128_hexdigest(png(i)) for i in range(8)]
    assert split.ids[6] == "test/6" and split.y.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert dataset.notes == ("images are the .png files of the tars",)


def test_second_opening_reads_no_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 5))
    first = open_dataset(entry(tmp_path), tmp_path / "cache").fingerprint()
    monkeypatch.setattr("bob.datasets.readers.tars.tarfile.open", None)
    assert open_dataset(entry(tmp_path), tmp_path / "cache").fingerprint() == first


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 no archive"])
def test_damaged_index_is_rebuilt(damage: bytes, tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 5))
    first = open_dataset(entry(tmp_path), tmp_path / "cache").fingerprint()
    (index,) = (tmp_path / "cache" / "tars").iterdir()
    index.write_bytes(damage)
    assert open_dataset(entry(tmp_path), tmp_path / "cache").fingerprint() == first


def test_several_labels_and_captions_are_read(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "0.tar",
        [
            *samples(0, 1, npy=npy(0, 1, 1)),
            *samples(1, 1, npy=npy(0, 0, 0)),
            *samples(2, 1, npy=npy(1, 0, 0)),
        ],
    )
    (tmp_path / "names.txt").write_text("ape\nbear\ncat\n")
    split = open_dataset(
        entry(tmp_path, label="npy", names_file="names.txt"), tmp_path / "cache"
    ).splits["test"]
    assert split.labels is not None and split.labels.tolist() == [
        [False, True, True],
        [False] * 3,
        [True, False, False],
    ]
    assert split.y.tolist() == [1, -1, 0]
    write_tar(tmp_path / "0.tar", samples(0, 2, txt="A cat.\nA café.\n".encode()))
    split = open_dataset(entry(tmp_path, label=None, captions="txt"), tmp_path / "cache").splits[
        "test"
    ]
    assert split.captions == (("A cat.", "A café."),) * 2 and split.y.tolist() == [-1, -1]


def test_repeated_class_names_stay_two_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 4))
    (tmp_path / "names.txt").write_text("missile\nmissile\n")
    assert open_dataset(entry(tmp_path, names_file="names.txt"), tmp_path / "cache").classes == (
        "missile (0)",
        "missile (1)",
    )
    (tmp_path / "names.txt").write_text("missile\n")
    with pytest.raises(
        DatasetError,
        match=r"label '1' is not an index into the 1 names of the entry's 'names_file'",
    ):
        open_dataset(entry(tmp_path, names_file="names.txt"), tmp_path / "cache")


WRONG = [
    (
        {"label": "txt"},
        samples(0, 2),
        r"0\.tar: sample 'a/0000' has no \.txt file beside its image \(2 of 2 samples lack it\)",
    ),
    ({"image": "jpg"}, samples(0, 2), r"none of its 2 samples contains a \.jpg file"),
    ({}, [("a.cls", b"1"), ("b.cls", b"0")], "none of its 2 samples contains an image"),
    (
        {},
        [("0.png", png(0)), ("1.png", png(1)), ("0.cls", b"0"), ("1.cls", b"1")],
        "files of a sample must follow one another in the tar",
    ),
    (
        {"label": "npy"},
        samples(0, 1, npy=b"no array"),
        r"a/0000\.npy: not a NumPy array of numbers",
    ),
    (
        {"label": "npy"},
        samples(0, 1, npy=npy(0, 0.5)),
        r"must be a vector of 0 and 1, one per class; got shape \(2,\), values \[0\.0, 0\.5\]",
    ),
]


@pytest.mark.parametrize(("changes", "members", "message"), WRONG)
def test_wrong_tars_are_reported(
    changes: dict[str, Any], members: list[tuple[str, bytes]], message: str, tmp_path: Path
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(DatasetError, match=message):
        open_dataset(entry(tmp_path, **changes), tmp_path / "cache")


def pax_tar(path: Path, **headers: str) -> None:
    """Write a tar of two samples, the first image of which has these extended headers."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for i, (name, data) in enumerate(samples(0, 2)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if i == 0:
                member.pax_headers = headers
            archive.addfile(member, io.BytesIO(data))


STRANGE: list[dict[str, str]] = [
    {"size": "-512"},
    {"size": str(10**15)},
    {"GNU.sparse.map": "x"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    {"GNU.sparse.major": "9", "GNU.sparse.minor": "9", "GNU.sparse.realsize": "x"},
    {"GNU.sparse.map": "0,10,99999999999,1", "GNU.sparse.size": "7"},
]


@pytest.mark.parametrize("headers", STRANGE)
def test_strange_extended_headers_are_reported(headers: dict[str, str], tmp_path: Path) -> None:
    pax_tar(tmp_path / "0.tar", **headers)
    with pytest.raises(DatasetError, match=r"0\.tar: not a complete, uncompressed tar"):
        open_dataset(entry(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize(
    "headers", [{"comment": "x"}, {"mtime": "yesterday"}, {"uid": "x"}, {"hdrcharset": "odd"}]
)
def test_headers_that_change_no_content_are_accepted(
    headers: dict[str, str], tmp_path: Path
) -> None:
    pax_tar(tmp_path / "0.tar", **headers)
    split = open_dataset(entry(tmp_path), tmp_path / "cache").splits["test"]
    assert [split.read(i) for i in range(2)] == [png(0), png(1)]


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    """The names caf\xe9.png and caf\xe9.cls, in Latin-1."""
    with tarfile.open(tmp_path / "0.tar", "w", encoding="latin-1") as archive:
        for name, data in (("caf\xe9.png", png(0)), ("caf\xe9.cls", b"1"), ("th\xe9.cls", b"0")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    split = open_dataset(entry(tmp_path), tmp_path / "cache").splits["test"]
    assert split.read(0) == png(0) and len(set(split.content)) == 2


@pytest.mark.parametrize("column", ["label", "captions"])
def test_text_that_is_not_utf8_is_refused(column: str, tmp_path: Path) -> None:
    """The labels caf\xe9 and caf\xe8 would become one if their last bytes were replaced."""
    write_tar(tmp_path / "0.tar", samples(0, 1, txt=b"caf\xe9") + samples(1, 1, txt=b"caf\xe8"))
    changes = {"label": None, column: "txt"}
    with pytest.raises(DatasetError, match=r"0000\.txt: must be text in UTF-8; got b'caf"):
        open_dataset(entry(tmp_path, **changes), tmp_path / "cache")


def test_what_is_not_read_is_noted(tmp_path: Path) -> None:
    members = [*samples(0, 2, json=b"{}"), ("a/.hidden", b""), ("README", b"")]
    write_tar(tmp_path / "0.tar", members)
    write_tar(tmp_path / "more" / "1.tar", samples(5, 2))
    (tmp_path / "README.md").touch()
    notes = open_dataset(entry(tmp_path, data_files={"test": "0.tar"}), tmp_path / "cache").notes
    assert notes[0] == (
        "skipped files: .json (2), .md (1), file 'more/1.tar' (1), hidden (1), no extension (1)"
    )


def test_pointers_of_git_lfs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(POINTER)
    with pytest.raises(DatasetError, match=r"0\.tar: a pointer of Git LFS.*git lfs pull"):
        open_dataset(entry(tmp_path), tmp_path / "cache")


def test_list_of_names_must_be_one_file_of_text(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 2))
    for name, data in (("a.txt", b"ape\nbear"), ("b.txt", b"\xff")):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(
        DatasetError, match=r"names_file '\*\.txt' matches 2 files, such as 'a\.txt'"
    ):
        open_dataset(entry(tmp_path, names_file="*.txt"), tmp_path / "cache")
    with pytest.raises(DatasetError, match=r"b\.txt: must be text in UTF-8"):
        open_dataset(entry(tmp_path, names_file="b.txt"), tmp_path / "cache")


def test_image_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """A tar that was cut after it was indexed."""
    write_tar(tmp_path / "0.tar", samples(0, 3))
    split = open_dataset(entry(tmp_path), tmp_path / "cache").splits["test"]
    os.truncate(tmp_path / "0.tar", 520)
    with pytest.raises(ChangedImageError, match=r"sample 0 of 0\.tar is cut short: 8 of "):
        split.read(0)


def test_truncated_tar_is_reported(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", samples(0, 5))
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:700])
    with pytest.raises(
        DatasetError, match=r"0\.tar: not a complete, uncompressed tar \(.*\)\. Download it again"
    ):
        open_dataset(entry(tmp_path), tmp_path / "cache")


def test_tar_that_is_cut_between_two_members_is_reported(tmp_path: Path) -> None:
    """Its last samples would be missing, and nothing in it is damaged."""
    write_tar(tmp_path / "0.tar", samples(0, 5))
    with tarfile.open(tmp_path / "0.tar") as archive:
        cut = archive.getmembers()[6].offset
    os.truncate(tmp_path / "0.tar", cut)
    with pytest.raises(DatasetError, match=r"0\.tar: not a complete.*without a mark of its end"):
        open_dataset(entry(tmp_path), tmp_path / "cache")


def test_tar_that_is_followed_by_another_one_is_reported(tmp_path: Path) -> None:
    """`cat 0.tar 1.tar`, of which programs read the first."""
    write_tar(tmp_path / "0.tar", samples(0, 2))
    write_tar(tmp_path / "1.tar", samples(2, 2))
    both = (tmp_path / "0.tar").read_bytes() + (tmp_path / "1.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(both)
    (tmp_path / "1.tar").unlink()
    with pytest.raises(DatasetError, match=r"0\.tar: holds more data after its end, such as a sec"):
        open_dataset(entry(tmp_path), tmp_path / "cache")


def test_sample_without_an_image_is_an_unreadable_image(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [*samples(0, 2), ("a/0007.cls", b"1")])
    split = open_dataset(entry(tmp_path), tmp_path / "cache").splits["test"]
    with pytest.raises(UnreadableImageError, match=r"sample 2 of 0\.tar has no \.png file"):
        split.read(2)


def test_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"dataset 'mine' \(.*nowhere\): '.*nowhere' does not exist"
    ):
        open_dataset(entry(tmp_path / "nowhere"), tmp_path / "cache")


STREAM = """
import pathlib, sys
from bob.datasets.open import open_dataset
from bob.specs import DatasetSpec

cache = pathlib.Path(sys.argv[1])
peak = 0
split = open_dataset(DatasetSpec.model_validate_json(sys.argv[2]), cache).splits["test"]
for i in range(len(split)):
    data = split.read(i)
    peak = max(peak, sum(path.stat().st_size for path in cache.rglob("*.tar")))
    assert data[:4] == bytes.fromhex("89504e47")
print(len(split), peak, split.images_fingerprint)
"""


def test_dataset_larger_than_the_disk_limit_streams(tmp_path: Path) -> None:
    """Six tars of 20 kB; at most 50 kB are kept, so two at a time.

    The images are the same as with all tars kept.
    """
    for t in range(6):
        write_tar(tmp_path / "made" / f"{t}.tar", samples(10 * t, 9))
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    size = len(files["0.tar"])
    spec = DatasetSpec(
        name="mine",
        source=WebDatasetSource(
            reader="webdataset", hub="owner/Tars", revision=COMMIT, data_files={"test": "*.tar"}
        ),
    )
    outputs = []
    with serving_all({"owner/Tars": files}) as address:
        for folder, limit in (("kept", ""), ("streamed", str(2.5 * size / 1e9))):
            (line,) = run_with_hub(
                STREAM,
                address,
                tmp_path / "home",
                str(tmp_path / folder),
                spec.model_dump_json(),
                BOB_SHARDS_GB=limit,
            )
            outputs.append(line.split())
    (kept_count, _, kept_fingerprint), (count, peak, fingerprint) = outputs
    assert kept_count == count == "54" and kept_fingerprint == fingerprint
    assert int(peak) == 2 * size


@pytest.mark.parametrize("limit", ["much", "inf", "nan"])
def test_disk_limit_must_be_a_finite_number(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOB_SHARDS_GB", limit)
    with pytest.raises(
        ConfigError, match=f"BOB_SHARDS_GB must be a number of gigabytes; got '{limit}'"
    ):
        open_dataset(entry(tmp_path), tmp_path / "cache")
