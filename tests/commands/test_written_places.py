"""No command writes among your images, and no folder of images counts twice."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bob
from bob.cli import main
from bob.errors import USAGE, ConfigError
from bob.registry import load_registry, local_datasets
from tests.builders.feature_files import npz
from tests.builders.photos import make_photos


@pytest.fixture
def inside(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of images, as the one in which commands are typed."""
    monkeypatch.chdir(photos)
    return photos


CACHE = ("--cache-dir", "own/cache")
RESULTS = ("--results", "own/results", "--cache-dir", "../cache")


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "raw_pixels", "--data", ".", "--to", "../head.safetensors", *RESULTS),
        ("probe", "raw_pixels", "--data", ".", "--to", "../head.safetensors", *CACHE),
        ("features", "raw_pixels", "--data", ".", "--to", "../f.npz", *CACHE),
        ("datasets", "check", ".", *CACHE),
        ("evaluate", "../f.npz", "--data", ".", "--tasks", "knn", *RESULTS),
        ("evaluate", "../f.npz", "--data", ".", "--tasks", "knn", *CACHE),
        ("similarity", "raw_pixels,channel_statistics", "--data", ".", *CACHE),
        ("fuse", "raw_pixels,channel_statistics", "--data", ".", *CACHE),
    ],
    ids=lambda words: f"{words[0]}-{words[-4] if words[-4:-2] == RESULTS[:2] else words[-2]}",
)
def test_no_command_writes_among_the_images(
    inside: Path, capfd: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    npz(inside.parent, x=np.zeros((2, 2)), ids=["a", "b"])
    before = sorted(inside.rglob("*"))
    results = () if "--results" in words else ("--results", "../results")
    assert main([*words, *results]) != 0
    out, err = capfd.readouterr()
    use = "results" if words[-4:-2] == RESULTS[:2] else "cache"
    message = f"the {use} folder 'own/{use}' is inside '{inside}', whose folders hold images"
    assert message in " ".join((out + err).split())
    assert sorted(inside.rglob("*")) == before


@pytest.mark.parametrize("place", ["results", "cache"])
def test_python_refuses_to_write_among_the_images(inside: Path, place: str) -> None:
    places = {"results": "../results", "cache": "../cache", place: f"own/{place}"}
    with pytest.raises(ConfigError, match=f"the {place} folder 'own/{place}' is inside '{inside}'"):
        bob.run("raw_pixels", "knn", data=".", **places)  # type: ignore[arg-type]
    assert not (inside / "own").exists()


def test_folders_of_masks_and_of_parquet_files_are_images_too(tmp_path: Path) -> None:
    """What is written beside `images/` and `masks/` is read by nobody."""
    for folder in ("images", "masks"):
        (tmp_path / "rooms" / folder).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "rooms" / folder / "a.png")
    (tmp_path / "rooms" / "classes.txt").write_text("floor\nwall\n")
    data, places = tmp_path / "rooms", {"cache": tmp_path / "cache"}
    for folder in ("images", "masks"):
        with pytest.raises(ConfigError, match=rf"is inside '.*rooms/{folder}'"):
            bob.run("raw_pixels", "segment", data=data, results=data / folder / "own", **places)
    make_photos(tmp_path / "photos", per_class=5, classes=2, side_px=8)
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": path.parent.name}
        for path in sorted((tmp_path / "photos").rglob("*.png"))
    ]
    (tmp_path / "shards").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "shards" / "train.parquet")
    data = tmp_path / "shards"
    with pytest.raises(ConfigError, match=r"is inside '.*shards'"):
        bob.run("raw_pixels", "knn", data=data, results=data / "own", **places)
    assert not [*tmp_path.rglob("own")]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a table of them, and a probe."""
    root = tmp_path_factory.mktemp("probed")
    photos = make_photos(root / "photos", per_class=10, classes=2, side_px=8)
    rows = "".join(f"{p.relative_to(root)},{p.parent.name}\n" for p in photos.rglob("*.png"))
    (root / "table.csv").write_text(f"path,label\n{rows}")
    words = ["probe", "raw_pixels", "--data", "photos", "--to", "head.safetensors", *RESULTS[2:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main([*words, "--results", "../results"]) == 0
    return root


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "head.safetensors", "--images", "table.csv", "--to", "table.csv"),
        ("predict", "head.safetensors", "--images", "photos", "--to", "head.safetensors"),
        ("predict", "head.safetensors", "--images", "photos", "--to", "photos/class0/0.png"),
        ("export", "head.safetensors", "--onnx", "./head.safetensors"),
        ("export", "head.safetensors", "--python", "head.py"),
        ("similarity", "raw_pixels,channel_statistics", "--data", "table.csv", "--to", "table.csv"),
        ("similarity", "a,b", "--data", "table.csv", "--to", "photos/class0/0.png"),
        ("prerank", "--external", "table.csv", "--to", "table.csv"),
        ("doctor", "head.safetensors", "--to", "head.safetensors"),
    ],
    ids=lambda words: f"{words[0]}-{words[-1]}",
)
def test_no_command_overwrites_what_it_reads(
    probed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: Sequence[str],
) -> None:
    monkeypatch.chdir(probed)
    before = {path: path.read_bytes() for path in probed.rglob("*") if path.is_file()}
    assert main([*words]) == USAGE
    out, err = capfd.readouterr()
    message = "is the name of an image" if words[-1].endswith(".png") else "would be overwritten"
    assert message in " ".join((out + err).split())
    assert {path: path.read_bytes() for path in probed.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("place", "message"),
    [("folder", "is a folder; name a file in it"), ("table.csv/new", "is a file and no folder")],
)
@pytest.mark.parametrize(
    "words",
    [
        ("predict", "head.safetensors", "--images", "photos", "--to"),
        ("export", "head.safetensors", "--onnx"),
        ("export", "head.safetensors", "--python"),
        ("features", "raw_pixels", "--data", "photos", "--to"),
        ("probe", "raw_pixels", "--data", "photos", "--to"),
        ("similarity", "raw_pixels,channel_statistics", "--data", "photos", "--to"),
        ("prerank", "--external", "table.csv", "--to"),
        ("doctor", "head.safetensors", "--to"),
    ],
    ids=lambda words: f"{words[0]}{words[-1]}",
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    probed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: Sequence[str],
    place: str,
    message: str,
) -> None:
    monkeypatch.chdir(probed)
    suffixes = {"--python": ".py", "probe": ".safetensors", "features": ".npz"}
    file = place + (suffixes.get(words[-1]) or suffixes.get(words[0], ""))
    if place == "folder":
        (probed / file).mkdir(exist_ok=True)
    assert main([*words, file]) == USAGE
    assert message in " ".join(capfd.readouterr().err.split())


def test_a_link_does_not_hide_that_a_folder_is_among_the_images(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(ConfigError, match=r"the results folder '.*link/results' is inside"):
        bob.run("raw_pixels", "knn", data=photos, results=tmp_path / "link" / "results")
    assert not (photos / "results").exists()


def test_a_plan_of_a_file_is_refused_where_it_would_write_among_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos(tmp_path / "photos", per_class=5, classes=2, side_px=8)
    monkeypatch.chdir(tmp_path)
    planned = ["run", "--data", "photos", "--backbones", "raw_pixels", "--tasks", "knn"]
    places = ["--results", "results", "--cache-dir", "cache"]
    assert main([*planned, *places, "--dry-run", "--json"]) == 0
    (tmp_path / "plan.json").write_text(capfd.readouterr().out)
    words = ["run", "--plan", "plan.json", "--results", "photos/own", "--cache-dir", "cache"]
    assert main(words) == USAGE
    assert "the results folder 'photos/own' is inside" in capfd.readouterr().err
    assert not [*photos.glob("own/*")]


def names(*paths: str | Path) -> list[str]:
    return [chosen.spec.name for chosen in local_datasets([*map(str, paths)], load_registry())]


def test_a_folder_counts_once_however_it_is_spelled(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(photos)
    spellings = [photos, f"{photos}/", f"{photos}/../photos", ".", "../link", f"{photos}/."]
    assert names(*spellings) == ["photos"]


def test_a_table_counts_once_however_it_is_called(photos: Path, tmp_path: Path) -> None:
    """A link beside it is another name for it; in another folder, its paths are of other images."""
    files = sorted(path.relative_to(tmp_path) for path in photos.rglob("*.png"))
    rows = "".join(f"{path},{path.parent.name}\n" for path in files)
    (tmp_path / "table.csv").write_text(f"path,label\n{rows}")
    (tmp_path / "copy.csv").symlink_to("table.csv")
    os.link(tmp_path / "table.csv", tmp_path / "same.csv")
    table = tmp_path / "table.csv"
    assert names(table, tmp_path / "copy.csv", tmp_path / "same.csv") == ["table"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "moved.csv").symlink_to(table)
    (other / "photos").symlink_to(photos)
    assert names(table, other / "moved.csv") == ["table", "moved"]
