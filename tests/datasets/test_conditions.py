"""Splits by the values of columns: which image goes where, and groups on one side."""

import pytest

from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import open_dataset
from bob.datasets.own import spec_from_data_flag
from bob.errors import ConfigError, DatasetError
from bob.specs import DataOptions, DatasetSpec, TableSource
from tests.builders.attribute_table import emoji_rows, save_image, write_table

APPLE, GOOGLE, TWITTER = (
    {"vendor": ("apple",)},
    {"vendor": ("google",)},
    {"vendor": ("twitter",)},
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("emoji"), emoji_rows())


def opened(path, tmp_path, **options) -> Dataset:
    spec = spec_from_data_flag(str(path), DataOptions(**options))
    return open_dataset(spec, tmp_path / "cache")


def values(split: Split, attribute: str) -> set[str]:
    return set(split.attributes[attribute])


def test_disjoint_conditions_are_taken_as_they_are(table, tmp_path):
    dataset = opened(table, tmp_path, train=APPLE, test=GOOGLE, shift={"vendor": ("twitter",)})
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 10, "test": 10}
    assert values(dataset.splits["train"], "vendor") == {"apple"}
    assert values(dataset.splits["test"], "vendor") == {"google"}
    assert values(dataset.shifts["twitter"].split, "vendor") == {"twitter"}
    assert dataset.split_origin["kind"] == "official"


def test_images_that_train_and_test_admit_are_divided(table, tmp_path):
    """Of 5 images of each class, a fifth is one: 2 of 10 are test."""
    dataset = opened(table, tmp_path, train=APPLE, test=APPLE)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 8, "test": 2}
    assert dataset.split_origin["share"] == 0.2 and dataset.split_origin["kind"] == "automatic"
    assert "20 images are in no split, because no condition admits them" in dataset.notes
    again = opened(table, tmp_path, train=APPLE)
    assert again.splits["test"].ids == dataset.splits["test"].ids


def test_each_value_of_a_shift_is_a_test_set_and_the_rest_is_divided(table, tmp_path):
    dataset = opened(table, tmp_path, shift={"vendor": ("google", "twitter")})
    assert {name: len(shift.split) for name, shift in dataset.shifts.items()} == {
        "google": 10,
        "twitter": 10,
    }
    assert values(dataset.splits["train"], "vendor") == {"apple"}


def test_groups_stay_on_one_side_of_the_split_and_of_shifts(table, tmp_path):
    """Each emoji is drawn by all vendors: 8 are train for apple, so 2 remain of google."""
    dataset = opened(
        table, tmp_path, train=APPLE, test=APPLE, shift={"vendor": ("google",)}, group="emoji"
    )
    train, test = (values(dataset.splits[side], "emoji") for side in ("train", "test"))
    assert len(train) == 8 and len(test) == 2 and not train & test
    assert values(dataset.shifts["google"].split, "emoji") == test
    assert (
        "8 images are left out of the shift 'google', so that no group is on both sides"
        in dataset.notes
    )
    assert not any("images in both" in note for note in dataset.notes)


def test_groups_of_two_conditions_are_divided_as_one(table, tmp_path):
    """8 emoji are train as drawn by apple, the other 2 are test as drawn by google."""
    dataset = opened(table, tmp_path, train=APPLE, test=GOOGLE, group="emoji")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (8, 2)
    assert (values(train, "vendor"), values(test, "vendor")) == ({"apple"}, {"google"})
    assert not values(train, "emoji") & values(test, "emoji")
    assert "10 images are left out of train and test, so that no group is on both sides" in (
        dataset.notes
    )


def test_val_chooses_settings_on_images_of_its_own(table, tmp_path):
    dataset = opened(table, tmp_path, train=APPLE, val=GOOGLE, test=TWITTER)
    assert {name: values(split, "vendor") for name, split in dataset.splits.items()} == {
        "train": {"apple"},
        "val": {"google"},
        "test": {"twitter"},
    }
    with pytest.raises(DatasetError, match="10 images are in train as well as in val"):
        opened(table, tmp_path, train=APPLE, val=APPLE, test=TWITTER)


