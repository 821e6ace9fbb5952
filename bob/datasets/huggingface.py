"""Any Hugging Face dataset, by hub id or from a local copy, with its images kept encoded.

A local copy is a folder written by `save_to_disk`, or a folder or file that `datasets` can load (parquet, an image folder).

A pinned hub revision that was prepared on this machine is opened without asking the hub. Without this rule the library would ask, and where the hub
cannot be reached silently take the copy that was prepared last, whatever its revision.
"""

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from bob.datasets.assemble import Listing, assemble, natural
from bob.datasets.availability import prepared
from bob.datasets.dataset import Dataset, SplitName
from bob.datasets.fingerprints import content_digest, file_digests, read_file, remembered_digests
from bob.digest import digest
from bob.errors import BadImageError, DatasetError, UnavailableError
from bob.hub import hub_reachable
from bob.parse import nearest
from bob.specs import HuggingFaceSource

_REMEDY = "Run once with a network, or set HF_HOME to a copy."


def read_huggingface(name: str, source: HuggingFaceSource, cache: Path, offline: bool) -> Dataset:
    """The dataset at a hub id or path, by the column names of its registry entry."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    tables = _tables(source, where, offline)
    parts = [(side, theirs, _part(_split(tables, theirs, where), source, where, cache)) for side, theirs in source.splits.items()]
    ends = list(accumulate(len(part.labels) for _, _, part in parts))

    def read(position: int) -> bytes:
        p = bisect_right(ends, position)
        part = parts[p][2]
        return part.read(position - ends[p] + len(part.labels))

    listing = Listing(
        where=where,
        ids=[f"{theirs}/{row}" for _, theirs, part in parts for row in range(len(part.labels))],
        labels=[label for _, _, part in parts for label in part.labels],
        content=[value for _, _, part in parts for value in part.content],
        read=read,
        splits=[side for side, _, part in parts for _ in part.labels],
        classes=_classes(parts),
        groups=[group for _, _, part in parts for group in part.groups] if source.group else None,
    )
    return assemble(name, listing)


class _Part:
    """The rows of one of the source's splits."""

    def __init__(self, table: Any, source: HuggingFaceSource, where: str, cache: Path) -> None:
        import datasets

        feature = table.features[source.label]
        self.classes: Sequence[str] | None = feature.names if isinstance(feature, datasets.ClassLabel) else None
        self.labels = _labels(_values(table, source.label), self.classes, where, source.label)
        self.groups = _groups(_values(table, source.group), where, source.group) if source.group else []
        self._images = _encoded(table, source.image, where)
        self._column, self._where = source.image, where
        self.content = self._digests(cache)

    def read(self, row: int) -> bytes:
        """The encoded image of a row; the table is only read, so threads may share it."""
        image = self._images[row][self._column]
        if image["bytes"] is not None:
            return bytes(image["bytes"])
        return read_file(Path(image["path"]))

    def _digests(self, cache: Path) -> tuple[str, ...]:
        """By file where the table holds paths; else remembered for as long as the table's own files stay as they are."""
        chunks = self._images.data.column(self._column).chunks
        if all(chunk.field("bytes").null_count == len(chunk) for chunk in chunks):
            files = self._files(chunks)
            return file_digests(files[0].parent if files else Path(), files, cache)
        stats = [(file["filename"], Path(file["filename"]).stat()) for file in self._images.cache_files]
        key = [self._column, [[path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats]]
        return remembered_digests(digest(key), len(self.labels), cache, lambda: list(self._hashed(chunks)))

    def _files(self, chunks: Sequence[Any]) -> list[Path]:
        paths = [path for chunk in chunks for path in chunk.field("path").to_pylist()]
        if None in paths:
            raise BadImageError(f"{self._where}: column {self._column!r} has no image in row {paths.index(None)}.")
        return [Path(path) for path in paths]

    def _hashed(self, chunks: Sequence[Any]) -> Iterator[str]:
        """Digests of the bytes, which are mapped from the disk and not copied."""
        for row, image in enumerate(value for chunk in chunks for value in chunk.field("bytes")):
            if not image.is_valid:
                raise BadImageError(f"{self._where}: column {self._column!r} has no image in row {row}.")
            yield content_digest(memoryview(image.as_buffer()))


def _part(table: Any, source: HuggingFaceSource, where: str, cache: Path) -> _Part:
    for column in filter(None, (source.image, source.label, source.group)):
        if column not in table.column_names:
            raise DatasetError(
                f"{where}: there is no column {column!r}{nearest(column, table.column_names)} Columns: {', '.join(table.column_names)}."
            )
    return _Part(table, source, where, cache)


def _split(tables: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in tables:
        raise DatasetError(f"{where}: there is no split {name!r}{nearest(name, list(tables))} Splits: {', '.join(tables)}.")
    return tables[name]


def _values(table: Any, column: str) -> list[Any]:
    values: list[Any] = table.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    return values


def _labels(values: Sequence[Any], names: Sequence[str] | None, where: str, column: str) -> list[str]:
    """Class names: of a ClassLabel's index, else the value itself as text."""
    for row, value in enumerate(values):
        if not isinstance(value, int | str) or (names and not 0 <= int(value) < len(names)):
            raise DatasetError(f"{where}, row {row}: label column {column!r} holds {value!r}, which is no ClassLabel, whole number or text.")
    return [names[value] for value in values] if names else [str(value) for value in values]


def _groups(values: Sequence[Any], where: str, column: str) -> list[str]:
    if None in values:
        raise DatasetError(f"{where}, row {values.index(None)}: group column {column!r} is empty.")
    return [str(value) for value in values]


def _classes(parts: Sequence[tuple[SplitName, str, _Part]]) -> list[str]:
    """ClassLabel's names in their order, then whatever other splits add."""
    official = [label for _, _, part in parts for label in part.classes or ()]
    return list(dict.fromkeys([*official, *sorted({label for _, _, part in parts for label in part.labels}, key=natural)]))


def _encoded(table: Any, column: str, where: str) -> Any:
    """The image column alone, as {"bytes", "path"} rows."""
    import datasets

    try:
        return table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # what pyarrow raises where a column cannot be cast
        raise DatasetError(f"{where}: column {column!r} holds {table.features[column]}, not images.") from error


def _tables(source: HuggingFaceSource, where: str, offline: bool) -> Mapping[str, Any]:
    """The source's splits by name, as `datasets.Dataset`s."""
    import datasets

    if source.path is not None:
        return _local(Path(source.path), source.config, where)
    if folder := prepared(source):
        return _from_prepared(folder)
    with _hub_errors(source, where), _offline(offline or not hub_reachable()):
        tables: Mapping[str, Any] = datasets.load_dataset(source.hub, source.config, revision=source.revision)
    _check_revision(tables, source, where)
    return tables


def _local(path: Path, config: str | None, where: str) -> Mapping[str, Any]:
    import datasets

    if not path.exists():
        raise UnavailableError(f"{where}: {str(path)!r} does not exist.")
    try:
        if path.is_file():
            tables = datasets.load_dataset("parquet", data_files=str(path))
        elif (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            tables = datasets.load_from_disk(str(path))
        else:
            tables = datasets.load_dataset(str(path), config)
    except Exception as error:  # `datasets` raises errors of a dozen kinds, its own and those of pyarrow, fsspec and json
        raise DatasetError(f"{where}: cannot be loaded from {str(path)!r} ({type(error).__name__}: {error}).") from error
    return tables if isinstance(tables, datasets.DatasetDict) else {"train": tables}


def _from_prepared(folder: Path) -> Mapping[str, Any]:
    """The splits of a prepared copy: files `NAME-SPLIT.arrow`, or `NAME-SPLIT-00000-of-00003.arrow` for each of its shards."""
    import datasets

    shards: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.arrow")):
        split = re.sub(r"-\d{5}-of-\d{5}$", "", file.stem).rpartition("-")[2]
        shards.setdefault(split, []).append(str(file))
    return {split: datasets.concatenate_datasets([datasets.Dataset.from_file(file) for file in files]) for split, files in shards.items()}


def _check_revision(tables: Mapping[str, Any], source: HuggingFaceSource, where: str) -> None:
    """Refuses another revision, which `datasets` takes from its cache where the hub cannot be reached."""
    files = [Path(file["filename"]) for table in tables.values() for file in table.cache_files]
    if files and re.fullmatch(r"[0-9a-f]{40}", source.revision or "") and files[0].parent.name != source.revision:
        held = f"this machine has revision {files[0].parent.name!r} and not {source.revision!r}"
        raise UnavailableError(f"{where}: the hub cannot be reached, and {held}. {_REMEDY}")


@contextlib.contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Keeps `datasets` to what is on this machine: the setting that HF_HUB_OFFLINE=1 makes, which the library reads once, on import."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _hub_errors(source: HuggingFaceSource, where: str) -> Iterator[None]:
    """The library's many errors as two: what cannot be had here, and what is wrong with the entry."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        raise UnavailableError(f"{where}: {_not_found(str(error), source)}") from error
    except (ValueError, RuntimeError) as error:  # an unknown config; a dataset that is a script
        raise DatasetError(f"{where}: {error}") from error
    except Exception as error:  # ConnectionError, httpx's errors, OSError and more, by version and by what the network does
        raise UnavailableError(f"{where}: not on this machine, and the hub cannot be reached ({type(error).__name__}). {_REMEDY}") from error


def _not_found(message: str, source: HuggingFaceSource) -> str:
    if "gated" in message:
        return "is gated. Accept its terms on its hub page, then log in with `hf auth login`."
    if message.startswith("Revision"):
        return f"the hub has no revision {source.revision!r} of it."
    return "the hub has no such dataset, or it is private. Check the id; for a private one, log in with `hf auth login`."
