"""`bob-bench reproduce` computes a record again from the images on, and shows what differs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bob.errors import FAILED, OK, USAGE
from bob.records.record import Record
from bob.records.store import RecordStore
from tests.builders.photos import make_photos

RUN = ("--backbones", "raw_pixels", "--tasks", "knn,linear")


@pytest.fixture
def results(bob, photos: Path, tmp_path: Path) -> Path:
    assert bob("run", "--data", photos, *RUN)[0] == OK
    return tmp_path / "results"


def record_of(results: Path, task: str) -> Record:
    (record,) = (each for each in RecordStore(results).read_all()[0] if each.task.name == task)
    return record


@pytest.mark.parametrize("task", ["knn", "linear"])
def test_the_scores_are_identical(bob, results, photos, task):
    record = record_of(results, task)
    code, out, err = bob("reproduce", record.key[:12], "--data", photos)
    assert (code, err) == (OK, "")
    assert f"all {len(record.scores)} scores are identical to the recorded ones" in out
    assert "differ" not in out.replace("difference", "")
    assert RecordStore(results).read_all()[0] != [], "the record is still there"


def test_stored_features_are_not_used(bob, results, photos, tmp_path):
    """The command writes into the cache nothing but what it knows of files and backbones."""
    shards = sorted((tmp_path / "cache" / "features").rglob("*.safetensors"))
    before = [path.read_bytes() for path in shards]
    for path in shards:
        path.write_bytes(b"damaged")
    key = record_of(results, "knn").key
    assert bob("reproduce", key, "--data", photos)[0] == OK
    assert before and [path.read_bytes() for path in shards] == [b"damaged"] * len(shards)


def test_features_stored_as_float16_are_stored_as_float16_again(bob, photos, tmp_path):
    assert bob("run", "--data", photos, *RUN, "--store-dtype", "float16")[0] == OK
    key = record_of(tmp_path / "results", "linear").key
    code, out, _ = bob("reproduce", key, "--data", photos)
    assert code == OK and "inputs that differ" not in out


def test_a_score_that_differs_is_shown(bob, results, photos):
    record = record_of(results, "knn")
    first, *others = record.scores
    changed = first.model_copy(update={"value": first.value - 0.25, "low": 0.0, "high": 1.0})
    arrays = RecordStore(results).arrays(record)
    RecordStore(results).write(record.model_copy(update={"scores": (changed, *others)}), arrays)
    code, out, err = bob("reproduce", record.key, "--data", photos)
    assert code == FAILED
    assert f"1 of {len(record.scores)} scores differ" in err
    assert "+0.25" in out


def test_an_image_that_changed_is_an_input_that_differs(bob, results, photos):
    path = sorted(photos.rglob("*.png"))[0]
    pixels = np.asarray(Image.open(path).convert("RGB"))
    Image.fromarray(255 - pixels).save(path)
    out = bob("reproduce", record_of(results, "knn").key, "--data", photos)[1]
    assert "inputs that differ from the record's:" in out and "dataset fingerprint:" in out


def test_other_versions_are_listed(bob, results, photos):
    record = record_of(results, "knn")
    libraries = {**record.provenance["libraries"], "numpy": "1.0"}
    facts = {"libraries": libraries, "git": {"commit": "0123abc", "modified": True}}
    older = record.model_copy(update={"provenance": record.provenance | facts})
    RecordStore(results).write(older, RecordStore(results).arrays(record))
    out = bob("reproduce", record.key, "--data", photos)[1]
    assert f"numpy: 1.0 → {np.__version__}" in out
    assert "  git: commit 0123abc, modified True → " in out


def test_what_is_not_there_is_named(bob, results, tmp_path):
    key = record_of(results, "knn").key
    code, _, err = bob("reproduce", key)
    assert code == USAGE and "dataset 'photos'" in err and "--data PATH" in err
    code, _, err = bob("reproduce", "ffff")
    assert code == USAGE and "0 records have a key that begins with 'ffff'" in err


def test_a_record_of_a_file_of_features_is_refused(bob, tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "mine.npz"
    np.savez(file, x=rng.normal(size=(40, 4)).astype(np.float32), y=np.arange(40) % 2)
    assert bob("evaluate", file, "--tasks", "knn")[0] == OK
    key = record_of(tmp_path / "results", "knn").key
    code, _, err = bob("reproduce", key)
    assert code == USAGE and "bob-bench evaluate FILE --fresh" in err


def test_images_of_another_folder_of_the_same_name_are_other_inputs(bob, results, tmp_path):
    other = make_photos(tmp_path / "other" / "photos", per_class=6)
    out = bob("reproduce", record_of(results, "knn").key, "--data", other)[1]
    assert "dataset fingerprint:" in out
