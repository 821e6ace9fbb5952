"""Where records live: `results/records/TASK/DATASET/BACKBONE.KEY.json`, with per-example arrays in a `.safetensors` file of the same name."""

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

LONGEST = 200
"""Bytes of a name in a path: file systems take 255, of which the key and the ending need some."""


@dataclass(frozen=True)
class RecordStore:
    """The records below one results folder."""

    results: Path

    @property
    def root(self) -> Path:
        return self.results / "records"

    def find(self, task: str, dataset: str, backbone: str, key: str) -> Record | None:
        """The record of a key, or None where there is none or it is damaged (and so to be made again)."""
        try:
            record = _read(self._path(task, dataset, backbone, key))
        except (FileNotFoundError, StoreError):
            return None
        whole = record.key == key and (
            record.arrays is None
            or (self._path(task, dataset, backbone, key).parent / record.arrays).exists()
        )
        return record if whole else None

    def write(self, record: Record, arrays: Arrays) -> Path:
        """Stores a record, arrays first, so that a record that is there is whole. A success ends the cell's failures."""
        path = self._path(record.task.name, record.dataset_name, record.backbone_name, record.key)
        if arrays:
            write_atomically(
                path.with_suffix(".safetensors"),
                bytes(
                    save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
                ),
            )
            record = record.model_copy(update={"arrays": path.with_suffix(".safetensors").name})
        write_atomically(path, record.model_dump_json(indent=1).encode())
        for other in path.parent.glob(f"{_part(record.backbone_name)}.*.json"):
            self._forget_failure(other, path, record)
        return path

    def read_all(self) -> tuple[list[Record], list[str]]:
        """Every whole record, in path order, and what is wrong with the others."""
        records, damaged = [], []
        for path in sorted(self.root.glob("*/*/*.json")):
            try:
                records.append(_read(path))
            except FileNotFoundError:
                continue  # another process replaced it just now
            except StoreError as error:
                damaged.append(str(error))
        return records, damaged

    def select(self, dataset: str | None = None, backbone: str | None = None) -> list[Record]:
        """The whole records of one dataset, of one backbone, or of both, in path order; no other file is read."""
        found = []
        for path in sorted(
            self.root.glob(
                f"*/{_part(dataset) if dataset else '*'}/{_part(backbone) if backbone else '*'}.*.json"
            )
        ):
            with contextlib.suppress(FileNotFoundError, StoreError):
                found.append(_read(path))
        return [
            record
            for record in found
            if dataset in (None, record.dataset_name) and backbone in (None, record.backbone_name)
        ]

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """The per-example arrays of a record, by `SEED.NAME`."""
        if record.arrays is None:
            return {}
        return dict(
            load_file(
                self._path(
                    record.task.name, record.dataset_name, record.backbone_name, record.key
                ).parent
                / record.arrays
            )
        )

    def headline_arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Of a record's arrays, those of its headline (`SEED.NAME`); none where the file is not there or damaged."""
        if record.arrays is None:
            return {}
        path = (
            self._path(
                record.task.name, record.dataset_name, record.backbone_name, record.key
            ).parent
            / record.arrays
        )
        try:
            return {
                name: values
                for name, values in load(path.read_bytes()).items()
                if name.count(".") == 1
            }
        except (OSError, SafetensorError):
            return {}

    def _path(self, task: str, dataset: str, backbone: str, key: str) -> Path:
        return self.root / _part(task) / _part(dataset) / f"{_part(backbone)}.{key[:16]}.json"

    def _forget_failure(self, other: Path, kept: Path, record: Record) -> None:
        """Removes a failed record of the same cell once the cell has another."""
        if other == kept:
            return
        try:
            earlier = _read(other)
        except (FileNotFoundError, StoreError):
            return
        if earlier.status == "failed" and earlier.backbone_name == record.backbone_name:
            other.unlink(missing_ok=True)


def _part(name: str) -> str:
    """A name as part of a path; a long one cut, with a hash of the whole."""
    held = slug(name).encode()
    if len(held) <= LONGEST:
        return slug(name)
    return (
        f"{held[:LONGEST].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise StoreError(
            f"{path}: is not a record of this version ({problem}); remove it, and the next run makes it again."
        ) from error
