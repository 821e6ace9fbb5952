"""Rows with images, as the readers of hub repositories see them: prepared on this disk by `datasets`, or streamed from parquet files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bob.datasets.content.digests import (
    content_digest,
    file_digests,
    read_file,
    cached_digests,
    unreadable_digest,
)
from bob.datasets.content.sequences import Digests
from bob.errors import DatasetError, UnreadableImageError
from bob.io.digest import digest


class Images(Protocol):
    """The images of a table's rows."""

    def read(self, row: int) -> bytes:
        """The encoded image of a row; safe to call from several threads."""

    def digests(self, cache: Path) -> Digests:
        """Of all rows, in order."""


class Table(Protocol):
    """The rows of one split."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Column → what it holds, in the types of `datasets`."""

    def __len__(self) -> int: ...

    def values(self, column: str) -> list[Any]:
        """A column's values; of a ClassLabel its numbers."""

    def images(self, column: str, where: str) -> Images:
        """The images of a column; `where` begins messages."""


class Prepared:
    """A table that lies on this disk, as a `datasets.Dataset`."""

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

    def images(self, column: str, where: str) -> "PreparedImages":
        """As {"bytes", "path"} rows."""
        import datasets

        try:
            return PreparedImages(
                self._table.select_columns([column]).cast_column(
                    column, datasets.Image(decode=False)
                ),
                column,
                where,
            )
        except (
            TypeError,
            ValueError,
            NotImplementedError,
        ) as error:  # what pyarrow raises where a column cannot be cast
            raise DatasetError(no_images(column, self.features[column], where)) from error


class PreparedImages:
    """One column of a prepared table; it is only read, so threads may share it."""

    def __init__(self, table: Any, column: str, where: str) -> None:
        self._table, self._column, self._where = table, column, where

    def read(self, row: int) -> bytes:
        image = self._table[row][self._column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise lacking(self._column, row, self._where)
        return (
            bytes(image["bytes"]) if image["bytes"] is not None else read_file(Path(image["path"]))
        )

    def digests(self, cache: Path) -> Digests:
        """By file where the table holds paths; else remembered for as long as the table's own files stay as they are."""
        chunks = self._table.data.column(self._column).chunks
        if all(chunk.field("bytes").null_count == len(chunk) for chunk in chunks):
            files = [
                Path(path or f"row {row}")
                for row, path in enumerate(
                    path for chunk in chunks for path in chunk.field("path").to_pylist()
                )
            ]
            return file_digests(files[0].parent if files else Path(), files, cache)
        stats = [
            (file["filename"], Path(file["filename"]).stat()) for file in self._table.cache_files
        ]
        key = [
            self._column,
            [[path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats],
        ]
        return cached_digests(
            digest(key), len(self._table), cache, lambda: self._hashed(chunks)
        )

    def _hashed(self, chunks: Sequence[Any]) -> Iterator[str]:
        """Digests of the bytes, which are mapped from the disk and not copied."""
        for row, image in enumerate(value for chunk in chunks for value in chunk.field("bytes")):
            yield (
                content_digest(memoryview(image.as_buffer()))
                if image.is_valid
                else unnamed(row, self._where)
            )


def unnamed(row: int, where: str) -> str:
    """The digest that stands for a row without an image."""
    return unreadable_digest(f"{where} {row}")


def lacking(column: str, row: int, where: str) -> UnreadableImageError:
    return UnreadableImageError(f"{where}: column {column!r} has no image in row {row}.")


def no_images(column: str, held: object, where: str) -> str:
    return f"{where}: column {column!r} holds {held}, not images."
