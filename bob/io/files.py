"""Files that are either whole or absent: written aside, flushed to the disk, renamed."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bob.errors import StoreError

TEMPORARY_PREFIX = ".writing-"
"""Prefix of a file that is being written; one left over is what a killed process was writing."""


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` so that a reader, or a crash at any moment, sees the old file or the new one and never a part."""
    with atomic_writer(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place when all is written, and leaves no trace where that fails."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def require_writable(folder: Path) -> None:
    """StoreError where nothing can be written below `folder`: told before hours of work, not after."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder):
            pass


def slug(name: str) -> str:
    """A name as part of a path: other characters than letters, digits, '.', '_', '-' become '_'."""
    return re.sub(r"[^\w.\-]", "_", name).lstrip(".") or "_"


def _flush_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; not every file system knows the call."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOSPC: "the disk is full: free some space or choose another disk with --cache-dir and --results",
            errno.EDQUOT: "the disk quota is used up: free some space or choose another disk with --cache-dir and --results",
            errno.EROFS: "the file system is read-only: choose another with --cache-dir and --results",
            errno.EACCES: "permission denied: choose a folder of your own with --cache-dir and --results",
            errno.EEXIST: "it is a file: name a folder",
            errno.ENOTDIR: "it is a file, or lies below one: name a folder",
        }.get(error.errno or 0, str(error.strerror))
        raise StoreError(f"{path}: cannot be written; {remedy}.") from error
