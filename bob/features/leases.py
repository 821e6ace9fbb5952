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
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from bob.io.files import disk_errors

HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
"""Eight heartbeats, and longer than a network file system caches what it has read (60 s on NFS)."""


def this_process() -> dict[str, Any]:
    """Identify this process across hosts, containers and reuse of process ids.

    A process id is unique only within one boot of one machine and one process-id namespace, and
    may be reused after its process ends.
    """
    return {"machine": _machine(), "pid": os.getpid(), "born": _start_time(psutil.Process())}


def _start_time(process: psutil.Process) -> float:
    """Return when a process started, which distinguishes it from later processes with its id.

    Counted from the machine's boot where the system reports it, because the time of day jumps when
    a clock is set. Raises psutil.Error if there is no such process.
    """
    try:
        return float(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return process.create_time()


@lru_cache
def _machine() -> str:
    """Identify the host, its boot and the process-id namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


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
        try:
            return bool(_parsed(self.path.read_bytes()).get("nonce") == self.content["nonce"])
        except OSError:
            return False


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
    """Lease file → its bytes when last read, and when they were first seen."""

    def is_stale(self, path: Path) -> bool:
        """Return whether the lease's owner is gone; False if there is no such lease."""
        try:
            data = path.read_bytes()
        except OSError:
            return False
        previous, since = self.last_change.get(path, (None, 0.0))
        if data != previous:
            self.last_change[path] = (data, self.clock())
            return _process_is_gone(_parsed(data))
        return self.clock() - since > STALE_SECONDS or _process_is_gone(_parsed(data))

    def acquire(self, path: Path, **content: Any) -> Lease | None:
        """Create a lease, taking over a stale one; None if another process owns it.

        Raises StoreError if the folder cannot be written.
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
        with contextlib.suppress(OSError):
            stale = self.last_change[path][0]
            path.rename(aside)
            try:
                if aside.read_bytes() != stale:
                    os.link(aside, path)
            finally:
                aside.unlink()
        self.last_change.pop(path, None)


def _parsed(data: bytes) -> dict[str, Any]:
    """Return a lease's content; empty while its owner is still writing it."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _process_is_gone(content: dict[str, Any]) -> bool:
    """Return whether the owner ran on this machine and no longer does."""
    if content.get("machine") != _machine():
        return False
    try:
        owner = psutil.Process(content["pid"])
        return bool(_start_time(owner) != content["born"] or owner.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
