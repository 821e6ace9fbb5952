"""One record as a JSON file that begins with a checksum of the rest."""

import math
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xxhash
from pydantic import ValidationError
from pydantic_core import from_json

from bob.errors import StoreError, first_line
from bob.records.record import SCHEMA, BackboneFacts, DatasetFacts, Record, TaskFacts

LARGEST_RECORD = 256 * 2**20
"""Most bytes of a JSON file; ordinary ones have a few thousand."""
CHANGED = (
    "was edited or damaged after it was written, or another version wrote it: its checksum is not "
    "that of its content; remove it, and the next run creates it again. To keep a change of your "
    "own, delete the entry 'checksum'."
)
_CHECKSUM = re.compile(rb'\A\{\n "checksum": "([0-9a-f]{32})",')
_SUSPICIOUS_NUMBER = re.compile(rb"[\s:\[,]-?(?:NaN|Inf|[0-9](?:[0-9]{18}|[0-9.]*[eE]\+?[0-9]{3}))")
"""Matches every JSON text with a number that is not finite or beyond 64 bits, and few others."""
_FACTS: Mapping[str, type[BackboneFacts | TaskFacts | DatasetFacts]] = {
    "backbone": BackboneFacts,
    "task": TaskFacts,
    "dataset": DatasetFacts,
}
"""Facts that many records share, in the order in which `to_bytes` writes them."""
_SOME_TASK = b'{"name": "-", "version": 0, "protocol": "", "settings": {}, "metrics": ["-"]}'
"""Placeholder of the task while the rest of a record is validated."""


def to_bytes(record: Record) -> bytes:
    """Return a record as JSON whose first entry is the checksum of what follows it."""
    rest = record.model_dump_json(indent=1).encode()[1:]
    return b'{\n "checksum": "' + digest_of(rest).encode() + b'",' + rest


def digest_of(data: bytes) -> str:
    """Return the hex digest (xxh3-128) of the content of a file."""
    return xxhash.xxh3_128_hexdigest(data)


def read_record(path: Path, record_of: "Callable[[bytes], Record] | None" = None) -> Record:
    """Read and verify a record; FileNotFoundError if there is none, StoreError if it is damaged.

    A file without a checksum is accepted, since records may be written or edited by hand.
    `record_of` replaces `_validated` for files with a checksum.
    """
    data = read_bytes(path)
    checksum = _CHECKSUM.match(data)
    rest = data[checksum.end() :] if checksum else b""
    if checksum and digest_of(rest).encode() != checksum[1]:
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
    """Whether a text has its checksum in another place, as after its entries were reordered."""
    return isinstance(error, ValidationError) and any(
        problem["loc"] == ("checksum",) for problem in error.errors(include_url=False)
    )


def read_bytes(path: Path) -> bytes:
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
    """Return the record of a JSON text; ValueError if it is not a record of this version."""
    if _SUSPICIOUS_NUMBER.search(data):
        _require_plain_numbers(from_json(data))
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        _require_schema(data)
        raise
    return _stored(record)


def _stored(record: Record) -> Record:
    """Return a record that the store may have written; ValueError for any other."""
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


class SharedFacts:
    """Validates facts that occur in several records once, and shares the objects.

    This halves the time and the memory of reading many records.
    """

    def __init__(self) -> None:
        self._facts: dict[bytes, Any] = {}
        self._field_names: dict[frozenset[str], set[str]] = {}

    def record(self, data: bytes) -> Record:
        """Return the record of a JSON text that `to_bytes` wrote; ValueError as of `_validated`.

        Any other text is validated as one piece, and shares nothing.
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
        """Validate a record without its facts, then each fact unless its text was seen before."""
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
