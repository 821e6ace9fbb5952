"""Entries that read the folders of official archives as they are: tiny trees in their layouts."""

from pathlib import Path

import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.registry import load_registry
from tests.builders.images import png

CUB = ["001.Black_footed_Albatross", "010.Red_winged_Blackbird", "100.Brown_Pelican"]
WORDNET = ["n01443537", "n01484850", "n01494475"]


def write_images(root: Path, counts: dict[str, int]) -> None:
    """Write so many distinct images below each folder."""
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            (root / folder / f"{i:03}.png").write_bytes(png(40 * number + i))


def opened(entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **facts: object) -> Dataset:
    """Open an entry whose data are below the folder, with other declared sizes."""
    monkeypatch.setenv("BOB_DATA", str(tmp_path))
    spec = load_registry().datasets[entry]
    return open_dataset(spec.model_copy(update={"counts": {}, **facts}), tmp_path / "cache")


@pytest.mark.parametrize(
    ("entry", "folder", "classes"),
    [("cub200_cil", "cub", CUB), ("imagenet_r_cil", "imagenet-r", WORDNET)],
)
def test_class_incremental_folders_keep_the_order_of_the_official_codes(
    entry: str, folder: str, classes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RevisitingCIL reads `train` and `test` by torchvision's ImageFolder, which sorts names."""
    counts = {f"train/{name}": 3 for name in reversed(classes)}
    write_images(tmp_path / folder, counts | {f"test/{name}": 2 for name in classes})
    data = opened(entry, tmp_path, monkeypatch, classes=3, images=15)
    assert data.classes == tuple(sorted(classes))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 9, "test": 6}


def test_counteranimal_s_folders_are_classes_and_backgrounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names beside the folders are no images; every class has its own backgrounds."""
    root = tmp_path / "counteranimal" / "LAION-final"
    write_images(
        root,
        {
            "291 lion/common-grass": 3,
            "291 lion/counter-snow": 2,
            "10 brambling/common-grass": 2,
            "10 brambling/counter-sky": 1,
        },
    )
    (root / "imagenet_names.txt").write_text("0\ttench\n")
    data = opened("counteranimal_all", tmp_path, monkeypatch, classes=2)
    test = data.splits["test"]
    assert data.classes == ("10 brambling", "291 lion") and [*data.splits] == ["test"]
    assert test.y.tolist() == [0] * 3 + [1] * 5
    assert data.paired is not None
    assert "chosen with a CLIP, so that the drops of CLIPs are larger" in data.notes[-1]
    sides = [data.paired.side(value) for value in test.attributes["background"]]
    assert sides == [0, 0, 1, 0, 0, 0, 1, 1]
    drawn = opened("counteranimal", tmp_path, monkeypatch, classes=2, images=8)
    assert set(drawn.splits) == {"train", "test"} and drawn.paired == data.paired
