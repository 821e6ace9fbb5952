"""Formats of feature files: every format holds the same arrays, and unreadable files are errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from bob.errors import DatasetError
from tests.builders.feature_files import (
    IDS,
    LABELS,
    RNG,
    SPLIT,
    X,
    Y,
    compressed_npz,
    csv,
    folder_of_npy,
    npz,
    old_pth,
    parquet,
    parquet_of_lists,
    pt,
    read_file,
    safetensors,
)

FORMATS: list[Callable[..., Path]] = [
    npz,
    compressed_npz,
    folder_of_npy,
    safetensors,
    pt,
    old_pth,
    csv,
    parquet,
    parquet_of_lists,
]


@pytest.mark.parametrize("save", FORMATS, ids=lambda save: save.__name__)
def test_every_format_holds_the_same_arrays(save: Callable[..., Path], tmp_path: Path) -> None:
    file = read_file(save(tmp_path, x=X, y=Y, ids=IDS, split=SPLIT))
    (table,) = file.tables
    np.testing.assert_array_equal(table.rows(np.arange(12)), X)
    assert (table.y, table.ids, table.split) == (LABELS, tuple(IDS), tuple(SPLIT))
    assert file.notes == () and file.width == 3


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8]
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_numbers_of_every_dtype_become_float32(
    dtype: torch.dtype, suffix: str, tmp_path: Path
) -> None:
    x = (10 * torch.from_numpy(X)).to(dtype)
    arrays = {"x": x, "y": torch.from_numpy(Y)}
    path = tmp_path / f"f.{suffix}"
    save_file(arrays, path) if suffix == "safetensors" else torch.save(arrays, path)
    (table,) = read_file(path).tables
    assert table.dtype == str(dtype).removeprefix("torch.")
    rows = table.rows(np.arange(12))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, x.float().numpy())


@pytest.mark.parametrize("save", [npz, folder_of_npy], ids=lambda save: save.__name__)
def test_large_arrays_stay_in_the_file(save: Callable[..., Path], tmp_path: Path) -> None:
    x = RNG.normal(size=(3000, 100)).astype(np.float32)
    for order in ("C", "F"):
        path = save(
            tmp_path, small=np.zeros(3), x=np.asarray(x, order=order), y=np.arange(3000) % 5
        )
        (table,) = read_file(path).tables
        assert isinstance(table.x, np.memmap)
        np.testing.assert_array_equal(table.rows(np.array([2999, 0, 17])), x[[2999, 0, 17]])
        if path.is_dir():
            break


OBJECTS = np.array([{"a": 1}, None], dtype=object)


def text_file(name: str, text: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(text)
        return folder / name

    return make


def empty_folder(folder: Path) -> Path:
    (folder / "f").mkdir()
    return folder / "f"


def truncated(folder: Path) -> Path:
    path = npz(folder, x=np.zeros((3000, 100)), y=np.zeros(3000))
    path.write_bytes(path.read_bytes()[:-500])
    return path


def broken_array(folder: Path) -> Path:
    """Overwrite the header of a mapped array in an intact archive."""
    path = npz(folder, x=np.zeros((3000, 100)), y=np.zeros(3000))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(3000, 100)", b"(9000, 100)", 1))
    return path


def broken_compressed_array(folder: Path) -> Path:
    path = compressed_npz(folder, x=RNG.normal(size=(300, 100)), y=np.zeros(300))
    data = bytearray(path.read_bytes())
    data[5000:5400] = bytes(400)
    path.write_bytes(bytes(data))
    return path


def large_objects(folder: Path) -> Path:
    np.savez(folder / "f.npz", y=np.array(["x" * 10] * 200_000, dtype=object))
    return folder / "f.npz"


def objects_in_npy(folder: Path) -> Path:
    return folder_of_npy(folder, x=X, y=OBJECTS)


def module(folder: Path) -> Path:
    torch.save(torch.nn.Linear(2, 2), folder / "f.pt")
    return folder / "f.pt"


def tensor(folder: Path) -> Path:
    torch.save(torch.zeros(3), folder / "f.pt")
    return folder / "f.pt"


def bad_name(folder: Path) -> Path:
    """Write a zip whose directory says that a name is UTF-8, and it is not."""
    path = npz(folder, x=X, y=Y)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory
    data[at + 8 : at + 10] = (0x800).to_bytes(2, "little")
    data[at + 46] = 0xB0
    path.write_bytes(data)
    return path


def lists_of_different_lengths(folder: Path) -> Path:
    path = folder / "f.parquet"
    pd.DataFrame({"x": [[1.0, 2.0], [3.0, 4.0], [5.0]], "y": ["a", "b", "a"]}).to_parquet(path)
    return path


def beyond_unicode(folder: Path) -> Path:
    """Write text in which a character has a number that no character has."""
    ids = IDS.copy()
    ids.view(np.uint32)[3] = 2**32 - 1
    return npz(folder, x=X, y=Y, ids=ids)


UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "f.npz", r"f\.npz: there is no such file"),
    "another suffix": (
        text_file("f.h5", b""),
        r"must end in \.npz, .*, or be a folder with x\.npy and y\.npy; got '\.h5'",
    ),
    "an empty folder": (
        empty_folder,
        r"holds no \.npy files; a folder of features holds x\.npy and y\.npy",
    ),
    "no zip": (text_file("f.npz", b"nothing"), r"is not a complete \.npz file"),
    "truncated": (truncated, r"is not a complete \.npz file .*Was it copied in full"),
    "objects": (large_objects, "holds Python objects, which are not read"),
    "objects in .npy": (objects_in_npy, r"y\.npy: holds Python objects, which are not read"),
    "no array": (
        lambda folder: text_file("f/x.npy", b"nothing")(empty_folder(folder).parent).parent,
        r"x\.npy: is not a complete NumPy array",
    ),
    "no safetensors": (
        text_file("f.safetensors", b"nothing at all"),
        r"is not a complete \.safetensors file",
    ),
    "a module": (
        module,
        r"f\.pt: holds something other than a dict of tensors and lists of text, which is not read",
    ),
    "a tensor": (tensor, r"must hold a dict such as \{'x': tensor, 'y': tensor\}; got Tensor"),
    "a gap between feature columns": (
        text_file("f.csv", b"x0,x2,y\n1,2,a\n"),
        r"consecutive numbers \(x0, x1, \.\.\.\); got x0, x2",
    ),
    "two names of feature columns": (
        text_file("f.csv", b"x0,f1,y\n1,2,a\n"),
        r"must have one name and consecutive numbers .* got x0, f1",
    ),
    "text in a feature column": (
        text_file("f.csv", b"x0,x1,y\n1,two,a\n"),
        r"f\.csv: x1: row 0, counted from 0, must hold a number; got 'two'",
    ),
    "an empty field in a feature column": (
        text_file("f.csv", b"x0,x1,y\n1,2,a\n3,4,b\n,6,a\n"),
        r"f\.csv: x0: row 2, counted from 0, must hold a number; got ''",
    ),
    "lists of different lengths": (
        lists_of_different_lengths,
        r"x: lists must be equally long; row 0 has 2 values and row 2 has 1",
    ),
    "broken parquet": (
        text_file("f.parquet", b"PAR1" + bytes(20) + (8).to_bytes(4, "little") + b"PAR1"),
        r"f\.parquet: cannot be read",
    ),
    "a broken array": (broken_array, r"f\.npz: x: is not a complete NumPy array"),
    "a broken compressed array": (broken_compressed_array, r"f\.npz: (x: )?is not a complete"),
    "a name in no encoding": (bad_name, r"f\.npz: is damaged, or not of the format that its name"),
    "numbers that are no characters": (
        beyond_unicode,
        r"ids: is damaged: it holds the number 4,294,967,295 in place of a character",
    ),
    "no parquet": (text_file("f.parquet", b"nothing"), r"f\.parquet: cannot be read as a table"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_are_errors(name: str, tmp_path: Path) -> None:
    make, message = UNREADABLE[name]
    with pytest.raises(DatasetError, match=message):
        read_file(make(tmp_path))
