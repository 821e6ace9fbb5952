"""One process at a time, on every file system."""

import contextlib
import errno
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from bob.io.leases import Lease, LeaseObserver

POLL_SECONDS = 0.5
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
"""Errors of file systems that have no locks: Lustre without `flock`, NFS without its daemon."""


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process is inside, then enter; `path` is the file of the lock.

    Where the file system has no locks, as some shared ones, a lease takes the place of the lock.
    """
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock outlives a host that is lost
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
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
