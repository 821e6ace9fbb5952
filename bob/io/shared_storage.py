"""What a folder must offer that several machines share, checked before hours of work.

Files are written aside and renamed; a lease is created by exactly one process; a stale one is moved
aside and put back by a hard link. Locks and equal clocks are welcome and not needed.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from bob.io.files import disk_errors
from bob.io.locks import folder_lock

MARK_PREFIX = ".shared-"
CLOCK_SECONDS = 60.0
"""Largest difference between this machine's clock and the folder's that is not reported."""


def storage_problems(folder: Path) -> list[str]:
    """Return why a folder cannot be shared; empty where it can. StoreError if it is not writable.

    The folder is created where it is missing.
    """
    problems = []
    with _scratch(folder) as scratch:
        first, second = scratch / "first", scratch / "second"
        first.write_bytes(b"1")
        second.write_bytes(b"2")
        first.replace(second)
        if first.exists() or second.read_bytes() != b"1":
            problems.append("renaming a file does not replace another")
        try:
            os.close(os.open(second, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            problems.append("exclusive creation succeeds twice")
        except FileExistsError:
            pass
        try:
            os.link(second, first)
        except OSError as error:
            problems.append(f"hard links are not possible ({error.strerror})")
    return [f"{folder}: {problem}; choose a POSIX file system" for problem in problems]


def storage_notes(folder: Path, clock: Callable[[], float] = time.time) -> list[str]:
    """Return what a folder lacks that is welcome: locks, and a clock like this machine's."""
    notes = []
    with _scratch(folder) as scratch:
        with folder_lock(scratch, 0.0) as locked:
            if not locked:
                notes.append(
                    "it has no locks: two runs that end at once write the leaderboard twice"
                )
        file = scratch / "clock"
        file.touch()
        difference = file.stat().st_mtime - clock()
        if abs(difference) > CLOCK_SECONDS:
            notes.append(f"its clock differs from this machine's by {difference:.0f} s")
    return [f"{folder}: {note}" for note in notes]


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """Leave a file in a folder, by which another machine recognises that it is the same folder."""
    path = folder / f"{MARK_PREFIX}{uuid.uuid4().hex}"
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for attempts, and remove it with what they left."""
    scratch = folder / f"{MARK_PREFIX}{uuid.uuid4().hex}"
    with disk_errors(folder):
        scratch.mkdir(parents=True)
        try:
            yield scratch
        finally:
            for path in scratch.iterdir():
                path.unlink()
            scratch.rmdir()
