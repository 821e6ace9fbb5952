"""Names of splits as people write them."""

import pytest

from bob.datasets.split_names import (
    SplitChoice,
    names_two_splits,
    parse_split_name,
    plain_split_name,
    splits_of_others,
)

PLAIN = {
    "train": ("train", "TRAIN", "Training", "training_set", "trainset", "TrainData", "train-images",
              "train2017", "2021_train", "train_val", "trainval"),
    "val": ("val", "valid", "Validation", "dev", "devset", "val_split", "validationSet"),
    "test": ("test", "Testing", "test_set", "testdata", "test1", "TestImages"),
    "unclear": ("eval", "Evaluation", "holdout", "hold-out", "held_out", "HoldOut"),
    "unlabelled": ("unlabeled", "unlabelled", "un-labeled", "Unlabelled_Images", "no_labels",
                   "test_unlabeled"),
}  # fmt: skip


@pytest.mark.parametrize("use", PLAIN)
def test_plain_names_say_one_use(use: str) -> None:
    assert {plain_split_name(name) for name in PLAIN[use]} == {use}


@pytest.mark.parametrize(
    ("name", "rest"),
    [("seg_train", ("seg",)), ("my_test", ("my",)), ("steam_train", ("steam",)),
     ("PublicTest", ("public",)), ("test_tube", ("tube",))],
)  # fmt: skip
def test_what_a_name_says_besides_is_its_rest(name: str, rest: tuple[str, ...]) -> None:
    parsed = parse_split_name(name)
    assert parsed is not None and parsed.rest == rest and plain_split_name(name) is None


@pytest.mark.parametrize(
    "name", ["cat", "strain", "latest", "contest", "pretrained", "data", "images", "restrained", ""]
)
def test_other_words_are_no_splits(name: str) -> None:
    assert parse_split_name(name) is None


def test_two_splits_in_a_name_are_none() -> None:
    assert parse_split_name("train_test") is None
    assert names_two_splits("train_test") and not names_two_splits("test_unlabeled")


def test_splits_of_other_names_are_found() -> None:
    assert splits_of_others(["cat", "dog", "dog_test", "station", "train_station"]) == ["dog_test"]


def test_choice_of_a_test_split() -> None:
    """`val` means every name of the val split; other names are compared as they are."""
    uses = ("train", "valid", "test", "eval", "cat")
    assert [SplitChoice("val").use(name) for name in uses] == [
        "train", "test", "unused", "unclear", None,
    ]  # fmt: skip
    assert [SplitChoice("Eval").use(name) for name in uses] == [
        "train", "val", "unused", "test", None,
    ]  # fmt: skip
    assert [SplitChoice().use(name) for name in uses] == ["train", "val", "test", "unclear", None]
