"""`bob-bench cache` shows, verifies, prunes and moves features, and never removes those in use."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bob.cli import main
from bob.commands.cache import features_to_prune
from bob.errors import FAILED, OK, USAGE
from bob.extraction.runtimes.choices import Choice, ChoiceFile, Trial
from bob.features import inventory
from bob.features.inventory import (
    Description,
    StoredFeatures,
    damaged_shards,
    describe,
    in_use,
    remove,
    stored_features,
)
from bob.features.key import FeatureKey, StatisticsKey
from bob.features.shard import Shard
from bob.features.sharding import SPAN_IMAGES
from bob.features.store import FeatureStore
from bob.io.files import TEMPORARY_PREFIX
from bob.io.processes import this_process
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
    (store.root / "ff" / ("f" * 32)).mkdir(parents=True)
    assert cache(store) == OK
    lines = capsys.readouterr().out.splitlines()
    a, b, unknown = (
        next(line.split() for line in lines if name in line) for name in (" a ", " b ", "unknown")
    )
    assert {"a", "photos", "train", "6", "40", "yes"} <= set(a)
    assert {"b", "photos", "train", f"{SPAN_IMAGES + 6:,}", "no"} <= set(b) and unknown
    assert "3 sets of features" in lines[-1]


def test_show_says_where_temporary_arrays_were_removed(store, capsys):
    key = StatisticsKey(KEY)
    store.write(key, 0, Shard({"points": np.ones(2**18)}))
    describe(store, key, Description("c", "photos", "query", KEY.count, 1))
    assert cache(store) == OK
    out = capsys.readouterr().out
    assert {"c", "2.0", "yes"} <= set(next(li for li in out.splitlines() if " c " in li).split())
    assert "used:" not in out
    store.remove_arrays(key, ["points"])
    assert cache(store) == OK
    out = capsys.readouterr().out
    assert {"c", "0.0", "used"} <= set(next(li for li in out.splitlines() if " c " in li).split())
    assert "used: features that only later statistics read were removed" in out
    assert cache(store, "verify") == OK and "0 damaged" in capsys.readouterr().out


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


SAME_FOLDER = {
    "by name": "{cache}",
    "by a relative path": "{cache}/../{name}",
    "by a link": "{link}",
    "within itself": "{cache}/features/other",
}


@pytest.mark.parametrize("how", SAME_FOLDER)
def test_moving_to_the_same_folder_is_a_usage_error(store, tmp_path, how, capsys):
    folder = store.root.parent
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    to = SAME_FOLDER[how].format(cache=folder, name=folder.name, link=link)
    before = files_of(store.root)
    assert cache(store, "move", "--to", to) == USAGE
    assert "is the present cache folder; name another" in capsys.readouterr().err
    assert files_of(store.root) == before


def files_of(root: Path) -> dict[str, bytes]:
    """Return all files of a store but its lock, which every command makes."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "users"
    }


@pytest.fixture
def new(tmp_path: Path) -> FeatureStore:
    """An empty store in another folder."""
    return FeatureStore(tmp_path / "new" / "features")


def move_to(store: FeatureStore, new: FeatureStore) -> int:
    return cache(store, "move", "--to", str(new.root.parent))


def test_moved_features_exist_only_in_the_new_folder(store, new):
    before = files_of(store.root)
    assert move_to(store, new) == OK
    assert (new.read(COMPLETE).rows == shard().rows).all() and names(new) == ["a", "b"]
    assert stored_features(store.root) == [] and files_of(store.root) == {}
    assert files_of(new.root) == before


def test_moved_features_keep_the_time_of_their_last_use(store, new):
    before = [features.last_used for features in stored_features(store.root)]
    assert move_to(store, new) == OK
    assert [features.last_used for features in stored_features(new.root)] == pytest.approx(
        before, abs=1
    )


def test_an_incomplete_set_does_not_replace_a_complete_one(store, new):
    """The target holds both shards of `b`, the store that is moved the first one only."""
    for number in range(2):
        new.write(INCOMPLETE, number, shard(seed=number))
    expected = new.read(INCOMPLETE).rows.copy()
    assert move_to(store, new) == OK
    assert new.missing(INCOMPLETE) == [] and stored_features(store.root) == []
    np.testing.assert_array_equal(new.read(INCOMPLETE).rows, expected)


def test_two_incomplete_sets_are_merged(store, new):
    new.write(INCOMPLETE, 1, shard(seed=1))
    assert move_to(store, new) == OK
    np.testing.assert_array_equal(
        new.read(INCOMPLETE).rows, np.concatenate([shard().rows, shard(seed=1).rows])
    )


