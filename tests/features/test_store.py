"""The feature store: what is in the key, and that a damaged, missing or half-written shard never becomes rows."""

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bob.errors import StoreError
from bob.extraction.work_queue import Jobs
from bob.features.inventory import in_use
from bob.features.key import FeatureKey
from bob.features.store import SHARD_ROWS, FeatureStore, Shard, shard_count, shard_range
from bob.io.files import ASIDE, write_whole
from tests.builders.features import KEY, shard


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def shard_file(store: FeatureStore) -> Path:
    (path,) = store.folder(KEY).glob("*.safetensors")
    return path


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatureKey)])
def test_every_field_of_the_key_changes_the_key(field):
    value = getattr(KEY, field)
    other = (
        {**value, "more": 1}
        if isinstance(value, dict)
        else "float16"
        if field == "stored"
        else value + type(value)(1)
    )
    assert dataclasses.replace(KEY, **{field: other}).digest() != KEY.digest()


def test_the_order_of_a_field_s_values_does_not_change_the_key():
    turned = dataclasses.replace(KEY, forward=dict(reversed(KEY.forward.items())))
    assert turned.digest() == KEY.digest()


def test_what_is_written_is_read(store):
    store.write(KEY, 0, shard())
    features = store.read(KEY, 6)
    np.testing.assert_array_equal(features.rows, shard().rows)
    assert features.positions.tolist() == [0, 1, 2, 3, 4]
    assert features.bad == {5: "image 'x' is empty"} and features.effort == shard().effort


@pytest.mark.parametrize(
    ("n", "count", "last"),
    [
        (1, 1, range(1)),
        (SHARD_ROWS, 1, range(SHARD_ROWS)),
        (SHARD_ROWS + 1, 2, range(SHARD_ROWS, SHARD_ROWS + 1)),
    ],
)
def test_shards_cover_all_images(n, count, last):
    assert shard_count(n) == count
    assert shard_range(count - 1, n) == last


def test_a_missing_shard_is_told_and_computed_again(store):
    store.write(KEY, 1, shard())
    assert store.missing(KEY, SHARD_ROWS + 5) == [0]
    with pytest.raises(StoreError, match="1 of 2 shards are missing or damaged"):
        store.read(KEY, SHARD_ROWS + 5)


def test_a_shard_cut_off_anywhere_counts_as_missing(store):
    store.write(KEY, 0, shard())
    path = shard_file(store)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not store.has(KEY, 0), f"{length} of {len(whole)} bytes"


def test_one_flipped_byte_anywhere_counts_as_missing(store):
    store.write(KEY, 0, shard())
    path = shard_file(store)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        found = store.missing(KEY, 6)
        assert found == [0] or whole_still(store), f"byte {position}"


def whole_still(store: FeatureStore) -> bool:
    """Whether the shard reads exactly as written: a flipped byte of padding changes nothing."""
    features = store.read(KEY, 6)
    return (
        np.array_equal(features.rows, shard().rows)
        and features.positions.tolist() == [0, 1, 2, 3, 4]
        and features.bad == {5: "image 'x' is empty"}
    )


def test_shards_of_other_content_do_not_take_each_other_s_place(store):
    """A shard copied over another one of the same size is whole, and yet not this shard."""
    store.write(KEY, 0, shard(seed=0))
    store.write(dataclasses.replace(KEY, weights_hash="other"), 0, shard(seed=1))
    other = store.folder(dataclasses.replace(KEY, weights_hash="other")) / "000000.safetensors"
    shard_file(store).write_bytes(other.read_bytes())
    assert not store.has(KEY, 0)


def test_leftovers_of_a_killed_process_are_swept_unless_somebody_may_be_writing_them(store):
    store.write(KEY, 0, shard())
    leftover = store.folder(KEY) / f"{ASIDE}abc"
    leftover.write_bytes(b"half a shard")
    claim = store.claim(KEY, 1)
    store.sweep(KEY)
    assert leftover.exists()
    claim.release()
    store.sweep(KEY)
    assert not leftover.exists() and store.has(KEY, 0)


