"""The feature store: one folder per key, one file per shard, complete or absent, checked on read.

Several processes and hosts may share a store. A process leases a span of images before it computes
their shards (`bob.io.leases`). A backbone that failed leaves the reason beside its shards,
from which other processes learn why there are no features.

Statistics can have temporary arrays, which nothing but the statistics of a later pass reads. Once
these are stored, the arrays are removed from the shards; what the extraction cost, which images
could not be read, and other arrays stay. Such a shard counts as missing for whoever needs it whole.
"""

import contextlib
import functools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bob.errors import StoreError
from bob.features.key import FeatureKey, StatisticsKey, StoreKey
from bob.features.shard import Arrays, Effort, Shard, encode_shard, load_shard
from bob.io.files import TEMPORARY_PREFIX, disk_errors, move_folder_aside, write_atomically
from bob.io.leases import LEASE_SUFFIX, Lease, LeaseObserver

KEY_FILE, FAILURE_FILE = "key.json", "failure.json"
BATCH_ROWS = 8192
MERGED_SHARDS = 8
"""Shards of statistics that are in memory at once: of 1,280 features, each has 13 MB of X'X."""


class Mergeable(Protocol):
    """What sums the statistics of shards; see `bob.extraction.accumulators`."""

    def merge(self, states: Sequence[Arrays]) -> Arrays: ...


