"""Tables with an image column: prepared on this disk by `datasets`, or streamed from Parquet files.

The readers of hub repositories see both as a `Table`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bob.datasets.content.digests import (
    Content,
    cached_digests,
    file_digests,
    file_version,
    image_content,
    read_file,
    unreadable_content,
)
from bob.datasets.content.sequences import Digests
from bob.errors import DatasetError, UnreadableImageError
from bob.io.digest import digest

VERSION = 2
"""Version of cached digests; raised if the digests of unchanged rows would differ."""


class ImageColumn(Protocol):
    """The images of a table's rows."""

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row; safe to call from several threads."""

    def digests(self, cache: Path) -> Digests:
        """Return the content digests of all rows, in order."""


class Table(Protocol):
    """The rows of one split of a repository."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Column → its type, as `datasets` describes it."""

    def __len__(self) -> int: ...

    def values(self, column: str) -> list[Any]:
        """Return the values of a column; those of a ClassLabel are integers."""

    def images(self, column: str, where: str) -> ImageColumn:
        """Return an image column; `where` begins error messages."""


class PreparedTable:
    """A table on this disk, as a `datasets.Dataset`."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.features: Mapping[str, Any] = table.features

    def __len__(self) -> int:
        return len(self._table)

    def values(self, column: str) -> list[Any]:
        values: list[Any] = (
            self._table.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
        )
        return values

    def images(self, column: str, where: str) -> "PreparedImageColumn":
        """Return an image column whose values are {"bytes", "path"}."""
        import datasets

        table = self._table.select_columns([column])
        try:
            encoded = table.cast_column(column, datasets.Image(decode=False))
        # Raised by pyarrow if the column cannot be cast.
        except (TypeError, ValueError, NotImplementedError) as error:
            raise DatasetError(not_images(column, self.features[column], where)) from error
        return PreparedImageColumn(encoded, column, where)


class PreparedImageColumn:
    """The image column of a prepared table; only read, so threads may share it."""

    def __init__(self, table: Any, column: str, where: str) -> None:
        self._table, self._column, self._where = table, column, where

    def read(self, row: int) -> bytes:
        image = self._table[row][self._column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise missing_image(self._column, row, self._where)
        return (
            bytes(image["bytes"]) if image["bytes"] is not None else read_file(Path(image["path"]))
        )

    def digests(self, cache: Path) -> Digests:
        """Return the digests of the image files if the table holds paths, else of the bytes.

        Digests of bytes are cached until one of the table's own files changes.
        """
        chunks = self._table.data.column(self._column).chunks
        if all(chunk.field("bytes").null_count == len(chunk) for chunk in chunks):
            paths = (path for chunk in chunks for path in chunk.field("path").to_pylist())
            files = [Path(path or f"row {row}") for row, path in enumerate(paths)]
            return file_digests(files[0].parent if files else Path(), files, cache)
        versions = [file_version(Path(file["filename"])) for file in self._table.cache_files]
        return cached_digests(
            digest([VERSION, self._column, versions]),
            len(self._table),
            cache,
            lambda: self._contents(chunks),
        )

    def _contents(self, chunks: Sequence[Any]) -> Iterator[Content]:
        """Yield digests and traits of the bytes, which are memory-mapped and not copied."""
        for row, image in enumerate(value for chunk in chunks for value in chunk.field("bytes")):
            yield (
                image_content(memoryview(image.as_buffer()))
                if image.is_valid
                else missing_image_content(row, self._where)
            )


def missing_image_content(row: int, where: str) -> Content:
    """Return a digest and the traits of a row without an image."""
    return unreadable_content(f"{where} {row}")


def missing_image(column: str, row: int, where: str) -> UnreadableImageError:
    """Return the error for a row without an image."""
    return UnreadableImageError(f"{where}: column {column!r} has no image in row {row}.")


def not_images(column: str, column_type: object, where: str) -> str:
    """Return the error message for a column of another type."""
    return (
        f"{where}: column {column!r} holds {column_type}, not images. "
        f"Rename the columns, or name the image column in the entry's source: `image: COLUMN`."
    )
