"""A lock on a folder, between processes of one or several hosts."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.05


@contextlib.contextmanager
def folder_lock(folder: Path, patience_seconds: float) -> Iterator[bool]:
    """Hold the lock of an existing folder, and yield whether it is held.

    The operating system releases it when the process ends, however that happens, and no file is
    left. It is not held if another process keeps it for longer than `patience_seconds`, if the
    folder cannot be opened, or if its file system has no locks (as some that are shared over a
    network).
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _acquire(handle, patience_seconds)
    finally:
        os.close(handle)


def _acquire(handle: int, patience_seconds: float) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    end = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        except OSError:
            return False
        else:
            return True
