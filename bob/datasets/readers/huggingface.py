"""Any Hugging Face dataset, by hub id or from a local copy, with its images kept encoded.

A local copy is a folder written by `save_to_disk`, or a folder or file that `datasets` can load (parquet, an image folder). Of the hub, a repository
is prepared whole; where $BOB_SHARDS_GB limits the disk, one of parquet files is streamed through it.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from bob.datasets.availability import prepared_folder
from bob.datasets.content.sequences import RowNames, concatenate
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.parquet import streamed
from bob.datasets.readers.prepared import open_prepared
from bob.datasets.readers.repository import limit_bytes
from bob.datasets.readers.tables import Prepared, Table
from bob.errors import DatasetError, nearest
from bob.specs import HuggingFaceSource, RepositorySource


def list_huggingface(name: str, source: HuggingFaceSource, cache: Path, offline: bool) -> ImageListing:
    """The rows at a hub id or path, by the column names of its registry entry."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    tables = open_tables(source, source.config, source.image, where, offline, cache)
    wanted = [
        (role, theirs)
        for role, several in source.splits.items()
        for theirs in ([several] if isinstance(several, str) else several)
    ]
    parts = [
        (role, Part(split_of(tables, theirs, where), source, theirs, where, cache))
        for role, theirs in wanted
    ]
    several_each = any(part.several for _, part in parts)
    labels = [label for _, part in parts for label in part.labels]
    return ImageListing(
        where=where,
        ids=concatenate([part.ids for _, part in parts]),
        labels=labels if source.label and not several_each else None,
        label_sets=labels if several_each else None,
        content=concatenate([part.content for _, part in parts]),
        read=chained([part for _, part in parts]),
        splits=[role for role, part in parts for _ in range(len(part))],
        classes=_classes([part for _, part in parts], labels, several_each)
        if source.label
        else None,
        groups=[group for _, part in parts for group in part.texts(source.group)]
        if source.group
        else None,
        attributes={
            key: [value for _, part in parts for value in part.texts(column)]
            for key, column in source.attributes.items()
        },
        captions=[caption for _, part in parts for caption in part.captions(source.captions)]
        if source.captions
        else None,
    )


def chained(parts: "Sequence[Part]") -> Callable[[int], bytes]:
    """The reader of all parts' images by their position among all."""
    ends = list(accumulate(len(part) for part in parts))

    def read(position: int) -> bytes:
        p = bisect_right(ends, position)
        return parts[p].read(position - ends[p] + len(parts[p]))

    return read


class Part:
    """The rows of one of the source's splits."""

    def __init__(
        self, table: Table, source: HuggingFaceSource, theirs: str, where: str, cache: Path
    ) -> None:
        self._table, self._where, self._source = table, f"{where}, {theirs}", source
        self._check_columns()
        self.ids = RowNames(theirs, len(table))
        self.classes, self.several = (
            _names(table.features[source.label]) if source.label else (None, False)
        )
        self.labels = self._labels() if source.label else []
        self._images = table.images(source.image, self._where)
        self.content = self._images.digests(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """The encoded image of a row."""
        return self._images.read(row)

    def texts(self, column: str) -> list[str]:
        """A column of facts as text; of a ClassLabel its names."""
        values, (names, _) = self._table.values(column), _names(self._table.features[column])
        if None in values:
            raise DatasetError(
                f"{self._where}, row {values.index(None)}: column {column!r} is empty."
            )
        return [names[value] if names else str(value) for value in values]

    def captions(self, column: str) -> list[tuple[str, ...]]:
        """A column of text, or of lists of text."""
        return [
            (value,) if isinstance(value, str) else tuple(value)
            for value in self._table.values(column)
        ]

    def _check_columns(self) -> None:
        """Each is there, or the error names those that are, and the line of the entry to correct."""
        source, there = self._source, list(self._table.features)
        named = {
            "image": source.image,
            "label": source.label,
            "group": source.group,
            "captions": source.captions,
        }
        for key, column in (
            *named.items(),
            *((f"attributes: {{{name}", column) for name, column in source.attributes.items()),
        ):
            if column and column not in there:
                line = f"{key}: COLUMN" + "}" * key.count("{")
                raise DatasetError(
                    f"{self._where}: there is no column {column!r}{nearest(column, there)} Columns: {', '.join(there)}. "
                    f"Name the right one in the entry's source: `{line}`."
                )

    def _labels(self) -> list[Any]:
        """Class names, or lists of class names."""
        values = self._table.values(str(self._source.label))
        read = [value if self.several else [value] for value in values]
        for row, several in enumerate(read):
            for value in [several] if several is None else several:
                if not isinstance(value, int | str) or (
                    self.classes and not 0 <= int(value) < len(self.classes)
                ):
                    what = f"label column {self._source.label!r} holds {values[row]!r}, which is no ClassLabel, whole number or text"
                    raise DatasetError(f"{self._where}, row {row}: {what}.")
        names = self.classes
        named = [
            [names[value] for value in several] if names else [str(value) for value in several]
            for several in read
        ]
        return named if self.several else [one for (one,) in named]


def _names(feature: Any) -> tuple[Sequence[str] | None, bool]:
    """The names of a ClassLabel, or of the ClassLabels in a list; and whether it is a list."""
    import datasets

    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None, inner is not feature


def split_of(tables: Mapping[str, Table], name: str, where: str) -> Table:
    if name not in tables:
        raise DatasetError(
            f"{where}: there is no split {name!r}{nearest(name, list(tables))} Splits: {', '.join(tables)}."
        )
    return tables[name]


def _classes(parts: Sequence[Part], labels: Sequence[Any], several_each: bool) -> list[str]:
    """ClassLabel's names in their order, then whatever other splits add."""
    official = [label for part in parts for label in part.classes or ()]
    present = {label for several in labels for label in several} if several_each else set(labels)
    return list(dict.fromkeys([*official, *sorted(present, key=natural_key)]))


def open_tables(
    source: RepositorySource,
    config: str | None,
    image: str | None,
    where: str,
    offline: bool,
    cache: Path,
) -> Mapping[str, Table]:
    """The splits of a config by name; `image` is the column of their images."""
    if source.hub and limit_bytes() is not None and not prepared_folder(source, config):
        tables = streamed(source, config, image, where, offline, cache)
        if tables is not None:
            return tables
    return {
        split: Prepared(table)
        for split, table in open_prepared(source, config, where, offline).items()
    }
