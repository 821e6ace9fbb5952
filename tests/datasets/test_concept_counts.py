"""Counts of classes in a corpus: names spelled otherwise, and files that cannot be used."""

import json
from pathlib import Path

import pytest

from bob.datasets.class_names import class_list
from bob.datasets.concept_counts import UNKNOWN, read_concept_counts
from bob.datasets.open import open_dataset
from bob.errors import DatasetError
from bob.registry.loading import load_datasets
from tests.builders.images import png

WHERE = "dataset 'd', frequency"


def write(folder: Path, text: str) -> Path:
    path = folder / "counts.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_are_matched_without_case_and_separators(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"car_side": 235, "Ceiling-Fan": 7, "hawksbill": 0, "x": 1}))
    classes = ("ceiling fan", "Car side", "hawksbill", "emu")
    assert read_concept_counts(path, classes, WHERE).tolist() == [7, 235, 0, UNKNOWN]


def test_wordnet_ids_have_the_names_of_the_published_counts(tmp_path: Path) -> None:
    """The names of classes 0, 657, 744 and 836 in `imagenet_*_search_counts.json`."""
    text = '{"tench": 20, "missile": 3, "projectile": 5, "sunglass": 7, "sunglasses": 9}'
    classes = [class_list("imagenet_1k")[c] for c in (0, 744, 657, 837, 836, 1)]
    counts = read_concept_counts(write(tmp_path, text), classes, WHERE).tolist()
    assert counts == [20, 5, 3, 9, 7, UNKNOWN]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "must hold an object of class name → count; got a list"),
        ('{"a": 1.5}', "the count of 'a' must be a whole number ≥ 0; got 1.5"),
        ('{"a": -1}', "must be a whole number ≥ 0; got -1"),
        ('{"a": true}', "must be a whole number ≥ 0; got True"),
        ('{"a b": 1, "A_b": 2}', "has two counts of 'A_b', spelled differently"),
        ('{"b": 1}', "names none of the classes, such as 'a'; its first name is 'b'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=f"^dataset 'd', frequency: .*{message}"):
        read_concept_counts(write(tmp_path, text), ("a",), WHERE)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_concept_counts(tmp_path / "none.json", ("a",), WHERE)


def test_an_entry_names_files_beside_it_which_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    for i in range(8):
        folder = tmp_path / "images" / ("train" if i < 4 else "test") / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(i))
    source, counts = "{reader: folder, path: images}", "{laion: counts.json}"
    entry = f"my_pets:\n  source: {source}\n  frequency: {counts}\n"
    (tmp_path / "datasets.yaml").write_text(entry)
    fingerprints = []
    for count in (5, 6):
        write(tmp_path, json.dumps({"a": count, "b": 0}))
        spec = load_datasets([tmp_path])["my_pets"]
        dataset = open_dataset(spec, tmp_path / "cache")
        assert dataset.concept_counts["laion"].tolist() == [count, 0]
        fingerprints.append(dataset.fingerprint())
    assert len(set(fingerprints)) == 2
