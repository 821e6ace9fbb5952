"""Feature files in the forms that people bring: each is read right, or says in a sentence what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from bob.datasets.dataset import Dataset, Shift, Split
from bob.errors import DatasetError, NotApplicableError
from bob.precomputed.columns import Given, read_given
from bob.precomputed.evaluate import UNKNOWN
from bob.precomputed.own_dataset import own_examples, require_same
from bob.precomputed.registered_dataset import known_examples
from bob.precomputed.rows import Examples
from bob.wiring import Need, TextNeed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.array([0, 1, 2] * 4)
IDS = np.array([f"photo {i}" for i in range(12)])
SPLIT = np.array(["train"] * 8 + ["val"] * 2 + ["test"] * 2)
LABELS = tuple(map(str, Y))


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "f.npz", **arrays)
    return folder / "f.npz"


def packed(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "f.npz", **arrays)
    return folder / "f.npz"


def folder_of_npy(folder: Path, **arrays: Any) -> Path:
    (folder / "f").mkdir()
    for name, values in arrays.items():
        np.save(folder / "f" / f"{name}.npy", values)
    return folder / "f"


def safetensors(folder: Path, **arrays: Any) -> Path:
    texts = {
        name: json.dumps(values.tolist())
        for name, values in arrays.items()
        if values.dtype.kind == "U"
    }
    save_file(
        {name: torch.from_numpy(values) for name, values in arrays.items() if name not in texts},
        folder / "f.safetensors",
        texts,
    )
    return folder / "f.safetensors"


def pt(folder: Path, **arrays: Any) -> Path:
    torch.save(
        {
            name: values.tolist() if values.dtype.kind == "U" else torch.from_numpy(values)
            for name, values in arrays.items()
        },
        folder / "f.pt",
    )
    return folder / "f.pt"


def old_pth(folder: Path, **arrays: Any) -> Path:
    held = {
        name: values.tolist() if values.dtype.kind == "U" else torch.from_numpy(values)
        for name, values in arrays.items()
    }
    torch.save(held, folder / "f.pth", _use_new_zipfile_serialization=False)
    return folder / "f.pth"


def frame(x: np.ndarray, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {**{f"x{d}": x[:, d] for d in (2, 0, 1)}, **columns}
    )  # in any order: the numbers count


def csv(folder: Path, **arrays: Any) -> Path:
    frame(**arrays).to_csv(folder / "f.csv", index=False)
    return folder / "f.csv"


def parquet(folder: Path, **arrays: Any) -> Path:
    frame(**arrays).to_parquet(folder / "f.parquet")
    return folder / "f.parquet"


def parquet_of_lists(folder: Path, x: np.ndarray, **columns: Any) -> Path:
    pd.DataFrame({"embedding": list(x), **columns}).to_parquet(folder / "f.parquet")
    return folder / "f.parquet"


FORMS: list[Callable[..., Path]] = [
    npz,
    packed,
    folder_of_npy,
    safetensors,
    pt,
    old_pth,
    csv,
    parquet,
    parquet_of_lists,
]


def given(path: Path) -> Given:
    return read_given({None: path})


@pytest.mark.parametrize("save", FORMS, ids=lambda save: save.__name__)
def test_every_format_holds_the_same(save: Callable[..., Path], tmp_path: Path) -> None:
    found = given(save(tmp_path, x=X, y=Y, ids=IDS, split=SPLIT))
    (block,) = found.blocks
    np.testing.assert_array_equal(block.rows(np.arange(12)), X)
    assert (block.y, block.ids, block.split) == (LABELS, tuple(IDS), tuple(SPLIT))
    assert found.notes == () and found.width == 3


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8]
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_numbers_of_every_width_are_computed_with_as_float32(
    dtype: torch.dtype, suffix: str, tmp_path: Path
) -> None:
    x = (10 * torch.from_numpy(X)).to(dtype)
    held = {"x": x, "y": torch.from_numpy(Y)}
    path = tmp_path / f"f.{suffix}"
    save_file(held, path) if suffix == "safetensors" else torch.save(held, path)
    (block,) = given(path).blocks
    assert block.dtype == str(dtype).removeprefix("torch.")
    rows = block.rows(np.arange(12))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, x.float().numpy())


@pytest.mark.parametrize("save", [npz, folder_of_npy], ids=lambda save: save.__name__)
def test_large_arrays_stay_in_the_file(save: Callable[..., Path], tmp_path: Path) -> None:
    x = RNG.normal(size=(3000, 100)).astype(np.float32)
    for order in ("C", "F"):
        path = save(
            tmp_path, small=np.zeros(3), x=np.asarray(x, order=order), y=np.arange(3000) % 5
        )  # type: ignore[call-overload]
        (block,) = given(path).blocks
        assert isinstance(block.x, np.memmap)
        np.testing.assert_array_equal(block.rows(np.array([2999, 0, 17])), x[[2999, 0, 17]])
        if path.is_dir():
            break


def test_splits_in_one_file_or_in_several_are_the_same_examples(tmp_path: Path) -> None:
    sides = {side: side == SPLIT for side in ("train", "val", "test")}
    one = npz(tmp_path, x=X, y=Y, ids=IDS, split=SPLIT)
    (tmp_path / "b").mkdir()
    by_name = npz(
        tmp_path / "b",
        **{
            f"{name}_{side}": v[m]
            for side, m in sides.items()
            for name, v in (("X", X), ("labels", Y), ("paths", IDS))
        },
    )
    files = {}
    for side, mask in sides.items():
        (tmp_path / side).mkdir()
        files[side] = safetensors(tmp_path / side, x=X[mask], y=Y[mask], ids=IDS[mask])
    nested = {
        {"train": "train", "val": "dev", "test": "test"}[s]: {
            "x": torch.from_numpy(X[m]),
            "y": torch.from_numpy(Y[m]),
        }
        for s, m in sides.items()
    }
    torch.save(
        {
            **nested,
            "ids_train": IDS[:8].tolist(),
            "ids_dev": IDS[8:10].tolist(),
            "ids_test": IDS[10:].tolist(),
        },
        tmp_path / "n.pt",
    )
    found = [
        own_examples(read, "mine")
        for read in (given(one), given(by_name), read_given(files), given(tmp_path / "n.pt"))
    ]  # type: ignore[arg-type]
    assert len({examples.dataset.fingerprint() for examples in found}) == 1
    for examples in found:
        for side, mask in sides.items():
            split = examples.dataset.splits[side]  # type: ignore[index]
            rows = examples.features(Need(UNKNOWN, side, split), UNKNOWN).rows
            order = np.argsort(IDS[mask])  # examples stand in the order of their ids
            np.testing.assert_array_equal(rows, X[mask][order])
            assert (
                list(split.ids) == IDS[mask][order].tolist() and (split.y == Y[mask][order]).all()
            )


ALIASES = [
    ("x", "y"),
    ("X", "Y"),
    ("features", "labels"),
    ("embeddings", "targets"),
    ("embedding", "label"),
    ("feats", "target"),
]


@pytest.mark.parametrize("names", ALIASES)
def test_other_names_of_arrays(names: tuple[str, str], tmp_path: Path) -> None:
    x, y = names
    found = given(npz(tmp_path, **{x: X, y: Y, "image_ids": IDS, "logits": X, "epoch": 3}))
    assert found.blocks[0].y == LABELS and found.has_ids
    assert found.notes == (
        f"{tmp_path / 'f.npz'}: left out, since their names say nothing to bob-bench: logits (12, 3), epoch ()",
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
def test_forms_of_labels(form: str, tmp_path: Path) -> None:
    arrays, expected = LABEL_FORMS[form]
    found = given(npz(tmp_path, x=X[:3], **arrays))
    assert found.blocks[0].y == expected
    if "classes" in arrays:
        assert own_examples(found, "mine").dataset.classes == ("dog", "cat")


def changed(**arrays: Any) -> dict[str, Any]:
    return {"x": X, "y": Y} | arrays


def with_nan(at: int) -> np.ndarray:
    x = X.copy()
    x[at] = np.nan
    return x


OBJECTS = np.array([{"a": 1}, None], dtype=object)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no features": (
        {"y": Y},
        r"holds no features: an array 'x' of shape \(N, D\), .* There are: y \(12,\)",
    ),
    "two of a kind": (changed(features=X), r"'x' and 'features' can each be x; rename one"),
    "two of a split": (
        {"x_train": X, "train_x": X, "y_train": Y},
        r"'x_train' and 'train_x' can each be x_train",
    ),
    "with and without": (changed(x_test=X), "holds features with and without a split's name"),
    "stray": (
        {"x_train": X, "y_train": Y, "y_test": Y},
        "y_test belongs to no features; there are x_train",
    ),
    "flat": (
        changed(x=X[0]),
        r"f\.npz: x: must be of shape \(N, D\), neither of them 0; got \(3,\)",
    ),
    "empty split": (
        {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]},
        r"x_test: must be of shape \(N, D\), neither of them 0; got \(0, 3\)",
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
    "lengths": (changed(y=Y[:5]), "x has 12 rows and y has 5; there must be one for each row"),
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
        r"y: must be of shape \(N,\); got \(12, 3\): several labels of a row",
    ),
    "matrix": (changed(y=X), r"y: must be of shape \(N,\); got \(12, 3\): give one label per row"),
    "cube": (
        changed(y=X[..., None]),
        r"y: must be of shape \(N,\), one for each row; got \(12, 3, 1\)",
    ),
    "fractions": (
        changed(y=Y / 2),
        r"y: labels must be whole numbers or text; got float64, 0\.5 among them",
    ),
    "nan label": (
        changed(y=np.where(Y == 1, np.nan, Y)),
        "labels must be whole numbers or text; got float64, nan among them",
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
        "y: numbers must be places among the 2 names of 'classes', 0 to 1; got 0 to 2",
    ),
    "unknown name": (
        changed(y=np.array(["a"] * 12), classes=np.array(["b", "c"])),
        "y: 'a' is not in the file's 'classes'",
    ),
    "split": (changed(split=np.array(["fold 1"] * 12)), "split: must say train, .*; got 'fold 1'"),
    "width": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
        r"one width D; got .*x_train 3, .*x_test 2",
    ),
    "labels of one": (
        {"x_train": X, "x_test": X, "y_train": Y},
        "x_test: has no y, which .*x_train has; give them for all splits or for none",
    ),
    "objects": (
        changed(y=OBJECTS),
        r"f\.npz: y: holds Python objects, which are not read, .* np\.array\(values, dtype=str\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_says_what_to_do(name: str, tmp_path: Path) -> None:
    arrays, message = WRONG[name]
    with pytest.raises(DatasetError, match=message):
        given(npz(tmp_path, **arrays))


def text_file(name: str, text: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(text)
        return folder / name

    return make


def empty_folder(folder: Path) -> Path:
    (folder / "f").mkdir()
    return folder / "f"


def cut_short(folder: Path) -> Path:
    path = npz(folder, x=np.zeros((3000, 100)), y=np.zeros(3000))
    path.write_bytes(path.read_bytes()[:-500])
    return path


def broken_inside(folder: Path) -> Path:
    """The mapped array's own header is overwritten; the archive around it is whole."""
    path = npz(folder, x=np.zeros((3000, 100)), y=np.zeros(3000))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(3000, 100)", b"(9000, 100)", 1))
    return path


