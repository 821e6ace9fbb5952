"""A probe that is kept predicts what the run recorded, also for images that it never saw."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from bob.cli import main
from bob.errors import FAILED, OK, USAGE
from bob.heads.saved_probe import SavedProbe, read_probe
from bob.leaderboards.per_example import headline_outcomes
from bob.records.store import RecordStore
from tests.builders.photos import make_photos

Bob = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ with 40 train and 20 test images, some of wrong class, and a probe."""
    root = tmp_path_factory.mktemp("probe")
    make_photos(root / "photos" / "train", per_class=20, classes=2, side_px=8)
    make_photos(root / "photos" / "test", per_class=30, classes=2, side_px=8)
    for path in sorted((root / "photos" / "test").rglob("*.png")):
        if int(path.stem) < 20:
            path.unlink()
    for path in sorted((root / "photos").rglob("class0/*[7-9].png")):  # wrong labels
        other = path.parents[1] / "class1" / path.name
        path.rename(path.with_suffix(".tmp"))
        other.rename(path)
        path.with_suffix(".tmp").rename(other)
    places = ("--results", root / "results", "--cache-dir", root / "cache")
    words = ("probe", "raw_pixels", "--data", root / "photos", "--to", root / "h.safetensors")
    assert main([str(word) for word in (*words, *places)]) == OK
    return root


@pytest.fixture
def head(folder: Path) -> Path:
    return folder / "h.safetensors"


def predicted(head: Path, images: Path, to: Path, *flags: str) -> list[dict[str, str]]:
    words = ["predict", str(head), "--images", str(images), "--to", str(to), *flags]
    assert main(words) in (OK, FAILED)
    with to.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_for_the_test_images_are_the_recorded_ones(
    head: Path, folder: Path, tmp_path: Path
) -> None:
    rows = predicted(head, folder / "photos" / "test", tmp_path / "p.csv", "--probabilities")
    store = RecordStore(folder / "results")
    (record,), _ = store.read_all()
    (recorded,) = headline_outcomes(record, store.headline_arrays(record))
    assert [row["path"] for row in rows][:2] == ["class0/020.png", "class0/021.png"]
    assert [row["predicted"] for row in rows] == [f"class{c}" for c in recorded.predicted]
    confidence = np.array([float(row["confidence"]) for row in rows])
    np.testing.assert_allclose(confidence, recorded.confidence, atol=1e-6)
    right = np.mean([row["predicted"] == row["path"].split("/")[0] for row in rows])
    assert right == pytest.approx(record.scores[0].value)
    shares = np.array([[float(row["p_class0"]), float(row["p_class1"])] for row in rows])
    np.testing.assert_allclose(shares.sum(1), 1)
    calibrated = [float(row["calibrated_confidence"]) for row in rows]
    np.testing.assert_allclose(shares.max(1), calibrated)


def test_the_temperature_divides_the_logits(head: Path, folder: Path, tmp_path: Path) -> None:
    """Of two classes: the logit of the confidence, divided by T, is the calibrated logit."""
    facts = json.loads(_header(head)["bob_bench_probe"])
    rows = predicted(head, folder / "photos" / "test", tmp_path / "p.csv")
    for row in rows:
        confidence = float(row["confidence"])
        logit = np.log(confidence / (1 - confidence)) / facts["temperature"]
        expected = softmax([logit, 0])[0]
        assert float(row["calibrated_confidence"]) == pytest.approx(expected, abs=1e-6)


def _header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def test_the_file_says_what_it_is_made_of(head: Path) -> None:
    facts = json.loads(_header(head)["bob_bench_probe"])
    assert facts["classes"] == ["class0", "class1"] and facts["backbone"]["name"] == "raw_pixels"
    assert facts["geometry"]["input_px"] == 224 and len(facts["normalisation"]["mean"]) == 3
    assert facts["temperature"] > 0 and facts["dataset"] == "photos" and len(facts["record"]) == 32
    tensors = load_file(head)
    assert tensors["weight"].shape == (2, 768) and tensors["bias"].shape == (2,)


def test_unreadable_images_have_a_row_with_the_reason(
    head: Path, folder: Path, tmp_path: Path
) -> None:
    new = make_photos(tmp_path / "new", per_class=1, classes=2, side_px=8)
    (new / "class0" / "broken.png").write_bytes(b"no image")
    rows = predicted(head, new, tmp_path / "p.csv")
    assert [bool(row["problem"]) for row in rows] == [False, True, False]
    assert rows[1]["predicted"] == "" and "not in a supported format" in rows[1]["problem"]


@pytest.mark.parametrize("row", ["b", "b,"])
def test_a_row_of_a_table_without_a_path_is_named(
    head: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], row: str
) -> None:
    (tmp_path / "t.csv").write_text(f"label,path\na,1.png\n{row}\n")
    words = ("predict", head, "--images", tmp_path / "t.csv", "--to", tmp_path / "p.csv")
    assert main([*map(str, words)]) == USAGE
    assert "t.csv': line 3 has no path" in " ".join(capfd.readouterr().err.split())


