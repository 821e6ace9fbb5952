"""The feature store: one folder per key, one file per shard, whole or absent, checked on every read.

A shard is a safetensors file with `rows` (n, D) float32 or float16 and `positions` (n,) int64 of the images in their split; images that could not
be read are listed in its header instead. A checksum over all of that is in the header too: a truncated or altered shard counts as missing.
Shards are mapped into memory and checked there, at the speed of memory: 100,000 rows of 1,024 values take a tenth of a second.
"""

import json
import mmap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from bob.errors import StoreError
from bob.features.key import FeatureKey
from bob.features.leases import Claim, Watch
from bob.io.digest import digest
from bob.io.files import ASIDE, write_whole

CLAIM = ".claim"
SHARD_ROWS = 1024
"""Rows per shard: what is lost when a process dies, and what processes and devices hand each other. About a minute of a small backbone's work on
a laptop, 4 MB at D = 1,024. Shards of 8,192 rows are read no faster (0.06 s either way for 100,000 x 1,024)."""


DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "I64": np.dtype(np.int64),
}
"""safetensors' names of what shards hold."""

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Effort:
    """What a shard took, measured warm; summed over shards."""

    images: int = 0
    decode_seconds: float = 0.0
    """Summed over workers; shared by every backbone of the pass."""
    forward_seconds: float = 0.0
    device: str = ""
    batch_size: int = 0
    runtime: str = ""
    """eager, openvino, onnxruntime or compile."""
    device_name: str = ""
    """The processor's or the graphics card's model."""
    threads: int = 0
    peak_mib: float = 0.0
    """Of the process on a CPU, of the device's memory elsewhere; every backbone of the pass together."""

    def __add__(self, other: "Effort") -> "Effort":
        """Counts and seconds are summed; of the rest, what the later shard says."""
        return Effort(
            self.images + other.images,
            self.decode_seconds + other.decode_seconds,
            self.forward_seconds + other.forward_seconds,
            other.device or self.device,
            other.batch_size or self.batch_size,
            other.runtime or self.runtime,
            other.device_name or self.device_name,
            other.threads or self.threads,
            max(self.peak_mib, other.peak_mib),
        )


@dataclass(frozen=True, eq=False)
class Shard:
    """The rows of up to SHARD_ROWS consecutive images."""

    rows: NDArray[Any]
    """(n, D) float32, or float16 as it is stored"""
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

    def view(self, at: NDArray[np.int64]) -> "Features":
        """The rows of the images at `at` (M,); positions of the result, and of its bad images, count in `at`."""
        row_of = np.full(int(max(at.max(initial=-1), self.positions.max(initial=-1))) + 1, -1)
        row_of[self.positions] = np.arange(len(self.positions))
        rows = row_of[at]
        lacking = (
            {i: self.bad[p] for i, p in enumerate(at.tolist()) if p in self.bad} if self.bad else {}
        )
        return Features(self.rows[rows[rows >= 0]], np.flatnonzero(rows >= 0), lacking, self.effort)


class FeatureStore:
    """Features below one folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._watch = Watch()

    def folder(self, key: FeatureKey) -> Path:
        name = key.digest()
        return self.root / name[:2] / name

    def write(self, key: FeatureKey, number: int, shard: Shard) -> None:
        """Stores one shard; it is there whole when this returns."""
        write_whole(self._path(key, number), _encode(shard, _place(key, number), key.stored))
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
        return sum(
            len(shard_range(number, n))
            for number in range(shard_count(n))
            if self._path(key, number).exists()
        )

    def read(self, key: FeatureKey, n: int) -> Features:
        """All rows of N images; StoreError where a shard is missing or damaged."""
        shards = [self._load(key, number) for number in range(shard_count(n))]
        whole = [shard for shard in shards if shard is not None]
        if len(whole) < len(shards):
            raise StoreError(
                f"{self.folder(key)}: {len(shards) - len(whole)} of {len(shards)} shards are missing or damaged; the same command computes them."
            )
        return Features(
            rows=_joined([shard.rows for shard in whole if len(shard.positions)]),
            positions=np.concatenate([shard.positions for shard in whole]),
            bad={int(position): why for shard in whole for position, why in shard.bad.items()},
            effort=sum((shard.effort for shard in whole), Effort()),
        )

    def forget(self, key: FeatureKey) -> None:
        """Removes a key's shards."""
        for path in self.folder(key).glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def claim(self, key: FeatureKey, number: int) -> Claim | None:
        """The right to compute one shard, or None where another process has it."""
        return self._watch.take(self.folder(key) / f"{number:06d}{CLAIM}", shard=number)

    def sweep(self, key: FeatureKey) -> None:
        """Removes what killed processes left of files that they were writing. A living writer holds a claim from before it begins to after it
        renames, so what was there before a moment without claims has no writer."""
        leftovers = list(self.folder(key).glob(f"{ASIDE}*"))
        if leftovers and all(
            self._watch.is_dead(claim) for claim in self.folder(key).glob(f"*{CLAIM}")
        ):
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)

    def _path(self, key: FeatureKey, number: int) -> Path:
        return self.folder(key) / f"{number:06d}.safetensors"

    def _load(self, key: FeatureKey, number: int) -> Shard | None:
        return load_shard(self._path(key, number), _place(key, number))


