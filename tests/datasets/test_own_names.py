"""Names of your own datasets: options that make another dataset make another name."""

from itertools import combinations

import pytest

from bob.datasets.own_names import LONGEST, own_dataset_name, shown_dataset
from bob.specs import DataOptions

NORTH = {"site": ("north",)}
EXAMPLES = {
    "test_split": {"test_split": "val"},
    "boxes": {"boxes": "parts.json"},
    "normal": {"normal": ("fine",)},
    "levels": {"levels": ("vendor",)},
    "label": {"label": "species"},
    "group": {"group": "patient"},
    "train": {"train": NORTH},
    "val": {"val": NORTH},
    "test": {"test": NORTH},
    "shift": {"shift": NORTH},
    "retrieve": {"retrieve": "species"},
    "depth": {"depth": (1000, 0.1, 10)},
}
"""Every option, set alone."""
HARD = {
    "train and shift": {"train": NORTH, "shift": NORTH},
    "another shift beside the same train": {"train": NORTH, "shift": {"site": ("south",)}},
    "a column called like a flag": {"train": {"group": ("patient",)}},
    "boxes of another folder": {"boxes": "new/parts.json"},
    "two values": {"train": {"site": ("north", "south")}},
    "one value with a hyphen": {"train": {"site": ("north-south",)}},
    "one value with a space": {"train": {"site": ("north south",)}},
    "one value with an underscore": {"train": {"site": ("north_south",)}},
    "train of two columns": {"train": {"site": ("north",), "view": ("top",)}},
    "train and test": {"train": NORTH, "test": {"view": ("top",)}},
    "one value that reads like a flag": {"train": {"site": ("north_test", "view", "top")}},
    "classes above a level": {"levels": ("label", "vendor")},
    "a long text": {"train": {"site": tuple(f"ward{i:02d}" for i in range(40))}},
    "a long text with another end": {"train": {"site": tuple(f"ward{i:02d}" for i in range(41))}},
}


def name(**options) -> str:
    return own_dataset_name("data/scans.csv", DataOptions(**options))


def test_every_option_has_a_name_of_its_own():
    """A new option without an example fails here."""
    assert set(EXAMPLES) == set(DataOptions.model_fields)
    named = {"no option": name()}
    named |= {title: name(**options) for title, options in (EXAMPLES | HARD).items()}
    same = [pair for pair in combinations(named, 2) if named[pair[0]] == named[pair[1]]]
    assert not same


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "scans"),
        ({"label": "species", "group": "patient"}, "scans_species_group-patient"),
        ({"train": NORTH, "test": {"site": ("south",)}}, "scans_train-site-north_test-site-south"),
        (
            {"train": {"fold": ("2", "1")}, "val": {"fold": ("3",)}},
            "scans_train-fold-1-2_val-fold-3",
        ),
        ({"test_split": "val"}, "scans_test-val"),
        ({"boxes": "parts.json"}, "scans_boxes-parts"),
    ],
)
def test_names_show_the_flags(options, expected):
    assert name(**options) == expected


def test_what_makes_the_same_dataset_has_the_same_name():
    several = {"site": ("north", "south"), "view": ("top",)}
    reordered = {"view": ("top",), "site": ("south", "north")}
    assert name(shift=several) == name(shift=reordered)
    assert name(train=NORTH, test=NORTH) == name(train=NORTH)
    assert name(levels=("vendor", "label")) == name(levels=("vendor",))


def test_long_options_are_cut_to_a_readable_length():
    long = name(**HARD["a long text"])
    assert long.startswith("scans_train-site-ward00-ward01-")
    assert len(long) == len("scans_") + LONGEST


def test_a_path_that_is_gone_has_the_name_that_it_had(tmp_path):
    """Records stay selectable by the path when the images were moved."""
    folder = tmp_path / "photos.v2"
    folder.mkdir()
    before = own_dataset_name(str(folder))
    folder.rmdir()
    assert own_dataset_name(str(folder)) == before == "photos.v2"
    assert own_dataset_name("shards/images.parquet") == "images"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photos", "photos"),
        ("scans_train-site-north_test-site-south", "scans_train-site-north_test-site-south"),
        (
            "emoji_train-vendor-apple_shift-vendor-goo-ddd5af",
            "emoji_train-vendor-apple_shift…ddd5af",
        ),
        ("a" * 40 + "-0123ab", "a" * 30 + "…0123ab"),
        ("scans_label-0123ab", "scans_label-0123ab"),
    ],
    ids=["short", "no digest", "digest", "one long word", "short with a digest"],
)
def test_a_long_name_is_shown_by_its_first_words_and_its_digest(name: str, shown: str) -> None:
    assert shown_dataset(name) == shown
