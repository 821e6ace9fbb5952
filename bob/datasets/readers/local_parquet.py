"""Tables in Parquet files on this disk, read in place: nothing is prepared, copied or remembered
but the digests of the images and where row groups end, until size, times or inode of a file change.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bob.datasets.content.cache import Arrays, cached_arrays
from bob.datasets.content.digests import (
    file_digests,
    file_version,
    packed,
    read_file,
    text_digest,
    unpacked,
)
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
from bob.datasets.readers.tables import missing_image, missing_image_content, not_images
from bob.errors import DatasetError
from bob.io.git_lfs import is_pointer_file, pointer_message
from bob.io.names import printable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

VERSION = 2
"""Version of the index format; raised if the index of an unchanged file would differ."""


@contextlib.contextmanager
def open_local(path: Path) -> "Iterator[pq.ParquetFile]":
    """Open a Parquet file. DatasetError if it is a pointer of Git LFS, damaged or unreadable."""
    where = f"'{printable(str(path))}'"
    if is_pointer_file(path):
        raise DatasetError(pointer_message(path))
    try:
        handle = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{where}: cannot be read ({error.strerror}).") from error
    with handle:
        yield parquet_file(handle, where)


class LocalTable:
    """The rows of some Parquet files, one file after the other."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read the schemas of the files, of which there must be one or more."""
        self.paths = paths
        self._schemas = []
        self._ends = []
        for path in paths:
            with open_local(path) as file:
                self._schemas.append(_plain(file.schema_arrow))
                self._ends.append(group_ends(file))
        self.features = _features(self._schemas[0])

    def __len__(self) -> int:
        return sum(_rows(ends) for ends in self._ends)

    def values(self, column: str) -> list[Any]:
        """Return the values of a column; those of a ClassLabel are integers."""
        values: list[Any] = []
        for path, schema in zip(self.paths, self._schemas, strict=True):
            self._check_same(column, path, schema)
            with open_local(path) as file:
                table = read_columns(file, [column], f"'{printable(str(path))}'")
                values += table.column(column).to_pylist()
        return values

    def images(self, column: str, where: str) -> "LocalImageColumn":
        """Return an image column; `where` begins error messages."""
        return LocalImageColumn(self.paths, self._ends, column, where)

    def _check_same(self, column: str, path: Path, schema: "pa.Schema") -> None:
        """Raise where a file lacks a column, or names its classes differently than the first."""
        if column not in schema.names:
            raise DatasetError(
                f"'{printable(str(path))}': no column {column!r}, which "
                f"'{printable(str(self.paths[0]))}' has. Columns: {', '.join(schema.names)}."
            )
        first, here = self.features[column], _features(schema)[column]
        if first != here and not (_is_number(first) and _is_number(here)):
            raise DatasetError(
                f"'{printable(str(path))}': column {column!r} holds {here}, and in "
                f"'{printable(str(self.paths[0]))}' {first}. Write both in one format."
            )


