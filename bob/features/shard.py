"""Files of the feature store: arrays and a header, with a checksum over both.

A shard is a safetensors file. Its header holds the place for which it was written, the images that
could not be read, what the extraction cost, and a checksum, so that a truncated, altered or moved
file counts as missing. Files are mapped into memory and checked there, at the speed of memory:
100,000 rows of 1,024 values take a tenth of a second.
"""

import json
import mmap
import stat
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors.numpy import save

from bob.errors import StoreError
from bob.io.digest import digest

Arrays = Mapping[str, NDArray[Any]]
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""Data types of shards, by their names in safetensors."""
MAX_ROUNDING = 1e-2
"""Largest error of a stored image's features, relative to their largest value. Rounding to float16
moves that value by at most 5e-4 of its size, unless it is below 6e-5 and loses digits."""


@dataclass(frozen=True)
class Effort:
    """What a shard cost, measured warm; efforts of several shards are summed."""

    images: int = 0
    decode_seconds: float = 0.0
    """Summed over workers; shared by all backbones of the pass."""
    forward_seconds: float = 0.0
    device: str = ""
    batch_size: int = 0
    runtime: str = ""
    """eager, openvino, onnxruntime or compile; joined by " + " where several took part."""
    device_name: str = ""
    """Model of the processor or graphics card."""
    threads: int = 0
    peak_mib: float = 0.0
    """Peak memory of the process (CPU) or of the device, all backbones of the pass together."""

    def __add__(self, other: "Effort") -> "Effort":
        """Sum counts and seconds; of the rest, the later shard's values are kept.

        Runtimes are joined where they differ, since their speeds are not comparable.
        """
        return Effort(
            self.images + other.images,
            self.decode_seconds + other.decode_seconds,
            self.forward_seconds + other.forward_seconds,
            other.device or self.device,
            other.batch_size or self.batch_size,
            _joined(self.runtime, other.runtime),
            other.device_name or self.device_name,
            other.threads or self.threads,
            max(self.peak_mib, other.peak_mib),
        )

    def share(self, images: int) -> "Effort":
        """Return the effort of some of the images."""
        part = images / self.images if self.images else 0.0
        costs = {
            "images": images,
            "decode_seconds": self.decode_seconds * part,
            "forward_seconds": self.forward_seconds * part,
        }
        return Effort(**{**asdict(self), **costs})


def _joined(*runtimes: str) -> str:
    """Return the names of runtimes, each once, alphabetically."""
    names = {name for runtime in runtimes for name in runtime.split(" + ") if name}
    return " + ".join(sorted(names))


@dataclass(frozen=True, eq=False)
class Shard:
    """Arrays of consecutive images, as they are stored.

    Features are `rows` (n, *shape) float32 or float16 with `positions` (n,) int64 of their images
    in the split; statistics are whatever arrays their accumulator sums.
    """

    arrays: Arrays
    bad: dict[str, str] = field(default_factory=dict)
    """Position (as text) → why that image could not be read."""
    effort: Effort = Effort()
    removed: tuple[str, ...] = ()
    """Names of temporary arrays that were removed, since nothing is to be computed of them."""

    @classmethod
    def of_rows(
        cls,
        rows: NDArray[Any],
        positions: NDArray[np.int64],
        bad: dict[str, str] | None = None,
        effort: Effort = Effort(),
    ) -> "Shard":
        """Make a shard of features."""
        return cls({"rows": rows, "positions": positions}, bad or {}, effort)

    def without(self, names: Collection[str]) -> "Shard":
        """Return the shard without some of its arrays."""
        arrays = {name: values for name, values in self.arrays.items() if name not in names}
        return replace(self, arrays=arrays, removed=tuple(sorted(names)))

    @property
    def rows(self) -> NDArray[Any]:
        return self.arrays["rows"]

    @property
    def positions(self) -> NDArray[np.int64]:
        return self.arrays["positions"]


def round_to(rows: NDArray[Any], stored: str) -> NDArray[Any]:
    """Return features (n, *shape) in the data type of the store.

    StoreError where an image's features overflow or vanish there: rows of infinity or zeros would
    be scored without a word.
    """
    if rows.dtype == stored:
        return rows
    with np.errstate(over="ignore", under="ignore"):
        rounded = rows.astype(stored)
    if np.finfo(stored).bits >= np.finfo(rows.dtype).bits:
        return rounded
    axes = tuple(range(1, rows.ndim))
    largest = np.abs(rows).max(axis=axes, initial=0)
    error = np.abs(rounded.astype(rows.dtype) - rows).max(axis=axes, initial=0)
    lost = ~(error <= MAX_ROUNDING * largest)
    if lost.any():
        low, high = largest[lost].min(), largest[lost].max()
        raise StoreError(
            f"features of {lost.sum()} of {len(rows)} images cannot be stored as {stored}: the "
            f"largest value of an image is {low:.1e}{f' to {high:.1e}' if high > low else ''}, and "
            f"{stored} holds {np.finfo(stored).tiny:.0e} to {np.finfo(stored).max:,.0f}. "
            "Use --store-dtype float32."
        )
    return rounded


def encode_shard(shard: Shard, place: str, stored: str | None = None) -> bytes:
    """Return the bytes of a shard; `place` is checked when it is read again.

    `stored` is the data type of features. StoreError where an array has a type that shards do not
    support.
    """
    header = {
        "place": place,
        "bad": json.dumps(shard.bad),
        "effort": json.dumps(asdict(shard.effort)),
    }
    if shard.removed:
        header["removed"] = json.dumps(shard.removed)
    arrays = {name: np.asarray(values, order="C") for name, values in shard.arrays.items()}
    if stored is not None:
        arrays["rows"] = round_to(arrays["rows"], stored)
    for name, values in arrays.items():
        if values.dtype not in DTYPES.values():
            supported = ", ".join(str(dtype) for dtype in DTYPES.values())
            raise StoreError(
                f"array {name!r} of type {values.dtype} cannot be stored: use {supported}."
            )
    return bytes(save(arrays, {**header, "checksum": _checksum(arrays, header)}))


def load_shard(path: Path, place: str) -> Shard | None:
    """Map a shard into memory.

    None where the file is missing or not as it was written, and where a folder or anything else
    stands in its place. StoreError where the disk refuses.
    """
    try:
        mode = path.lstat().st_mode  # an error of a folder above it is one of the disk
        if not (stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and path.is_file())):
            return None
        with path.open("rb") as file:
            # copy on write: changes of the arrays never reach the file
            return _decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), place)
    except FileNotFoundError:
        return None
    except ValueError:  # an empty file cannot be mapped
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}).") from error


def removed_arrays(path: Path) -> tuple[str, ...]:
    """Return which temporary arrays a shard lacks by its header, which is not checked.

    OSError where the disk refuses, ValueError or KeyError where the file is no shard.
    """
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return tuple(json.loads(header["__metadata__"].get("removed", "[]")))


def _decode(data: mmap.mmap, place: str) -> Shard | None:
    """Return the shard, or None where anything in the file is not as it was written."""
    try:
        length = int.from_bytes(data[:8], "little")
        entries = json.loads(data[8 : 8 + length])
        header = entries.pop("__metadata__")
        arrays = {name: _array(data, 8 + length, entry) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if len(data) != 8 + length + end:
            return None
        if header.pop("checksum") != _checksum(arrays, header) or header["place"] != place:
            return None
        effort, removed = json.loads(header["effort"]), json.loads(header.get("removed", "[]"))
        return Shard(arrays, json.loads(header["bad"]), Effort(**effort), tuple(removed))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _array(data: mmap.mmap, start: int, entry: dict[str, Any]) -> NDArray[Any]:
    """View one array of a safetensors file whose arrays begin at `start`.

    ValueError where the file is too short.
    """
    begin, end = entry["data_offsets"]
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    if end - begin != dtype.itemsize * int(np.prod(shape)):
        raise ValueError("shape and size disagree")
    return np.frombuffer(data, dtype, int(np.prod(shape)), start + begin).reshape(shape)


def _checksum(arrays: Arrays, header: Mapping[str, str]) -> str:
    types = {name: [array.shape, str(array.dtype)] for name, array in arrays.items()}
    checksum = xxhash.xxh3_128(digest([header, types]).encode())
    for name in sorted(arrays):
        checksum.update(arrays[name].data if arrays[name].size else b"")
    return checksum.hexdigest()
