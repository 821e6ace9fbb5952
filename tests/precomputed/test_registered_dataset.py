"""Rows that are matched to the images of a dataset by id."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import DatasetError
from bob.features.store import Features
from bob.precomputed.registered_dataset import matched_examples
from bob.precomputed.rows import Examples
from bob.precomputed.solve import UNKNOWN_BACKBONE
from bob.protocols import FeatureNeed
from tests.builders.feature_files import X, npz, read_file


def images(ids: list[str], y: list[int], prefix: str = "") -> Split:
    content = [f"digest of {prefix}{name}" for name in ids]
    return Split(ids, np.array(y), content, read=lambda i: b"")


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
        ),  # another image of the same name
        "absent": Shift(images(["absent/0.png"], [0]), "shift"),
    },
)
NAMES = ["dog/1.png", "cat/0.png", "dog/0.png", "cat/2.png", "cat/1.png", "night/0.png"]


def train_features(examples: Examples) -> Features:
    return examples.features(FeatureNeed(UNKNOWN_BACKBONE, ImageSet("train")))


@pytest.mark.parametrize(
    "written",
    [
        lambda name: name,
        lambda name: f"/data/photos/{name}",
        lambda name: f"D:\\photos\\{name}".replace("/", "\\"),
    ],
)
def test_rows_are_matched_by_names_relative_or_absolute(
    written: Callable[[str], str], tmp_path: Path
) -> None:
    file = npz(tmp_path, x=X[:6], ids=np.array([written(name) for name in NAMES]))
    examples = matched_examples(read_file(file), PHOTOS)
    features = train_features(examples)
    np.testing.assert_array_equal(features.rows, X[[1, 4, 2]])
    assert set(examples.dataset.shifts) == {"night"} and features.bad == {}
    assert examples.dataset.with_shifts(()).fingerprint() == PHOTOS.with_shifts(()).fingerprint()
    assert examples.notes == tuple(
        f"without the shift {name}: the file lacks some of its rows" for name in ("other", "absent")
    )


def test_labels_may_have_other_names_and_are_the_dataset_s(tmp_path: Path) -> None:
    file = npz(tmp_path, x=X[:6], ids=np.array(NAMES), y=np.array([1, 0, 1, 0, 0, 0]))
    assert matched_examples(read_file(file), PHOTOS).dataset.classes == ("cat", "dog")


def test_images_without_a_row_are_an_error_or_excluded(tmp_path: Path) -> None:
    file = read_file(npz(tmp_path, x=X[:5], ids=np.array([*NAMES[:4], "bird/7.png"])))
    missing = r"has no row for 1 of 3 train images \('cat/1\.png'\) of 'photos'"
    with pytest.raises(
        DatasetError, match=rf"{missing}\. Add them, or exclude these images with --skip-missing"
    ):
        matched_examples(file, PHOTOS)
    examples = matched_examples(file, PHOTOS, skip_missing=True)
    assert any("these images are excluded" in note for note in examples.notes)
    assert "1 row belongs to no image of 'photos': 'bird/7.png'" in examples.notes
    features = train_features(examples)
    assert features.bad == {1: "cat/1.png: has no row in the file"}
    assert features.positions.tolist() == [0, 2]
    np.testing.assert_array_equal(features.rows, X[[1, 2]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"holds no ids, by which rows are matched to the images of 'photos'"),
        (
            {"ids": np.arange(6)},
            r"none of its 6 ids is the name of an image of 'photos'\. Ids look like '0', "
            r"names of images like 'cat/0\.png'",
        ),
        (
            {"ids": np.array(NAMES), "y": np.array([0, 0, 1, 1, 0, 0])},
            r"its labels are not those of 'photos': '0' is 'cat' for 'cat/0\.png' and 'dog' for "
            r"'dog/1\.png'\. Are ids, labels",
        ),
    ],
)
def test_rows_that_are_not_the_images_are_errors(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        matched_examples(read_file(npz(tmp_path, x=X[:6], **arrays)), PHOTOS)
