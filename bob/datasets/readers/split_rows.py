"""The rows of a table of images: labels, groups, captions and digests, checked by column."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bob.datasets.content.sequences import PartOffsets, RowNames, concatenate
from bob.datasets.labels import number_text
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.tables import Table
from bob.errors import DatasetError, nearest
from bob.specs import Role, TableColumns


def listing_of_rows(
    where: str, parts: "Sequence[SplitRows]", roles: Sequence[Role], columns: TableColumns
) -> ImageListing:
    """Return the listing of the rows of all parts, each of which is of one split."""
    multi_label = any(part.multi_label for part in parts)
    if multi_label and not all(part.multi_label for part in parts):
        raise DatasetError(
            f"{where}: column {columns.label!r} holds lists of labels in some splits or files and "
            "single labels in others. Write it in one format."
        )
    labels = [label for part in parts for label in part.labels]
    groups = captions = None
    if columns.group:
        groups = [group for part in parts for group in part.texts(columns.group)]
    if columns.captions:
        captions = [caption for part in parts for caption in part.captions(columns.captions)]
    return ImageListing(
        where=where,
        ids=concatenate([part.ids for part in parts]),
        labels=labels if columns.label and not multi_label else None,
        label_sets=labels if multi_label else None,
        content=concatenate([part.content for part in parts]),
        read=concatenated_reader(parts),
        splits=[role for role, part in zip(roles, parts, strict=True) for _ in range(len(part))],
        classes=_classes(parts, labels, multi_label) if columns.label else None,
        groups=groups,
        attributes={
            key: [value for part in parts for value in part.texts(column)]
            for key, column in columns.attributes.items()
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
        self, table: Table, source: TableColumns, split: str, where: str, cache: Path
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

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the table."""
        return list(self._table.features)

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row."""
        return self._images.read(row)

    def texts(self, column: str) -> list[str]:
        """Return the values of a column as text; those of a ClassLabel are its names."""
        values, (names, _) = self._table.values(column), _class_names(self._table.features[column])
        for row, value in enumerate(values):
            if is_missing(value):
                raise DatasetError(
                    f"{self._where}, row {row}: column {column!r} is empty. "
                    f"Fill it, or choose another column."
                )
            if names and not (isinstance(value, int) and 0 <= value < len(names)):
                raise DatasetError(
                    f"{self._where}, row {row}: column {column!r} holds {value!r}; its "
                    f"{len(names)} class names have no such index. Choose another column."
                )
        return [names[value] if names else _text(value) for value in values]

    def captions(self, column: str) -> list[tuple[str, ...]]:
        """Return the values of a column of text, or of lists of text, as tuples."""
        captions = []
        for row, value in enumerate(self._table.values(column)):
            texts = (value,) if isinstance(value, str) else tuple(value or ())
            if not texts or not all(isinstance(text, str) for text in texts):
                raise DatasetError(
                    f"{self._where}, row {row}: column {column!r} holds {value!r}; captions must "
                    "be text, or lists of text. Fill it, or choose another column."
                )
            captions.append(texts)
        return captions

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
        names: dict[object, str] = {}
        for row, value in enumerate(values):
            labels = value if self.multi_label else [value]
            if labels is None:
                self._refuse_label(row, values, "labels must be integers or text")
            for label in labels:
                if isinstance(label, list | dict):
                    self._refuse_label(row, values, "labels must be integers or text")
                if label not in names:
                    names[label] = self._class_name(label, row, values)
        if self.multi_label:
            return [[names[label] for label in labels] for labels in values]
        return [names[label] for label in values]

    def _class_name(self, label: object, row: int, values: Sequence[object]) -> str:
        """Return the class name of a value: an index into the names, a whole number or text."""
        if isinstance(label, float) and (number := number_text(label)) is not None:
            label = int(number)
        if not isinstance(label, int | str) or not str(label).strip():
            self._refuse_label(row, values, "labels must be integers or text")
        if self.classes and isinstance(label, int) and 0 <= label < len(self.classes):
            return self.classes[label]
        if self.classes and label not in self.classes:
            problem = f"its {len(self.classes)} class names have no such index"
            self._refuse_label(row, values, problem)
        return str(label)

    def _refuse_label(self, row: int, values: Sequence[object], problem: str) -> NoReturn:
        missing = sum(map(is_missing, values))
        count = f" ({missing:,} of {len(values):,} rows have no label)" if missing else ""
        raise DatasetError(
            f"{self._where}, row {row}: label column {self._source.label!r} holds "
            f"{values[row]!r}; {problem}{count}. Choose another label column, or a split that has "
            "labels, or remove these rows."
        )


def is_missing(value: object) -> bool:
    """Return whether a value of a table is null, NaN or blank text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: object) -> str:
    """Return a value as text; a whole number is the same text in whatever type."""
    number = number_text(value) if isinstance(value, float) else None
    return str(value) if number is None else number


def _class_names(feature: Any) -> tuple[Sequence[str] | None, bool]:
    """Return the names of a ClassLabel or of a list of ClassLabels, and whether it is a list."""
    import datasets

    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None, inner is not feature


def _classes(parts: Sequence[SplitRows], labels: Sequence[Any], multi_label: bool) -> list[str]:
    """Return the names of the ClassLabels in their order, then further labels in natural order."""
    official = [label for part in parts for label in part.classes or ()]
    present = {label for names in labels for label in names} if multi_label else set(labels)
    return list(dict.fromkeys([*official, *sorted(present, key=natural_key)]))
