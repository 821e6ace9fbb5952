"""One process at a time, on every file system."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from bob.io.leases import Lease, LeaseObserver

POLL_SECONDS = 0.5


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process is inside, then enter; `path` is the file of the lock.

    Where the file system has no locks, as some shared ones, a lease takes the place of the lock.
    """
    lock = FileLock(path)
    try:
        lock.acquire()
    except NotImplementedError:
        lease = _wait_for_lease(path.with_name(f"{path.name}.owner"))
        try:
            yield
        finally:
            lease.release()
        return
    try:
        yield
    finally:
        lock.release()


def _wait_for_lease(path: Path) -> Lease:
    observer = LeaseObserver()
    while (lease := observer.acquire(path)) is None:
        time.sleep(POLL_SECONDS)
    return lease
