"""Folders of images with depth maps: own data, declared layouts, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from bob.cli import main
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError
from bob.specs import DataOptions, DatasetSpec
from tests.builders.images import save_pixels

MILLIMETRES = np.array([[0, 500, 2000], [9999, 10_000, 65_535]], np.uint16)
OPTIONS = DataOptions(depth=(1000, 0.1, 10))


def garden(root: Path, *names: str) -> Path:
    """Write images with depth maps."""
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (2, 3, 3), np.uint8)
        save_pixels(root / "images" / f"{name}.jpg", pixels)
        save_pixels(root / "depths" / f"{name}.png", MILLIMETRES)
    return root


def test_own_folders_are_read_in_metres_and_within_the_range(tmp_path: Path) -> None:
    """0 is unknown; 10 m and more do not count."""
    root = garden(tmp_path / "garden", "train/a", "train/b", "test/c")
    data = open_dataset(spec_from_data_flag(str(root), OPTIONS), tmp_path / "cache")
    assert data.kind == "depth" and data.classes == ()
    assert [*data.splits["train"].ids] == ["images/train/a.jpg", "images/train/b.jpg"]
    depths = data.splits["test"].depths
    assert depths is not None and depths.range_m == (0.1, 10) and depths.crop is None
    metres = depths.read(0)
    np.testing.assert_allclose(metres, [[np.nan, 0.5, 2], [9.999, 10, 65.535]], rtol=1e-6)
    assert depths.scored(metres).tolist() == [[False, True, True], [True, False, False]]


def test_the_test_split_can_be_chosen_or_is_sampled(tmp_path: Path) -> None:
    root = garden(tmp_path / "a", "train/a", "holdout/b")
    options = OPTIONS.model_copy(update={"test_split": "holdout"})
    data = open_dataset(spec_from_data_flag(str(root), options), tmp_path / "cache")
    assert [*data.splits["test"].ids] == ["images/holdout/b.jpg"]
    root = garden(tmp_path / "b", *"abcdefghij")
    data = open_dataset(spec_from_data_flag(str(root), OPTIONS), tmp_path / "cache")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "test": 2}


def test_an_entry_names_folders_and_ends_of_names(tmp_path: Path) -> None:
    save_pixels(tmp_path / "rgb" / "one" / "a.jpg", np.zeros((2, 3, 3), np.uint8))
    save_pixels(tmp_path / "rgb" / "two" / "b.jpg", np.zeros((2, 3, 3), np.uint8))
    for place in ("one/a", "two/b"):
        save_pixels(tmp_path / "lidar" / f"{place}_depth.png", MILLIMETRES)
    source = {
        "reader": "depth_folders",
        "path": str(tmp_path),
        "images": "rgb",
        "depths": "lidar",
        "depth_suffix": "_depth",
        "splits": {"train": "one", "test": "two"},
        "per_metre": 256,
        "range_m": [0.5, 80],
        "crop": "garg",
    }
    spec = DatasetSpec.model_validate({"name": "orchard", "kind": "depth", "source": source})
    depths = open_dataset(spec, tmp_path / "cache").splits["test"].depths
    assert depths is not None and depths.crop == "garg"
    assert depths.read(0)[0, 1] == 500 / 256


def test_the_scale_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    root = str(garden(tmp_path / "garden", "train/a", "test/b"))
    prints = {
        open_dataset(spec_from_data_flag(root, DataOptions(depth=depth)), tmp_path).fingerprint()
        for depth in ((1000, 0.1, 10), (1000.001, 0.1, 10), (256, 0.1, 10), (1000, 0.1, 20))
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DataOptions(), r"holds images with depth maps: say with --depth STEPS,LEAST,MOST"),
        (
            DataOptions(depth=(1000, 0.1, 10), label="room"),
            "depth maps, to which --label does not apply; only --depth and --test-split do",
        ),
    ],
)
def test_the_flag_is_needed_and_labels_are_refused(
    tmp_path: Path, options: DataOptions, message: str
) -> None:
    root = garden(tmp_path / "garden", "a", "b")
    with pytest.raises(ConfigError, match=message):
        spec_from_data_flag(str(root), options)


def test_the_flag_is_refused_without_depth_maps_and_beside_masks(tmp_path: Path) -> None:
    save_pixels(tmp_path / "photos" / "a" / "1.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ConfigError, match="photos' has no folders 'images' and 'depths'"):
        spec_from_data_flag(str(tmp_path / "photos"), OPTIONS)
    root = garden(tmp_path / "garden", "a", "b")
    (root / "masks").mkdir()
    with pytest.raises(ConfigError, match="holds masks and depths"):
        spec_from_data_flag(str(root), OPTIONS)


def test_a_missing_depth_map_is_named(tmp_path: Path) -> None:
    root = garden(tmp_path / "garden", "a", "b")
    (root / "depths" / "b.png").unlink()
    spec = spec_from_data_flag(str(root), OPTIONS)
    with pytest.raises(DatasetError, match=r"no depth map in 'images' for 'b'. Expected images/"):
        open_dataset(spec, tmp_path / "cache")


def test_the_range_ascends() -> None:
    with pytest.raises(ValueError, match=r"most above least; got \(1000.0, 10.0, 0.1\)"):
        DataOptions(depth=(1000, 10, 0.1))


@pytest.mark.parametrize("text", ["1000", "1000,0.1", "mm,1,2", "1000,10,0.1", "0,1,2"])
def test_a_wrong_flag_is_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--data", "x", "--depth", text])
    assert f"{text!r} is not STEPS,LEAST,MOST" in " ".join(capsys.readouterr().err.split())


def test_own_depth_is_scored_by_the_command(tmp_path: Path) -> None:
    """Brightness is the logarithm of depth, 1 to 8 m in cells of 16 px: a linear head suffices."""
    root, rng = tmp_path / "garden", np.random.default_rng(0)
    for i in range(10):
        share = np.kron(rng.uniform(0, 1, (4, 4)), np.ones((16, 16)))
        pixels = np.repeat((40 + 180 * share)[:, :, None], 3, axis=2)
        save_pixels(root / "images" / f"{i}.png", pixels.astype(np.uint8))
        save_pixels(root / "depths" / f"{i}.png", (1000 * 8**share).astype(np.uint16))
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    words = ["--data", str(root), "--depth", "1000,0.1,10", "--tasks", "depth"]
    assert main(["run", *words, "--backbones", "raw_pixels", "--runtime", "eager", *places]) == 0
    (path,) = (tmp_path / "results" / "records").glob("depth/*/*.json")
    record = json.loads(path.read_text())
    assert record["dataset"]["counts"] == {"train": 8, "test": 2}
    scores = {score["metric"]: score["value"] for score in record["scores"]}
    assert scores["delta1_constant"] < scores["delta1"] and scores["delta1"] > 0.8
    assert main(["show", record["key"], "--images", "--data", str(root), *places]) == 0
    (page,) = (tmp_path / "results" / "images").glob("*.html")
    assert page.read_text().count('alt="prediction"') == 2 * 2  # both images, worst and sampled
