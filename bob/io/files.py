"""Atomic writes: files are written aside, flushed and renamed, so that none is ever partial."""

import contextlib
import errno
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import xxhash

from bob.errors import StoreError
from bob.io.processes import process_is_gone, this_machine, this_process

TEMPORARY_PREFIX = ".writing-"
"""Prefix of a file that is being written; its name also identifies the process that writes it."""
SET_ASIDE = ".set-aside"
"""Suffix of a folder that stood where a file is written."""
STREAM_FOLDERS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
"""Folders of devices, and of links to what a process has open."""
LEFTOVER_SECONDS = 24 * 3600
"""Age from which a temporary file of another machine counts as left by a killed process."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that even after a crash, readers see the old file or the new one in full."""
    with atomic_writer(path) as file:
        file.write(data)


def write_output(path: Path, data: bytes) -> None:
    """Write a file that a user named, atomically.

    A pipe or a device, such as /dev/stdout, is written to, and stays what it is.
    """
    if not _is_stream(path):
        write_atomically(path, data)
        return
    with disk_errors(path):
        path.write_bytes(data)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` on success and is removed on failure."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=_temporary_prefix(), dir=path.parent)
        _sweep_once(Path(temporary))
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def require_writable(folder: Path) -> None:
    """Raise StoreError if `folder` cannot be written: before hours of work rather than after."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=_temporary_prefix(), dir=folder):
            pass


def slug(name: str) -> str:
    """Return a name as part of a path: letters, digits, '.', '_' and '-'; others become '_'."""
    return re.sub(r"[^\w.\-]", "_", name).lstrip(".") or "_"


def _is_stream(path: Path) -> bool:
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return is_special or path.absolute().parent in STREAM_FOLDERS


_WRITER = re.compile(
    re.escape(TEMPORARY_PREFIX) + r"(?P<machine>[0-9a-f]{16})-(?P<pid>\d+)-(?P<born>[\d.]+)-.*"
)
_swept: set[tuple[int, Path]] = set()
"""Process id (forks inherit the set) and folder."""


def _temporary_prefix() -> str:
    """Return the beginning of the names of this process's temporary files."""
    process = this_process()
    return f"{TEMPORARY_PREFIX}{_machine_digest()}-{process['pid']}-{process['born']}-"


def _machine_digest() -> str:
    return xxhash.xxh3_64_hexdigest(this_machine().encode())


def _sweep_once(own: Path) -> None:
    """Remove leftovers of killed processes beside a new temporary file, once per folder.

    A killed process did not complete what it was writing, so the next one writes it again, into
    the same folder. Ages are differences of the file system's own times.
    """
    folder = own.parent.absolute()
    if (os.getpid(), folder) in _swept:
        return
    _swept.add((os.getpid(), folder))
    with contextlib.suppress(OSError):
        now = own.stat().st_mtime
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            if path.is_file() and _is_leftover(path, now):
                path.unlink(missing_ok=True)


def _is_leftover(path: Path, now: float) -> bool:
    """Return whether the process that wrote a temporary file is gone.

    A process of this machine is looked up. Another one changes its file at least once in
    LEFTOVER_SECONDS, or has ended.
    """
    match = _WRITER.fullmatch(path.name)
    if match and match["machine"] == _machine_digest():
        pid, born = int(match["pid"]), float(match["born"])
        return process_is_gone({"machine": this_machine(), "pid": pid, "born": born})
    return now - path.stat().st_mtime > LEFTOVER_SECONDS


def read_regular(path: Path) -> bytes:
    """Return the content of a file; FileNotFoundError for a pipe, which would never end, too."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    return path.read_bytes()


def move_folder_aside(path: Path, suffix: str = SET_ASIDE) -> None:
    """Rename a folder that stands where a file is to be written, so that nothing is lost.

    Its new name has a number and the suffix. StoreError where the disk refuses.
    """
    if path.is_symlink() or not path.is_dir():
        return
    for number in itertools.count(1):
        target = path.with_name(f"{path.name.split('.')[0]}.{number}{suffix}")
        if not target.exists():
            with disk_errors(path):
                path.rename(target)
            return


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, on file systems that support flushing a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_disk_full(error: Exception) -> bool:
    """Return whether the error says that the disk is full or the quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


_OTHER_DISK = "free some space or choose another disk with --cache-dir and --results"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full: {_OTHER_DISK}",
    errno.EDQUOT: f"the disk quota is used up: {_OTHER_DISK}",
    errno.EFBIG: "files may not be so large here: raise the limit (`ulimit -f`) or choose another "
    "disk with --cache-dir and --results",
    errno.EROFS: "the file system is read-only: choose another with --cache-dir and --results",
    errno.EACCES: "permission denied: choose a folder of your own with --cache-dir and --results",
    errno.EEXIST: "it is a file: name a folder",
    errno.ENOTDIR: "it is a file, or is below one: name a folder",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names `path` and a remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, str(error.strerror))
        raise StoreError(f"{path}: cannot be written; {remedy}.") from error
