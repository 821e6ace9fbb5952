"""Parquet repositories on the hub, streamed file by file if `$BOB_SHARDS_GB` limits the disk.

Each file is fetched once for its index (all columns but the images, the images' digests, and where
row groups end), and once for every pass, in which images are read in order.

`datasets` determines which files make up a split and what the columns hold, so that a streamed
dataset equals the prepared one: names, order, labels, fingerprint.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.cache import Arrays, cached_arrays
from bob.datasets.content.digests import packed, text_digest, unpacked
from bob.datasets.content.sequences import Digests, PartOffsets
from bob.datasets.readers.parquet_rows import (
    NO_IMAGE,
    ColumnRows,
    contains_bytes,
    group_ends,
    image_bytes,
    image_digests,
    parquet_file,
    read_columns,
)
from bob.datasets.readers.prepared import library_errors
from bob.datasets.readers.repository import (
    RepositoryFile,
    RepositoryFiles,
    cached_hub_answer,
    hub_cache_file,
)
from bob.datasets.readers.tables import missing_image, missing_image_content
from bob.specs import RepositorySource

VERSION = 2
"""Version of the index format; raised if the index of an unchanged file would differ."""


def streamed_tables(
    source: RepositorySource,
    config: str | None,
    image: str | None,
    where: str,
    offline: bool,
    cache: Path,
) -> "Mapping[str, StreamedTable] | None":
    """Return the tables of a config by split; None if the repository is not made of Parquet files.

    `image` is the image column, whose digests are computed with the index.
    """
    files = RepositoryFiles(source, where, cache, offline)
    splits = parquet_files(source, config, files, cache)
    if splits is None:
        return None
    features = _features(source, config, files, splits, cache)
    return {
        split: StreamedTable(features, files, shards, image, cache)
        for split, shards in splits.items()
    }


def parquet_files(
    source: RepositorySource, config: str | None, files: RepositoryFiles, cache: Path
) -> dict[str, list[RepositoryFile]] | None:
    """Return the Parquet files of each split, in order, as `datasets` resolves them.

    None if the repository is not made of Parquet files.
    """
    splits = _layout(source, config, files, cache)["splits"]
    if splits is None:
        return None
    return {split: [files.by_name[name] for name in names] for split, names in splits.items()}


def _layout(
    source: RepositorySource, config: str | None, files: RepositoryFiles, cache: Path
) -> dict[str, Any]:
    """Return the splits and features that `datasets` infers from the card and the file names.

    No file is fetched. The answer is cached per commit; both are None if the repository is not
    made of Parquet files.
    """

    def ask() -> dict[str, Any]:
        import datasets

        files.check_reachable()
        with library_errors(source, files.where):
            builder = datasets.load_dataset_builder(str(source.hub), config, revision=files.commit)
        data_files = builder.config.data_files or {}
        splits = {
            str(split): [str(path).partition(f"@{files.commit}/")[2] for path in paths]
            for split, paths in data_files.items()
        }
        if builder.name != "parquet" or not all(
            name in files.by_name for names in splits.values() for name in names
        ):
            return {"splits": None, "features": None}
        return {
            "splits": splits,
            "features": builder.info.features and builder.info.features.to_dict(),
        }

    return cached_hub_answer(
        hub_cache_file(cache, source, "card", files.commit, config), {"splits", "features"}, ask
    )


def _features(
    source: RepositorySource,
    config: str | None,
    files: RepositoryFiles,
    splits: Mapping[str, Sequence[RepositoryFile]],
    cache: Path,
) -> Mapping[str, Any]:
    """Return the type of each column, from the repository's card or else from its first file."""
    import datasets

    def ask() -> dict[str, Any]:
        import pyarrow.parquet as pq

        with files.open(next(iter(splits.values()))[0]) as file:
            return {"features": datasets.Features.from_arrow_schema(pq.read_schema(file)).to_dict()}

    types = _layout(source, config, files, cache)["features"]
    if not types:
        cache_file = hub_cache_file(cache, source, "features", files.commit, config)
        types = cached_hub_answer(cache_file, {"features"}, ask)["features"]
    features: Mapping[str, Any] = datasets.Features.from_dict(types)
    return features


@dataclass(frozen=True, eq=False)
class StreamedTable:
    """A table in Parquet files on the hub; nothing is fetched before its rows are used."""

    features: Mapping[str, Any]
    files: RepositoryFiles
    shards: Sequence[RepositoryFile]
    image: str | None
    cache: Path

    def __len__(self) -> int:
        return sum(len(index["digests"]) for index in self.indices)

    def values(self, column: str) -> list[Any]:
        """Return the values of a column, cast to its type in `features`.

        The repository's card may state another type than its files.
        """
        import datasets
        import pyarrow as pa
        from datasets.table import table_cast

        schema = datasets.Features({column: self.features[column]}).arrow_schema
        tables = (
            parquet_file(pa.BufferReader(index["facts"]), self.files.where).read(
                [column], use_threads=False
            )
            for index in self.indices
        )
        return [
            value
            for table in tables
            for value in table_cast(table, schema).column(column).to_pylist()
        ]

    def images(self, column: str, where: str) -> "StreamedImageColumn":
        return StreamedImageColumn(self, column, where)

    @cached_property
    def indices(self) -> list[Arrays]:
        """The index of each file.

        `digests` (n, 17) and traits of the images, packed; `ends` (row groups,), the number of rows
        before each group's end; `facts`, the other columns as the bytes of a Parquet file.
        """
        return [self._index(file) for file in self.shards]

    def _index(self, file: RepositoryFile) -> Arrays:
        def compute() -> Arrays:
            with self.files.open(file) as handle:
                return _build_index(handle, self.image, f"{self.files.where}, {file.name}")

        key = text_digest(f"{VERSION} {file.version} {self.image}")
        return cached_arrays(self.cache / "parquet" / f"{key}.npz", compute)


class StreamedImageColumn:
    """The image column of a streamed table; files are fetched again as its images are read."""

    def __init__(self, table: StreamedTable, column: str, where: str) -> None:
        self._table, self._column, self._where = table, column, where
        self._offsets = PartOffsets(len(index["digests"]) for index in table.indices)
        ends = [index["ends"] for index in table.indices]
        self._rows = ColumnRows(
            lambda shard: table.files.open(table.shards[shard]), ends, column, where
        )

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row; threads wait for a file being fetched."""
        data = image_bytes(self._rows.value(*self._offsets.locate(row)))
        if data is None:
            raise missing_image(self._column, row, self._where)
        return data

    def digests(self, cache: Path) -> Digests:
        values = np.concatenate([index["digests"] for index in self._table.indices])
        for row in np.flatnonzero(~values.any(1)):
            missing = missing_image_content(int(row), self._where)
            values[row] = np.frombuffer(packed(missing), np.uint8)
        return unpacked(values)


def _no_digests(rows: int) -> NDArray[np.uint8]:
    return np.frombuffer(NO_IMAGE * rows, np.uint8).reshape(-1, len(NO_IMAGE))


def _build_index(handle: Any, image: str | None, where: str) -> Arrays:
    """Return the index of a file."""
    import pyarrow.parquet as pq

    file = parquet_file(handle, where)
    columns = [field.name for field in file.schema_arrow if not contains_bytes(field.type)]
    facts = io.BytesIO()
    pq.write_table(read_columns(file, columns, where), facts)
    rows = file.metadata.num_rows
    return {
        "digests": image_digests(file, image, where) if image else _no_digests(rows),
        "ends": group_ends(file),
        "facts": np.frombuffer(facts.getvalue(), np.uint8),
    }
