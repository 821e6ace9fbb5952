"""The feature store: damaged, missing or half-written shards never become features."""

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bob.errors import StoreError
from bob.extraction.work_queue import SpanQueue
from bob.features.inventory import in_use
from bob.features.key import FeatureKey
from bob.features.shard import Shard
from bob.features.sharding import SPAN_IMAGES
from bob.features.store import FeatureStore
from bob.io.files import TEMPORARY_PREFIX, write_atomically
from tests.builders.features import KEY, shard

TWO_SHARDS = dataclasses.replace(KEY, count=SPAN_IMAGES + 5)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def shard_file(store: FeatureStore, key: FeatureKey = KEY) -> Path:
    (path,) = store.folder(key).glob("*.safetensors")
    return path


def test_a_written_shard_reads_back_unchanged(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    features = store.read(KEY)
    np.testing.assert_array_equal(features.rows, shard().rows)
    assert features.positions.tolist() == [0, 1, 2, 3, 4]
    assert features.bad == {5: "image 'x' is empty"} and features.effort == shard().effort


def test_reading_names_the_number_of_missing_shards(store: FeatureStore) -> None:
    store.write(TWO_SHARDS, 1, shard())
    assert store.missing(TWO_SHARDS) == [0]
    with pytest.raises(StoreError, match="1 of 2 shards are missing or damaged"):
        store.read(TWO_SHARDS)


def test_a_truncated_shard_counts_as_missing(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    path = shard_file(store)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert not store.has(KEY, 0), f"{length} of {len(data)} bytes"


def test_a_shard_with_a_flipped_byte_counts_as_missing(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    path = shard_file(store)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        assert store.missing(KEY) == [0] or reads_as_written(store), f"byte {position}"


def reads_as_written(store: FeatureStore) -> bool:
    """Whether the shard reads exactly as written: a flipped byte of padding changes nothing."""
    features = store.read(KEY)
    return (
        np.array_equal(features.rows, shard().rows)
        and features.positions.tolist() == [0, 1, 2, 3, 4]
        and features.bad == {5: "image 'x' is empty"}
    )


def test_a_shard_copied_over_another_key_s_counts_as_missing(store: FeatureStore) -> None:
    """The copy is an undamaged shard of the same size, but not the shard of this key."""
    other = dataclasses.replace(KEY, weights_hash="other")
    store.write(KEY, 0, shard(seed=0))
    store.write(other, 0, shard(seed=1))
    shard_file(store).write_bytes(shard_file(store, other).read_bytes())
    assert not store.has(KEY, 0)


def test_leftovers_of_a_killed_process_are_swept_once_no_lease_exists(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    leftover = store.folder(KEY) / f"{TEMPORARY_PREFIX}abc"
    leftover.write_bytes(b"half a shard")
    lease = store.lease(KEY, 1)
    assert lease is not None
    store.sweep(KEY)
    assert leftover.exists()
    lease.release()
    store.sweep(KEY)
    assert not leftover.exists() and store.has(KEY, 0)


def test_float16_halves_the_file_and_rounds_as_numpy_does(store: FeatureStore) -> None:
    full = dataclasses.replace(KEY, shape=(64,), count=1001)
    half = dataclasses.replace(full, stored="float16")
    for key in (full, half):
        store.write(key, 0, shard(n=1000, width=64))
    sizes = [shard_file(store, key).stat().st_size for key in (full, half)]
    assert sizes[1] < 0.6 * sizes[0]
    rows = store.read(half).rows
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(
        rows, shard(n=1000, width=64).rows.astype(np.float16).astype(np.float32)
    )


def test_changing_rows_in_memory_leaves_the_file_unchanged(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    store.read(KEY).rows[:] = 0
    np.testing.assert_array_equal(store.read(KEY).rows, shard().rows)


def test_rows_outlive_their_file(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    rows = store.read(KEY).rows
    store.forget(KEY)
    np.testing.assert_array_equal(rows, shard().rows)


def test_shards_without_a_single_readable_image_have_no_rows(store: FeatureStore) -> None:
    one_image = dataclasses.replace(KEY, count=1)
    bad = {"0": "image 'x' is empty"}
    empty = Shard.of_rows(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), bad)
    store.write(one_image, 0, empty)
    assert store.read(one_image).rows.shape == (0, 0)
    assert store.read(one_image).bad == {0: "image 'x' is empty"}
    store.write(TWO_SHARDS, 0, empty)
    store.write(TWO_SHARDS, 1, shard())
    np.testing.assert_array_equal(store.read(TWO_SHARDS).rows, shard().rows)


def test_a_read_only_cache_is_read_and_says_that_it_cannot_be_written(store: FeatureStore) -> None:
    """Root may write anywhere, so the file system is mounted read-only where that is possible."""
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
        with in_use(store.root, [KEY.digest()]):
            np.testing.assert_array_equal(store.read(KEY).rows, shard().rows)
        assert SpanQueue(store, [KEY], KEY.count).next(wait=True) is None
        with pytest.raises(StoreError, match="the file system is read-only: choose another"):
            SpanQueue(store, [TWO_SHARDS], TWO_SHARDS.count).next(wait=True)
    finally:
        subprocess.run(["umount", str(store.root)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
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


def test_a_full_disk_is_reported_and_leaves_no_part_of_a_shard(tiny_disk: Path) -> None:
    store = FeatureStore(tiny_disk)
    store.write(TWO_SHARDS, 0, shard())
    with pytest.raises(
        StoreError,
        match=r"cannot be written; the disk is full: free some space or choose another disk with "
        "--cache-dir",
    ):
        store.write(TWO_SHARDS, 1, shard(n=SPAN_IMAGES, width=64))
    assert store.missing(TWO_SHARDS) == [1]
    assert not list(tiny_disk.rglob(f"{TEMPORARY_PREFIX}*"))
    with pytest.raises(StoreError, match="1 of 2 shards are missing"):
        store.read(TWO_SHARDS)
    store.write(TWO_SHARDS, 1, shard())
    np.testing.assert_array_equal(store.read(TWO_SHARDS).rows[:5], shard().rows)


def test_a_full_disk_fails_the_cells_and_a_larger_one_completes_them(
    tiny_disk: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
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


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "shard", b"")


def test_a_shard_that_the_disk_refuses_to_read_is_reported(store: FeatureStore) -> None:
    (store.folder(KEY) / "000000.safetensors").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read"):
        store.read(KEY)


def test_forgotten_features_are_gone(store: FeatureStore) -> None:
    store.write(KEY, 0, shard())
    assert store.stored_images(KEY) == 6
    store.forget(KEY)
    assert store.missing(KEY) == [0] and store.stored_images(KEY) == 0
