"""The store of records below a results folder.

A record is `records/TASK/DATASET/BACKBONE.KEY.json`, with its per-example arrays in a
`.safetensors` file of the same name. Both are verified when they are read: the JSON file begins
with a checksum of the rest (`bob.records.record_file`), and states the digest of the arrays. A file
that is damaged, of another version or no record is skipped with a message; the others are read.
"""

import contextlib
import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bob.errors import ConfigError, StoreError, first_line
from bob.io.files import move_folder_aside, slug, write_atomically
from bob.io.leases import LEASE_SUFFIX, LeaseObserver
from bob.records.record import ArrayFile, Record
from bob.records.record_file import (
    SharedFacts,
    digest_of,
    read_bytes,
    read_record,
    to_bytes,
)

Arrays = Mapping[str, NDArray[Any]]

SHOWN = "shown"
"""Second component of the names of arrays that are stored for pages of images."""
LONGEST_NAME = 200
"""Most bytes of a name in a path: file systems allow 255 with the key and the suffix."""
SET_ASIDE = ".set-aside.json"
"""Suffix of a folder that was moved aside because it had the name of a record's file."""


@dataclass(frozen=True)
class RecordStore:
    """The records below one results folder."""

    results: Path

    @functools.cached_property
    def root(self) -> Path:
        return self.results / "records"

    def lease_path(self, dataset: str, backbone: str) -> Path:
        """Return the file of the lease under which the cells of a backbone are scored."""
        name = f"{path_part(dataset)}.{path_part(backbone)}{LEASE_SUFFIX}"
        return self._leases / name

    @property
    def _leases(self) -> Path:
        return self.results / ".leases"

    def sweep(self) -> None:
        """Remove the leases of killed processes."""
        LeaseObserver().remove_stale(self._leases)

    def find(self, task: str, dataset: str, backbone: str, key: str) -> Record | None:
        """Return the record with this key; None if it or its arrays are missing or damaged."""
        try:
            record = read_record(self._path(task, dataset, backbone, key))
            self._array_bytes(record)
        except (FileNotFoundError, StoreError):
            return None
        return record if record.key == key else None

    def with_prefix(
        self, prefix: str, is_meant: "Callable[[Record], bool]" = lambda record: False
    ) -> Record:
        """Return the record whose key starts with `prefix`; ConfigError for no key or several.

        Records share a key where the same images, or the same backbone, have two names, such as a
        folder and a table of it. Of these the first that `is_meant` accepts is returned, else the
        first.
        """
        matches = [record for record in self.read_all()[0] if record.key.startswith(prefix)]
        keys = list(dict.fromkeys(record.key for record in matches))
        if len(keys) != 1:
            shown = ": " + ", ".join(keys[:5]) if keys else ""
            raise ConfigError(
                f"{len(keys)} records have a key that begins with {prefix!r}{shown}; "
                "see `bob-bench list records`."
            )
        if len(matches) == 1:
            return matches[0]
        return next(filter(is_meant, matches), matches[0])

    def write(self, record: Record, arrays: Arrays) -> Path:
        """Store a record and return its path; it replaces failed records of the same cell.

        The arrays are written first, so that a record that exists is complete. Without `arrays`,
        the array file that the record states is kept.
        """
        path = self._path_of(record)
        array_path = _array_path(path)
        for occupied in (path, array_path):
            move_folder_aside(occupied, SET_ASIDE)
        if arrays:
            contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
            data = bytes(save(contiguous))
            write_atomically(array_path, data)
            array_file = ArrayFile(digest=digest_of(data), size=len(data))
            record = record.model_copy(update={"arrays": array_file})
        write_atomically(path, to_bytes(record))
        if record.arrays is None:
            array_path.unlink(missing_ok=True)
        for other in path.parent.glob(f"{path_part(record.backbone_name)}.*.json"):
            if other != path:
                _remove_if_failed(other, record.backbone_name)
        return path

    def read_all(self) -> tuple[list[Record], list[str]]:
        """Return all records in path order, and a message for each file that is skipped."""
        return self._read_folders()

    def state(self) -> frozenset[tuple[Path, int, int]]:
        """Return path, size and time of the last change of every record's file."""
        state = set()
        for path in self._paths([], None, None):
            with contextlib.suppress(OSError):
                status = path.stat()
                state.add((path, status.st_size, status.st_mtime_ns))
        return frozenset(state)

    def select(self, dataset: str | None = None, backbone: str | None = None) -> list[Record]:
        """Return the readable records of a dataset, a backbone or both, in path order.

        No other files are read.
        """
        records, _ = self._read_folders(dataset, backbone)
        return [
            record
            for record in records
            if dataset in (None, record.dataset_name) and backbone in (None, record.backbone_name)
        ]

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the per-example arrays of a record, named `SEED.NAME`; empty if it has none.

        StoreError if their file is missing, or not the one that was stored with the record.
        """
        data = self._array_bytes(record)
        if data is None:
            return {}
        try:
            return dict(load(data))
        except SafetensorError as error:
            path = _array_path(self._path_of(record))
            raise StoreError(f"{path}: holds no arrays ({first_line(error)}).") from error

    def headline_arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the arrays of the headline score; StoreError as of `arrays`.

        Their names are `SEED.NAME`; those of other parts of the task have more components.
        """
        arrays = self.arrays(record)
        return {name: values for name, values in arrays.items() if name.count(".") == 1}

    def shown_arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the arrays of the examples to show, by name; StoreError as of `arrays`.

        They are those of the first seed; empty where a record has none.
        """
        by_seed: dict[str, dict[str, NDArray[Any]]] = {}
        for full_name, values in self.arrays(record).items():
            seed, _, name = full_name.partition(f".{SHOWN}.")
            if name:
                by_seed.setdefault(seed, {})[name] = values
        return by_seed[min(by_seed, key=int)] if by_seed else {}

    def _array_bytes(self, record: Record) -> bytes | None:
        """Return the file of a record's arrays, verified; None if it has none."""
        if record.arrays is None:
            return None
        path = _array_path(self._path_of(record))
        try:
            data = read_bytes(path)
        except FileNotFoundError as error:
            raise StoreError(f"{path}: is missing.") from error
        array_file = ArrayFile(digest=digest_of(data), size=len(data))
        if array_file == record.arrays:
            return data
        with contextlib.suppress(FileNotFoundError, StoreError):
            if array_file == read_record(self._path_of(record)).arrays:
                return data  # another process has replaced both files since `record` was read
        raise StoreError(
            f"{path}: was damaged after it was written ({len(data):,} bytes, "
            f"{record.arrays.size:,} stored; the digest differs)."
        )

    def _read_folders(
        self, dataset: str | None = None, backbone: str | None = None
    ) -> tuple[list[Record], list[str]]:
        """Return the records of some folders in path order, and messages about skipped files."""
        records: list[Record] = []
        problems: list[str] = []
        sharing = SharedFacts()
        for path in self._paths(problems, dataset, backbone):
            try:
                records.append(read_record(path, sharing.record))
            except FileNotFoundError:
                if path.is_symlink():  # else another process has just replaced it
                    problems.append(f"{path}: is a link to a file that does not exist.")
            except StoreError as error:
                problems.append(str(error))
        return records, problems

    def _paths(
        self, problems: list[str], dataset: str | None, backbone: str | None
    ) -> Iterator[Path]:
        """Yield the paths of JSON files in order; folders that cannot be listed go to `problems`.

        A glob would skip such folders silently.
        """
        of_dataset = path_part(dataset) if dataset else None
        start = f"{path_part(backbone)}." if backbone else ""
        for task in _folders(self.root, problems):
            for folder in _folders(task, problems):
                if of_dataset not in (None, folder.name):
                    continue
                for name in _names(folder, problems):
                    if name.endswith(".json") and name.startswith(start):
                        yield folder / name

    def _path_of(self, record: Record) -> Path:
        return self._path(record.task.name, record.dataset_name, record.backbone_name, record.key)

    def _path(self, task: str, dataset: str, backbone: str, key: str) -> Path:
        name = f"{path_part(backbone)}.{key[:16]}.json"
        return self.root.joinpath(path_part(task), path_part(dataset), name)


def _folders(folder: Path, problems: list[str]) -> Iterator[Path]:
    for name in _names(folder, problems):
        path = folder / name
        try:
            if stat.S_ISDIR(path.stat().st_mode):
                yield path
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(_unreadable(path, error))


def _names(folder: Path, problems: list[str]) -> list[str]:
    """Return the sorted names in a folder; none if it does not exist or cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(_unreadable(folder, error))
        return []


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be read ({error.strerror}); its records are left out."


def _remove_if_failed(path: Path, backbone: str) -> None:
    """Remove a readable record if it is a failure of this backbone."""
    try:
        record = read_record(path)
    except (FileNotFoundError, StoreError):
        return
    if record.status == "failed" and record.backbone_name == backbone:
        path.unlink(missing_ok=True)


@functools.cache
def path_part(name: str) -> str:
    """Return a name as part of a path; a long one is truncated and gets a hash of the full name."""
    encoded = slug(name).encode()
    if len(encoded) <= LONGEST_NAME:
        return slug(name)
    start = encoded[:LONGEST_NAME].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _array_path(path: Path) -> Path:
    return path.with_suffix(".safetensors")