def broken_packed(folder: Path) -> Path:
    path = packed(folder, x=RNG.normal(size=(300, 100)), y=np.zeros(300))
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


UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "f.npz", r"f\.npz: there is no such file"),
    "another ending": (
        text_file("f.h5", b""),
        r"must end in \.npz, .*, or be a folder with x\.npy and y\.npy; got '\.h5'",
    ),
    "an empty folder": (
        empty_folder,
        r"holds no \.npy files; a folder of features has x\.npy and y\.npy",
    ),
    "no zip": (text_file("f.npz", b"nothing"), r"is no whole \.npz file"),
    "cut short": (cut_short, r"is no whole \.npz file .*Was it copied in full"),
    "objects": (large_objects, "holds Python objects, which are not read"),
    "objects in .npy": (objects_in_npy, r"y\.npy: holds Python objects, which are not read"),
    "no array": (
        lambda folder: text_file("f/x.npy", b"nothing")(empty_folder(folder).parent).parent,
        r"x\.npy: is no whole array",
    ),
    "no safetensors": (
        text_file("f.safetensors", b"nothing at all"),
        r"is no whole \.safetensors file",
    ),
    "a module": (
        module,
        r"f\.pt: holds other things than a dict of tensors and lists of text, which are not read",
    ),
    "a tensor": (tensor, r"must hold a dict such as \{'x': tensor, 'y': tensor\}; got Tensor"),
    "gaps": (
        text_file("f.csv", b"x0,x2,y\n1,2,a\n"),
        r"numbers without a gap \(x0, x1, \.\.\.\); got x0, x2",
    ),
    "two kinds": (
        text_file("f.csv", b"x0,f1,y\n1,2,a\n"),
        r"must have one name and numbers without a gap .* got x0, f1",
    ),
    "words": (
        text_file("f.csv", b"x0,x1,y\n1,two,a\n"),
        r"f\.csv: cannot be read as a table \(could not convert string to float",
    ),
    "broken parquet": (
        text_file("f.parquet", b"PAR1" + bytes(20) + (8).to_bytes(4, "little") + b"PAR1"),
        r"f\.parquet: cannot be read",
    ),
    "a broken array": (broken_inside, r"f\.npz: x: is no whole array of NumPy's"),
    "a broken packed array": (broken_packed, r"f\.npz: (x: )?is no whole"),
    "no parquet": (text_file("f.parquet", b"nothing"), r"f\.parquet: cannot be read as a table"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    make, message = UNREADABLE[name]
    with pytest.raises(DatasetError, match=message):
        given(make(tmp_path))


def test_files_per_split_tell_no_splits_themselves(tmp_path: Path) -> None:
    path = npz(tmp_path, x=X, y=Y, split=SPLIT)
    with pytest.raises(
        DatasetError, match=r"was given as train, and tells splits itself; give it without --train"
    ):
        read_given({"train": path})


def test_files_per_split_name_the_same_classes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    train, test = (
        npz(tmp_path, x=X, y=Y, classes=np.array(["a", "b", "c"])),
        npz(tmp_path / "b", x=X, y=Y, classes=np.array(["a", "c", "b"])),
    )
    with pytest.raises(DatasetError, match="the files list different classes"):
        read_given({"train": train, "test": test})


# --- examples that the file alone tells of


def own(folder: Path, name: str = "mine", **arrays: Any) -> Examples:
    return own_examples(given(npz(folder, **arrays)), name)


def test_ids_tell_examples_whatever_the_order_and_the_rows(tmp_path: Path) -> None:
    order = RNG.permutation(12)
    one = own(tmp_path, x=X, y=Y, ids=IDS, split=SPLIT)
    two = own(tmp_path, x=X[order] * 3, y=Y[order], ids=IDS[order], split=SPLIT[order])
    assert one.dataset.fingerprint() == two.dataset.fingerprint()
    require_same([one, two], ["one", "two"])


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "an id": (
        {"ids": np.array(["new", *IDS[1:]])},
        "one and two hold different examples: 2 of them are in one file alone, such as 'new'",
    ),
    "a label": ({"y": np.array([1, *Y[1:]])}, "'photo 0' is '0' in train and '1' in train"),
    "a split": (
        {"split": np.array([*SPLIT[:7], "val", *SPLIT[8:]])},
        "'photo 7' is '1' in train and '1' in val",
    ),
    "classes": ({"y": Y + 1}, "classes '0', '1', '2' and '1', '2', '3'"),
    "groups": (
        {"groups": np.array(list("abcdefghijkl"))},
        "their groups, the order of their classes or their contents",
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_other_examples_are_not_compared(what: str, tmp_path: Path) -> None:
    arrays, message = DIFFERENT[what]
    same = {"x": X, "y": Y, "ids": IDS, "split": SPLIT}
    one, two = own(tmp_path, **same), own(tmp_path, **(same | arrays))
    assert one.dataset.fingerprint() != two.dataset.fingerprint()
    with pytest.raises(DatasetError, match=message):
        require_same([one, two], ["one", "two"])


def test_without_ids_an_example_is_its_place_under_the_name_that_the_user_gives(
    tmp_path: Path,
) -> None:
    named = {name: own(tmp_path, name, x=X, y=Y, split=SPLIT).dataset for name in ("mine", "yours")}
    again = own(
        tmp_path,
        "mine",
        **{
            f"{n}_{s}": v[s == SPLIT]
            for s in ("test", "train", "val")
            for n, v in (("x", 2 * X), ("y", Y))
        },
    ).dataset
    assert named["mine"].fingerprint() == again.fingerprint() != named["yours"].fingerprint()
    assert (
        "the file has no ids: an example is told by its place in its split" in named["mine"].notes
    )
    with_ids = own(
        tmp_path,
        "mine",
        x=X,
        y=Y,
        split=SPLIT,
        ids=np.array([*(f"train {i}" for i in range(8)), "val 0", "val 1", "test 0", "test 1"]),
    )
    assert with_ids.dataset.fingerprint() != again.fingerprint(), (
        "a place is no id, whatever the ids are"
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": X},
            "holds no labels: an array 'y', or --data where a dataset that is known here has them",
        ),
        (
            {"x_test": X, "y_test": Y},
            r"holds test rows and no train rows\. Give x_train, or --train",
        ),
        ({"x": X, "y": np.zeros(12, int)}, "all images are of one class, '0'"),
        (
            {"x_train": X[Y < 2], "y_train": Y[Y < 2], "x_test": X, "y_test": Y},
            "test holds images of '2', of which train has none",
        ),
    ],
)
def test_what_makes_no_dataset(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        own(tmp_path, **arrays)


def test_what_needs_images_does_not_apply(tmp_path: Path) -> None:
    examples = own(tmp_path, x=X, y=Y, split=SPLIT)
    test = examples.dataset.splits["test"]
    with pytest.raises(NotApplicableError, match="texts needs images; features are all there is"):
        examples.features(TextNeed(UNKNOWN, "texts", ("a",)), UNKNOWN)
    with pytest.raises(NotApplicableError, match="test needs images"):
        examples.digest(Need(UNKNOWN.variant(pooling="cls"), "test", test), UNKNOWN)
    with pytest.raises(DatasetError, match=r"row \d+ has no image; features are all there is"):
        test.read(0)


# --- examples that are images of a dataset


def images(ids: list[str], y: list[int], prefix: str = "") -> Split:
    return Split(
        ids, np.array(y), [f"digest of {prefix}{name}" for name in ids], read=lambda i: b""
    )


PHOTOS = Dataset(
    "photos",
    ("cat", "dog"),
    {
        "train": images(["cat/0.png", "cat/1.png", "dog/0.png"], [0, 0, 1]),
        "test": images(["cat/2.png", "dog/1.png"], [0, 1]),
    },
    shifts={
        "night": Shift(images(["night/0.png"], [0]), "shift"),
        "other": Shift(
            images(["cat/0.png"], [0], prefix="another "), "far"
        ),  # the same name for another image
        "absent": Shift(images(["absent/0.png"], [0]), "shift"),
    },
)
NAMES = ["dog/1.png", "cat/0.png", "dog/0.png", "cat/2.png", "cat/1.png", "night/0.png"]


@pytest.mark.parametrize(
    "written",
    [
        lambda name: name,
        lambda name: f"/data/photos/{name}",
        lambda name: f"D:\\photos\\{name}".replace("/", "\\"),
    ],
)
def test_rows_are_found_by_the_images_names(written: Callable[[str], str], tmp_path: Path) -> None:
    file = npz(tmp_path, x=X[:6], ids=np.array([written(name) for name in NAMES]))
    found = known_examples(given(file), PHOTOS)
    rows = found.features(Need(UNKNOWN, "train", PHOTOS.splits["train"]), UNKNOWN)
    np.testing.assert_array_equal(rows.rows, X[[1, 4, 2]])
    assert set(found.dataset.shifts) == {"night"} and rows.bad == {}
    assert found.dataset.with_shifts(()).fingerprint() == PHOTOS.with_shifts(()).fingerprint()
    assert found.notes == tuple(
        f"without the shift {name}: the file does not have all of its rows"
        for name in ("other", "absent")
    )


def test_labels_may_have_other_names_and_are_the_dataset_s(tmp_path: Path) -> None:
    file = npz(tmp_path, x=X[:6], ids=np.array(NAMES), y=np.array([1, 0, 1, 0, 0, 0]))
    assert known_examples(given(file), PHOTOS).dataset.classes == ("cat", "dog")


def test_images_without_a_row_are_told_and_may_be_left_out(tmp_path: Path) -> None:
    file = given(npz(tmp_path, x=X[:5], ids=np.array([*NAMES[:4], "bird/7.png"])))
    missing = r"has no row for 1 of 3 train images \('cat/1\.png'\) of 'photos'"
    with pytest.raises(
        DatasetError, match=rf"{missing}\. Add them, or leave these images out with --skip-missing"
    ):
        known_examples(file, PHOTOS)
    found = known_examples(file, PHOTOS, skip_missing=True)
    assert any("which are left out" in note for note in found.notes)
    assert "1 rows are of no image of 'photos': 'bird/7.png'" in found.notes
    rows = found.features(Need(UNKNOWN, "train", PHOTOS.splits["train"]), UNKNOWN)
    assert rows.bad == {1: "cat/1.png: has no row in the file"} and rows.positions.tolist() == [
        0,
        2,
    ]
    np.testing.assert_array_equal(rows.rows, X[[1, 2]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"holds no ids, by which rows are found for the images of 'photos'"),
        (
            {"ids": np.arange(6)},
            r"none of its 6 ids is the name of an image of 'photos'\. Ids are such as '0', names of images such as 'cat/0\.png'",
        ),
        (
            {"ids": np.array(NAMES), "y": np.array([0, 0, 1, 1, 0, 0])},
            r"its labels are not those of 'photos': '0' is 'cat' for 'cat/0\.png' and 'dog' for 'dog/1\.png'\. Are ids, labels",
        ),
    ],
)
def test_rows_that_are_not_the_images_are_told(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        known_examples(given(npz(tmp_path, x=X[:6], **arrays)), PHOTOS)
