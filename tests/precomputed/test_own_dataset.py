"""Files that are their own dataset: which examples they hold, and when two files hold the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bob.datasets.image_sets import ImageSet
from bob.errors import DatasetError
from bob.precomputed.columns import read_feature_file
from bob.precomputed.own_dataset import NO_IDS_NOTE, file_examples, require_same_examples
from bob.precomputed.solve import UNKNOWN_BACKBONE
from bob.protocols import FeatureNeed
from bob.specs import Role
from tests.builders.feature_files import (
    IDS,
    RNG,
    SPLIT,
    X,
    Y,
    examples_of,
    npz,
    read_file,
    safetensors,
)

ROLES: tuple[Role, ...] = ("train", "val", "test")
MASKS = {role: role == SPLIT for role in ROLES}


def one_file_with_a_split_column(folder: Path) -> Path:
    return npz(folder, x=X, y=Y, ids=IDS, split=SPLIT)


def one_file_with_splits_in_names(folder: Path) -> Path:
    columns = {"X": X, "labels": Y, "paths": IDS}
    return npz(
        folder,
        **{
            f"{name}_{role}": values[mask]
            for role, mask in MASKS.items()
            for name, values in columns.items()
        },
    )


def one_dict_per_split(folder: Path) -> Path:
    names = {"train": "train", "val": "dev", "test": "test"}
    content: dict[str, Any] = {}
    for role, mask in MASKS.items():
        content[names[role]] = {"x": torch.from_numpy(X[mask]), "y": torch.from_numpy(Y[mask])}
        content[f"ids_{names[role]}"] = IDS[mask].tolist()
    torch.save(content, folder / "n.pt")
    return folder / "n.pt"


def test_splits_in_one_file_or_in_several_are_the_same_examples(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("a", "b", "c", *ROLES)}
    for folder in folders.values():
        folder.mkdir()
    per_split: dict[Role | None, Path] = {
        role: safetensors(folders[role], x=X[mask], y=Y[mask], ids=IDS[mask])
        for role, mask in MASKS.items()
    }
    files = [
        read_file(one_file_with_a_split_column(folders["a"])),
        read_file(one_file_with_splits_in_names(folders["b"])),
        read_file(one_dict_per_split(folders["c"])),
        read_feature_file(per_split),
    ]
    all_examples = [file_examples(file, "mine") for file in files]
    assert len({examples.dataset.fingerprint() for examples in all_examples}) == 1
    for examples in all_examples:
        for role, mask in MASKS.items():
            split = examples.dataset.splits[role]
            rows = examples.features(FeatureNeed(UNKNOWN_BACKBONE, ImageSet(role))).rows
            order = np.argsort(IDS[mask])  # examples are sorted by id
            np.testing.assert_array_equal(rows, X[mask][order])
            assert list(split.ids) == IDS[mask][order].tolist()
            assert (split.y == Y[mask][order]).all()


def test_ids_identify_examples_whatever_the_order_and_the_features(tmp_path: Path) -> None:
    order = RNG.permutation(12)
    first = examples_of(tmp_path, x=X, y=Y, ids=IDS, split=SPLIT)
    second = examples_of(tmp_path, x=X[order] * 3, y=Y[order], ids=IDS[order], split=SPLIT[order])
    assert first.dataset.fingerprint() == second.dataset.fingerprint()
    require_same_examples([first, second], ["one", "two"])


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "an id": (
        {"ids": np.array(["new", *IDS[1:]])},
        "one and two hold different examples: 2 of them are in only one of the files, such as "
        "'new'",
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


@pytest.mark.parametrize("change", DIFFERENT)
def test_different_examples_cannot_be_compared(change: str, tmp_path: Path) -> None:
    arrays, message = DIFFERENT[change]
    same: dict[str, Any] = {"x": X, "y": Y, "ids": IDS, "split": SPLIT}
    first, second = examples_of(tmp_path, **same), examples_of(tmp_path, **(same | arrays))
    assert first.dataset.fingerprint() != second.dataset.fingerprint()
    with pytest.raises(DatasetError, match=message):
        require_same_examples([first, second], ["one", "two"])


def test_without_ids_examples_are_identified_by_position_and_name_of_the_dataset(
    tmp_path: Path,
) -> None:
    mine, yours = (
        examples_of(tmp_path, name, x=X, y=Y, split=SPLIT).dataset for name in ("mine", "yours")
    )
    again = examples_of(
        tmp_path,
        **{
            f"{name}_{role}": values[MASKS[role]]
            for role in ("test", "train", "val")
            for name, values in (("x", 2 * X), ("y", Y))
        },
    ).dataset
    assert mine.fingerprint() == again.fingerprint() != yours.fingerprint()
    assert NO_IDS_NOTE in mine.notes
    ids = np.array([*(f"train {i}" for i in range(8)), "val 0", "val 1", "test 0", "test 1"])
    with_ids = examples_of(tmp_path, x=X, y=Y, split=SPLIT, ids=ids).dataset
    assert with_ids.fingerprint() != again.fingerprint(), "a position is never taken for an id"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": X},
            "holds no labels: add an array 'y', or give --data, or --dataset with a registered",
        ),
        (
            {"x_test": X, "y_test": Y},
            r"holds test rows and no train rows\. Give x_train, or --train",
        ),
    ],
)
def test_files_without_labels_or_train_rows_are_errors(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        examples_of(tmp_path, **arrays)


def test_examples_have_no_images(tmp_path: Path) -> None:
    test = examples_of(tmp_path, x=X, y=Y, split=SPLIT).dataset.splits["test"]
    with pytest.raises(DatasetError, match=r"row \d+ has no image; only features are available"):
        test.read(0)
