"""Datasets for anomaly detection: the layouts of MVTec AD and VisA, and your own folders."""

from pathlib import Path

import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.limit import limited
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError
from bob.registry import load_registry
from bob.registry.choices import local_datasets
from bob.specs import DataOptions
from tests.builders.images import make_class_folders, png

MVTEC = {
    "train/good": 4,
    "test/good": 2,
    "test/broken_large": 3,
    "ground_truth/broken_large": 3,
}


@pytest.fixture
def bottle(tmp_path: Path) -> Path:
    """Return a category in the layout of MVTec AD, with masks and texts."""
    root = tmp_path / "mvtec_ad" / "bottle"
    for i, (folder, n) in enumerate(MVTEC.items()):
        (root / folder).mkdir(parents=True)
        for j in range(n):
            (root / folder / f"{j:03}.png").write_bytes(png(100 * i + j))
    (root / "license.txt").write_text("CC")
    return root


def assert_is_bottle(dataset: Dataset) -> None:
    assert dataset.classes == ("broken_large", "good")
    assert dataset.splits["train"].y.tolist() == [1] * 4
    assert sorted(dataset.splits["test"].y.tolist()) == [0, 0, 0, 1, 1]


def test_the_entries_of_mvtec_read_its_layout(
    bottle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOB_DATA", str(tmp_path))
    spec = load_registry().datasets["mvtec_bottle"].model_copy(update={"counts": {}})
    dataset = open_dataset(spec, tmp_path / "cache")
    assert_is_bottle(dataset)
    assert dataset.normal == (1,) and dataset.kind == "detection"


def test_your_own_folder_in_that_layout_is_read_without_its_masks(
    bottle: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(spec_from_data_flag(str(bottle)), tmp_path / "cache")
    assert_is_bottle(dataset)
    assert dataset.normal is None, "the only class of train is normal without a declaration"
    assert dataset.unread["masks of 'ground_truth', beside the splits"] == 3


def test_a_limit_keeps_test_images_of_classes_that_train_never_had(
    bottle: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(spec_from_data_flag(str(bottle)), tmp_path / "cache")
    assert set(limited(dataset, 4).splits["test"].y.tolist()) == {0, 1}


def test_the_entries_of_visa_read_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["object,split,label,image,mask"]
    images = [
        ("candle", "train", "normal"),
        ("candle", "test", "normal"),
        ("pcb1", "train", "normal"),
    ]
    for i, (category, split, label) in enumerate([*images, ("candle", "test", "anomaly")]):
        image = f"{category}/Data/Images/{label.title()}/{i:03}.JPG"
        (tmp_path / "visa" / image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "visa" / image).write_bytes(png(i))
        mask = f"{category}/Data/Masks/{i:03}.png" if label == "anomaly" else ""
        rows.append(f"{category},{split},{label},{image},{mask}")
    (tmp_path / "visa" / "split_csv").mkdir()
    (tmp_path / "visa" / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("BOB_DATA", str(tmp_path))
    spec = load_registry().datasets["visa_candle"].model_copy(update={"counts": {}})
    dataset = open_dataset(spec, tmp_path / "cache")
    assert dataset.classes == ("anomaly", "normal") and dataset.normal == (1,)
    assert len(dataset.splits["train"]) == 1
    assert dataset.splits["test"].y.tolist() == [1, 0]


def test_the_categories_are_those_of_the_papers() -> None:
    """MVTec AD: 3,629 train and 1,725 test images in 15 categories (Bergmann et al. 2021, table 1);
    VisA: 8,659 and 2,162 in 12 (the rows of 1cls.csv).
    """
    for group, totals in (("mvtec", (15, 3629, 1725)), ("visa", (12, 8659, 2162))):
        specs = [s for s in load_registry().datasets.values() if group in s.groups]
        counted = tuple(sum(s.counts[name] for s in specs) for name in ("train", "test"))
        assert (len(specs), *counted) == totals


def test_the_normal_class_of_your_own_images_is_named(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "parts", fine=6, scratched=4)
    path = str(tmp_path / "parts")
    dataset = open_dataset(
        spec_from_data_flag(path, DataOptions(normal=("fine",))), tmp_path / "cache"
    )
    plain = open_dataset(spec_from_data_flag(path), tmp_path / "cache")
    assert dataset.normal == (0,) and plain.normal is None
    assert dataset.fingerprint() != plain.fingerprint()
    with pytest.raises(
        DatasetError, match="normal names the class 'fin', which it does not have; did you mean"
    ):
        open_dataset(spec_from_data_flag(path, DataOptions(normal=("fin",))), tmp_path / "cache")


def test_a_normal_class_without_images_of_your_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="--normal 'fine' belongs to --data PATH"):
        local_datasets([], load_registry(), [DataOptions(normal=("fine",))])
