"""The feature store: one folder per key, one file per shard, whole or absent, checked on every read.

A shard is a safetensors file with `rows` (n, D) float32 and `positions` (n,) int64 of the images in their split; images that could not be
read are listed in its header instead. A checksum over all of that is in the header too: a truncated or altered shard counts as missing.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from bob.digest import digest
from bob.errors import StoreError
from bob.features.key import FeatureKey
from bob.files import ASIDE, write_whole

SHARD_ROWS = 1024
"""Rows per shard: about a minute of a small backbone's work on a laptop, 4 MB at D = 1,024."""


Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Effort:
    """What a shard took; summed over shards."""

    images: int = 0
    decode_seconds: float = 0.0
    """Summed over workers; shared by every backbone of the pass."""
    forward_seconds: float = 0.0
    device: str = ""
    batch_size: int = 0

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.images + other.images,
            self.decode_seconds + other.decode_seconds,
            self.forward_seconds + other.forward_seconds,
            other.device or self.device,
            other.batch_size or self.batch_size,
        )


@dataclass(frozen=True, eq=False)
class Shard:
    """The rows of up to SHARD_ROWS consecutive images."""

    rows: NDArray[np.float32]
    """(n, D)"""
    positions: NDArray[np.int64]
    """(n,) ascending positions in the split."""
    bad: dict[str, str] = field(default_factory=dict)
    """Position (as text) → why that image has no row."""
    effort: Effort = Effort()


@dataclass(frozen=True, eq=False)
class Features:
    """All rows of one key."""

    rows: NDArray[np.float32]
    """(N, D)"""
    positions: NDArray[np.int64]
    """(N,)"""
    bad: dict[int, str]
    effort: Effort


class FeatureStore:
    """Features below one folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: FeatureKey) -> Path:
        name = key.digest()
        return self.root / name[:2] / name

    def write(self, key: FeatureKey, number: int, shard: Shard) -> None:
        """Stores one shard; it is there whole when this returns."""
        write_whole(self._path(key, number), _encode(shard, _place(key, number)))
        about = self.folder(key) / "key.json"
        if not about.exists():
            write_whole(about, json.dumps(asdict(key), indent=1).encode())

    def has(self, key: FeatureKey, number: int) -> bool:
        """Whether a shard is there and whole."""
        return self._load(key, number) is not None

    def missing(self, key: FeatureKey, n: int) -> list[int]:
        """The shards of N images that are not there, or not whole."""
        return [number for number in range(shard_count(n)) if not self.has(key, number)]

    def begun(self, key: FeatureKey, n: int) -> int:
        """How many of N images have files here, by their names alone: for plans."""
        return sum(len(shard_range(number, n)) for number in range(shard_count(n)) if self._path(key, number).exists())

    def read(self, key: FeatureKey, n: int) -> Features:
        """All rows of N images; StoreError where a shard is missing or damaged."""
        shards = [self._load(key, number) for number in range(shard_count(n))]
        whole = [shard for shard in shards if shard is not None]
        if len(whole) < len(shards):
            raise StoreError(
                f"{self.folder(key)}: {len(shards) - len(whole)} of {len(shards)} shards are missing or damaged; the same command computes them."
            )
        return Features(
            rows=np.concatenate([shard.rows for shard in whole]),
            positions=np.concatenate([shard.positions for shard in whole]),
            bad={int(position): why for shard in whole for position, why in shard.bad.items()},
            effort=sum((shard.effort for shard in whole), Effort()),
        )

    def forget(self, key: FeatureKey) -> None:
        """Removes a key's shards."""
        for path in self.folder(key).glob("*.safetensors"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, keys: Iterable[FeatureKey], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Holds the keys, so that one process computes while another waits. Locks are taken in one order everywhere and end with the process."""
        with contextlib.ExitStack() as held:
            for folder in sorted({self.folder(key) for key in keys}):
                held.enter_context(_lock(folder, on_wait))
                for leftover in folder.glob(f"{ASIDE}*"):
                    leftover.unlink(missing_ok=True)
            yield

    def _path(self, key: FeatureKey, number: int) -> Path:
        return self.folder(key) / f"{number:06d}.safetensors"

    def _load(self, key: FeatureKey, number: int) -> Shard | None:
        try:
            return _decode(self._path(key, number).read_bytes(), _place(key, number))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path(key, number)}: cannot be read ({error.strerror}).") from error


def shard_count(n: int) -> int:
    return -(-n // SHARD_ROWS)


def shard_range(number: int, n: int) -> range:
    """The positions of one shard among N images."""
    return range(number * SHARD_ROWS, min(n, (number + 1) * SHARD_ROWS))


def _lock(folder: Path, on_wait: Callable[[], None]) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    return lock


def _place(key: FeatureKey, number: int) -> str:
    """Written into the shard, so that a file in another's place is not taken for it."""
    return f"{key.digest()}/{number}"


def _encode(shard: Shard, place: str) -> bytes:
    header = {"place": place, "bad": json.dumps(shard.bad), "effort": json.dumps(asdict(shard.effort))}
    tensors: Tensors = {"rows": np.ascontiguousarray(shard.rows, np.float32), "positions": np.ascontiguousarray(shard.positions, np.int64)}
    return bytes(save_tensors(tensors, {**header, "checksum": _checksum(tensors, header)}))


def _decode(data: bytes, place: str) -> Shard | None:
    """The shard, or None where anything in the file is not as it was written."""
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        tensors = load_tensors(data)
        if header.pop("checksum") != _checksum(tensors, header) or header["place"] != place:
            return None
        return Shard(tensors["rows"], tensors["positions"], json.loads(header["bad"]), Effort(**json.loads(header["effort"])))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checksum(tensors: Tensors, header: dict[str, str]) -> str:
    total = xxhash.xxh3_128(digest([header, {name: [tensor.shape, str(tensor.dtype)] for name, tensor in tensors.items()}]).encode())
    for name in sorted(tensors):
        total.update(tensors[name].tobytes())
    return total.hexdigest()
