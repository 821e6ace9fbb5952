"""Folds for the linear probe: from the task file to the record."""

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.errors import ConfigError, DatasetError
from bob.protocols.classification import ClassificationProblem, classification_problem
from bob.protocols.linear import PROTOCOL, LinearSettings
from bob.specs.yaml import build
from tests.builders.classification import posed
from tests.builders.linear import blobs, stratified_fold_numbers
from tests.builders.splits import make_features, make_split


def settings(**changes):
    values = {"log10_c": [-3.0, 2.0, 6], "tolerance": 1e-4} | changes
    return build(LinearSettings, values, "tasks/t.yaml")


def test_a_task_names_exactly_one_way_of_holding_rows_out():
    assert settings(folds=5).held_out is None
    message = (
        r"share of train \('held_out', such as 0\.2\) or by 'folds' \(such as 5\): "
        r"give one; got neither"
    )
    with pytest.raises(ConfigError, match=message):
        settings()
    with pytest.raises(ConfigError, match=r"give one; got held_out 0\.2 and folds 5"):
        settings(held_out=0.2, folds=5)


def test_folds_reach_the_protocol_and_the_record():
    x, y, test_x, test_y = blobs(spread=3.0)
    fold, none = stratified_fold_numbers(x, y, 5), np.zeros(len(y), bool)
    result = PROTOCOL.solve(
        ClassificationProblem(x, y, none, test_x, test_y, 4, fold), settings(folds=5), "cpu"
    )
    assert result.detail["folds"] == 5 and result.detail["held_out_rows"] == 240
    by_share = PROTOCOL.solve(posed(x, y, test_x, test_y), settings(held_out=0.2), "cpu")
    assert "folds" not in by_share.detail
    rolled = ClassificationProblem(x, y, none, test_x, np.roll(test_y, 1), 4, fold)
    assert PROTOCOL.solve(rolled, settings(folds=5), "cpu").detail == result.detail, (
        "test labels choose nothing"
    )


def test_folds_are_drawn_by_seed_unless_there_is_a_val_split():
    train, test = make_split("".join(map(chr, range(65, 105))), [0, 1] * 20), make_split("z", [0])
    features = {"train": make_features(40), "test": make_features(1), "val": make_features(2)}
    without_val = Dataset("d", ("a", "b"), {"train": train, "test": test})
    first, same, other = (
        classification_problem(without_val, features, 5, seed) for seed in (0, 0, 1)
    )
    assert np.bincount(first.fold).tolist() == [8] * 5 and not first.held_out.any()
    assert (first.fold == same.fold).all() and (first.fold != other.fold).any()
    splits = {"train": train, "val": make_split("de", [1, 0]), "test": test}
    with_val = classification_problem(Dataset("d", ("a", "b"), splits), features, 5, 0)
    assert with_val.fold is None and with_val.held_out.sum() == 2


def test_one_image_per_class_leaves_no_folds():
    splits = {"train": make_split("abc", [0, 1, 2]), "test": make_split("d", [0])}
    features = {"train": make_features(3), "test": make_features(1)}
    with pytest.raises(DatasetError, match="no train images can be held out to choose settings on"):
        classification_problem(Dataset("d", ("a", "b", "c"), splits), features, 3, 0)