def test_several_columns_must_all_hold(table, tmp_path):
    dataset = opened(
        table, tmp_path, train=APPLE, test={"vendor": ("google",), "emoji": ("e0", "e1", "e2")}
    )
    assert len(dataset.splits["test"]) == 3


def test_all_datasets_of_a_table_share_their_features(tmp_path):
    """Two columns of classes over the same images have one set of images to embed."""
    rows = [row | {"colour": "red" if i % 3 else "blue"} for i, row in enumerate(emoji_rows())]
    path = write_table(tmp_path / "emoji", rows)
    shift = {"vendor": ("google",)}
    first = opened(path, tmp_path, label="label", shift=shift)
    second = opened(path, tmp_path, label="colour", shift=shift)
    assert (first.name, second.name) == (
        "t_label_shift-vendor-google",
        "t_colour_shift-vendor-google",
    )
    assert second.classes == ("blue", "red")
    (name, whole), (other_name, other) = (
        dataset.splits["train"].full for dataset in (first, second)
    )
    assert name == other_name and whole.images_fingerprint == other.images_fingerprint


def test_a_given_test_split_is_kept(tmp_path):
    """Of 20 train and 10 test rows, conditions choose; nothing is drawn."""
    rows = [
        row | {"split": "test" if i % 3 == 2 else "train"} for i, row in enumerate(emoji_rows())
    ]
    path = write_table(tmp_path / "emoji", rows)
    dataset = opened(path, tmp_path, train=APPLE, shift={"vendor": ("google",)})
    numbers = [i for i, row in enumerate(rows) if row["vendor"] == "apple"]
    trained = [f"{i:03d}.png" for i in numbers if i % 3 < 2]
    assert list(dataset.splits["train"].ids) == trained
    assert list(dataset.splits["test"].ids) == [f"{i:03d}.png" for i in numbers if i % 3 == 2]
    shifted = [i for i, row in enumerate(rows) if row["vendor"] == "google" and i % 3 == 2]
    assert list(dataset.shifts["google"].split.ids) == [f"{i:03d}.png" for i in shifted]


def test_classes_without_images_in_any_split_are_dropped(tmp_path):
    rows = [*emoji_rows(["apple"]), *({**row, "label": "flag"} for row in emoji_rows(["google"]))]
    path = write_table(tmp_path / "emoji", rows)
    assert opened(path, tmp_path, train=APPLE).classes == ("face", "food")


def test_retrieval_makes_all_images_with_a_value_queries_and_gallery(tmp_path):
    rows = emoji_rows()
    rows[0]["emoji"] = ""
    path = write_table(tmp_path / "emoji", rows)
    dataset = opened(path, tmp_path, retrieve="emoji", group="vendor")
    assert dataset.name == "t_retrieve-emoji_group-vendor" and dataset.kind == "retrieval"
    assert list(dataset.splits) == ["test"] and len(dataset.splits["test"]) == 29
    assert dataset.classes == tuple(f"e{i}" for i in range(10))
    assert set(dataset.splits["test"].groups or ()) == {"apple", "google", "twitter"}
    assert dataset.unread == {"images without a value of 'emoji'": 1}
    chosen = opened(
        path, tmp_path, retrieve="emoji", group="vendor", test={"vendor": ("apple", "google")}
    )
    assert len(chosen.splits["test"]) == 19


def test_a_table_without_classes_can_be_searched(tmp_path):
    rows = [{"emoji": row["emoji"], "vendor": row["vendor"]} for row in emoji_rows()]
    path = write_table(tmp_path / "emoji", rows)
    assert len(opened(path, tmp_path, retrieve="emoji", group="vendor").classes) == 10


