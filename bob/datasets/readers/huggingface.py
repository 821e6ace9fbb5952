"""Any Hugging Face dataset, by hub id or from a local copy, with its images kept encoded.

A local copy is a folder written by `save_to_disk`, or a folder or file that `datasets` can load
(Parquet, an image folder). A hub repository is prepared completely, except that one of Parquet
files is streamed if `$BOB_SHARDS_GB` limits the disk.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bob.datasets.availability import prepared_folder
from bob.datasets.content.sequences import PartOffsets, RowNames, concatenate
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.parquet import streamed_tables
from bob.datasets.readers.prepared import open_prepared
from bob.datasets.readers.repository import disk_limit_bytes
from bob.datasets.readers.tables import PreparedTable, Table
from bob.errors import DatasetError, nearest
from bob.specs import HuggingFaceSource, RepositorySource


def list_huggingface(
    name: str, source: HuggingFaceSource, cache: Path, offline: bool
) -> ImageListing:
    """List the rows at a hub id or path, by the column names of the registry entry."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    tables = open_tables(source, source.config, source.image, where, offline, cache)
    roles, parts = [], []
    for role, names in source.splits.items():
        for split in [names] if isinstance(names, str) else names:
            roles.append(role)
            parts.append(SplitRows(select_split(tables, split, where), source, split, where, cache))
    multi_label = any(part.multi_label for part in parts)
    labels = [label for part in parts for label in part.labels]
    groups = captions = None
    if source.group:
        groups = [group for part in parts for group in part.texts(source.group)]
    if source.captions:
        captions = [caption for part in parts for caption in part.captions(source.captions)]
    return ImageListing(
        where=where,
        ids=concatenate([part.ids for part in parts]),
        labels=labels if source.label and not multi_label else None,
        label_sets=labels if multi_label else None,
        content=concatenate([part.content for part in parts]),
        read=concatenated_reader(parts),
        splits=[role for role, part in zip(roles, parts, strict=True) for _ in range(len(part))],
        classes=_classes(parts, labels, multi_label) if source.label else None,
        groups=groups,
        attributes={
            key: [value for part in parts for value in part.texts(column)]
            for key, column in source.attributes.items()
        },
        captions=captions,
    )


def concatenated_reader(parts: "Sequence[SplitRows]") -> Callable[[int], bytes]:
    """Return a reader of the images of all parts, by their position in the concatenation."""
    offsets = PartOffsets(len(part) for part in parts)

    def read(position: int) -> bytes:
        part, row = offsets.locate(position)
        return parts[part].read(row)

    return read


class SplitRows:
    """The rows of one split of the repository."""

    def __init__(
        self, table: Table, source: HuggingFaceSource, split: str, where: str, cache: Path
    ) -> None:
        self._table, self._where, self._source = table, f"{where}, {split}", source
        self._check_columns()
        self.ids = RowNames(split, len(table))
        self.classes, self.multi_label = (
            _class_names(table.features[source.label]) if source.label else (None, False)
        )
        self.labels = self._labels() if source.label else []
        self._images = table.images(source.image, self._where)
        self.content = self._images.digests(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row."""
        return self._images.read(row)

    def texts(self, column: str) -> list[str]:
        """Return the values of a column as text; those of a ClassLabel are its names."""
        values, (names, _) = self._table.values(column), _class_names(self._table.features[column])
        if None in values:
            raise DatasetError(
                f"{self._where}, row {values.index(None)}: column {column!r} is empty. "
                f"Fill it, or choose another column."
            )
        return [names[value] if names else str(value) for value in values]

    def captions(self, column: str) -> list[tuple[str, ...]]:
        """Return the values of a column of text, or of lists of text, as tuples."""
        return [
            (value,) if isinstance(value, str) else tuple(value)
            for value in self._table.values(column)
        ]

    def _check_columns(self) -> None:
        """Raise if a column does not exist, naming those that do and the line to correct."""
        source, available = self._source, list(self._table.features)
        requested = {
            "image": source.image,
            "label": source.label,
            "group": source.group,
            "captions": source.captions,
            **{f"attributes: {{{name}": column for name, column in source.attributes.items()},
        }
        for key, column in requested.items():
            if column and column not in available:
                line = f"{key}: COLUMN" + "}" * key.count("{")
                raise DatasetError(
                    f"{self._where}: no column {column!r}{nearest(column, available)} "
                    f"Columns: {', '.join(available)}. "
                    f"Rename the column, or correct the entry's source: `{line}`."
                )

    def _labels(self) -> list[Any]:
        """Return class names, or lists of class names if images can have several labels."""
        values = self._table.values(str(self._source.label))
        label_lists = [value if self.multi_label else [value] for value in values]
        for row, labels in enumerate(label_lists):
            for label in [labels] if labels is None else labels:
                if not isinstance(label, int | str):
                    self._refuse_label(row, values[row], "labels must be integers or text")
                if self.classes and not 0 <= int(label) < len(self.classes):
                    problem = f"its {len(self.classes)} class names have no such index"
                    self._refuse_label(row, values[row], problem)
        names = self.classes
        named = [
            [names[label] for label in labels] if names else [str(label) for label in labels]
            for labels in label_lists
        ]
        return named if self.multi_label else [label for (label,) in named]

    def _refuse_label(self, row: int, value: object, problem: str) -> NoReturn:
        raise DatasetError(
            f"{self._where}, row {row}: label column {self._source.label!r} holds {value!r}; "
            f"{problem}. Choose another label column, or a split that has labels."
        )


def _class_names(feature: Any) -> tuple[Sequence[str] | None, bool]:
    """Return the names of a ClassLabel or of a list of ClassLabels, and whether it is a list."""
    import datasets

    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None, inner is not feature


def select_split(tables: Mapping[str, Table], name: str, where: str) -> Table:
    """Return the table of a split, or raise an error that names the splits."""
    if name not in tables:
        raise DatasetError(
            f"{where}: no split {name!r}{nearest(name, list(tables))} Splits: {', '.join(tables)}."
        )
    return tables[name]


def _classes(parts: Sequence[SplitRows], labels: Sequence[Any], multi_label: bool) -> list[str]:
    """Return the names of the ClassLabels in their order, then further labels in natural order."""
    official = [label for part in parts for label in part.classes or ()]
    present = {label for names in labels for label in names} if multi_label else set(labels)
    return list(dict.fromkeys([*official, *sorted(present, key=natural_key)]))


def open_tables(
    source: RepositorySource,
    config: str | None,
    image: str | None,
    where: str,
    offline: bool,
    cache: Path,
) -> Mapping[str, Table]:
    """Return the tables of a config by split; `image` is their image column."""
    if source.hub and disk_limit_bytes() is not None and not prepared_folder(source, config):
        tables = streamed_tables(source, config, image, where, offline, cache)
        if tables is not None:
            return tables
    prepared = open_prepared(source, config, where, offline)
    return {split: PreparedTable(table) for split, table in prepared.items()}
