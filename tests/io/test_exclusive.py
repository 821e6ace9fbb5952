"""A lock where the file system has locks, and a lease elsewhere."""

from pathlib import Path

import filelock
import pytest

from bob.io import exclusive as module
from bob.io.exclusive import exclusive
from bob.io.leases import LeaseObserver


def test_the_lock_is_held_inside_and_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with exclusive(path), pytest.raises(filelock.Timeout):
        filelock.FileLock(path).acquire(timeout=0)
    filelock.FileLock(path).acquire(timeout=0).lock.release()


def test_without_locks_a_lease_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process's lease is released while this one waits."""

    def refuse(self: object) -> None:
        raise NotImplementedError

    path = tmp_path / "lock"
    other = LeaseObserver().acquire(tmp_path / "lock.owner")
    assert other is not None
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: other.release())
    with exclusive(path):
        assert LeaseObserver().acquire(tmp_path / "lock.owner") is None
    assert not (tmp_path / "lock.owner").exists()
