"""Classes from an attribute, without those that are small."""

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.relabel import relabelled
from bob.errors import DatasetError
from tests.builders.splits import make_dataset, make_split


def dataset() -> Dataset:
    """Return a dataset whose images have the kinds x, y10, y9 in train and x, y9 in test."""
    train = make_split(
        "abcdef", [0, 0, 1, 1, 0, 1], attributes={"kind": ["x", "x", "y10", "y9", "y9", "x"]}
    )
    test = make_split("ghi", [0, 1, 1], attributes={"kind": ["x", "y9", "y9"]})
    return make_dataset({"train": train, "test": test})


def test_the_values_of_an_attribute_are_the_classes() -> None:
    kinds = relabelled(dataset(), "kind", {})
    assert kinds.classes == ("x", "y9", "y10")
    assert kinds.splits["train"].y.tolist() == [0, 0, 2, 1, 1, 0]
    assert kinds.splits["test"].y.tolist() == [0, 1, 1]


def test_small_classes_are_left_out_as_views() -> None:
    kinds = relabelled(dataset(), "kind", {"train": 2, "test": 1})
    assert kinds.classes == ("x", "y9")
    train = kinds.splits["train"]
    assert train.y.tolist() == [0, 0, 1, 1, 0] and list(train.content) == list("abdef")
    name, full = train.full
    assert name == "train" and len(full) == 6, "features are those of the full split"
    assert train.origin is not None and train.origin.positions.tolist() == [0, 1, 3, 4, 5]


def test_classes_of_the_source_can_be_left_out() -> None:
    large = relabelled(dataset(), None, {"test": 2})
    assert large.classes == ("b",) and large.splits["train"].y.tolist() == [0, 0, 0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DatasetError, match="label names the attribute 'kin'; did you mean 'kind'"):
        relabelled(dataset(), "kin", {})
    with pytest.raises(DatasetError, match="none of 3 classes has as many images"):
        relabelled(dataset(), "kind", {"train": 9})
    with pytest.raises(DatasetError, match="least names 'val', which it lacks"):
        relabelled(dataset(), None, {"val": 1})
    unlabelled = make_dataset({"train": make_split("a", np.array([-1]).tolist())})
    with pytest.raises(DatasetError, match="need images with one class each"):
        relabelled(unlabelled, None, {"train": 1})
