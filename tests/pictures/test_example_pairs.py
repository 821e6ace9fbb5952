"""Which images of two backbones are shown in retrieval, for several labels and for numbers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import NotApplicableError
from bob.features.store import FeatureStore
from bob.outcomes import (
    ClassPredictions,
    MultilabelPredictions,
    Outcome,
    RegressionResults,
    RetrievalResults,
)
from bob.pictures.example_pairs import example_pair, pair_sections
from bob.pictures.page import PageSection
from bob.pictures.view import View
from tests.builders.leaderboard_records import record


@pytest.fixture
def view(tmp_path: Path) -> View:
    """Six test images of the classes a and b, named by their number."""
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photos" / ("train" if i >= 6 else "test") / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    dataset = open_dataset(spec_from_data_flag(str(tmp_path / "photos")), tmp_path / "cache")
    test = dataset.splits["test"]
    order = sorted(range(6), key=lambda i: Path(test.ids[i]).name)
    splits = {**dataset.splits, "test": test.take(np.array(order))}
    shown = replace(dataset, splits=splits)
    return View(record("a"), shown, FeatureStore(tmp_path / "none"), lambda note: None)


def shown(a: Outcome, b: Outcome, view: View) -> dict[str, list[tuple[str, Sequence[str]]]]:
    """Return title → (number, captions) of the images of each section, in order."""
    pair = example_pair(a, b)
    assert pair is not None
    sections: list[PageSection] = list(pair_sections(pair, "first", "second", view))
    return {
        section.title: [
            (Path(picture.name).stem, picture.lines)
            for strip in section.strips
            for picture in strip.pictures
        ]
        for section in sections
    }


def numbers(section: list[tuple[str, Sequence[str]]]) -> list[str]:
    return [number for number, _ in section]


def retrieval(ap: list[float], first: list[float]) -> RetrievalResults:
    """Return results of queries 0, 1, 3, 4 and 5, with the places of their first hits."""
    values, ones = np.array(ap), np.ones(5, np.int64)
    places = 1 / np.array(first)
    return RetrievalResults(np.array([0, 1, 3, 4, 5]), ones, places, *(4 * [values]))


def test_queries_are_right_whose_first_place_is_a_positive(view: View) -> None:
    """Query 0 both, 1 and 3 only A (B's AP is lower on 3), 4 only B, 5 neither."""
    a = retrieval([1.0, 0.9, 0.8, 0.4, 0.3], [1, 1, 1, 2, 3])
    b = retrieval([1.0, 0.6, 0.5, 0.7, 0.2], [1, 2, 4, 1, 2])
    sections = shown(a, b, view)
    assert numbers(sections["Only A is right"]) == ["3", "1"]
    assert numbers(sections["Only B is right"]) == ["4"]
    assert sections["Both are wrong"] == [
        ("5", ("A: AP 30 %, first hit at place 3", "B: AP 20 %, first hit at place 2"))
    ]


def test_images_with_several_labels_are_right_by_their_best_class(view: View) -> None:
    """Image 2 has no label and is left out; image 1 has both, so that any class is right."""
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 1]], bool)
    a = MultilabelPredictions(np.array([[2, 1], [2, 1], [1, 2], [2, 1], [2, 1], [1, 2]]), labels)
    b = MultilabelPredictions(np.array([[2, 1], [1, 2], [1, 2], [1, 2], [1, 2], [2, 1]]), labels)
    sections = shown(a, b, view)
    assert numbers(sections["Only A is right"]) == ["4", "5"]
    assert sections["Only B is right"] == [("3", ("is b", "A: a", "B: b"))]
    assert "Both are wrong" not in sections


def test_of_numbers_the_largest_differences_come_first(view: View) -> None:
    """Errors of A: 0, 1, 2, 3, 0, 0; of B: 2, 4, 1, 0, 0, 1. Gains of A: 2, 3, -1, -3, 0, 1."""
    target = np.arange(6.0)
    a = RegressionResults(target, target + np.array([0, 1, 2, 3, 0, 0]))
    b = RegressionResults(target, target - np.array([2, 4, 1, 0, 0, 1]))
    sections = shown(a, b, view)
    assert numbers(sections["A is nearer"]) == ["1", "0", "5"]
    assert numbers(sections["B is nearer"]) == ["3", "2"]
    assert sections["A is nearer"][0][1] == ("is 1", "A: 2", "B: -3")
    # the smaller of both errors is 1 for 1 and 2, and 0 for all others
    assert numbers(sections["Both are far"]) == ["1", "2"]


def test_other_examples_are_not_compared() -> None:
    target = np.arange(3.0)
    a, b = RegressionResults(target, target), RegressionResults(target + 1, target)
    with pytest.raises(NotApplicableError, match="the test images are not the same"):
        example_pair(a, b)


def test_outcomes_of_other_kinds_have_no_pair() -> None:
    target, y = np.arange(3.0), np.arange(3)
    classes = ClassPredictions(y, y, 0 * y, 3)
    assert example_pair(classes, classes) is None
    assert example_pair(RegressionResults(target, target), classes) is None
