"""Images in Parquet files, read in place: an index of each file, and values batch by batch.

A row group can hold a million images (pandas and pyarrow write groups of that size), so that no
group is held in memory: its column is read through a buffer, and the last batches are kept.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.digests import image_content, packed
from bob.datasets.readers.tables import not_images
from bob.errors import DatasetError, first_line, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 64
"""Rows that are decoded at once."""
BATCHES_IN_MEMORY = 16
"""Batches that are kept: a thread that reads ahead must not evict what others still use."""
BUFFER_BYTES = 1 << 20
"""Part of a column that is read from the disk at once."""
NO_IMAGE = bytes(17)
"""Digest and traits of a row without the bytes of an image, in an index."""


def parquet_file(handle: BinaryIO, where: str) -> "pq.ParquetFile":
    """Open a Parquet file, to be read with `use_threads=False`. DatasetError if it is damaged.

    A pyarrow thread that still holds a Python object when Python exits crashes the process.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(handle, pre_buffer=False, buffer_size=BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{where}: is not a complete Parquet file ({first_line(error)}). Copy it again."
        ) from error


def contains_bytes(data_type: "pa.DataType") -> bool:
    """Return whether a type is binary, as images are, or a structure with a binary field."""
    import pyarrow as pa

    if pa.types.is_struct(data_type):
        return any(contains_bytes(field.type) for field in data_type)
    return bool(pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))


def image_bytes(value: Any) -> bytes | None:
    """Return an encoded image, stored as bytes or as {"bytes", "path"}."""
    data: bytes | None = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


def image_digests(file: "pq.ParquetFile", image: str, where: str) -> NDArray[np.uint8]:
    """Return digests and traits (n, 17) of the images of a file, packed.

    `NO_IMAGE` for a row without bytes.
    """
    if image not in file.schema_arrow.names:
        raise DatasetError(
            f"{where}: no column {image!r}{nearest(image, file.schema_arrow.names)} "
            f"Columns: {', '.join(file.schema_arrow.names)}."
        )
    column_type = file.schema_arrow.field(image).type
    if not contains_bytes(column_type):
        raise DatasetError(not_images(image, column_type, where))
    digests = bytearray()
    for batch in _batches(file, range(file.num_row_groups), image, where):
        for value in batch:
            data = image_bytes(value.as_py())
            digests += NO_IMAGE if data is None else packed(image_content(data))
    found = np.frombuffer(bytes(digests), np.uint8).reshape(-1, len(NO_IMAGE))
    if len(found) != file.metadata.num_rows:
        raise _damaged([image], where, _too_few(len(found), file))
    return found


def read_columns(file: "pq.ParquetFile", columns: Sequence[str], where: str) -> "pa.Table":
    """Read whole columns. DatasetError where the file is damaged.

    A damaged page can state fewer values than it had, which moves all values after it to other
    rows, and pyarrow does not notice.
    """
    import pyarrow as pa

    try:
        table = file.read(list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(columns, where, first_line(error)) from error
    if columns and len(table) != file.metadata.num_rows:
        raise _damaged(columns, where, _too_few(len(table), file))
    return table


def _damaged(columns: Sequence[str], where: str, reason: str) -> DatasetError:
    named = f"column {columns[0]!r}" if len(columns) == 1 else f"columns {', '.join(columns)}"
    return DatasetError(
        f"{where}: {named} cannot be read, the file is damaged ({reason}). Copy it again."
    )


def _too_few(values: int, file: "pq.ParquetFile") -> str:
    return f"{values:,} values in {file.metadata.num_rows:,} rows"


def group_ends(file: "pq.ParquetFile") -> NDArray[np.int64]:
    """Return the number of rows before the end of each row group (row groups,)."""
    rows = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    return np.cumsum(rows, dtype=np.int64)


@dataclass
class _Cursor:
    """A position in a row group."""

    shard: int
    group: int
    batches: "Iterator[pa.Array]"
    row: int = 0
    """Row in the group at which the next batch begins."""


class ColumnRows:
    """Values of a column of several Parquet files, by file and row. Safe to use from threads."""

    def __init__(
        self,
        open_shard: Callable[[int], BinaryIO],
        ends: Sequence[NDArray[np.int64]],
        column: str,
        where: str,
    ) -> None:
        """Read `column` from the files that `open_shard` opens; `ends` are their `group_ends`."""
        self._open, self._ends, self._column, self._where = open_shard, ends, column, where
        self._batches: OrderedDict[tuple[int, int, int], pa.Array] = OrderedDict()
        self._opened: tuple[int, pq.ParquetFile] | None = None
        self._close: Callable[[], object] = lambda: None
        self._cursor: _Cursor | None = None
        self._lock = threading.Lock()

    def value(self, shard: int, row: int) -> Any:
        """Return the value of a row; threads wait for a batch that is being read."""
        ends = self._ends[shard]
        group = int(np.searchsorted(ends, row, side="right"))
        row -= int(ends[group - 1]) if group else 0
        with self._lock:
            start, batch = self._kept(shard, group, row) or self._read(shard, group, row)
            value = batch[row - start]
        return value.as_py()

    def _kept(self, shard: int, group: int, row: int) -> "tuple[int, pa.Array] | None":
        for key, batch in reversed(self._batches.items()):
            if key[:2] == (shard, group) and 0 <= row - key[2] < len(batch):
                return key[2], batch
        return None

    def _read(self, shard: int, group: int, row: int) -> "tuple[int, pa.Array]":
        """Go forward to the batch of a row, or begin its group again."""
        cursor = self._cursor
        if cursor is None or (cursor.shard, cursor.group) != (shard, group) or row < cursor.row:
            batches = _batches(self._file(shard), [group], self._column, self._where)
            cursor = self._cursor = _Cursor(shard, group, batches)
        for batch in cursor.batches:
            start, cursor.row = cursor.row, cursor.row + len(batch)
            self._batches[shard, group, start] = batch
            while len(self._batches) > BATCHES_IN_MEMORY:
                self._batches.popitem(last=False)
            if row < cursor.row:
                return start, batch
        self._cursor = None
        raise DatasetError(f"{self._where}: row {row} of row group {group} does not exist.")

    def _file(self, shard: int) -> "pq.ParquetFile":
        """Return an open file; only the last one stays open."""
        if self._opened is None or self._opened[0] != shard:
            self._close()
            handle = self._open(shard)
            self._close = weakref.finalize(self, handle.close)
            self._opened = (shard, parquet_file(handle, self._where))
        return self._opened[1]


def _batches(
    file: "pq.ParquetFile", groups: Sequence[int], column: str, where: str
) -> "Iterator[pa.Array]":
    """Yield the values of a column. DatasetError where the file is damaged."""
    import pyarrow as pa

    try:
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=list(groups), columns=[column], use_threads=False
        ):
            yield batch.column(0)
    except (pa.ArrowException, OSError) as error:
        raise _damaged([column], where, first_line(error)) from error
