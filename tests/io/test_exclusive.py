"""A lock where the file system has locks, and a lease elsewhere."""

import errno
import os
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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_locks_a_lease_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another process's lease is released while this one waits, and no lock of files takes part.

    Such a lock would be that of a process for ever whose host is lost.
    """

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "lock"
    other = LeaseObserver().acquire(tmp_path / "lock.owner")
    assert other is not None
    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: other.release())
    with exclusive(path):
        assert LeaseObserver().acquire(tmp_path / "lock.owner") is None
    assert not (tmp_path / "lock.owner").exists()


def test_other_errors_of_a_lock_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="Input/output error"), exclusive(tmp_path / "lock"):
        pass