def test_float16_halves_the_file_and_rounds_as_numpy_does(store):
    half = dataclasses.replace(KEY, stored="float16")
    for key in (KEY, half):
        store.write(key, 0, shard(n=1000, width=64))
    sizes = [next(store.folder(key).glob("*.safetensors")).stat().st_size for key in (KEY, half)]
    assert sizes[1] < 0.6 * sizes[0]
    read = store.read(half, 1001).rows
    assert read.dtype == np.float32
    np.testing.assert_array_equal(
        read, shard(n=1000, width=64).rows.astype(np.float16).astype(np.float32)
    )


def test_rows_can_be_changed_in_memory_and_stay_as_they_are_in_the_file(store):
    store.write(KEY, 0, shard())
    store.read(KEY, 6).rows[:] = 0
    np.testing.assert_array_equal(store.read(KEY, 6).rows, shard().rows)


def test_rows_outlive_their_file(store):
    store.write(KEY, 0, shard())
    rows = store.read(KEY, 6).rows
    store.forget(KEY)
    np.testing.assert_array_equal(rows, shard().rows)


def test_shards_without_a_single_readable_image_have_no_rows(store):
    empty = Shard(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), {"0": "image 'x' is empty"})
    store.write(KEY, 0, empty)
    assert store.read(KEY, 1).rows.shape == (0, 0) and store.read(KEY, 1).bad == {
        0: "image 'x' is empty"
    }
    store.write(KEY, 1, shard())
    np.testing.assert_array_equal(store.read(KEY, SHARD_ROWS + 5).rows, shard().rows)


def test_a_read_only_cache_serves_what_is_there_and_says_what_it_cannot(store, tmp_path):
    """Root may write anywhere, so the file system is mounted read-only where that can be done."""
    store.write(KEY, 0, shard())
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(store.root), str(store.root)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to mount: {mounted.stderr}")
        pytest.skip(f"NOT TESTED, the read-only cache: cannot mount ({mounted.stderr.strip()})")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(store.root)], check=True)
    try:
        with in_use(store.root, [KEY]):
            np.testing.assert_array_equal(store.read(KEY, 6).rows, shard().rows)
        assert Jobs(store, [KEY], 6).next(wait=True) is None
        with pytest.raises(StoreError, match="the file system is read-only: choose another"):
            Jobs(store, [KEY], SHARD_ROWS + 5).next(wait=True)
    finally:
        subprocess.run(["umount", str(store.root)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 64 KiB. Needs root, as CI is; elsewhere the test is skipped and says so."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to mount a tmpfs: {mounted.stderr}")
        pytest.skip(f"NOT TESTED, the full disk: cannot mount a tmpfs ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_leaves_no_part_of_a_shard(tiny_disk):
    store = FeatureStore(tiny_disk)
    store.write(KEY, 0, shard())
    with pytest.raises(
        StoreError,
        match=r"cannot be written; the disk is full: free some space or choose another disk with --cache-dir",
    ):
        store.write(KEY, 1, shard(n=SHARD_ROWS, width=64))
    assert store.missing(KEY, SHARD_ROWS + 5) == [1]
    assert not list(tiny_disk.rglob(f"{ASIDE}*"))
    np.testing.assert_array_equal(store.read(KEY, 6).rows, shard().rows)


def test_a_full_disk_fails_the_cells_and_a_larger_one_goes_on(tiny_disk, photos, tmp_path, capfd):
    from bob.cli import main
    from bob.errors import FAILED, OK

    command = [
        "run",
        "--data",
        str(photos),
        "--backbones",
        "raw_pixels",
        "--tasks",
        "knn",
        "--results",
        str(tmp_path / "results"),
        "--cache-dir",
    ]
    assert main([*command, str(tiny_disk)]) == FAILED
    assert "the disk is full" in capfd.readouterr().err
    assert main([*command, str(tmp_path / "cache")]) == OK


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_whole(tmp_path / "file" / "shard", b"")


def test_a_shard_that_cannot_be_read_is_told(store):
    (store.folder(KEY) / "000000.safetensors").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read"):
        store.read(KEY, 1)


def test_forgotten_features_are_gone(store):
    store.write(KEY, 0, shard())
    store.forget(KEY)
    assert store.missing(KEY, 6) == [0] and store.begun(KEY, 6) == 0
