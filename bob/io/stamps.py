"""Stamps of files: what changes when a file is replaced or rewritten, without reading it."""

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, ...]
"""Size, times of modification and of change in ns, and number of the file; empty if missing."""


def stamp(path: Path) -> Stamp:
    """Return a file's stamp, of the file that a link leads to."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def stamps(paths: Iterable[Path]) -> dict[str, Stamp]:
    """Return the stamps of some files by their paths, as JSON objects hold them."""
    return {str(path): stamp(path) for path in paths}
