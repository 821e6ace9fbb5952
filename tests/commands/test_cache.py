"""`bob-bench cache`: what is there, is it sound, what can go; and that nothing goes which a running process uses."""

import argparse
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bob.cli import main
from bob.cli.quantities import period, size
from bob.commands.cache import features_to_prune
from bob.commands.terminal import ThroughputMeter
from bob.errors import FAILED, OK, USAGE
from bob.extraction.progress import Spent
from bob.features.inventory import (
    Description,
    StoredFeatures,
    describe,
    stored_features,
    in_use,
    remove,
)
from bob.features.store import SHARD_ROWS, FeatureStore
from tests.builders.features import KEY, shard

DAY = 86400.0
OTHER = dataclasses.replace(KEY, weights_hash="other")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Two sets of features: `a`, whole and 40 days unused; `b`, with one shard of two and used now."""
    store = FeatureStore(tmp_path / "cache" / "features")
    for key, name, images in ((KEY, "a", 6), (OTHER, "b", SHARD_ROWS + 6)):
        store.write(key, 0, shard())
        describe(store, key, Description(name, "photos", "train", images))
    for path in store.folder(KEY).iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 40 * DAY))
    return store


def cache(store: FeatureStore, *words: str) -> int:
    return main(["cache", *words, "--cache-dir", str(store.root.parent)])


def names(store: FeatureStore) -> list[str]:
    return [one.description.backbone for one in stored_features(store.root) if one.description]


def test_show_tells_whose_features_are_there_and_whether_they_are_complete(store, capsys):
    (store.root / "ff" / "ffff").mkdir(parents=True)
    assert cache(store) == OK
    lines = capsys.readouterr().out.splitlines()
    a, b, unknown = (
        next(line.split() for line in lines if name in line) for name in (" a ", " b ", "unknown")
    )
    assert a[1:6:2] == ["a", "photos", "train"] or {
        "a",
        "photos",
        "train",
        "6",
        "40",
        "yes",
    } <= set(a)
    assert {"b", "photos", "train", f"{SHARD_ROWS + 6:,}", "no"} <= set(b) and unknown
    assert "3 sets of features" in lines[-1]


def test_verify_finds_a_damaged_shard(store, capsys):
    assert cache(store, "verify") == OK
    (path,) = store.folder(OTHER).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cache(store, "verify") == FAILED
    out, err = capsys.readouterr()
    assert "2 shards read, 1 damaged" in out and f"{path}: is damaged" in err


def test_prune_by_age(store, capsys):
    assert cache(store, "prune", "--older-than", "41d") == OK and names(store) == ["a", "b"]
    assert cache(store, "prune", "--older-than", "30d", "--dry-run") == OK and names(store) == [
        "a",
        "b",
    ]
    assert cache(store, "prune", "--older-than", "30d") == OK and names(store) == ["b"]
    assert "removed a · photos · train" in capsys.readouterr().out


def test_prune_by_size_removes_the_longest_unused_first(store):
    assert cache(store, "prune", "--max-size", "1K") == OK
    assert names(store) == ["b"]


def test_what_may_go_by_age_counts_before_what_may_go_by_size():
    """Sizes 5, 4, 3; unused for 9, 2 and 1 days. More than 8 days: the first. Of the remaining 7 bytes 3 may stay: the second goes too."""
    stored = [
        StoredFeatures(Path(str(i)), None, 1, size, -days * DAY)
        for i, (size, days) in enumerate([(5, 9), (4, 2), (3, 1)])
    ]
    assert features_to_prune(stored, 8 * DAY, 3, now=0.0) == stored[:2]
    assert features_to_prune(stored, 8 * DAY, 7, now=0.0) == stored[:1]
    assert features_to_prune(stored, None, 11, now=0.0) == stored[:1]
    assert features_to_prune(stored, 10 * DAY, None, now=0.0) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [(("prune",), "say what may go: --older-than 30d"), (("move",), "say where to: --to DIR")],
)
def test_too_little_said_is_a_usage_error(store, words, message, capsys):
    assert cache(store, *words) == USAGE
    assert message in capsys.readouterr().err


def test_moving_to_the_same_place_is_a_usage_error(store, capsys):
    assert cache(store, "move", "--to", str(store.root.parent)) == USAGE
    assert "is where the cache is" in capsys.readouterr().err


def test_moved_features_are_read_there_and_gone_here(store, tmp_path):
    assert cache(store, "move", "--to", str(tmp_path / "new")) == OK
    there = FeatureStore(tmp_path / "new" / "features")
    assert (there.read(KEY, 6).rows == shard().rows).all() and names(there) == ["a", "b"]
    assert stored_features(store.root) == []


READER = """
import sys
from pathlib import Path
from bob.features.inventory import in_use
from tests.builders.features import KEY
with in_use(Path(sys.argv[1]), [KEY]):
    print("using", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("ends", ["well", "killed"])
def test_what_a_running_process_uses_is_kept_until_it_ends(store, tmp_path, ends, capsys):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", READER, str(store.root)]
    reader = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert reader.stdout is not None and reader.stdout.readline() == "using\n"
    assert cache(store, "prune", "--max-size", "0K") == OK and names(store) == ["a"]
    assert "kept a · photos · train: a running process uses it" in capsys.readouterr().err
    assert cache(store, "move", "--to", str(tmp_path / "new")) == OK and names(store) == ["a"], (
        "copied, and left here for its reader"
    )
    if ends == "killed":
        reader.kill()
    reader.communicate("\n", timeout=60)
    assert cache(store, "prune", "--max-size", "0K") == OK and names(store) == []


def test_what_a_process_is_writing_is_kept(store):
    lease = store.lease(OTHER, 1)
    removed, kept = remove(store.root, stored_features(store.root))
    assert [one.description.backbone for one in removed] == ["a"] and [
        one.description.backbone for one in kept
    ] == ["b"]
    lease.release()


def test_a_run_says_what_it_uses_and_whose_features_it_stores(bob, photos, tmp_path, monkeypatch):
    used = []
    real = in_use
    monkeypatch.setattr(
        "bob.engine.local.in_use",
        lambda root, keys: used.extend(keys := list(keys)) or real(root, keys),
    )
    assert bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")[0] == OK
    stored = stored_features(tmp_path / "cache" / "features")
    assert {one.digest for one in stored} == {key.digest() for key in used}
    assert sorted(
        (one.description.backbone, one.description.dataset, one.description.split, one.complete)
        for one in stored
    ) == [
        ("raw_pixels default", "photos", "test", True),
        ("raw_pixels default", "photos", "train", True),
    ]


@pytest.mark.parametrize(("text", "expected"), [("500M", 500 * 2**20), ("1.5G", 1.5 * 2**30)])
def test_sizes(text, expected):
    assert size(text) == expected


def test_periods():
    assert [period("12h"), period("30d"), period("2w")] == [12 * 3600, 30 * DAY, 14 * DAY]
    for wrong in ("", "30", "d", "3x", "-1d"):
        with pytest.raises(
            argparse.ArgumentTypeError, match="is not a time such as 12h, 30d or 8w"
        ):
            period(wrong)


def test_the_meter_tells_what_limits():
    """100 images in 10 s. Decoding took 20 s of cores, 7 s of which were waited for; forwards 2 s; writing 0.5 s: 5 images/s per core, 50, 200."""
    now = [0.0]
    meter = ThroughputMeter(200, clock=lambda: now[0])
    meter.add(50, Spent())
    assert meter.rate() == "", "what was stored before is no speed"
    now[0] = 10.0
    meter.add(100, Spent(decode_seconds=20.0, waited_seconds=7.0, forward_seconds=2.0))
    meter.add(0, Spent(write_seconds=0.5))
    assert meter.rate() == "10 images/s (decode 5 per core, forward 50, write 200; decode limits)"
    assert meter.left() == "5 s left"


def test_what_is_left_is_told_by_the_speed_after_the_race():
    """The first 20 images take 60 s, compiling among them; the next 20 take 2 s, so that the 60 left take 6 s."""
    now = [0.0]
    meter = ThroughputMeter(100, clock=lambda: now[0])
    now[0] = 60.0
    meter.add(20, Spent(forward_seconds=50.0))
    assert meter.left() == "4 min left"
    now[0] = 62.0
    meter.add(20, Spent(forward_seconds=2.0))
    assert meter.left() == "6 s left"