@dataclass(frozen=True, eq=False)
class Features:
    """The features of all images of one key that could be read.

    They lie in parts, one per shard, which are mapped from their files. `rows` reads them all into
    one array, `batches` passes over them in bounded memory.
    """

    parts: Sequence[NDArray[Any]]
    """Arrays (n_i, *shape), float32 or float16, in the order of the images."""
    positions: NDArray[np.int64]
    """(N,) ascending positions in the split of the images that have features."""
    bad: dict[int, str]
    """Position → why that image could not be read."""
    effort: Effort

    def __len__(self) -> int:
        """Return N, the number of images with features."""
        return len(self.positions)

    @functools.cached_property
    def rows(self) -> NDArray[np.float32]:
        """(N, *shape) float32; a single part is returned as it lies in its file."""
        if len(self.parts) == 1 and self.parts[0].dtype == np.float32:
            return self.parts[0]
        if not self.parts:
            return np.zeros((0, 0), np.float32)
        return np.concatenate(self.parts, dtype=np.float32)

    def batches(
        self, size: int = BATCH_ROWS
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield positions (n,) and features (n, *shape) float32 of at most `size` images."""
        start = 0
        for part in self.parts:
            for first in range(0, len(part), size):
                rows = np.asarray(part[first : first + size], np.float32)
                yield self.positions[start + first : start + first + len(rows)], rows
            start += len(part)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one image; (0,) without images."""
        return self.parts[0].shape[1:] if self.parts else (0,)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features (n, *shape) of some of the N images; their parts alone are read."""
        ends = np.cumsum([len(part) for part in self.parts])
        taken = np.empty((len(rows), *self.shape), np.float32)
        for i, row in enumerate(rows.tolist()):
            part = int(np.searchsorted(ends, row, side="right"))
            taken[i] = self.parts[part][row - ends[part]]
        return taken

    def view(self, at: NDArray[np.int64]) -> "Features":
        """Return the features of the images at `at` (M,).

        Positions of the result, and of its unreadable images, count in `at`.
        """
        last = max(at.max(initial=-1), self.positions.max(initial=-1))
        row_of = np.full(int(last) + 1, -1)
        row_of[self.positions] = np.arange(len(self.positions))
        rows = row_of[at]
        bad = {i: self.bad[p] for i, p in enumerate(at.tolist()) if p in self.bad}
        return Features([self.rows[rows[rows >= 0]]], np.flatnonzero(rows >= 0), bad, self.effort)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a set of images, merged over all its shards."""

    arrays: Arrays
    bad: dict[int, str]
    """Position → why that image could not be read."""
    effort: Effort


_unwritten_failures: dict[Path, str] = {}
"""File of a failure that the disk refused → its reason, for all stores of this process."""


class FeatureStore:
    """Shards below one folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._observer = LeaseObserver()

    def folder(self, key: StoreKey) -> Path:
        """Return the folder of a key's shards."""
        return self.folder_of(key.digest())

    def folder_of(self, digest: str) -> Path:
        """Return the folder of the key with a digest."""
        return self.root / digest[:2] / digest

    def _failure_path(self, digest: str) -> Path:
        return self.folder_of(digest) / FAILURE_FILE

    def write(self, key: StoreKey, number: int, shard: Shard) -> None:
        """Store one shard; it is complete on the disk when this returns."""
        stored, path = key.stored if isinstance(key, FeatureKey) else None, self._path(key, number)
        move_folder_aside(path)
        write_atomically(path, encode_shard(shard, _place(key, number), stored))
        path = self.folder(key) / KEY_FILE
        if not path.exists():
            write_atomically(path, json.dumps(asdict(key), indent=1).encode())  # type: ignore[call-overload]

    def has(self, key: StoreKey, number: int) -> bool:
        """Whether a shard exists with all of its arrays and is undamaged."""
        shard = self._load(key, number)
        return shard is not None and not shard.removed

    def missing(self, key: StoreKey, spans: range | None = None) -> list[int]:
        """List the shards that are not there in full, of some spans or all."""
        return [number for number in _shards(key, spans) if not self.has(key, number)]

    def is_stored(self, key: StoreKey) -> bool:
        """Whether all shards exist, with their temporary arrays or without."""
        return all(self._load(key, number) is not None for number in _shards(key, None))

    def stored_images(self, key: StoreKey) -> int:
        """Count the images whose shards exist, by file names alone: for plans."""
        sharding, folder = key.sharding, self.folder(key)
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return sum(
            len(sharding.positions(number))
            for number in range(len(sharding) if names else 0)
            if _shard_name(number) in names
        )

    def read(self, key: FeatureKey) -> Features:
        """Return all features of a key; StoreError where a shard is missing or damaged."""
        shards = self._read_all(key)
        filled = [shard for shard in shards if len(shard.positions)]
        return Features(
            parts=[shard.rows for shard in filled],
            positions=np.concatenate(
                [shard.positions for shard in shards] or [np.zeros(0, np.int64)]
            ),
            bad=_bad_images(shards),
            effort=sum((shard.effort for shard in shards), Effort()),
        )

    def read_statistics(
        self, key: StatisticsKey, accumulator: Mergeable, without: Collection[str] = ()
    ) -> Statistics:
        """Return the sums over all shards of a key; StoreError where one is missing.

        They are `without` these arrays, which then may have been removed. A few shards are in
        memory at once, whatever their number.
        """
        count, complete = len(key.sharding), 0
        merged: list[Arrays] = []
        bad, effort = dict[int, str](), Effort()
        for first in range(0, count, MERGED_SHARDS):
            numbers = range(first, min(first + MERGED_SHARDS, count))
            shards = self._read(key, numbers, without)
            complete += len(shards)
            if complete == numbers.stop:
                merged = [accumulator.merge([*merged, *(shard.arrays for shard in shards)])]
                bad |= _bad_images(shards)
                effort += sum((shard.effort for shard in shards), Effort())
        self._require_all(key, complete)
        return Statistics(arrays=merged[0], bad=bad, effort=effort)

    def forget(self, key: StoreKey, spans: range | None = None) -> None:
        """Remove a key's shards, of some spans or all, and the record of its failure.

        StoreError where the disk refuses.
        """
        for number in _shards(key, spans):
            path = self._path(key, number)
            with disk_errors(path):
                path.unlink(missing_ok=True)
        self.clear_failure(key.digest())

    def remove_arrays(self, key: StatisticsKey, names: Collection[str]) -> None:
        """Remove temporary arrays from the shards that a key has, one shard after the other.

        StoreError where the disk refuses.
        """
        for number in _shards(key, None):
            shard = self._load(key, number)
            if shard is not None and not shard.removed:
                self.write(key, number, shard.without(names))

    def record_failure(self, digest: str, reason: str) -> None:
        """Leave the reason why the features of a key could not be computed.

        Where the disk refuses, only this process remembers it.
        """
        path = self._failure_path(digest)
        _unwritten_failures.pop(path, None)
        try:
            write_atomically(path, json.dumps({"reason": reason}).encode())
        except StoreError:
            _unwritten_failures[path] = reason

    def failure(self, digest: str) -> str | None:
        """Return why the features of a key could not be computed; None where nothing failed."""
        path = self._failure_path(digest)
        if path in _unwritten_failures:
            return _unwritten_failures[path]
        try:
            return str(json.loads(path.read_bytes())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def clear_failure(self, digest: str) -> None:
        """Forget a failure before another attempt."""
        path = self._failure_path(digest)
        _unwritten_failures.pop(path, None)
        with contextlib.suppress(OSError):
            path.unlink()

    def lease(self, key: StoreKey, span: int) -> Lease | None:
        """Acquire the right to compute one span, or None where another process holds it."""
        return self._observer.acquire(self.folder(key) / f"{span:06d}{LEASE_SUFFIX}", span=span)

    def sweep(self, key: StoreKey) -> None:
        """Remove temporary files and leases of killed processes.

        A living writer holds a lease from before it begins to after it renames, so a file that was
        there at a moment without leases has no writer.
        """
        leftovers = list(self.folder(key).glob(f"{TEMPORARY_PREFIX}*"))
        leases = self.folder(key).glob(f"*{LEASE_SUFFIX}")
        if leftovers and all(self._observer.is_stale(lease) for lease in leases):
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)
        self._observer.remove_stale(self.folder(key))

    def _path(self, key: StoreKey, number: int) -> Path:
        return self.folder(key) / _shard_name(number)

    def _load(self, key: StoreKey, number: int) -> Shard | None:
        return load_shard(self._path(key, number), _place(key, number))

    def _read_all(self, key: StoreKey) -> list[Shard]:
        """Return all shards of a key; StoreError where one is missing."""
        shards = self._read(key, range(len(key.sharding)))
        self._require_all(key, len(shards))
        return shards

    def _read(self, key: StoreKey, numbers: range, without: Collection[str] = ()) -> list[Shard]:
        """Return those of some shards that are there, without arrays of some names."""
        shards = (self._load(key, number) for number in numbers)
        return [
            shard.without(without) if without else shard
            for shard in shards
            if shard is not None and set(shard.removed) <= set(without)
        ]

    def _require_all(self, key: StoreKey, complete: int) -> None:
        """Raise StoreError where shards are missing."""
        if missing := len(key.sharding) - complete:
            raise StoreError(
                f"{self.folder(key)}: {missing} of {len(key.sharding)} shards are missing or "
                "damaged; the same command computes them."
            )


def _shard_name(number: int) -> str:
    return f"{number:06d}.safetensors"


def _shards(key: StoreKey, spans: range | None) -> Sequence[int]:
    """Return the numbers of the shards of some spans, or of all."""
    if spans is None:
        return range(len(key.sharding))
    return [number for span in spans for number in key.sharding.of_span(span)]


def _place(key: StoreKey, number: int) -> str:
    """Identify a shard, so that a file is never taken for another one."""
    return f"{key.digest()}/{number}"


def _bad_images(shards: Sequence[Shard]) -> dict[int, str]:
    return {int(position): why for shard in shards for position, why in shard.bad.items()}
