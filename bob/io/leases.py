"""Leases: which process computes which shard, and which features a running process reads.

Leases live in a folder that several hosts may share. A lease is a small file that exactly one
process can create and every process can see. Its owner rewrites it every HEARTBEAT_SECONDS with a
counter one higher. A lease is stale when its owner's process is gone (noticed at once on the same
machine), or when its bytes have not changed for STALE_SECONDS of the *observer's* own clock: the
clocks of two hosts are never compared, and no file locks are needed, which many shared file
systems lack. Whoever finds a stale lease takes it over.

A lease prevents duplicate work; correctness does not depend on it. Shards are written aside and
renamed, and two owners would write the same rows.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bob.errors import StoreError
from bob.io.files import disk_errors
from bob.io.processes import process_is_gone, this_process

LEASE_SUFFIX = ".lease"
HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
"""Eight heartbeats, and longer than a network file system caches what it has read (60 s on NFS)."""


@dataclass(eq=False)
class Lease:
    """A lease owned by this process; release it, or let it become stale."""

    path: Path
    content: dict[str, Any]
    """Owner, nonce and whatever the owner states about the leased work; JSON-ready."""
    beats: int = 0

    def renew(self) -> None:
        """Rewrite the file to show that the owner is alive, unless another process took it over."""
        if self._is_valid():
            self.beats += 1
            # In place: a full disk has no room for a second copy.
            with contextlib.suppress(OSError), self.path.open("r+b") as file:
                file.write(self.encoded())

    def release(self) -> None:
        """Stop renewing the lease, and remove its file unless another process took it over."""
        _HEARTBEAT.remove(self)
        if self._is_valid():
            self.path.unlink(missing_ok=True)

    def encoded(self) -> bytes:
        """Return the file's content, whose length does not depend on the counter."""
        return json.dumps({**self.content, "beats": f"{self.beats:012}"}).encode()

    def _is_valid(self) -> bool:
        """Return whether the file is still this lease's: a stale one may have been taken over."""
        state = _read_state(self.path)
        return state is not None and _parsed(state).get("nonce") == self.content["nonce"]


class _Heartbeat:
    """Renews all leases of this process from one thread."""

    _thread: threading.Thread | None

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._lock, self._thread = threading.Lock(), None

    def add(self, lease: Lease) -> None:
        with self._lock:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        with self._lock:
            self._leases.discard(lease)

    def renew_all(self) -> None:
        with self._lock:
            for lease in self._leases:
                lease.renew()

    def _run(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            self.renew_all()


_HEARTBEAT = _Heartbeat()


@dataclass
class LeaseObserver:
    """Watches the leases of other processes, by its own clock (in seconds)."""

    clock: Callable[[], float] = time.monotonic
    last_change: dict[Path, tuple[bytes, float]] = field(default_factory=dict)
    """Lease file → its state when last read, and when that was first seen."""

    def is_stale(self, path: Path) -> bool:
        """Return whether the lease's owner is gone; False if there is no such lease."""
        state = _read_state(path)
        if state is None:
            return False
        previous, since = self.last_change.get(path, (None, 0.0))
        if state != previous:
            self.last_change[path] = (state, self.clock())
            return process_is_gone(_parsed(state))
        return self.clock() - since > STALE_SECONDS or process_is_gone(_parsed(state))

    def remove_stale(self, folder: Path) -> None:
        """Remove the leases in a folder whose owners are gone, as far as the disk allows."""
        for path in folder.glob(f"*{LEASE_SUFFIX}"):
            if self.is_stale(path):
                with contextlib.suppress(StoreError):
                    self._evict(path)

    def acquire(self, path: Path, **content: Any) -> Lease | None:
        """Create a lease, taking over a stale one; None if another process owns it.

        Raises StoreError if the folder cannot be written, or a stale lease cannot be removed.
        """
        lease = Lease(path, {**this_process(), "nonce": uuid.uuid4().hex, **content})
        if self.is_stale(path):
            self._evict(path)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return None
            try:
                with contextlib.suppress(OSError):
                    os.fchmod(handle, 0o644)  # other users must read it whatever our umask
                os.write(handle, lease.encoded())
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
        _HEARTBEAT.add(lease)
        return lease

    def _evict(self, path: Path) -> None:
        """Remove a stale lease.

        Two observers may do so at the same time: the second one may then have moved aside the
        first one's new lease, in which case it puts the lease back.
        """
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        stale, _ = self.last_change.pop(path, (None, 0.0))
        try:
            path.rename(aside)
        except FileNotFoundError:  # another observer was faster
            return
        except OSError as error:
            raise StoreError(
                f"{path}: is the lease of a process that is gone, and cannot be removed "
                f"({error.strerror}); remove it."
            ) from error
        with contextlib.suppress(OSError):
            try:
                if _read_state(aside) != stale:
                    os.link(aside, path)
            finally:
                aside.unlink()


def remove_leases(folder: Path, process: Mapping[str, Any], pattern: str = "*.lease") -> None:
    """Remove the leases in a folder of a process that is known to be gone.

    `process` identifies it as `bob.io.processes.this_process` does. For those who learn of its end
    in another way than by its silence.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(pattern):
            content = _parsed(_read_state(path) or b"")
            if all(content.get(name) == value for name, value in process.items()):
                path.unlink(missing_ok=True)


def _read_state(path: Path) -> bytes | None:
    """Return what changes whenever a lease is renewed: its bytes; None if there is no lease.

    Where the file cannot be read, its modification time changes as well: another user's lease
    then becomes stale like any other, and nobody waits for it for ever.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        try:
            status = path.stat()
        except OSError:
            return None
        return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()


def _parsed(data: bytes) -> dict[str, Any]:
    """Return a lease's content; empty while its owner is still writing it."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
