"""Labels that look like missing values, like splits, or like one another."""

import math

import pytest

from bob.datasets.labels import group_notes, label_notes, looks_missing, number_text, same_classes


@pytest.mark.parametrize("label", ["nan", "NaN", "None", "null", "N/A", "", "  ", "-1", "<NA>"])
def test_missing_values_are_recognised(label: str) -> None:
    assert looks_missing(label)


@pytest.mark.parametrize("label", ["0", "1", "nano", "Nancy", "banana", "nonesuch", "no"])
def test_other_labels_are_not_missing(label: str) -> None:
    assert not looks_missing(label)


def test_spellings_of_one_class_are_found() -> None:
    """é as one character, and as e with an accent: the forms of Linux and of macOS."""
    classes = ("1", "1.0", "2", "Cat", "cat", "caf\u00e9", "cafe\u0301", "a", "A", "01", "dog ")
    assert same_classes(classes) == [
        ("1", "1.0", "01"),
        ("Cat", "cat"),
        ("caf\u00e9", "cafe\u0301"),
    ]


def test_notes_count_images() -> None:
    assert label_notes({"cat": 5, "dog": 3}) == []
    missing, split, same = label_notes({"nan": 3, "train": 1, "1": 2, "1.0": 4})
    assert missing.startswith("3 images have the label 'nan', which looks like a missing value")
    assert split == "1 image has the label 'train', which is the name of a split"
    assert same.endswith("Unicode form only: '1' and '1.0'")


def test_classes_that_look_the_same_are_shown_in_ascii() -> None:
    """An accent as a character of its own, as macOS writes names of folders."""
    (note,) = label_notes({"caf\u00e9": 6, "cafe\u0301": 6})
    assert note.endswith(r"Unicode form only: 'caf\xe9' and 'cafe\u0301'")


def test_groups_that_look_missing_are_noted() -> None:
    """A single image is a group of its own anyway."""
    assert group_notes(None) == group_notes(["a", "b", "a", "nan"]) == []
    (note,) = group_notes(["a", "nan", "nan", "nan"])
    assert note.startswith("3 images are in the group 'nan', which looks like a missing value")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-2.0, "-2"),
        (0.5, None),
        (math.nan, None),
        (math.inf, None),
        (1e20, f"{10**20}"),
    ],
)
def test_whole_numbers_have_a_text(value: float, text: str | None) -> None:
    assert number_text(value) == text
