"""The store of records below a results folder.

A record is `records/TASK/DATASET/BACKBONE.KEY.json`, with its per-example arrays in a
`.safetensors` file of the same name. Nothing is read unseen: the JSON file begins with a checksum
of the rest, and states the digest of the arrays. Whatever is damaged, of another version or no
record at all is set aside with a message, and never stops the reader of the others.
"""

import contextlib
import functools
import hashlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bob.errors import ConfigError, StoreError, first_line
from bob.io.files import move_folder_aside, slug, write_atomically
from bob.io.leases import LEASE_SUFFIX, LeaseObserver
from bob.records.record import SCHEMA, ArrayFile, BackboneFacts, DatasetFacts, Record, TaskFacts

Arrays = Mapping[str, NDArray[Any]]

SHOWN = "shown"
"""Second component of the names of arrays that are stored for pages of images."""
LONGEST_NAME = 200
"""Bytes of a name in a path: file systems allow 255, of which key and suffix need some."""
LARGEST_RECORD = 256 * 2**20
"""Bytes of a JSON file; ordinary ones have a few thousand."""
SET_ASIDE = ".set-aside.json"
"""Suffix of what stood where a record is stored, and was none."""
CHANGED = (
    "was edited or damaged after it was written, or another version wrote it: its checksum is not "
    "that of its content; remove it, and the next run creates it again. To keep a change of your "
    "own, delete the entry 'checksum'."
)
_CHECKSUM = re.compile(rb'\A\{\n "checksum": "([0-9a-f]{32})",')
_SUSPICIOUS_NUMBER = re.compile(rb"[\s:\[,]-?(?:NaN|Inf|[0-9](?:[0-9]{18}|[0-9.]*[eE]\+?[0-9]{3}))")
"""Occurs in every JSON text with a number that is not finite or beyond 64 bits, and in few more."""


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
            record = _read(self._path(task, dataset, backbone, key))
            self._array_bytes(record)
        except (FileNotFoundError, StoreError):
            return None
        return record if record.key == key else None

    def with_prefix(
        self, prefix: str, is_meant: "Callable[[Record], bool]" = lambda record: False
    ) -> Record:
        """Return the record whose key starts with `prefix`; ConfigError for no key or several.

        The same images under two names, such as a folder and a table of it, or a backbone under
        two, have records of one key: the first of those that `is_meant` accepts is returned, or
        the first.
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

        The arrays are written first, so a record that exists is complete. Without `arrays`, those
        that the record states stay as they are.
        """
        path = self._path_of(record)
        array_path = _array_path(path)
        for occupied in (path, array_path):
            move_folder_aside(occupied, SET_ASIDE)
        if arrays:
            contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
            data = bytes(save(contiguous))
            write_atomically(array_path, data)
            array_file = ArrayFile(digest=_digest(data), size=len(data))
            record = record.model_copy(update={"arrays": array_file})
        write_atomically(path, _to_bytes(record))
        if record.arrays is None:
            array_path.unlink(missing_ok=True)
        for other in path.parent.glob(f"{path_part(record.backbone_name)}.*.json"):
            if other != path:
                _remove_if_failed(other, record.backbone_name)
        return path

    def read_all(self) -> tuple[list[Record], list[str]]:
        """Return all records in path order, and a message for each file that is set aside."""
        return self._read_folders()

    def state(self) -> frozenset[tuple[Path, int, int]]:
        """Return what identifies the present files: path, size and time of the last change."""
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
            data = _read_bytes(path)
        except FileNotFoundError as error:
            raise StoreError(f"{path}: is missing.") from error
        array_file = ArrayFile(digest=_digest(data), size=len(data))
        if array_file == record.arrays:
            return data
        with contextlib.suppress(FileNotFoundError, StoreError):
            if array_file == _read(self._path_of(record)).arrays:
                return data  # another process has replaced both files since `record` was read
        raise StoreError(
            f"{path}: was damaged after it was written ({len(data):,} bytes, "
            f"{record.arrays.size:,} stored; the digest differs)."
        )

    def _read_folders(
        self, dataset: str | None = None, backbone: str | None = None
    ) -> tuple[list[Record], list[str]]:
        """Read the records of some folders, in path order, with messages about all else."""
        records: list[Record] = []
        problems: list[str] = []
        sharing = _Sharing()
        for path in self._paths(problems, dataset, backbone):
            try:
                records.append(_read(path, sharing.record))
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

        Globs would pass over those without a word.
        """
        of_dataset = path_part(dataset) if dataset else None
        start = f"{path_part(backbone)}." if backbone else ""
        for task in _folders(self.root, problems):
            for folder in _folders(task, problems):
                if of_dataset in (None, folder.name):
                    for name in _names(folder, problems):
                        if name.endswith(".json") and name.startswith(start):
                            yield folder / name

    def _path_of(self, record: Record) -> Path:
        return self._path(record.task.name, record.dataset_name, record.backbone_name, record.key)

    def _path(self, task: str, dataset: str, backbone: str, key: str) -> Path:
        name = f"{path_part(backbone)}.{key[:16]}.json"
        return self.root.joinpath(path_part(task), path_part(dataset), name)


_FACTS: Mapping[str, type[BackboneFacts | TaskFacts | DatasetFacts]] = {
    "backbone": BackboneFacts,
    "task": TaskFacts,
    "dataset": DatasetFacts,
}
"""What many records have in common, in the order in which `_to_bytes` writes it."""
_SOME_TASK = b'{"name": "-", "version": 0, "protocol": "", "settings": {}, "metrics": ["-"]}'
"""Stands for a task while the rest of a record is validated."""


class _Sharing:
    """Validates what records have in common once, and lets them share it.

    This halves the time and the memory of reading many records.
    """

    def __init__(self) -> None:
        self._facts: dict[bytes, Any] = {}
        self._field_names: dict[frozenset[str], set[str]] = {}

    def record(self, data: bytes) -> Record:
        """Return the record of a JSON text that `_to_bytes` wrote; ValueError as of `_validated`.

        Any other text is validated as a whole, and shares nothing.
        """
        try:
            record = self._record_of_parts(data)
        except ValueError:
            return _validated(data)
        for model in (record, record.cost, *record.scores):
            if model is not None:
                given = model.model_fields_set
                shared = self._field_names.setdefault(frozenset(given), given)
                # half of a score's memory; pydantic copies the set before it changes a copy's
                object.__setattr__(model, "__pydantic_fields_set__", shared)
        return record

    def _record_of_parts(self, data: bytes) -> Record:
        """Validate a record without its facts, and these unless their text has been met before."""
        facts, rest, end = {}, [], 0
        for name in _FACTS:
            start = data.find(b'\n "%s": {' % name.encode(), end)
            if start >= 0:
                rest.append(data[end : (start := data.index(b"{", start))])
                rest.append(_SOME_TASK if name == "task" else b"null")
                end = data.index(b"\n }", start) + 3
                facts[name] = self._facts_of(name, data[start:end])
        record = Record.model_validate_json(b"".join((*rest, data[end:])))
        _require_plain_numbers([record.details, record.provenance])
        return _stored(record).model_copy(update=facts)

    def _facts_of(self, name: str, text: bytes) -> BackboneFacts | TaskFacts | DatasetFacts:
        if text not in self._facts:
            _require_plain_numbers(from_json(text))
            self._facts[text] = _FACTS[name].model_validate_json(text)
        shared: BackboneFacts | TaskFacts | DatasetFacts = self._facts[text]
        return shared


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
        record = _read(path)
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


# --- one file


def _to_bytes(record: Record) -> bytes:
    """Return a record as JSON whose first entry is the checksum of what follows it."""
    rest = record.model_dump_json(indent=1).encode()[1:]
    return b'{\n "checksum": "' + _digest(rest).encode() + b'",' + rest


def _digest(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


def _read(path: Path, record_of: "Callable[[bytes], Record] | None" = None) -> Record:
    """Read and verify a record; FileNotFoundError if there is none, StoreError if it is damaged.

    A file without a checksum is accepted, for those who write or edit records by hand. `record_of`
    replaces `_validated` for those that have one.
    """
    data = _read_bytes(path)
    checksum = _CHECKSUM.match(data)
    rest = data[checksum.end() :] if checksum else b""
    if checksum and _digest(rest).encode() != checksum[1]:
        raise StoreError(f"{path}: {CHANGED}")
    try:
        record = (record_of or _validated)(b"{" + rest) if checksum else _validated(data)
    except ValueError as error:  # pydantic's ValidationError is one
        if _has_moved_checksum(error):
            raise StoreError(f"{path}: {CHANGED}") from error
        raise StoreError(
            f"{path}: is not a record of this version ({_problem(error)}); "
            "remove it, and the next run creates it again."
        ) from error
    return record


def _has_moved_checksum(error: ValueError) -> bool:
    """Whether a text has a checksum elsewhere than records have it, as after another layout."""
    return isinstance(error, ValidationError) and any(
        problem["loc"] == ("checksum",) for problem in error.errors(include_url=False)
    )


def _read_bytes(path: Path) -> bytes:
    """Return the content of a file; FileNotFoundError if it does not exist, else StoreError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise StoreError(f"{path}: is {kind}, not a record; remove it.")
        if status.st_size > LARGEST_RECORD and path.suffix == ".json":
            raise StoreError(f"{path}: is larger than {LARGEST_RECORD:,} bytes; no record is.")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}).") from error