def damage(store: FeatureStore, key: FeatureKey = COMPLETE) -> Path:
    """Flip the last bits of a key's only shard."""
    (path,) = store.folder(key).glob("*.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return path


def test_a_damaged_shard_is_not_copied(store, new):
    damage(store)
    assert move_to(store, new) == OK
    assert new.missing(COMPLETE) == [0] and not list(new.folder(COMPLETE).glob("*.safetensors"))
    assert stored_features(store.root) == []


def test_a_damaged_shard_of_the_target_is_replaced(store, new):
    new.write(COMPLETE, 0, shard())
    damage(new)
    assert move_to(store, new) == OK
    np.testing.assert_array_equal(new.read(COMPLETE).rows, shard().rows)


def test_a_folder_in_the_place_of_a_shard_of_the_target_is_kept_aside(store, new):
    precious = new.folder(COMPLETE) / "000000.safetensors" / "precious.txt"
    precious.parent.mkdir(parents=True)
    precious.touch()
    assert move_to(store, new) == OK
    np.testing.assert_array_equal(new.read(COMPLETE).rows, shard().rows)
    assert len([*new.folder(COMPLETE).rglob(precious.name)]) == 1


def test_a_damaged_shard_does_not_replace_an_undamaged_one(store, new):
    new.write(COMPLETE, 0, shard())
    damage(store)
    assert move_to(store, new) == OK
    np.testing.assert_array_equal(new.read(COMPLETE).rows, shard().rows)


@pytest.mark.parametrize("command", ["move", "prune"])
def test_foreign_files_are_left_alone(store, new, command):
    """Files of others beside features, among them, and in folders named much like ours."""
    foreign = [
        store.folder(COMPLETE) / "notes.txt",
        store.folder(COMPLETE) / "model.safetensors",
        store.folder(COMPLETE) / "000000" / "data.bin",
        store.root / "readme.txt",
        store.root / "my" / "photos" / "cat.png",
        store.root / "ab" / "paper.pdf",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    words = ["--to", str(new.root.parent)] if command == "move" else ["--max-size", "0K"]
    assert cache(store, command, *words) == OK
    names = [str(path.relative_to(store.root)) for path in foreign]
    assert files_of(store.root) == dict.fromkeys(names, b"precious")
    assert stored_features(store.root) == []


def test_a_full_disk_stops_a_move_and_both_stores_are_sound(store, small_disk, capsys):
    """The target has room for `a`, whose shard takes less than 4 KiB, and not for `b`."""
    store.write(INCOMPLETE, 1, shard(n=SPAN_IMAGES, width=64))
    before = files_of(store.root)
    assert cache(store, "move", "--to", str(small_disk)) == USAGE
    message = capsys.readouterr().err
    assert "the disk is full" in message and "Nothing was removed" in message
    assert files_of(store.root) == before
    target = FeatureStore(small_disk / "features")
    assert not list(target.root.rglob(f"{TEMPORARY_PREFIX}*"))
    for stored in stored_features(target.root):
        assert damaged_shards(stored) == {}
    np.testing.assert_array_equal(target.read(COMPLETE).rows, shard().rows)


def test_a_copy_that_is_not_what_was_copied_stops_the_move(store, new, monkeypatch, capsys):
    def write_zeros(path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(len(data)))

    before = files_of(store.root)
    monkeypatch.setattr("bob.features.inventory.write_atomically", write_zeros)
    assert move_to(store, new) == USAGE
    assert "differs from" in capsys.readouterr().err and files_of(store.root) == before


def test_shards_stored_while_others_are_copied_are_not_lost(store, new, monkeypatch):
    """Another run stores the second shard of `b` after its first was copied, and ends."""
    real = inventory._copy_missing

    def copy(stored, folder):
        real(stored, folder)
        if stored.digest == INCOMPLETE.digest():
            store.write(INCOMPLETE, 1, shard(seed=1))

    monkeypatch.setattr(inventory, "_copy_missing", copy)
    assert move_to(store, new) == OK
    assert names(store) == ["b"] and store.missing(INCOMPLETE) == []
    monkeypatch.undo()
    assert move_to(store, new) == OK
    assert new.missing(INCOMPLETE) == [] and stored_features(store.root) == []


def test_verify_reads_the_shards_and_leaves_foreign_files_alone(store, capsys):
    """Names of foreign files that look like shards, and a folder that is named like one."""
    for name in ("model.safetensors", "0x10.safetensors", "notes.txt"):
        (store.folder(COMPLETE) / name).write_text("precious")
    assert cache(store, "verify") == OK
    out, err = capsys.readouterr()
    assert "2 shards read, 0 damaged" in out
    assert err.count("is not a file of the feature store, and is left alone") == 3
    (store.folder(INCOMPLETE) / "000001.safetensors").mkdir()
    assert cache(store, "verify") == FAILED
    out, err = capsys.readouterr()
    assert "3 shards read, 1 damaged" in out and "the next run that needs it recomputes it" in err


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "text",
        '{"backbone": 1, "dataset": "x", "split": "y", "images": 2, "shards": 3}',
        '{"backbone": "a", "dataset": "x", "split": "y", "images": "2", "shards": 3}',
    ],
)
def test_a_foreign_description_is_unknown(store, text, capsys):
    (store.folder(COMPLETE) / "about.json").write_text(text)
    assert cache(store) == OK and "unknown" in capsys.readouterr().out


