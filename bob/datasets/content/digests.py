"""Content digests of files, remembered so that a second opening costs one stat per file and reads none of them.

A digest is remembered beside the file's size, modification time and status-change time (which a restored modification time cannot hide).
The memory is one JSON file per root folder below `<cache>/fingerprints`, whole or absent. Losing it costs a recomputation, never a wrong digest.

A file that cannot be read has a digest of its name alone, which is not remembered: it counts as a bad image when it is embedded, and is another
image once it can be read.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from bob.datasets.content.sequences import Digests
from bob.errors import StoreError, UnreadableImageError
from bob.io.files import write_atomically

THREADS = 8
"""Files read at once; reading waits on the disk, not on the processor."""

_HEX = re.compile("[0-9a-f]{32}")


def read_file(path: Path) -> bytes:
    """The file's bytes, or a UnreadableImageError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"image '{path}' cannot be read ({error.strerror}).") from error


def content_digest(data: bytes | memoryview) -> str:
    """Hex xxh3-128, as in `Split.content`."""
    return xxhash.xxh3_128_hexdigest(data)


def unreadable(name: str) -> str:
    """The digest that stands for an image whose bytes cannot be had."""
    return content_digest(f"unreadable {name}".encode())


def file_digests(root: Path, files: Sequence[Path], cache: Path) -> Digests:
    """The digest of the bytes of each file; all lie below `root`, or are named in full."""
    memory = _memory(cache, f"files-{root.absolute()}", ".json")
    known = _recall(memory)
    names = [_name(path, root) for path in files]
    stamps = [_stamp(path) for path in files]
    stale = [
        i for i, name in enumerate(names) if stamps[i] and not _matches(known.get(name), stamps[i])
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        fresh = dict(zip(stale, pool.map(lambda i: _digest(files[i]), stale), strict=True))
    known |= {names[i]: [*(stamps[i] or ()), value] for i, value in fresh.items() if value}
    if stale:
        _remember(memory, json.dumps(known).encode())
    lost = {i for i, stamp in enumerate(stamps) if stamp is None} | {
        i for i, value in fresh.items() if value is None
    }
    return Digests.of(
        unreadable(name) if i in lost else known[name][-1] for i, name in enumerate(names)
    )


def remembered_digests(
    key: str, count: int, cache: Path, compute: Callable[[], Iterable[str]]
) -> Digests:
    """The `count` digests remembered under `key`, else computed and remembered; `key` names content that cannot change."""
    memory = _memory(cache, f"rows-{key}", ".xxh3")
    found = _packed(memory)
    if len(found) != 16 * (count + 1) or xxhash.xxh3_128_digest(found[16:]) != found[:16]:
        values = Digests.of(compute()).values.tobytes()
        found = xxhash.xxh3_128_digest(values) + values
        _remember(memory, found)
    return Digests(np.frombuffer(found[16:], np.uint8).reshape(-1, 16))


def _digest(path: Path) -> str | None:
    try:
        return content_digest(read_file(path))
    except UnreadableImageError:
        return None


def _stamp(path: Path) -> list[int] | None:
    """Taken before the file is read: a later change gives another stamp."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _matches(entry: Any, stamp: list[int] | None) -> bool:
    return (
        isinstance(entry, list)
        and entry[:-1] == stamp
        and isinstance(entry[-1], str)
        and _HEX.fullmatch(entry[-1]) is not None
    )


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.absolute())


def _memory(cache: Path, key: str, suffix: str) -> Path:
    return cache / "fingerprints" / f"{content_digest(key.encode())}{suffix}"


def _packed(memory: Path) -> bytes:
    try:
        return memory.read_bytes()
    except OSError:
        return b""


def _recall(memory: Path) -> dict[str, Any]:
    try:
        values = json.loads(_packed(memory))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _remember(memory: Path, data: bytes) -> None:
    """A disk that is full or read-only costs the memory, not the run: what must be written is the feature store's concern."""
    with contextlib.suppress(StoreError):
        write_atomically(memory, data)