def _validated(data: bytes) -> Record:
    """Return the record of a JSON text; ValueError if it is none of this version."""
    if _SUSPICIOUS_NUMBER.search(data):
        _require_plain_numbers(from_json(data))
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        _require_schema(data)
        raise
    return _stored(record)


def _stored(record: Record) -> Record:
    """Return a record if it is one that the store writes, else ValueError."""
    if "schema_version" not in record.model_fields_set:
        raise ValueError("schema_version is missing")
    if record.external is not None or record.family == "external":
        raise ValueError("published results are never stored")
    return record


def _require_schema(data: bytes) -> None:
    """Raise ValueError if the text is a record of another version, whatever else is wrong."""
    try:
        values = from_json(data)
    except ValueError:
        return
    version = values.get("schema_version", SCHEMA) if isinstance(values, dict) else SCHEMA
    if version != SCHEMA:
        raise ValueError(f"schema_version {version!r}; this version reads {SCHEMA}")


def _require_plain_numbers(value: Any) -> None:
    """Raise ValueError for a number that is not finite, or an integer beyond 64 bits."""
    if isinstance(value, dict):
        for inner in value.values():
            _require_plain_numbers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_plain_numbers(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer is beyond 64 bits")


def _problem(error: ValueError) -> str:
    """Return what is wrong with the content of a file, on one line."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}"[:200] if place else first["msg"][:200]
