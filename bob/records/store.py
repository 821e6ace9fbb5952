"""The store of records below a results folder.

A record is `records/TASK/DATASET/BACKBONE.KEY.json`, with its per-example arrays in a
`.safetensors` file of the same name.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save

from bob.errors import StoreError
from bob.io.files import slug, write_atomically
from bob.records.record import Record

Arrays = Mapping[str, NDArray[Any]]

LONGEST_NAME = 200
"""Bytes of a name in a path: file systems allow 255, of which key and suffix need some."""


@dataclass(frozen=True)
class RecordStore:
    """The records below one results folder."""

    results: Path

    @property
    def root(self) -> Path:
        return self.results / "records"

    def find(self, task: str, dataset: str, backbone: str, key: str) -> Record | None:
        """Return the record with this key; None if it or its arrays are missing or damaged."""
        path = self._path(task, dataset, backbone, key)
        try:
            record = _read(path)
        except (FileNotFoundError, StoreError):
            return None
        complete = record.arrays is None or (path.parent / record.arrays).exists()
        return record if complete and record.key == key else None

    def write(self, record: Record, arrays: Arrays) -> Path:
        """Store a record and return its path; it replaces failed records of the same cell.

        The arrays are written first, so a record that exists is complete.
        """
        path = self._path_of(record)
        if arrays:
            contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
            array_path = path.with_suffix(".safetensors")
            write_atomically(array_path, bytes(save(contiguous)))
            record = record.model_copy(update={"arrays": array_path.name})
        write_atomically(path, record.model_dump_json(indent=1).encode())
        for other in path.parent.glob(f"{_path_part(record.backbone_name)}.*.json"):
            if other != path:
                _remove_if_failed(other, record.backbone_name)
        return path

    def read_all(self) -> tuple[list[Record], list[str]]:
        """Return all readable records in path order, and a message for each damaged one."""
        records, damaged = [], []
        for path in sorted(self.root.glob("*/*/*.json")):
            try:
                records.append(_read(path))
            except FileNotFoundError:
                continue  # another process has just replaced it
            except StoreError as error:
                damaged.append(str(error))
        return records, damaged

    def select(self, dataset: str | None = None, backbone: str | None = None) -> list[Record]:
        """Return the readable records of a dataset, a backbone or both, in path order.

        No other files are read.
        """
        folder = _path_part(dataset) if dataset else "*"
        name = _path_part(backbone) if backbone else "*"
        records = []
        for path in sorted(self.root.glob(f"*/{folder}/{name}.*.json")):
            with contextlib.suppress(FileNotFoundError, StoreError):
                records.append(_read(path))
        return [
            record
            for record in records
            if dataset in (None, record.dataset_name) and backbone in (None, record.backbone_name)
        ]

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the per-example arrays of a record, named `SEED.NAME`."""
        if record.arrays is None:
            return {}
        return dict(load_file(self._path_of(record).parent / record.arrays))

    def headline_arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the arrays of the headline score; empty if the file is missing or damaged.

        Their names are `SEED.NAME`; those of other parts of the task have more components.
        """
        if record.arrays is None:
            return {}
        path = self._path_of(record).parent / record.arrays
        try:
            arrays = load(path.read_bytes())
        except (OSError, SafetensorError):
            return {}
        return {name: values for name, values in arrays.items() if name.count(".") == 1}

    def _path_of(self, record: Record) -> Path:
        return self._path(record.task.name, record.dataset_name, record.backbone_name, record.key)

    def _path(self, task: str, dataset: str, backbone: str, key: str) -> Path:
        folder = self.root / _path_part(task) / _path_part(dataset)
        return folder / f"{_path_part(backbone)}.{key[:16]}.json"


def _remove_if_failed(path: Path, backbone: str) -> None:
    """Remove a readable record if it is a failure of this backbone."""
    try:
        record = _read(path)
    except (FileNotFoundError, StoreError):
        return
    if record.status == "failed" and record.backbone_name == backbone:
        path.unlink(missing_ok=True)


def _path_part(name: str) -> str:
    """Return a name as part of a path; a long one is truncated and gets a hash of the full name."""
    encoded = slug(name).encode()
    if len(encoded) <= LONGEST_NAME:
        return slug(name)
    start = encoded[:LONGEST_NAME].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise StoreError(
            f"{path}: is not a record of this version ({problem}); "
            "remove it, and the next run creates it again."
        ) from error
