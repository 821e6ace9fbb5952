"""The layout of NABirds, in a tiny tree."""

from pathlib import Path

import pytest
from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.errors import DatasetError
from bob.registry import load_registry

LISTS = {
    "images": "aa-1 0817/aa1.jpg\nbb-2 0295/bb2.jpg\ncc-3 1003/cc3.jpg\n\n",
    "image_class_labels": "cc-3 1003\naa-1 817\nbb-2 295\n",
    "train_test_split": "aa-1 1\nbb-2 0\ncc-3 1\n",
    "classes": "0 Birds\n295 Loon (Adult)\n817 Oak Titmouse\n1003 Loon (Adult)\n",
}
"""Three images of classes 817, 295 and 1003; class 0 is an inner node."""


def nabirds(root: Path, **changes: str) -> Path:
    """Write the lists and an image for each line of `images`."""
    root.mkdir(parents=True)
    for name, text in {**LISTS, **changes}.items():
        (root / f"{name}.txt").write_text(text)
    for number, path in enumerate(("0817/aa1.jpg", "0295/bb2.jpg", "1003/cc3.jpg")):
        file = root / "images" / path
        file.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(file)
    return root


def opened(root: Path) -> Dataset:
    """Open the tree by the registry's entry, without its official counts."""
    spec = load_registry().datasets["nabirds"]
    source = spec.source.model_copy(update={"path": str(root)})
    changes = {"source": source, "counts": {}, "classes": None}
    return open_dataset(spec.model_copy(update=changes), root.parent / "cache")


def test_lists_are_joined_by_image(tmp_path: Path) -> None:
    """Classes are in the order of their ids; names that two of them have get the id."""
    data = opened(nabirds(tmp_path / "nabirds"))
    train, test = data.splits["train"], data.splits["test"]
    assert data.classes == ("Loon (Adult) (295)", "Oak Titmouse", "Loon (Adult) (1003)")
    assert [*train.ids] == ["images/0817/aa1.jpg", "images/1003/cc3.jpg"]
    assert train.y.tolist() == [1, 2] and test.y.tolist() == [0]
    assert [*test.ids] == ["images/0295/bb2.jpg"]
    assert data.split_origin["kind"] == "official"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_test_split": "aa-1 1\nbb-2 0\n"}, "image 'cc-3' is in only one of images.txt and"),
        ({"train_test_split": "aa-1 1\nbb-2 2\ncc-3 1"}, "image 'bb-2' must have 1 or 0; got '2'"),
        ({"classes": "295 a\n817 b\n"}, "classes.txt has no class '1003', which images have"),
        ({"images": "aa-1 x.jpg\naa-1 y.jpg\n"}, "images.txt', line 2: repeats an id"),
        ({"images": "aa-1\n"}, "images.txt', line 1: needs an id and a value; got 'aa-1'"),
        ({"classes": "\n"}, "classes.txt': is empty"),
    ],
)
def test_lists_that_disagree_are_refused(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    root = nabirds(tmp_path / "nabirds", **changes)
    with pytest.raises(DatasetError, match=message):
        opened(root)


def test_missing_images_and_lists_are_named(tmp_path: Path) -> None:
    root = nabirds(tmp_path / "nabirds")
    (root / "images" / "0295" / "bb2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"0295/bb2\.jpg', which does not exist"):
        opened(root)
    (root / "classes.txt").unlink()
    with pytest.raises(DatasetError, match=r"classes\.txt': cannot be read"):
        opened(root)
