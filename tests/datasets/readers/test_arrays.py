"""MedMNIST's npz and CIFAR-C's npy files, made on the fly as their authors write them."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bob.datasets.open import open_dataset
from bob.errors import DatasetError, UnavailableError
from bob.specs import ArraysSource, DatasetSpec
from tests.builders.images import POINTER

SIZES = {"train": 6, "val": 3, "test": 4}


def arrays(columns: int = 1, colour: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    members: dict[str, Any] = {}
    for role, n in SIZES.items():
        members[f"{role}_images"] = rng.integers(
            0, 256, (n, 8, 8, 3) if colour else (n, 8, 8), dtype=np.uint8
        )
        members[f"{role}_labels"] = (
            np.arange(n)[:, None] % 3 if columns == 1 else rng.integers(0, 2, (n, columns))
        ).astype(np.uint8)
    return members


def entry(path: Path, reader: str = "medmnist", **changes: Any) -> DatasetSpec:
    return DatasetSpec(
        name="x",
        source=ArraysSource.model_validate({"reader": reader, "path": str(path)}),
        **changes,
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("colour", [True, False])
def test_medmnist_is_read(save: Any, colour: bool, tmp_path: Path) -> None:
    members = arrays(colour=colour)
    save(tmp_path / "x.npz", **members)
    dataset = open_dataset(
        entry(tmp_path / "x.npz", class_names=("kidney", "liver", "bone"), counts=SIZES),
        tmp_path / "cache",
    )
    assert dataset.classes == ("kidney", "liver", "bone") and dataset.split_origin == {
        "kind": "official"
    }
    for role in SIZES:
        split = dataset.splits[role]
        assert split.y.tolist() == members[f"{role}_labels"][:, 0].tolist()
        for i in range(len(split)):
            np.testing.assert_array_equal(
                np.asarray(Image.open(io.BytesIO(split.read(i)))), members[f"{role}_images"][i]
            )


def test_several_label_columns_are_indicators(tmp_path: Path) -> None:
    """Five columns are class indicators; `y` is the first class, or -1 if there is none."""
    members = arrays(columns=5)
    members["test_labels"][:] = [[0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]
    np.savez(tmp_path / "x.npz", **members)
    test = open_dataset(
        entry(tmp_path / "x.npz", kind="multi-label", class_names=tuple("abcde")),
        tmp_path / "cache",
    ).splits["test"]
    assert (
        test.labels is not None
        and test.labels.astype(int).tolist() == members["test_labels"].tolist()
    )
    assert test.y.tolist() == [-1, 1, 0, 4]


def test_second_opening_hashes_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", **arrays())
    first = open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache")
    monkeypatch.setattr("bob.datasets.readers.arrays.content_digest", None)
    assert (
        open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache").fingerprint()
        == first.fingerprint()
    )
    assert len({digest for split in first.splits.values() for digest in split.content}) == sum(
        SIZES.values()
    )


def test_wrong_npz_is_reported(tmp_path: Path) -> None:
    members = arrays()
    np.savez(tmp_path / "short.npz", **{**members, "val_labels": members["val_labels"][:2]})
    with pytest.raises(
        DatasetError,
        match=r"val_labels must hold one row per image; got val_images of shape \(3, 8, 8, "
        r"3\) and val_labels of shape \(2, 1\)",
    ):
        open_dataset(entry(tmp_path / "short.npz"), tmp_path)
    np.savez(tmp_path / "bare.npz", train_images=members["train_images"])
    with pytest.raises(DatasetError, match="no array 'val_images'; a MedMNIST file holds"):
        open_dataset(entry(tmp_path / "bare.npz"), tmp_path)
    np.savez(tmp_path / "float.npz", **{**members, "train_images": members["train_images"] / 255})
    with pytest.raises(
        DatasetError, match=r"float\.npz': images must be uint8 of shape .*; got float64"
    ):
        open_dataset(entry(tmp_path / "float.npz"), tmp_path)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "short.npz").read_bytes()[:500])
    with pytest.raises(
        DatasetError, match=r"cannot be read as an npz of NumPy arrays .* Download it again"
    ):
        open_dataset(entry(tmp_path / "cut.npz"), tmp_path)


def with_labels(path: Path, values: Any) -> DatasetSpec:
    """Write an npz whose train labels are these, and return its entry."""
    members = arrays()
    np.savez(path, **{**members, "train_labels": np.array(values)})
    return entry(path)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([[0], [1], [2], [0], [1], [2]], ("0", "1", "2")),
        ([0.0, 1.0, 2.0, 0.0, 1.0, 2.0], ("0", "1", "2")),
        (["0", "1", "2", "0", "1", "2"], ("0", "1", "2")),
        ([b"0", b"1", b"2", b"0", "cafe\u0301".encode(), b"2"], ("0", "1", "2", "cafe\u0301")),
    ],
)
def test_labels_of_any_type_are_text(values: Any, classes: tuple[str, ...], tmp_path: Path) -> None:
    """The other splits have the labels 0, 1 and 2 as numbers."""
    assert open_dataset(with_labels(tmp_path / "x.npz", values), tmp_path).classes == classes


WRONG_LABELS: list[tuple[Any, str]] = [
    ([0, 1, np.nan, 0, np.nan, 2], r"train_labels: 2 of 6 labels are missing \(NaN\), .* row 2"),
    ([0, 1, 1.7, 0, 1, 2], r"must be whole numbers or text; got float64 with the value .*1\.7"),
    (
        [b"caf\xe9", b"b", b"c", b"d", b"e", b"f"],
        r"bytes must be text in UTF-8; got b'caf\\xe9'. Decode them .*'latin-1'",
    ),
    (["a", "", "b", " ", "c", "d"], r"2 of 6 labels are empty, such as that of row 1"),
    ([1j] * 6, "must be whole numbers or text; got complex128"),
    (np.zeros((6, 1, 1), np.uint8), r"one row per image; got .* train_labels of shape \(6, 1, 1\)"),
    (np.zeros((6, 3), np.uint8), "must have one number of columns; got {'train': 3, 'val': 1"),
]


@pytest.mark.parametrize(("values", "message"), WRONG_LABELS)
def test_wrong_labels_are_refused(values: Any, message: str, tmp_path: Path) -> None:
    spec = with_labels(tmp_path / "x.npz", values)
    with pytest.raises(DatasetError, match=message):
        open_dataset(spec, tmp_path / "cache")


def test_indicators_other_than_0_and_1_are_refused(tmp_path: Path) -> None:
    """CheXpert marks uncertain labels by -1, which are not positive."""
    members = arrays(columns=3)
    labels = members["train_labels"].astype(np.int8)
    labels[2, 1] = -1
    np.savez(tmp_path / "x.npz", **{**members, "train_labels": labels})
    with pytest.raises(DatasetError, match=r"train_labels: labels of several columns must be 0 or"):
        open_dataset(entry(tmp_path / "x.npz"), tmp_path)


def test_other_arrays_are_noted(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays(), masks=np.zeros(3))
    dataset = open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache")
    assert dataset.notes == ("skipped files: array 'masks' (1)",)


@pytest.mark.parametrize("shape", [(6, 8, 8, 8), (6, 8, 8, 2), (6, 0, 8)])
def test_arrays_that_are_no_images_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{**arrays(), "train_images": np.zeros(shape, np.uint8)})
    with pytest.raises(DatasetError, match=r"images must be uint8 of shape \(N, H, W\)"):
        open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache")


def test_one_channel_is_grey(tmp_path: Path) -> None:
    members = arrays(colour=False)
    with_channel = {name: v[..., None] if "images" in name else v for name, v in members.items()}
    np.savez(tmp_path / "x.npz", **with_channel)
    split = open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache").splits["train"]
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(split.read(3)))), members["train_images"][3]
    )


def damaged(data: bytes, kind: str) -> bytes:
    """Return an npz with another compression method (99), encrypted, or with wrong bytes.

    The flags and the method of a member are at 6 and 8 in its local header, and at 8 and 10 in the
    directory (PKWARE's APPNOTE, 4.3.7 and 4.3.12).
    """
    changed = bytearray(data)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(signature)
        while place >= 0:
            if kind == "method":
                changed[place + flags + 2] = 99
            elif kind == "encrypted":
                changed[place + flags] |= 1
            place = changed.find(signature, place + 4)
    if kind == "bytes":
        changed[60:200] = bytes(140)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["method", "encrypted", "bytes"])
def test_npz_that_cannot_be_unpacked_is_reported(kind: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", **arrays())
    (tmp_path / "x.npz").write_bytes(damaged((tmp_path / "x.npz").read_bytes(), kind))
    with pytest.raises(DatasetError, match="cannot be read as an npz of NumPy arrays"):
        open_dataset(entry(tmp_path / "x.npz"), tmp_path / "cache")


def test_pointers_of_git_lfs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(POINTER)
    with pytest.raises(DatasetError, match="pointer of Git LFS"):
        open_dataset(entry(tmp_path / "x.npz"), tmp_path)
    (tmp_path / "labels.npy").write_bytes(POINTER)
    (tmp_path / "fog.npy").write_bytes(POINTER)
    with pytest.raises(DatasetError, match=r"labels\.npy' is a pointer of Git LFS"):
        open_dataset(entry(tmp_path, "cifar_c"), tmp_path)


def test_damaged_npy_is_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros(10, int))
    (tmp_path / "fog.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(DatasetError, match=r"fog\.npy': cannot be read as a NumPy array"):
        open_dataset(entry(tmp_path, "cifar_c"), tmp_path)


def test_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train_images.npy", buffer.getvalue())
    with pytest.raises(DatasetError, match="it holds Python objects, which are not read"):
        open_dataset(entry(tmp_path / "x.npz"), tmp_path)


def test_missing_file_error_says_how_to_get_it(tmp_path: Path) -> None:
    spec = entry(tmp_path / "x.npz", obtain="Get it from the archive.")
    with pytest.raises(
        UnavailableError,
        match=r"dataset 'x': '.*x\.npz' does not exist\. Get it from the archive\.",
    ):
        open_dataset(spec, tmp_path)


def test_cifar_c_is_read(tmp_path: Path) -> None:
    """Ten images of two classes at five severities: the first ten rows have severity 1."""
    pixels = {
        name: np.random.default_rng(i).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
        for i, name in enumerate(("fog", "snow"))
    }
    for name, values in pixels.items():
        np.save(tmp_path / f"{name}.npy", values)
    np.save(tmp_path / "labels.npy", np.tile(np.arange(10) % 2, 5))
    test = open_dataset(
        entry(tmp_path, "cifar_c", class_names=("airplane", "bird")), tmp_path / "cache"
    ).splits["test"]
    assert test.attributes["corruption"] == ("fog",) * 50 + ("snow",) * 50
    assert (
        test.attributes["severity"]
        == tuple("1" * 10 + "2" * 10 + "3" * 10 + "4" * 10 + "5" * 10) * 2
    )
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(test.read(73)))), pixels["snow"][23]
    )
    np.save(tmp_path / "labels.npy", np.zeros(10))
    with pytest.raises(
        DatasetError,
        match=r"fog\.npy must hold one image per label in labels\.npy; got 50 images and 10 labels",
    ):
        open_dataset(entry(tmp_path, "cifar_c"), tmp_path / "cache")
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(
        DatasetError,
        match=r"must contain labels\.npy and one file per corruption, such as fog\.npy",
    ):
        open_dataset(entry(tmp_path, "cifar_c"), tmp_path / "cache")
