"""Any Hugging Face dataset, by hub id or from a local copy, with its images kept encoded.

A hub repository is prepared completely, except that one of Parquet files is streamed if
`$BOB_SHARDS_GB` limits the disk. Local copies are read in place where they can be; see
`local_copy`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from bob.datasets.availability import prepared_folder
from bob.datasets.listing import ImageListing
from bob.datasets.readers.local_copy import open_local_copy
from bob.datasets.readers.parquet import streamed_tables
from bob.datasets.readers.prepared import open_prepared
from bob.datasets.readers.repository import disk_limit_bytes
from bob.datasets.readers.split_rows import SplitRows, listing_of_rows
from bob.datasets.readers.tables import PreparedTable, Table
from bob.errors import DatasetError, nearest
from bob.io.paths import data_path
from bob.specs import HuggingFaceSource, RepositorySource


def list_huggingface(
    name: str, source: HuggingFaceSource, cache: Path, offline: bool
) -> ImageListing:
    """List the rows at a hub id or path, by the column names of the registry entry."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    tables = open_tables(source, source.config, source.image, where, offline, cache)
    roles, parts = [], []
    for role, names in source.splits.items():
        for split in _as_tuple(names):
            roles.append(role)
            parts.append(SplitRows(select_split(tables, split, where), source, split, where, cache))
    listing = listing_of_rows(where, parts, roles, source)
    if source.hub:
        return listing
    used = {split for names in source.splits.values() for split in _as_tuple(names)}
    unread = {
        f"rows of the split {split!r}": len(table)
        for split, table in tables.items()
        if split not in used
    }
    return dataclasses.replace(listing, unread=unread)


def _as_tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def select_split(tables: Mapping[str, Table], name: str, where: str) -> Table:
    """Return the table of a split, or raise an error that names the splits."""
    if name not in tables:
        raise DatasetError(
            f"{where}: no split {name!r}{nearest(name, list(tables))} Splits: {', '.join(tables)}."
        )
    return tables[name]


def open_tables(
    source: RepositorySource,
    config: str | None,
    image: str | None,
    where: str,
    offline: bool,
    cache: Path,
) -> Mapping[str, Table]:
    """Return the tables of a config by split; `image` is their image column."""
    if source.path is not None:
        return open_local_copy(data_path(source.path), config, where, cache)
    if disk_limit_bytes() is not None and not prepared_folder(source, config):
        tables = streamed_tables(source, config, image, where, offline, cache)
        if tables is not None:
            return tables
    prepared = open_prepared(source, config, where, offline)
    return {split: PreparedTable(table) for split, table in prepared.items()}
