"""Claims: which process computes which shard, and which features a running process reads, in a folder that several hosts may share.

A claim is a small file that one process can create and all can see. Its owner rewrites it every BEAT_SECONDS with a counter one higher.
A claim is dead when its process is gone (seen at once on the same machine), or when its bytes have not changed for DEAD_SECONDS of the
*observer's* own clock: no two clocks are ever compared, and no file system's locks are needed, which many shared ones lack.
Whoever finds a dead claim takes it over.

A claim guards against work done twice, never against wrong rows: files are written whole, and two owners would write the same rows.
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

BEAT_SECONDS = 15.0
DEAD_SECONDS = 120.0
"""Longer than a network file system keeps what it has read (60 s by default on NFS), and eight beats."""


def this_process() -> dict[str, Any]:
    """Who we are: a process id means something within one machine's run and one container alone, and may be used again after its process's end."""
    return {"machine": _machine(), "pid": os.getpid(), "born": _born(psutil.Process())}


def _born(process: psutil.Process) -> float:
    """When a process began, which tells it from a later one of its number: since the machine's start where the system says so, for the time of day
    changes when a clock is set. psutil.Error where there is no such process."""
    try:
        return float(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return process.create_time()


@lru_cache
def _machine() -> str:
    """Host, boot and process-id namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


@dataclass(eq=False)
class Claim:
    """A claim that we hold. Release it, or leave it to be found dead."""

    path: Path
    about: dict[str, Any]
    beats: int = 0

    def beat(self) -> None:
        """Shows that we live. A claim that another has taken over, thinking us dead, is left alone."""
        if self._is_ours():
            self.beats += 1
            with (
                contextlib.suppress(OSError),
                self.path.open("r+b") as file,
            ):  # in place: a full disk has no room for it twice
                file.write(self.encoded())

    def release(self) -> None:
        _BEATING.remove(self)
        if self._is_ours():
            self.path.unlink(missing_ok=True)

    def encoded(self) -> bytes:
        """Of one length whatever the count."""
        return json.dumps({**self.about, "beats": f"{self.beats:012}"}).encode()

    def _is_ours(self) -> bool:
        try:
            return bool(_parsed(self.path.read_bytes()).get("nonce") == self.about["nonce"])
        except OSError:
            return False


class _Beating:
    """The claims of this process, kept alive by one thread."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self._lock, self._thread = threading.Lock(), None

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat_on, name="claims", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._claims.discard(claim)

    def beat(self) -> None:
        with self._lock:
            for claim in self._claims:
                claim.beat()

    def _beat_on(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            self.beat()

    _thread: threading.Thread | None


_BEATING = _Beating()


@dataclass
class Watch:
    """What an observer has seen of others' claims; `clock` is its own, in seconds."""

    clock: Callable[[], float] = time.monotonic
    seen: dict[Path, tuple[bytes, float]] = field(default_factory=dict)
    """Claim → its bytes, and since when they have been these."""

    def is_dead(self, path: Path) -> bool:
        """Whether the claim's owner is gone. False for a claim that is not there."""
        try:
            data = path.read_bytes()
        except OSError:
            return False
        before, since = self.seen.get(path, (None, 0.0))
        if data != before:
            self.seen[path] = (data, self.clock())
            return _process_is_gone(_parsed(data))
        return self.clock() - since > DEAD_SECONDS or _process_is_gone(_parsed(data))

    def take(self, path: Path, **about: Any) -> Claim | None:
        """The claim, or None where another process holds it. StoreError where the folder cannot be written."""
        claim = Claim(path, {**this_process(), "nonce": uuid.uuid4().hex, **about})
        if self.is_dead(path):
            self._bury(path)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return None
            try:
                os.write(handle, claim.encoded())
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
        _BEATING.add(claim)
        return claim

    def _bury(self, path: Path) -> None:
        """Removes a dead claim. Two observers may do so at once: the second could meet the first one's new claim, and puts it back."""
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            dead = self.seen[path][0]
            path.rename(aside)
            try:
                if aside.read_bytes() != dead:
                    os.link(aside, path)
            finally:
                aside.unlink()
        self.seen.pop(path, None)


def _parsed(data: bytes) -> dict[str, Any]:
    """A claim's contents; empty while its owner is writing them."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _process_is_gone(about: dict[str, Any]) -> bool:
    """Whether the owner ran on this machine and does so no more."""
    if about.get("machine") != _machine():
        return False
    try:
        owner = psutil.Process(about["pid"])
        return bool(_born(owner) != about["born"] or owner.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
