"""What classifiers share: roles of features, and the datasets that they accept."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from bob.datasets.dataset import Split
from bob.errors import NotApplicableError, UndefinedError
from bob.protocols.classification import (
    ClassificationProblem,
    classification_needs,
    classification_problem,
)
from tests.builders.protocols import BASELINE
from tests.builders.splits import make_dataset, make_features, make_split


def problem_of(
    splits: Mapping[str, Split],
    held_out: float | int | None = 0.2,
    seed: int = 0,
    classes: str = "ab",
) -> ClassificationProblem:
    """Return the problem of a dataset whose features are the positions of its images."""
    dataset = make_dataset(splits, classes)
    features = {name: make_features(len(split)) for name, split in dataset.splits.items()}
    return classification_problem(dataset, features, held_out, seed)


# --- roles


def test_choices_are_made_on_the_val_split_where_there_is_one() -> None:
    splits = {
        "train": make_split("abc", [0, 1, 0]),
        "val": make_split("de", [1, 0]),
        "test": make_split("f", [0]),
    }
    problem = problem_of(splits)
    assert problem.held_out.tolist() == [False, False, False, True, True]
    assert problem.x[:, 0].tolist() == [0, 1, 2, 0, 1]
    assert problem.y.tolist() == [0, 1, 0, 1, 0]


def test_held_out_rows_keep_equal_images_together() -> None:
    content = "".join(chr(65 + i // 4) for i in range(40))  # four images in a row are the same
    splits = {"train": make_split(content, [0, 1] * 20), "test": make_split("z", [0])}
    for seed in range(5):
        held_out = problem_of(splits, seed=seed).held_out
        assert 0 < held_out.sum() < 40
        assert all(len(set(held_out[i : i + 4])) == 1 for i in range(0, 40, 4))


def test_held_out_rows_keep_groups_together() -> None:
    content, groups = "".join(map(chr, range(65, 105))), [f"patient {i // 4}" for i in range(40)]
    train = make_split(content, [0, 1] * 20, groups)
    for seed in range(5):
        held_out = problem_of({"train": train, "test": make_split("z", [0])}, seed=seed).held_out
        assert 0 < held_out.sum() < 40
        assert all(len(set(held_out[i : i + 4])) == 1 for i in range(0, 40, 4))


def test_seeds_hold_out_different_rows() -> None:
    content = "".join(map(chr, range(65, 165)))
    splits = {"train": make_split(content, [0, 1] * 50), "test": make_split("z", [0])}
    first, same, other = (problem_of(splits, seed=seed).held_out for seed in (0, 0, 1))
    assert (first == same).all() and (first != other).any()


def test_unreadable_images_have_no_labels() -> None:
    splits = {
        "train": make_split("abcdef", [0, 1, 0, 1, 0, 1]),
        "test": make_split("xyz", [0, 1, 0]),
    }
    problem = classification_problem(
        make_dataset(splits),
        {"train": make_features(6, (1,)), "test": make_features(3, (0, 2))},
        0.2,
        0,
    )
    assert problem.y.tolist() == [0, 0, 1, 0, 1] and problem.test_y.tolist() == [1]


def test_folds_depend_on_the_seed_and_a_val_split_replaces_them() -> None:
    train, test = make_split("".join(map(chr, range(65, 105))), [0, 1] * 20), make_split("z", [0])
    first, same, other = (problem_of({"train": train, "test": test}, 5, seed) for seed in (0, 0, 1))
    assert first.fold is not None and same.fold is not None and other.fold is not None
    assert np.bincount(first.fold).tolist() == [8] * 5 and not first.held_out.any()
    assert (first.fold == same.fold).all() and (first.fold != other.fold).any()
    with_val = problem_of({"train": train, "val": make_split("de", [1, 0]), "test": test}, 5)
    assert with_val.fold is None and with_val.held_out.sum() == 2


def test_nothing_is_held_out_where_nothing_is_chosen() -> None:
    splits = {"train": make_split("abc", [0, 1, 1]), "test": make_split("d", [0])}
    problem = problem_of(splits, held_out=None)
    assert problem.fold is None and not problem.held_out.any()


@pytest.mark.parametrize("held_out", [0.2, 3])
def test_one_image_per_class_leaves_nothing_to_hold_out(held_out: float | int) -> None:
    splits = {"train": make_split("abc", [0, 1, 2]), "test": make_split("d", [0])}
    with pytest.raises(
        UndefinedError,
        match="no train images can be held out to choose settings on: each of the 3 classes has a "
        "single train image",
    ):
        problem_of(splits, held_out, classes="abc")


# --- datasets


def test_needs_are_the_splits_that_exist() -> None:
    splits = {"train": make_split("ab", [0, 1]), "test": make_split("c", [0])}
    assert [need.name for need in classification_needs(make_dataset(splits, "abc"), BASELINE)] == [
        "train",
        "test",
    ]
    splits["val"] = make_split("d", [1])
    assert [need.name for need in classification_needs(make_dataset(splits, "abc"), BASELINE)] == [
        "train",
        "val",
        "test",
    ]


@pytest.mark.parametrize(
    ("train", "val", "test", "message"),
    [
        (
            [0, 0],
            None,
            [0],
            "needs at least two classes; all train images of dataset 'd' are of 'a'",
        ),
        ([-1, -1], None, [-1], "all train images of dataset 'd' are of no class"),
        (
            [0, 1],
            None,
            [0, 2],
            "needs train images of every class; test of dataset 'd' holds images of 'c', of which "
            "train has none",
        ),
        ([0, 1], [2, 1], [0], "val of dataset 'd' holds images of 'c', of which train has none"),
        (
            [0, 1],
            None,
            [-1],
            "needs a class for each image; test of dataset 'd' holds images without one",
        ),
    ],
)
def test_classifiers_need_two_classes_and_train_images_of_each(
    train: list[int], val: list[int] | None, test: list[int], message: str
) -> None:
    splits = {"train": make_split("ab", train), "test": make_split("cd", test)}
    if val is not None:
        splits["val"] = make_split("ef", val)
    with pytest.raises(NotApplicableError, match=message):
        classification_needs(make_dataset(splits, "abc"), BASELINE)


def test_a_limit_that_leaves_one_class_is_named() -> None:
    """The dataset has three classes: without the limit, there would be more."""
    splits = {"train": make_split("a", [0]), "test": make_split("c", [0])}
    dataset = make_dataset(splits, "abc")
    dataset = dataclasses.replace(dataset, split_origin={"limit": 1})
    message = r"within the limit of 1 are of 'a'; give a larger --limit\.$"
    with pytest.raises(NotApplicableError, match=message):
        classification_needs(dataset, BASELINE)
    alone = dataclasses.replace(dataset, classes=("a",))
    with pytest.raises(NotApplicableError, match=r"dataset 'd' are of 'a'\.$"):
        classification_needs(alone, BASELINE)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_classifiers_need_train_and_test_images(missing: str) -> None:
    splits = {"train": make_split("ab", [0, 1]), "test": make_split("c", [0])}
    del splits[missing]
    with pytest.raises(
        NotApplicableError, match=f"needs train and test images; dataset 'd' has no {missing} split"
    ):
        classification_needs(make_dataset(splits, "abc"), BASELINE)


def test_classifiers_need_one_label_per_image() -> None:
    labels = np.ones((1, 3), bool)
    splits = {"train": make_split("ab", [0, 1]), "test": make_split("c", [0], labels=labels)}
    with pytest.raises(
        NotApplicableError, match="needs one label per image; those of dataset 'd' have several"
    ):
        classification_needs(make_dataset(splits, "abc"), BASELINE)
