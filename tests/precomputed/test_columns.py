"""Arrays of feature files: what their names mean, labels as text, and errors with a remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bob.errors import DatasetError
from bob.precomputed.columns import read_feature_file
from bob.precomputed.own_dataset import file_examples
from tests.builders.feature_files import IDS, LABELS, SPLIT, X, Y, npz, parquet, read_file

ALIASES = [
    ("x", "y"),
    ("X", "Y"),
    ("features", "labels"),
    ("embeddings", "targets"),
    ("embedding", "label"),
    ("feats", "target"),
]


@pytest.mark.parametrize("names", ALIASES)
def test_arrays_have_alternative_names_and_unknown_ones_are_noted(
    names: tuple[str, str], tmp_path: Path
) -> None:
    x, y = names
    file = read_file(npz(tmp_path, **{x: X, y: Y, "image_ids": IDS, "logits": X, "epoch": 3}))
    assert file.tables[0].y == LABELS and file.has_ids
    assert file.notes == (
        f"{tmp_path / 'f.npz'}: ignored, because the names are unknown: logits (12, 3), epoch ()",
    )


LABEL_FORMS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "text": ({"y": np.array(["cat", "dog", "cat"])}, ("cat", "dog", "cat")),
    "bytes": ({"y": np.array([b"cat", b"dog", b"cat"])}, ("cat", "dog", "cat")),
    "one column": ({"y": np.array([[4], [7], [4]])}, ("4", "7", "4")),
    "whole floats": ({"y": np.array([4.0, 7.0, 4.0])}, ("4", "7", "4")),
    "true and false": ({"y": np.array([True, False, True])}, ("True", "False", "True")),
    "names": (
        {"y": np.array([1, 0, 1]), "classes": np.array(["dog", "cat"])},
        ("cat", "dog", "cat"),
    ),
    "text among names": (
        {"y": np.array(["cat", "dog", "cat"]), "classes": np.array(["dog", "cat"])},
        ("cat", "dog", "cat"),
    ),
}


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_labels_become_text(form: str, tmp_path: Path) -> None:
    arrays, expected = LABEL_FORMS[form]
    file = read_file(npz(tmp_path, x=X[:3], **arrays))
    assert file.tables[0].y == expected
    if "classes" in arrays:
        assert file_examples(file, "mine").dataset.classes == ("dog", "cat")


def changed(**arrays: Any) -> dict[str, Any]:
    return {"x": X, "y": Y} | arrays


def with_nan(at: int) -> np.ndarray:
    x = X.copy()
    x[at] = np.nan
    return x


@pytest.mark.parametrize("column", ["y", "groups"])
@pytest.mark.parametrize(
    "values", [["a", None] * 6, [1, None] * 6, [True, None] * 6, [np.nan, "b"] * 6]
)
def test_null_values_of_a_table_are_refused(column: str, values: list[Any], tmp_path: Path) -> None:
    """A null is no class called None or nan."""
    columns = {"y": Y, "ids": IDS, column: pd.array(values, dtype=object)}
    parquet(tmp_path, x=X, **columns)
    if values[:2] == [1, None] and column == "groups":
        columns[column] = pd.array(values, dtype="Int64")
        parquet(tmp_path, x=X, **columns)
    missing = "rows 0, 2, 4" if values[1] == "b" else "rows 1, 3, 5"
    with pytest.raises(DatasetError, match=rf"{column}: 6 of 12 are missing .*: {missing}"):
        read_file(tmp_path / "f.parquet")


def test_nulls_in_columns_that_are_not_read_are_no_matter(tmp_path: Path) -> None:
    path = parquet(tmp_path, x=X, y=Y, ids=IDS, comment=pd.array(["x", None] * 6, dtype=object))
    assert read_file(path).tables[0].y == LABELS


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, x=X[:2], y=np.array([b"caf\xe9", b"th\xe9"]))
    with pytest.raises(DatasetError, match=r"y: bytes must be text in UTF-8; got b'caf.*latin-1"):
        read_file(path)


def test_labels_called_nan_are_noted(tmp_path: Path) -> None:
    file = read_file(npz(tmp_path, x=X[:4], y=np.array(["a", "nan", "a", "nan"]), ids=IDS[:4]))
    (note,) = file_examples(file, "mine").dataset.notes
    assert note.startswith("2 images have the label 'nan', which looks like a missing value")


OBJECTS = np.array([{"a": 1}, None], dtype=object)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no features": (
        {"y": Y},
        r"holds no features: an array 'x' of shape \(N, D\), .* It holds: y \(12,\)",
    ),
    "two of a kind": (changed(features=X), r"'x' and 'features' can each be x; rename one"),
    "two of a split": (
        {"x_train": X, "train_x": X, "y_train": Y},
        r"'x_train' and 'train_x' can each be x_train",
    ),
    "with and without": (
        changed(x_test=X),
        "holds features both with and without the name of a split",
    ),
    "stray": (
        {"x_train": X, "y_train": Y, "y_test": Y},
        "y_test belongs to no features; the file holds x_train",
    ),
    "flat": (
        changed(x=X[0]),
        r"f\.npz: x: must be of shape \(N, D\) with N and D at least 1; got \(3,\)",
    ),
    "empty split": (
        {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]},
        r"x_test: must be of shape \(N, D\) with N and D at least 1; got \(0, 3\)",
    ),
    "tokens": (
        changed(x=X.reshape(12, 3, 1)),
        r"got \(12, 3, 1\)\. Pool tokens or positions to one row per example first",
    ),
    "text features": (changed(x=X.astype(str)), "x: must hold numbers; got <U32"),
    "raw bytes": (
        changed(x=X.view("V4")),
        r"x: holds raw bytes \(\|V4\), perhaps bfloat16, .* Save float32, \.safetensors or \.pt",
    ),
    "nan": (
        changed(x=with_nan(5)),
        r"x: 1 of 12 rows hold NaN, infinity or numbers beyond float32: rows 5, counted from 0",
    ),
    "infinite": (
        changed(x=np.where(Y[:, None] == 1, np.inf, X)),
        "4 of 12 rows hold NaN, .*: rows 1, 4, 7, 10, counted",
    ),
    "beyond": (
        changed(x=X.astype(np.float64) * 1e300),
        "12 of 12 rows hold NaN, infinity or numbers beyond float32: rows 0, 1, 2, 3, 4 and so on",
    ),
    "lengths": (changed(y=Y[:5]), "x has 12 rows and y has 5; there must be one value per row"),
    "lengths of a split": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]},
        "x_test has 12 rows and y_test has 3",
    ),
    "one-hot": (
        changed(y=np.eye(3)[Y]),
        r"y: is one-hot, of shape \(12, 3\); give the class of each row, np\.argmax\(y, axis=1\)",
    ),
    "several labels": (
        changed(y=np.ones((12, 3), int)),
        r"y: must be of shape \(N,\); got \(12, 3\): several labels per row",
    ),
    "matrix": (changed(y=X), r"y: must be of shape \(N,\); got \(12, 3\): give one label per row"),
    "cube": (
        changed(y=X[..., None]),
        r"y: must be of shape \(N,\), one value per row; got \(12, 3, 1\)",
    ),
    "fractions": (
        changed(y=Y / 2),
        r"y: labels must be whole numbers or text; got float64 with the value 0\.5",
    ),
    "nan label": (
        changed(y=np.where(Y == 1, np.nan, Y)),
        r"y: 4 of 12 are missing \(null or NaN\): rows 1, 4, 7, 10, counted from 0\. Fill them",
    ),
    "empty label": (
        changed(y=np.array(["", *LABELS[1:]])),
        "y: 1 of 12 are empty: rows 0, counted from 0",
    ),
    "numbers for ids": (changed(ids=X[:, 0]), "ids: must hold text or whole numbers; got float32"),
    "id twice": (
        changed(ids=np.array(["a", *IDS[1:11], "a"])),
        r"row 11 of .* has the id 'a', which row 0 of .*f\.npz: x has already",
    ),
    "names": (
        changed(classes=np.array(["a", "b"])),
        "y: numbers must be indices into the 2 names of 'classes', 0 to 1; got 0 to 2",
    ),
    "unknown name": (
        changed(y=np.array(["a"] * 12), classes=np.array(["b", "c"])),
        "y: 'a' is not in the array 'classes' of the file",
    ),
    "a name of two classes": (
        changed(y=np.array(["a"] * 12), classes=np.array(["a", "b", "a"])),
        "y: 'a' is not in the array 'classes' of the file, in which names that occur twice stand",
    ),
    "differences that float32 loses": (
        changed(x=X.astype(np.float64) + 1e8),
        r"f\.npz: x: float32, .*, changes the numbers by \d+% of their spread.* Subtract the mean",
    ),
    "integers that float32 loses": (
        changed(x=np.arange(36).reshape(12, 3) + 2**40),
        r"changes the numbers by 100% of their spread",
    ),
    "split": (
        changed(split=np.array(["fold 1"] * 12)),
        "split: values must be among train, .*; got 'fold 1'",
    ),
    "width": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
        r"one width D; got .*x_train 3, .*x_test 2",
    ),
    "labels of one": (
        {"x_train": X, "x_test": X, "y_train": Y},
        "x_test: has no y, but .*x_train has; give them for all splits or for none",
    ),
    "objects": (
        changed(y=OBJECTS),
        r"f\.npz: y: holds Python objects, which are not read .* np\.array\(values, dtype=str\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arrays_are_errors_with_a_remedy(name: str, tmp_path: Path) -> None:
    arrays, message = WRONG[name]
    with pytest.raises(DatasetError, match=message):
        read_file(npz(tmp_path, **arrays))


def test_classes_of_one_name_stay_two_classes(tmp_path: Path) -> None:
    """ImageNet has two classes called 'crane'."""
    names = np.array(["crane", "owl", "crane"])
    read = read_feature_file({None: npz(tmp_path, x=X, y=Y, classes=names)})
    assert read.classes == ("crane (0)", "owl", "crane (2)")
    assert read.column("y") == ["crane (0)", "owl", "crane (2)"] * 4


def test_a_constant_column_of_any_size_is_no_loss(tmp_path: Path) -> None:
    """Its rows are equal before and after rounding to float32."""
    x = np.column_stack([X.astype(np.float64), np.full(12, 1e9 + 1 / 3)])
    assert read_feature_file({None: npz(tmp_path, x=x, y=Y)}).width == 4


def test_a_file_of_one_split_must_not_name_splits(tmp_path: Path) -> None:
    path = npz(tmp_path, x=X, y=Y, split=SPLIT)
    with pytest.raises(
        DatasetError,
        match=r"was given as --train and also names splits itself; give it without --train",
    ):
        read_feature_file({"train": path})


def test_files_of_one_model_must_list_the_same_classes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    train, test = (
        npz(tmp_path, x=X, y=Y, classes=np.array(["a", "b", "c"])),
        npz(tmp_path / "b", x=X, y=Y, classes=np.array(["a", "c", "b"])),
    )
    with pytest.raises(DatasetError, match="the files list different classes"):
        read_feature_file({"train": train, "test": test})
