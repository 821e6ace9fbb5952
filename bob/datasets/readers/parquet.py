"""Parquet repositories of the hub, read file by file where a limit is set ($BOB_SHARDS_GB), as `repository` keeps their files.

Each file is fetched once for its index (all columns but the images, the images' digests, where row groups end), and once for every pass. Images are
read in order, a row group at a time, and the last two groups are held: `datasets` writes groups of at most 100 MB (its MAX_ROW_GROUP_SIZE).

`datasets` says which files make up a split and what the columns hold, so that a streamed set is the same set: names, order, labels, fingerprint.
"""

import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bob.datasets.content.cache import Arrays, cached_arrays
from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.readers.prepared import library_errors
from bob.datasets.readers.repository import File, Files, cached_hub_answer, hub_cache_file
from bob.datasets.readers.tables import lacking, no_images, unnamed
from bob.errors import DatasetError
from bob.specs import RepositorySource

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

VERSION = 1
"""Raised when an index of the same file would hold something else."""
GROUPS_HELD = 2
"""Row groups in memory: threads that read on into the next one do not drive out the one that others still read."""
_NONE = bytes(16)
"""In an index, the digest of a row without an image."""


def streamed(
    source: RepositorySource,
    config: str | None,
    image: str | None,
    where: str,
    offline: bool,
    cache: Path,
) -> "Mapping[str, Streamed] | None":
    """The splits of a config by name, with the column of their images; None where the repository is not made of parquet files."""
    files = Files(source, where, cache, offline)
    splits = files_of(source, config, files, cache)
    if splits is None:
        return None
    features = _features(source, config, files, splits, cache)
    return {
        split: Streamed(features, files, several, image, cache) for split, several in splits.items()
    }


def files_of(
    source: RepositorySource, config: str | None, files: Files, cache: Path
) -> dict[str, list[File]] | None:
    """The parquet files of each split, in order, as `datasets` resolves them; None where the repository is not made of such."""
    splits = _card(source, config, files, cache)["splits"]
    return (
        None
        if splits is None
        else {split: [files.all[name] for name in names] for split, names in splits.items()}
    )


def _card(source: RepositorySource, config: str | None, files: Files, cache: Path) -> dict[str, Any]:
    """What `datasets` makes of the repository's card and the names of its files, none of which is fetched; remembered per commit."""

    def ask() -> dict[str, Any]:
        import datasets

        files.check_reachable()
        with library_errors(source, files.where):
            builder = datasets.load_dataset_builder(str(source.hub), config, revision=files.commit)
        found = builder.config.data_files or {}
        several = {
            str(split): [str(path).partition(f"@{files.commit}/")[2] for path in paths]
            for split, paths in found.items()
        }
        if builder.name != "parquet" or not all(
            name in files.all for names in several.values() for name in names
        ):
            return {"splits": None, "features": None}
        return {
            "splits": several,
            "features": builder.info.features and builder.info.features.to_dict(),
        }

    return cached_hub_answer(
        hub_cache_file(cache, source, "card", files.commit, config), {"splits", "features"}, ask
    )


def _features(
    source: RepositorySource,
    config: str | None,
    files: Files,
    splits: Mapping[str, Sequence[File]],
    cache: Path,
) -> Mapping[str, Any]:
    """What each column holds, in the types of `datasets`: as the card says, else as the first file does."""
    import datasets

    def ask() -> dict[str, Any]:
        import pyarrow.parquet as pq

        with files.opened(next(iter(splits.values()))[0]) as file:
            return {"features": datasets.Features.from_arrow_schema(pq.read_schema(file)).to_dict()}

    told = _card(source, config, files, cache)["features"]
    told = (
        told
        or cached_hub_answer(
            hub_cache_file(cache, source, "features", files.commit, config), {"features"}, ask
        )["features"]
    )
    features: Mapping[str, Any] = datasets.Features.from_dict(told)
    return features