def load_shard(path: Path, place: str) -> Shard | None:
    """The shard, mapped; None where it is not there or not as it was written. StoreError where the disk refuses."""
    try:
        with path.open("rb") as file:
            return _decode(
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), place
            )  # a copy on write: nothing done to rows reaches the file
    except FileNotFoundError:
        return None
    except ValueError:  # an empty file cannot be mapped
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}).") from error


def shard_count(n: int) -> int:
    return -(-n // SHARD_ROWS)


def shard_range(number: int, n: int) -> range:
    """The positions of one shard among N images."""
    return range(number * SHARD_ROWS, min(n, (number + 1) * SHARD_ROWS))


def _place(key: FeatureKey, number: int) -> str:
    """Written into the shard, so that a file in another's place is not taken for it."""
    return f"{key.digest()}/{number}"


def _joined(rows: list[NDArray[Any]]) -> NDArray[np.float32]:
    """(N, D) float32: a single shard as it lies in the file, several copied once."""
    if len(rows) == 1 and rows[0].dtype == np.float32:
        return rows[0]
    return np.concatenate(rows, dtype=np.float32) if rows else np.zeros((0, 0), np.float32)


def _encode(shard: Shard, place: str, stored: str) -> bytes:
    header = {
        "place": place,
        "bad": json.dumps(shard.bad),
        "effort": json.dumps(asdict(shard.effort)),
    }
    tensors = {
        "rows": np.ascontiguousarray(shard.rows, stored),
        "positions": np.ascontiguousarray(shard.positions, np.int64),
    }
    return bytes(save_tensors(tensors, {**header, "checksum": _checksum(tensors, header)}))


def _decode(data: mmap.mmap, place: str) -> Shard | None:
    """The shard, or None where anything in the file is not as it was written."""
    try:
        length = int.from_bytes(data[:8], "little")
        entries = json.loads(data[8 : 8 + length])
        header = entries.pop("__metadata__")
        tensors = {name: _tensor(data, 8 + length, entry) for name, entry in entries.items()}
        if header.pop("checksum") != _checksum(tensors, header) or header["place"] != place:
            return None
        return Shard(
            tensors["rows"],
            tensors["positions"],
            json.loads(header["bad"]),
            Effort(**json.loads(header["effort"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _tensor(data: mmap.mmap, start: int, entry: dict[str, Any]) -> NDArray[Any]:
    """A view of one array in a safetensors file whose arrays begin at `start`; ValueError where the file is too short."""
    begin, end = entry["data_offsets"]
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    if end - begin != dtype.itemsize * int(np.prod(shape)):
        raise ValueError("shape and size disagree")
    return np.frombuffer(data, dtype, int(np.prod(shape)), start + begin).reshape(shape)


def _checksum(tensors: Tensors, header: Mapping[str, str]) -> str:
    total = xxhash.xxh3_128(
        digest(
            [header, {name: [tensor.shape, str(tensor.dtype)] for name, tensor in tensors.items()}]
        ).encode()
    )
    for name in sorted(tensors):
        total.update(tensors[name].data if tensors[name].size else b"")
    return total.hexdigest()
