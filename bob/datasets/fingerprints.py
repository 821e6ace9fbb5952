"""Content digests of files, remembered so that a second opening costs one stat per file and reads none of them.

A digest is remembered beside the file's size, modification time and status-change time (which a restored modification time cannot hide).
The memory is one JSON file per root folder below `<cache>/fingerprints`, whole or absent. Losing it costs a recomputation, never a wrong digest.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

from bob.errors import BadImageError, StoreError
from bob.files import write_whole

THREADS = 8
"""Files read at once; reading waits on the disk, not on the processor."""


def read_file(path: Path) -> bytes:
    """The file's bytes, or a BadImageError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError(f"image '{path}' cannot be read ({error.strerror}).") from error


def content_digest(data: bytes | memoryview) -> str:
    """Hex xxh3-128, as in `Split.content`."""
    return xxhash.xxh3_128_hexdigest(data)


def file_digests(root: Path, files: Sequence[Path], cache: Path) -> tuple[str, ...]:
    """One hex digest (xxh3-128) of the bytes of each file; all lie below `root`, or are named in full."""
    memory = _memory(cache, f"files-{root.absolute()}")
    known = _recall(memory)
    names = [_name(path, root) for path in files]
    stamps = [_stamp(path) for path in files]
    stale = [i for i, name in enumerate(names) if not _matches(known.get(name), stamps[i])]
    with ThreadPoolExecutor(THREADS) as pool:
        fresh = pool.map(lambda i: content_digest(read_file(files[i])), stale)
        known |= {names[i]: [*stamps[i], value] for i, value in zip(stale, fresh, strict=True)}
    if stale:
        _remember(memory, known)
    return tuple(known[name][-1] for name in names)


def remembered_digests(key: str, count: int, cache: Path, compute: Callable[[], Sequence[str]]) -> tuple[str, ...]:
    """The `count` digests remembered under `key`, else computed and remembered; `key` names content that cannot change."""
    memory = _memory(cache, f"rows-{key}")
    found = _recall(memory).get("digests")
    if not (isinstance(found, list) and len(found) == count and all(isinstance(value, str) for value in found)):
        found = list(compute())
        _remember(memory, {"digests": found})
    return tuple(found)


def _stamp(path: Path) -> list[int]:
    """Taken before the file is read: a later change gives another stamp."""
    try:
        stat = path.stat()
    except OSError as error:
        raise BadImageError(f"image '{path}' cannot be read ({error.strerror}).") from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _matches(entry: Any, stamp: list[int]) -> bool:
    return isinstance(entry, list) and entry[:-1] == stamp and isinstance(entry[-1], str)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.absolute())


def _memory(cache: Path, key: str) -> Path:
    return cache / "fingerprints" / f"{content_digest(key.encode())}.json"


def _recall(memory: Path) -> dict[str, Any]:
    try:
        values = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _remember(memory: Path, values: dict[str, Any]) -> None:
    """A disk that is full or read-only costs the memory, not the run: what must be written is the feature store's concern."""
    with contextlib.suppress(StoreError):
        write_whole(memory, json.dumps(values).encode())