def test_names_that_are_not_utf_8_are_escaped(head: Path, folder: Path, tmp_path: Path) -> None:
    """Byte 0xe9 is an é of Latin-1."""
    images, odd = tmp_path / "images", os.fsdecode(b"caf\xe9.png")
    images.mkdir()
    good = next((folder / "photos" / "test").rglob("*.png")).read_bytes()
    (images / odd).write_bytes(good)
    (images / os.fsdecode(b"empty\xe9.png")).write_bytes(b"")
    rows = predicted(head, images, tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ["caf\\xe9.png", "empty\\xe9.png"]
    assert rows[0]["predicted"] and "empty\\\\xe9.png' is empty" in rows[1]["problem"]
    (row,) = predicted(head, images / odd, tmp_path / "one.csv")
    assert row["path"] == "caf\\xe9.png"


def test_a_table_and_a_single_image_are_read(head: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "photos" / "list.csv").write_text("path\ntest/class1/025.png\n")
    rows = predicted(head, folder / "photos" / "list.csv", tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ["test/class1/025.png"]
    one = predicted(head, folder / "photos" / "test" / "class1" / "025.png", tmp_path / "q.csv")
    assert one[0]["confidence"] == rows[0]["confidence"]


def test_a_ridge_probe_predicts_the_recorded_classes(folder: Path, tmp_path: Path) -> None:
    """Its outputs are no logits: there are only the probabilities after the temperature."""
    head = tmp_path / "ridge.safetensors"
    places = ("--results", folder / "ridge", "--cache-dir", folder / "cache")
    words = ("probe", "raw_pixels", "--task", "ridge", "--data", folder / "photos", "--to", head)
    assert main([str(word) for word in (*words, *places)]) == OK
    rows = predicted(head, folder / "photos" / "test", tmp_path / "p.csv", "--probabilities")
    store = RecordStore(folder / "ridge")
    (record,), _ = store.read_all()
    (recorded,) = headline_outcomes(record, store.headline_arrays(record))
    assert [row["predicted"] for row in rows] == [f"class{c}" for c in recorded.predicted]
    facts = json.loads(_header(head)["bob_bench_probe"])
    assert facts["c"] is None
    assert facts["l2_per_example"] == record.details[0]["l2_per_example"]
    assert "confidence" not in rows[0]
    # two outputs of a ridge on ±1 are opposite numbers: p = 1 / (1 + exp(-2 |output| / T))
    shares = [float(row[f"p_{row['predicted']}"]) for row in rows]
    assert shares == pytest.approx([float(row["calibrated_confidence"]) for row in rows])
    assert min(shares) >= 0.5 and facts["temperature"] > 0


def test_a_ridge_probe_without_a_temperature_has_no_probabilities(
    head: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    probe = read_probe(head)
    changes = {"c": None, "l2_per_example": 0.1, "temperature": None}
    path = tmp_path / "ridge.safetensors"
    SavedProbe(probe.weight, probe.bias, probe.facts.model_copy(update=changes)).write(path)
    rows = predicted(path, folder / "photos" / "test", tmp_path / "p.csv", "--probabilities")
    assert list(rows[0]) == ["path", "predicted", "problem"]
    assert main(["export", str(path), "--onnx", str(tmp_path / "m.onnx")]) == USAGE
    err = " ".join(capfd.readouterr().err.split())
    assert "a ridge probe without a temperature have no probabilities" in err


def test_mistakes_are_named(head: Path, folder: Path, tmp_path: Path, bob: Bob) -> None:
    to = ("--to", tmp_path / "p.csv")

    other = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros((2, 3))}, other)
    for probe, images in (
        (tmp_path / "absent.safetensors", head),
        (other, head),
        (head, tmp_path / "nowhere"),
        (head, head),
    ):
        words = ("predict", probe, "--images", images, *to)
        assert main([str(word) for word in words]) == USAGE
    photos = ("--data", folder / "photos", "--to", tmp_path / "h2.safetensors")
    code, _, err = bob("probe", "raw_pixels", *photos, "--task", "knn")
    message = "only linear and ridge probes can be saved; their tasks: linear, ridge"
    assert code == USAGE and message in err
    code, _, err = bob("probe", "raw_pixels", "--data", folder / "photos", "--to", "head.pt")
    assert code == USAGE and "must end in .safetensors" in err
    code, _, err = bob("probe", "channel_statistics,raw_pixels", *photos)
    assert code == USAGE and "a probe belongs to one" in err


def test_unreadable_images_are_left_out_of_a_probe_on_demand(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The probe is that of photos without them; without the flag there is none."""
    photos = make_photos(tmp_path / "photos" / "train", per_class=6, classes=2, side_px=8)
    make_photos(tmp_path / "photos" / "test", per_class=4, classes=2, side_px=8)
    places = ("--results", tmp_path / "results", "--cache-dir", tmp_path / "cache")

    def probe(name: str, *flags: str) -> int:
        to = ("--to", tmp_path / name, "--task", "ridge", *places)
        words = ("probe", "raw_pixels", "--data", tmp_path / "photos", *to, *flags)
        return main([str(word) for word in words])

    (broken := photos / "class0" / "broken.png").write_bytes(b"no image")
    assert probe("h.safetensors") == USAGE
    assert "leave it out with --skip-bad-images" in " ".join(capfd.readouterr().err.split())
    assert probe("h.safetensors", "--skip-bad-images") == OK
    assert "note photos: 1 unreadable image excluded." in capfd.readouterr().err
    broken.unlink()
    assert probe("whole.safetensors") == OK
    skipped, whole = (load_file(tmp_path / f"{name}.safetensors") for name in ("h", "whole"))
    np.testing.assert_allclose(skipped["weight"], whole["weight"], rtol=1e-6)