class LocalImageColumn:
    """An image column, which holds encoded images, or paths relative to the file's folder."""

    def __init__(self, paths: Sequence[Path], ends: Sequence[Any], column: str, where: str) -> None:
        self._paths, self._ends, self._column, self._where = paths, ends, column, where
        self._offsets = PartOffsets(_rows(of_file) for of_file in ends)
        self._rows = ColumnRows(lambda shard: paths[shard].open("rb"), ends, column, where)

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row; threads wait for a batch that is being read."""
        shard, row_in_shard = self._offsets.locate(row)
        value = self._rows.value(shard, row_in_shard)
        data = image_bytes(value)
        if data is not None:
            return data
        path = _path(value)
        if path is None:
            raise missing_image(self._column, row, self._where)
        return read_file(self._paths[shard].parent / path)

    def digests(self, cache: Path) -> Digests:
        """Return the digests of all rows; those of encoded images are cached."""
        values = np.concatenate(
            [self._index(shard, cache)["digests"] for shard in range(len(self._paths))]
        )
        rows = np.flatnonzero(~values.any(1)).tolist()
        files: dict[int, Path] = {}
        for row in rows:
            shard, row_in_shard = self._offsets.locate(row)
            if (path := _path(self._rows.value(shard, row_in_shard))) is not None:
                files[row] = self._paths[shard].parent / path
        digests = file_digests(self._folder, list(files.values()), cache)
        contents = dict(zip(files, zip(digests, digests.traits.tolist(), strict=True), strict=True))
        for row in rows:
            content = contents.get(row) or missing_image_content(row, self._where)
            values[row] = np.frombuffer(packed(content), np.uint8)
        return unpacked(values)

    @cached_property
    def _folder(self) -> Path:
        return self._paths[0].parent

    def _index(self, shard: int, cache: Path) -> Arrays:
        path = self._paths[shard]

        def compute() -> Arrays:
            with open_local(path) as file:
                return {"digests": self._digests(file, path)}

        key = text_digest(f"{VERSION} {file_version(path)} {self._column}")
        return cached_arrays(cache / "parquet" / f"{key}.npz", compute)

    def _digests(self, file: "pq.ParquetFile", path: Path) -> Any:
        """Return digests and traits (n, 17), packed; zero where a row holds a path, or nothing."""
        column_type = file.schema_arrow.field(self._column).type
        if _holds_paths(column_type):
            return self._no_digests(file, path, column_type)
        return image_digests(file, self._column, self._where)

    def _no_digests(self, file: "pq.ParquetFile", path: Path, column_type: Any) -> Any:
        """Return zeros (n, 17), after a check that the text in a column names files."""
        rows = file.metadata.num_rows
        first = _path(self._rows.value(self._paths.index(path), 0)) if rows else None
        if first is not None and not (path.parent / first).is_file():
            raise DatasetError(
                f"{not_images(self._column, column_type, self._where)} Paths of images are "
                f"relative to the file's folder; there is no {first!r}."
            )
        return np.frombuffer(NO_IMAGE * rows, np.uint8).reshape(-1, len(NO_IMAGE))


def _rows(ends: Any) -> int:
    return int(ends[-1]) if len(ends) else 0


def _path(value: Any) -> str | None:
    """Return the path in place of an encoded image; None where there is none."""
    path = value.get("path") if isinstance(value, dict) else value
    return path if isinstance(path, str) and path else None


def _holds_paths(data_type: "pa.DataType") -> bool:
    """Return whether a column holds text, or structures with a path and without bytes."""
    import pyarrow as pa

    if pa.types.is_struct(data_type):
        fields = {field.name: field.type for field in data_type}
        return "path" in fields and not contains_bytes(data_type)
    return bool(pa.types.is_string(data_type) or pa.types.is_large_string(data_type))


def _plain(schema: "pa.Schema") -> "pa.Schema":
    """Return a schema with dictionaries (categories of pandas) as the values that they hold."""
    import pyarrow as pa

    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)


def _features(schema: "pa.Schema") -> Mapping[str, Any]:
    """Return the type of each column as `datasets` describes it, or else as pyarrow does."""
    import datasets
    import pyarrow as pa

    try:
        return dict(datasets.Features.from_arrow_schema(schema))
    # Types that the library lacks, and metadata of another version of it.
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        types: dict[str, Any] = {}
        for field in schema.remove_metadata():
            try:
                types |= datasets.Features.from_arrow_schema(pa.schema([field]))
            except (ValueError, TypeError, KeyError, NotImplementedError):
                types[field.name] = field.type
        return types


def _is_number(feature: Any) -> bool:
    """Return whether a column holds plain numbers, whose width does not matter."""
    import datasets

    return isinstance(feature, datasets.Value) and feature.dtype.startswith(
        ("int", "uint", "float", "bool")
    )