def test_a_dangling_link_among_the_shards_is_no_shard(store, capsys):
    (store.folder(COMPLETE) / "000007.safetensors").symlink_to("nowhere")
    assert cache(store) == OK
    assert cache(store, "verify") == FAILED
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_folder_that_cannot_be_read_is_named(store, monkeypatch, command, capsys):
    """Another user's folder without read permission, which root would have all the same."""
    folder, real = store.folder(COMPLETE), Path.iterdir

    def iterdir(self):
        if self == folder:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert cache(store, command) == USAGE
    assert f"{folder}: cannot be read (Permission denied)" in capsys.readouterr().err


def test_a_cache_without_features_is_empty(tmp_path, capsys):
    for command in (["show"], ["verify"], ["prune", "--max-size", "0K"]):
        assert main(["cache", *command, "--cache-dir", str(tmp_path / "none")]) == OK
    assert "0 sets of features" in capsys.readouterr().out


def test_what_a_killed_removal_left_is_removed_by_the_next(store):
    leftover = store.root / "ab" / f"{TEMPORARY_PREFIX}{'0' * 32}"
    leftover.mkdir(parents=True)
    (leftover / "000000.safetensors").write_bytes(b"half removed")
    assert cache(store, "prune", "--older-than", "90d") == OK
    assert not leftover.exists() and names(store) == ["a", "b"]


def test_an_announcement_that_cannot_be_read_stops_a_removal(store, monkeypatch, capsys):
    """Another user's run may use any features, so none is removed."""
    announcement = store.root / "users" / "theirs.lease"
    announcement.parent.mkdir()
    announcement.write_text("{}")
    refuse_to_read(announcement, monkeypatch)
    assert cache(store, "prune", "--max-size", "0K") == USAGE and names(store) == ["a", "b"]
    assert "the features that its process uses are unknown" in capsys.readouterr().err


def test_an_announcement_of_a_process_killed_while_announcing_is_removed(store):
    """Announcing happens under the lock that a removal holds, so its writer is gone."""
    announcement = store.root / "users" / "theirs.lease"
    announcement.parent.mkdir()
    announcement.write_text("")
    assert cache(store, "prune", "--max-size", "0K") == OK and names(store) == []
    assert not announcement.exists()


def test_the_next_run_removes_the_announcement_of_a_killed_one(store):
    announcement = store.root / "users" / "theirs.lease"
    announcement.parent.mkdir()
    announcement.write_text(json.dumps({**this_process(), "born": 1.0, "keys": []}))
    with in_use(store.root, [COMPLETE.digest()]):
        assert not announcement.exists()
        (ours,) = announcement.parent.glob("*.lease")
        assert json.loads(ours.read_bytes())["keys"] == [COMPLETE.digest()]
    assert not ours.exists()


def refuse_to_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to read a file, as the system does to other users; root may read everything."""
    real = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


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
        "bob.engine.conductor.in_use",
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


def test_runtimes_are_listed_with_the_speeds_of_all_that_were_tried(tmp_path, capsys):
    """0.02 and 0.005 s per image are 50 and 200 images/s."""
    conditions = {
        "forward": {"architecture": "resnet50"},
        "input_px": 224,
        "outputs": ["default"],
        "precision": "float32",
        "device": ["cpu", "AMD EPYC", 2],
        "libraries": {},
    }
    trials = (
        Trial("eager", 4, 0.0, 0.02),
        Trial("openvino", 4, 1.5, 0.005),
        Trial("onnxruntime", 4, 0.2, None, "cannot run it: Error"),
    )
    ChoiceFile(tmp_path / "runtimes", conditions).save(Choice("openvino", 4, 0.005, trials))
    assert main(["cache", "runtimes", "--cache-dir", str(tmp_path)]) == OK
    assert capsys.readouterr().out.splitlines()[:4] == [
        "resnet50, 224 px, output default, float32, cpu (AMD EPYC, 2 threads)",
        "    eager, batches of 4: 50 images/s",
        "  * openvino, batches of 4: 200 images/s",
        "    onnxruntime, batches of 4: cannot run it: Error",
    ]


def test_no_runtimes_are_listed_where_nothing_was_tuned(tmp_path, capsys):
    assert main(["cache", "runtimes", "--cache-dir", str(tmp_path)]) == OK
    assert "0 architectures" in capsys.readouterr().out