def test_folder_levels_above_and_below_the_classes(tmp_path):
    for i, row in enumerate(emoji_rows()):
        save_image(tmp_path / "above" / row["vendor"] / row["label"] / f"{i}.png", 1, i)
        save_image(tmp_path / "below" / row["label"] / row["vendor"] / f"{i}.png", 1, i)
    above = opened(
        tmp_path / "above", tmp_path, levels=("vendor", "label"), train=APPLE, test=GOOGLE
    )
    below = opened(
        tmp_path / "below", tmp_path, levels=("label", "vendor"), train=APPLE, test=GOOGLE
    )
    plain = opened(tmp_path / "above", tmp_path, levels=("vendor",), train=APPLE, test=GOOGLE)
    for dataset in (above, below, plain):
        assert dataset.classes == ("face", "food")
        assert (len(dataset.splits["train"]), len(dataset.splits["test"])) == (10, 10)
    by_vendor = opened(tmp_path / "above", tmp_path, levels=("vendor", "kind"), label="vendor")
    assert by_vendor.classes == ("apple", "google", "twitter")


def test_image_above_the_named_levels_is_an_error(tmp_path):
    save_image(tmp_path / "p" / "face" / "apple" / "0.png", 1, 0)
    save_image(tmp_path / "p" / "food" / "1.png", 1, 1)
    with pytest.raises(DatasetError, match="is 0 folders below its class folder"):
        opened(tmp_path / "p", tmp_path, levels=("label", "vendor"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": {"vendro": ("apple",)}}, "no column or folder level 'vendro'"),
        ({"train": {"vendor": ("aple",)}}, "no image has vendor=aple"),
        ({"group": "patient"}, "no column or folder level 'patient'"),
        ({"train": APPLE, "shift": APPLE}, "10 images are in train as well as in the shift"),
        (
            {"train": APPLE, "test": {"vendor": ("google",), "emoji": ("e0",)}, "group": "label"},
            "cannot be split",
        ),
    ],
)
def test_conditions_that_cannot_hold_are_errors(table, tmp_path, options, message):
    with pytest.raises(DatasetError, match=message):
        opened(table, tmp_path, **options)


def test_unknown_columns_of_classes_are_errors(table, tmp_path):
    with pytest.raises(ConfigError, match="column 'lable' is missing"):
        opened(table, tmp_path, label="lable")
    with pytest.raises(ConfigError, match="--levels names levels of folders"):
        opened(table, tmp_path, levels=("vendor",))
    save_image(tmp_path / "p" / "face" / "0.png", 1, 0)
    with pytest.raises(ConfigError, match="--label 'vendor': no level of folders has this name"):
        opened(tmp_path / "p", tmp_path, label="vendor")


def test_an_image_without_a_group_is_an_error(tmp_path):
    rows = emoji_rows()
    rows[3]["emoji"] = ""
    path = write_table(tmp_path / "emoji", rows)
    with pytest.raises(DatasetError, match=r"'003.png' has no value of the group 'emoji'"):
        opened(path, tmp_path, group="emoji")


def test_an_entry_has_the_same_keys(table, tmp_path):
    spec = DatasetSpec(
        name="emoji",
        source=TableSource(reader="table", path=str(table)),
        train=APPLE,
        test=APPLE,
        shift={"vendor": ("google",)},
        group="emoji",
    )
    flags = opened(
        table, tmp_path, train=APPLE, test=APPLE, shift={"vendor": ("google",)}, group="emoji"
    )
    assert open_dataset(spec, tmp_path / "cache").fingerprint() == flags.fingerprint()


def test_keys_of_an_entry_that_contradict_each_other_are_errors(table):
    source = TableSource(reader="table", path=str(table))
    with pytest.raises(ValueError, match="retrieve makes all images queries and gallery"):
        DatasetSpec(name="emoji", source=source, retrieve="emoji", train=APPLE)
    with pytest.raises(ValueError, match="leave_out cannot be combined with 'train'"):
        DatasetSpec(name="emoji", source=source, train=APPLE, leave_out=APPLE)
