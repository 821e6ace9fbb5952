"""Digests and traits of files, cached so that a second opening reads no file and stats each once.

They are cached beside the file's size, inode, modification time and status-change time (which a
restored modification time cannot hide). The cache is one JSON file per root folder below
`<cache>/fingerprints`, written atomically. Losing it costs a recomputation, never a wrong digest.

A file that cannot be read gets a digest of its name alone, which is not cached: it counts as an
unreadable image when it is embedded, and as another image once it can be read. Such a digest is
recognisable, as it begins with a mark.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.datasets.content.sequences import Digests
from bob.datasets.content.traits import Trait, header_traits
from bob.errors import DatasetError, StoreError, UnreadableImageError
from bob.io.files import read_regular, write_atomically
from bob.io.git_lfs import is_pointer, pointer_message
from bob.io.names import printable

THREADS = 8
"""Number of files read at once; reading is bound by the disk, not by the processor."""

_HEX = re.compile("[0-9a-f]{32}")
_UNREADABLE = b"no image".hex()
_POINTER: Literal["pointer"] = "pointer"
_ROW_BYTES = 17
"""A digest and the traits of an image, as they are cached."""
Content = tuple[str, int]
"""The digest of an image and the bits of its traits."""


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file, or raise an UnreadableImageError that names it."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError for a path with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImageError(
            f"image '{printable(str(path))}' cannot be read ({reason})."
        ) from error


def content_digest(data: bytes | memoryview) -> str:
    """Return the hex xxh3-128 digest that `Split.content` holds."""
    return xxhash.xxh3_128_hexdigest(data)


def image_content(data: bytes | memoryview) -> Content:
    """Return the digest and the traits of an encoded image."""
    return content_digest(data), header_traits(data)


def unreadable_content(name: str) -> Content:
    """Return a digest and the traits of an image whose bytes cannot be read."""
    return unreadable_digest(name), int(Trait.UNREADABLE)


def text_digest(text: str) -> str:
    """Return the hex xxh3-128 digest of a text, which may hold file names that are not UTF-8."""
    return content_digest(text.encode("utf-8", "surrogatepass"))


def unreadable_digest(name: str) -> str:
    """Return a digest for an image whose bytes cannot be read."""
    return _UNREADABLE + text_digest(name)[len(_UNREADABLE) :]


def is_unreadable(digest: str) -> bool:
    """Return whether a digest is that of an image whose bytes could not be read."""
    return digest.startswith(_UNREADABLE)


def file_version(path: Path) -> str:
    """Return text that changes when a local file does: its path, size, times and inode."""
    stat = path.stat()
    return f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def file_digests(root: Path, files: Sequence[Path], cache: Path) -> Digests:
    """Return the digest and the traits of each file's bytes.

    The cache names files relative to `root`; a file outside `root` by its absolute path.
    DatasetError where files are pointers of Git LFS: no image can be made of them.
    """
    cache_file = _cache_file(cache, f"files-{root.absolute()}", ".json")
    entries = _load_entries(cache_file)
    names = _names(files, root)
    stamps = [_stamp(path) for path in files]
    stale = [
        i
        for i, name in enumerate(names)
        if stamps[i] and not _is_current(entries.get(name), stamps[i])
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        fresh = dict(zip(stale, pool.map(lambda i: _content(files[i]), stale), strict=True))
    _refuse_pointers([files[i] for i, value in fresh.items() if value == _POINTER], len(files))
    entries |= {names[i]: [*(stamps[i] or ()), *value] for i, value in fresh.items() if value}
    if stale:
        _write(cache_file, json.dumps(entries).encode())
    unreadable = {i for i, stamp in enumerate(stamps) if stamp is None} | {
        i for i, value in fresh.items() if value is None
    }
    contents = [
        unreadable_content(name) if i in unreadable else entries[name][-2:]
        for i, name in enumerate(names)
    ]
    return Digests.of((digest for digest, _ in contents), (traits for _, traits in contents))


def cached_digests(
    key: str, count: int, cache: Path, compute: Callable[[], Iterable[Content]]
) -> Digests:
    """Load the `count` digests and traits cached under `key`, or compute and cache them.

    `key` must name content that cannot change.
    """
    cache_file = _cache_file(cache, f"rows-{key}", ".xxh3")
    data = _read(cache_file)
    if len(data) != 16 + _ROW_BYTES * count or xxhash.xxh3_128_digest(data[16:]) != data[:16]:
        values = b"".join(packed(content) for content in compute())
        data = xxhash.xxh3_128_digest(values) + values
        _write(cache_file, data)
    return unpacked(np.frombuffer(data[16:], np.uint8))


def packed(content: Content) -> bytes:
    """Return a digest and traits as 17 bytes."""
    digest, traits = content
    return bytes.fromhex(digest) + bytes([traits])


def unpacked(values: NDArray[np.uint8]) -> Digests:
    """Return the digests and traits of 17 bytes each, joined."""
    rows = values.reshape(-1, _ROW_BYTES)
    return Digests(rows[:, :-1], rows[:, -1])


def _content(path: Path) -> Content | Literal["pointer"] | None:
    """Return the content of a file, `_POINTER` for a pointer, or None if it cannot be read."""
    try:
        data = read_file(path)
    except UnreadableImageError:
        return None
    return _POINTER if is_pointer(data) else image_content(data)


def _refuse_pointers(pointers: Sequence[Path], count: int) -> None:
    if pointers:
        raise DatasetError(
            f"{len(pointers):,} of {count:,} images are no images: {pointer_message(pointers[0])}"
        )


def _stamp(path: Path) -> list[int] | None:
    """Return size, times and inode of a file; None if it does not exist.

    Taken before the file is read, so that a change during the read gives another stamp.
    """
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError for a path with a null byte
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _is_current(entry: Any, stamp: list[int] | None) -> bool:
    if not isinstance(entry, list) or len(entry) != 6 or entry[:-2] != stamp:
        return False
    digest, traits = entry[-2:]
    return (
        isinstance(digest, str)
        and _HEX.fullmatch(digest) is not None
        and isinstance(traits, int)
        and 0 <= traits < 256
    )


def _names(files: Sequence[Path], root: Path) -> list[str]:
    """Return the name of each file in the cache, by text where that is enough: paths are slow."""
    prefix = f"{root.as_posix()}/"
    return [
        text.removeprefix(prefix)
        if (text := path.as_posix()).startswith(prefix)
        else _name(path, root)
        for path in files
    ]


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.absolute())


def _cache_file(cache: Path, key: str, suffix: str) -> Path:
    return cache / "fingerprints" / f"{text_digest(key)}{suffix}"


def _read(cache_file: Path) -> bytes:
    try:
        return read_regular(cache_file)
    except OSError:
        return b""


def _load_entries(cache_file: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read(cache_file))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _write(cache_file: Path, data: bytes) -> None:
    """Write the cache; a full or read-only disk loses the cache but does not stop the run.

    Whether required files can be written is the feature store's concern.
    """
    with contextlib.suppress(StoreError):
        write_atomically(cache_file, data)
