"""Any Hugging Face dataset, by hub id or from a local copy, with its images kept encoded.

A local copy is a folder written by `save_to_disk`, or a folder or file that `datasets` can load (parquet, an image folder).

A pinned hub revision that was prepared on this machine is opened without asking the hub. Without this rule the library would ask, and where the hub
cannot be reached silently take the copy that was prepared last, whatever its revision.
"""

import contextlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from bob.datasets.availability import prepared, prepared_configs
from bob.datasets.fingerprints import content_digest, file_digests, read_file, remembered_digests, unreadable
from bob.datasets.listing import Listing, natural
from bob.datasets.repository import REMEDY, check_prefix
from bob.datasets.sequences import Digests, Rows, join
from bob.digest import digest
from bob.errors import BadImageError, DatasetError, UnavailableError
from bob.hub import hub_reachable
from bob.parse import nearest
from bob.paths import data_path
from bob.specs import HuggingFaceSource, Repository

_SCRIPT = " Name a revision after its conversion to parquet, or another copy of the data."


def list_huggingface(name: str, source: HuggingFaceSource, cache: Path, offline: bool) -> Listing:
    """The rows at a hub id or path, by the column names of its registry entry."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    tables = open_tables(source, source.config, where, offline)
    wanted = [(role, theirs) for role, several in source.splits.items() for theirs in ([several] if isinstance(several, str) else several)]
    parts = [(role, Part(split_of(tables, theirs, where), source, theirs, where, cache)) for role, theirs in wanted]
    several_each = any(part.several for _, part in parts)
    labels = [label for _, part in parts for label in part.labels]
    return Listing(
        where=where,
        ids=join([part.ids for _, part in parts]),
        labels=labels if source.label and not several_each else None,
        label_sets=labels if several_each else None,
        content=join([part.content for _, part in parts]),
        read=chained([part for _, part in parts]),
        splits=[role for role, part in parts for _ in range(len(part))],
        classes=_classes([part for _, part in parts], labels, several_each) if source.label else None,
        groups=[group for _, part in parts for group in part.texts(source.group)] if source.group else None,
        attributes={key: [value for _, part in parts for value in part.texts(column)] for key, column in source.attributes.items()},
        captions=[caption for _, part in parts for caption in part.captions(source.captions)] if source.captions else None,
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

    def __init__(self, table: Any, source: HuggingFaceSource, theirs: str, where: str, cache: Path) -> None:
        self._table, self._column, self._where, self._source = table, source.image, f"{where}, {theirs}", source
        self._check_columns()
        self.ids = Rows(theirs, len(table))
        self.classes, self.several = _names(table.features[source.label]) if source.label else (None, False)
        self.labels = self._labels() if source.label else []
        self._images = _encoded(table, source.image, where)
        self.content = self._digests(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """The encoded image of a row; the table is only read, so threads may share it."""
        image = self._images[row][self._column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise BadImageError(f"{self._where}: column {self._column!r} has no image in row {row}.")
        return bytes(image["bytes"]) if image["bytes"] is not None else read_file(Path(image["path"]))

    def texts(self, column: str) -> list[str]:
        """A column of facts as text; of a ClassLabel its names."""
        values, (names, _) = values_of(self._table, column), _names(self._table.features[column])
        if None in values:
            raise DatasetError(f"{self._where}, row {values.index(None)}: column {column!r} is empty.")
        return [names[value] if names else str(value) for value in values]

    def captions(self, column: str) -> list[tuple[str, ...]]:
        """A column of text, or of lists of text."""
        return [(value,) if isinstance(value, str) else tuple(value) for value in values_of(self._table, column)]

    def _check_columns(self) -> None:
        source, there = self._source, self._table.column_names
        for column in filter(None, (source.image, source.label, source.group, source.captions, *source.attributes.values())):
            if column not in there:
                raise DatasetError(f"{self._where}: there is no column {column!r}{nearest(column, there)} Columns: {', '.join(there)}.")

    def _labels(self) -> list[Any]:
        """Class names, or lists of class names."""
        values = values_of(self._table, str(self._source.label))
        read = [value if self.several else [value] for value in values]
        for row, several in enumerate(read):
            for value in [several] if several is None else several:
                if not isinstance(value, int | str) or (self.classes and not 0 <= int(value) < len(self.classes)):
                    what = f"label column {self._source.label!r} holds {values[row]!r}, which is no ClassLabel, whole number or text"
                    raise DatasetError(f"{self._where}, row {row}: {what}.")
        names = self.classes
        named = [[names[value] for value in several] if names else [str(value) for value in several] for several in read]
        return named if self.several else [one for (one,) in named]

    def _digests(self, cache: Path) -> Digests:
        """By file where the table holds paths; else remembered for as long as the table's own files stay as they are."""
        chunks = self._images.data.column(self._column).chunks
        if all(chunk.field("bytes").null_count == len(chunk) for chunk in chunks):
            files = [Path(path or f"row {row}") for row, path in enumerate(path for chunk in chunks for path in chunk.field("path").to_pylist())]
            return file_digests(files[0].parent if files else Path(), files, cache)
        stats = [(file["filename"], Path(file["filename"]).stat()) for file in self._images.cache_files]
        key = [self._column, [[path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats]]
        return remembered_digests(digest(key), len(self), cache, lambda: self._hashed(chunks))

    def _hashed(self, chunks: Sequence[Any]) -> Iterator[str]:
        """Digests of the bytes, which are mapped from the disk and not copied."""
        for row, image in enumerate(value for chunk in chunks for value in chunk.field("bytes")):
            yield content_digest(memoryview(image.as_buffer())) if image.is_valid else unreadable(f"{self._where} {row}")


def _names(feature: Any) -> tuple[Sequence[str] | None, bool]:
    """The names of a ClassLabel, or of the ClassLabels in a list; and whether it is a list."""
    import datasets

    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None, inner is not feature


def split_of(tables: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in tables:
        raise DatasetError(f"{where}: there is no split {name!r}{nearest(name, list(tables))} Splits: {', '.join(tables)}.")
    return tables[name]


def values_of(table: Any, column: str) -> list[Any]:
    """A column's values."""
    values: list[Any] = table.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    return values


def _classes(parts: Sequence[Part], labels: Sequence[Any], several_each: bool) -> list[str]:
    """ClassLabel's names in their order, then whatever other splits add."""
    official = [label for part in parts for label in part.classes or ()]
    present = {label for several in labels for label in several} if several_each else set(labels)
    return list(dict.fromkeys([*official, *sorted(present, key=natural)]))


def _encoded(table: Any, column: str, where: str) -> Any:
    """The image column alone, as {"bytes", "path"} rows."""
    import datasets

    try:
        return table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # what pyarrow raises where a column cannot be cast
        raise DatasetError(f"{where}: column {column!r} holds {table.features[column]}, not images.") from error


def open_tables(source: Repository, config: str | None, where: str, offline: bool) -> Mapping[str, Any]:
    """The splits of a config by name, as `datasets.Dataset`s."""
    import datasets

    if source.path is not None:
        return _local(data_path(source.path), config, where)
    if folder := prepared(source, config):
        return _from_prepared(folder)
    with _hub_errors(source, where), _offline(offline or not hub_reachable()):
        tables: Mapping[str, Any] = datasets.load_dataset(source.hub, config, revision=_revision(source, where, offline))
    _check_revision(tables, source, where)
    return tables


def config_names(source: Repository, where: str, offline: bool) -> list[str]:
    """The configs of a repository, or of a local copy that has a folder for each."""
    if source.path is not None:
        return sorted(path.name for path in data_path(source.path).iterdir() if path.is_dir())
    if offline or not hub_reachable():
        return prepared_configs(source)
    import datasets

    with _hub_errors(source, where):
        names: list[str] = datasets.get_dataset_config_names(str(source.hub), revision=_revision(source, where, offline))
        return names


def _revision(source: Repository, where: str, offline: bool) -> str | None:
    """The revision to ask for; where only its beginning is known, what the hub has now is checked against it."""
    if source.revision_prefix is None or offline or not hub_reachable():
        return source.revision
    from huggingface_hub import HfApi

    commit = str(HfApi().dataset_info(str(source.hub)).sha)
    check_prefix(source, commit, where)
    return commit


def _local(path: Path, config: str | None, where: str) -> Mapping[str, Any]:
    import datasets

    if not path.exists():
        raise UnavailableError(f"{where}: {str(path)!r} does not exist.")
    try:
        if config and (path / config).is_dir():
            tables = datasets.load_dataset(str(path / config))
        elif path.is_file():
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


def _check_revision(tables: Mapping[str, Any], source: Repository, where: str) -> None:
    """Refuses another revision, which `datasets` takes from its cache where the hub cannot be reached."""
    files = [Path(file["filename"]) for table in tables.values() for file in table.cache_files]
    pinned = source.revision if re.fullmatch(r"[0-9a-f]{40}", source.revision or "") else source.revision_prefix
    if files and pinned and not files[0].parent.name.startswith(pinned):
        held = f"this machine has revision {files[0].parent.name!r} and not {pinned!r}"
        raise UnavailableError(f"{where}: the hub cannot be reached, and {held}. {REMEDY}")


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
def _hub_errors(source: Repository, where: str) -> Iterator[None]:
    """The library's many errors as two: what cannot be had here, and what is wrong with the entry."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetError:
        raise
    except DatasetNotFoundError as error:
        raise UnavailableError(f"{where}: {_not_found(str(error), source)}") from error
    except (ValueError, RuntimeError) as error:  # an unknown config; a dataset that is a script
        raise DatasetError(f"{where}: {error}{_SCRIPT if 'scripts are no longer' in str(error) else ''}") from error
    except Exception as error:  # ConnectionError, httpx's errors, OSError and more, by version and by what the network does
        raise UnavailableError(f"{where}: not on this machine, and the hub cannot be reached ({type(error).__name__}). {REMEDY}") from error


def _not_found(message: str, source: Repository) -> str:
    if "gated" in message:
        return "is gated. Accept its terms on its hub page, then log in with `hf auth login`."
    if message.startswith("Revision"):
        return f"the hub has no revision {source.revision!r} of it."
    return "the hub has no such dataset, or it is private. Check the id; for a private one, log in with `hf auth login`."