@dataclass(frozen=True, eq=False)
class Streamed:
    """A table that lies in parquet files on the hub; nothing is fetched before its rows are asked for."""

    features: Mapping[str, Any]
    files: Files
    shards: Sequence[File]
    image: str | None
    cache: Path

    def __len__(self) -> int:
        return sum(len(index["digests"]) for index in self.indices)

    def values(self, column: str) -> list[Any]:
        """In the types of `features`, which the repository's card may state otherwise than its files."""
        import datasets
        import pyarrow as pa
        from datasets.table import table_cast

        schema = datasets.Features({column: self.features[column]}).arrow_schema
        tables = (
            _opened(pa.BufferReader(index["facts"])).read([column], use_threads=False)
            for index in self.indices
        )
        return [
            value
            for table in tables
            for value in table_cast(table, schema).column(column).to_pylist()
        ]

    def images(self, column: str, where: str) -> "StreamedImages":
        return StreamedImages(self, column, where)

    @cached_property
    def indices(self) -> list[Arrays]:
        """For each file: `digests` (n, 16), `ends` (row groups,) the rows before each group's end, `facts` the other columns as parquet."""
        return [self._index(file) for file in self.shards]

    def _index(self, file: File) -> Arrays:
        def compute() -> Arrays:
            with self.files.opened(file) as handle:
                return _made(handle, self.image, f"{self.files.where}, {file.name}")

        key = content_digest(f"{VERSION} {file.version} {self.image}".encode())
        return cached_arrays(self.cache / "parquet" / f"{key}.npz", compute)


class StreamedImages:
    """The images of a streamed table, fetched again file by file as they are read."""

    def __init__(self, table: Streamed, column: str, where: str) -> None:
        self._table, self._column, self._where = table, column, where
        self._ends = list(accumulate(len(index["digests"]) for index in table.indices))
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        """Out of the row group that holds it; other threads wait for one that is being fetched."""
        shard = bisect_right(self._ends, row)
        index = self._table.indices[shard]
        inside = row - self._ends[shard] + len(index["digests"])
        group = int(np.searchsorted(index["ends"], inside, side="right"))
        first = int(index["ends"][group - 1]) if group else 0
        data = _bytes(self._group(shard, group)[inside - first])
        if data is None:
            raise lacking(self._column, row, self._where)
        return data

    def digests(self, cache: Path) -> Digests:
        values = np.concatenate([index["digests"] for index in self._table.indices])
        for row in np.flatnonzero(~values.any(1)):
            values[row] = np.frombuffer(bytes.fromhex(unnamed(int(row), self._where)), np.uint8)
        return Digests(values)

    def _group(self, shard: int, group: int) -> Any:
        """The images of a row group, as pyarrow holds them."""
        with self._lock:
            key = (shard, group)
            if key not in self._groups:
                with self._table.files.opened(self._table.shards[shard]) as file:
                    self._groups[key] = (
                        _opened(file)
                        .read_row_group(group, [self._column], use_threads=False)
                        .column(0)
                    )
            self._groups.move_to_end(key)
            while len(self._groups) > GROUPS_HELD:
                self._groups.popitem(last=False)
            return self._groups[key]


def _opened(handle: Any) -> "pq.ParquetFile":
    """To be read with `use_threads=False`: a thread of pyarrow's that still holds a Python object when Python ends takes the process down."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(handle, pre_buffer=False)


def _made(handle: Any, image: str | None, where: str) -> Arrays:
    """The index of a file, read once from front to back, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = _opened(handle)
    facts = [field.name for field in file.schema_arrow if not _holds_bytes(field.type)]
    digests: list[bytes] = []
    groups: list[pa.Table] = []
    ends = []
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, [*facts, *filter(None, [image])], use_threads=False)
        groups.append(group.select(facts))
        digests += _digests(group.column(image), image, where) if image else [_NONE] * len(group)
        ends.append(len(digests))
    buffer = io.BytesIO()
    pq.write_table(
        pa.concat_tables(groups) if groups else file.schema_arrow.empty_table().select(facts),
        buffer,
    )
    packed = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return {
        "digests": packed,
        "ends": np.array(ends, np.int64),
        "facts": np.frombuffer(buffer.getvalue(), np.uint8),
    }


def _holds_bytes(kind: "pa.DataType") -> bool:
    """Images and the like: bytes, or a structure that has some."""
    import pyarrow as pa

    plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return plain or (pa.types.is_struct(kind) and any(_holds_bytes(field.type) for field in kind))


def _digests(column: Any, image: str, where: str) -> Iterator[bytes]:
    if not _holds_bytes(column.type):
        raise DatasetError(no_images(image, column.type, where))
    for value in column:
        data = _bytes(value)
        yield _NONE if data is None else bytes.fromhex(content_digest(data))


def _bytes(value: Any) -> bytes | None:
    """An encoded image: bytes as they are, or those of {"bytes", "path"}."""
    held = value.as_py()
    data: bytes | None = held["bytes"] if isinstance(held, dict) else held
    return data
