"""`bob-bench cache` shows, verifies, prunes and moves features, and never removes those in use."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bob.cli import main
from bob.commands.cache import features_to_prune
from bob.errors import FAILED, OK, USAGE
from bob.features.inventory import (
    Description,
    StoredFeatures,
    describe,
    in_use,
    remove,
    stored_features,
)
from bob.features.sharding import SPAN_IMAGES
from bob.features.store import FeatureStore
from tests.builders.features import KEY, shard

DAY = 86400.0
COMPLETE = dataclasses.replace(KEY, count=6)
INCOMPLETE = dataclasses.replace(KEY, weights_hash="other", count=SPAN_IMAGES + 6)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Features `a`, complete and unused for 40 days, and `b`, used now, with one shard of two."""
    store = FeatureStore(tmp_path / "cache" / "features")
    for key, name in ((COMPLETE, "a"), (INCOMPLETE, "b")):
        store.write(key, 0, shard())
        describe(store, key, Description(name, "photos", "train", key.count, len(key.sharding)))
    for path in store.folder(COMPLETE).iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 40 * DAY))
    return store


def cache(store: FeatureStore, *words: str) -> int:
    return main(["cache", *words, "--cache-dir", str(store.root.parent)])


def names(store: FeatureStore) -> list[str]:
    return [
        features.description.backbone
        for features in stored_features(store.root)
        if features.description
    ]


def test_show_prints_names_and_completeness(store, capsys):
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
    assert {"b", "photos", "train", f"{SPAN_IMAGES + 6:,}", "no"} <= set(b) and unknown
    assert "3 sets of features" in lines[-1]


def test_verify_reports_a_damaged_shard(store, capsys):
    assert cache(store, "verify") == OK
    (path,) = store.folder(INCOMPLETE).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cache(store, "verify") == FAILED
    out, err = capsys.readouterr()
    assert "2 shards read, 1 damaged" in out and f"{path}: damaged" in err


def test_prune_removes_features_unused_for_longer_than_an_age(store, capsys):
    assert cache(store, "prune", "--older-than", "41d") == OK and names(store) == ["a", "b"]
    assert cache(store, "prune", "--older-than", "30d", "--dry-run") == OK and names(store) == [
        "a",
        "b",
    ]
    assert cache(store, "prune", "--older-than", "30d") == OK and names(store) == ["b"]
    assert "removed a · photos · train" in capsys.readouterr().out


def test_prune_by_size_removes_the_least_recently_used_first(store):
    assert cache(store, "prune", "--max-size", "1K") == OK
    assert names(store) == ["b"]


def test_features_pruned_by_age_count_before_the_size_limit():
    """Sizes 5, 4, 3 bytes, unused for 9, 2 and 1 days.

    More than 8 days: the first. Of the remaining 7 bytes 3 may stay: the second is pruned too.
    """
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
    [
        (("prune",), "say what to remove: --older-than 30d"),
        (("move",), "name the new cache folder with --to DIR"),
    ],
)
def test_missing_flags_are_a_usage_error(store, words, message, capsys):
    assert cache(store, *words) == USAGE
    assert message in capsys.readouterr().err


def test_moving_to_the_same_folder_is_a_usage_error(store, capsys):
    assert cache(store, "move", "--to", str(store.root.parent)) == USAGE
    assert "is the present cache folder; name another" in capsys.readouterr().err


def test_moved_features_exist_only_in_the_new_folder(store, tmp_path):
    assert cache(store, "move", "--to", str(tmp_path / "new")) == OK
    target = FeatureStore(tmp_path / "new" / "features")
    assert (target.read(COMPLETE).rows == shard().rows).all() and names(target) == ["a", "b"]
    assert stored_features(store.root) == []


READER = """
import sys
from pathlib import Path
from bob.features.inventory import in_use
with in_use(Path(sys.argv[1]), [sys.argv[2]]):
    print("using", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["exits", "killed"])
def test_features_in_use_are_kept_until_the_process_ends(store, tmp_path, end, capsys):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", READER, str(store.root), COMPLETE.digest()]
    reader = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert reader.stdout is not None and reader.stdout.readline() == "using\n"
    assert cache(store, "prune", "--max-size", "0K") == OK and names(store) == ["a"]
    assert "kept a · photos · train: a running process uses it" in capsys.readouterr().err
    assert cache(store, "move", "--to", str(tmp_path / "new")) == OK and names(store) == ["a"], (
        "copied, and kept here for its reader"
    )
    if end == "killed":
        reader.kill()
    reader.communicate("\n", timeout=60)
    assert cache(store, "prune", "--max-size", "0K") == OK and names(store) == []


def test_features_that_a_process_writes_are_kept(store):
    lease = store.lease(INCOMPLETE, 1)
    removed, kept = remove(store.root, stored_features(store.root))
    assert [features.description.backbone for features in removed] == ["a"]
    assert [features.description.backbone for features in kept] == ["b"]
    lease.release()


def test_a_run_announces_the_features_it_uses_and_describes_those_it_stores(
    bob, photos, tmp_path, monkeypatch
):
    used = []
    real = in_use
    monkeypatch.setattr(
        "bob.engine.local.in_use",
        lambda root, digests: used.extend(digests := list(digests)) or real(root, digests),
    )
    assert bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")[0] == OK
    stored = stored_features(tmp_path / "cache" / "features")
    assert {features.digest for features in stored} == set(used)
    assert sorted(
        (
            features.description.backbone,
            features.description.dataset,
            features.description.split,
            features.complete,
        )
        for features in stored
    ) == [
        ("raw_pixels default", "photos", "test", True),
        ("raw_pixels default", "photos", "train", True),
    ]
