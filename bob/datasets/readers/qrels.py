"""mteb's retrieval repositories: query images, corpus images and relevance judgements.

Judgements are rows of (query-id, corpus-id, score). The config of the queries is `query`, or else
`queries`; that of the judgements is `qrels`, or else `default`. If a config has a single split, it
is used whatever its name. A score above 0 marks a positive; an image judged 0 is treated like one
that is not judged.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bob.datasets.content.sequences import concatenate
from bob.datasets.listing import ImageListing
from bob.datasets.readers.huggingface import open_tables, select_split
from bob.datasets.readers.prepared import config_names
from bob.datasets.readers.split_rows import SplitRows, concatenated_reader, is_missing
from bob.datasets.readers.tables import Table
from bob.errors import DatasetError, nearest
from bob.specs import QrelsSource, TableColumns

CONFIGS = {
    "query": ("query", "queries"),
    "gallery": ("corpus",),
    "judgements": ("qrels", "default"),
}
"""Part of a retrieval dataset → possible names of its config."""


def list_qrels(name: str, source: QrelsSource, cache: Path, offline: bool) -> ImageListing:
    """List the queries, then the gallery."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    configs = match_configs(config_names(source, where, offline, cache), where)
    image_columns = {"query": "image", "gallery": "image", "judgements": None}
    splits = {
        part: open_tables(source, config, image_columns[part], where, offline, cache)
        for part, config in configs.items()
    }
    tables = {
        part: _single_split(splits[part], source.split, f"{where}, {config}")
        for part, config in configs.items()
    }
    columns = TableColumns(image="image")
    parts = [SplitRows(tables[part], columns, part, where, cache) for part in ("query", "gallery")]
    queries, gallery = (
        _row_of_id(_column(tables[part], "id", where), f"{where}, {configs[part]}")
        for part in ("query", "gallery")
    )
    positives: list[list[int]] = [[] for _ in queries]
    for query, image, score in zip(
        *(
            _column(tables["judgements"], column, where)
            for column in ("query-id", "corpus-id", "score")
        ),
        strict=True,
    ):
        if str(query) not in queries:
            raise DatasetError(
                f"{where}: a judgement names the query {query!r}, which does not exist."
            )
        if str(image) not in gallery:
            raise DatasetError(
                f"{where}: a judgement names the corpus image {image!r}, which does not exist."
            )
        if isinstance(score, bool) or not isinstance(score, int | float) or math.isnan(score):
            raise DatasetError(
                f"{where}: the judgement of query {query!r} and corpus image {image!r} has the "
                f"score {score!r}; scores must be numbers, above 0 for a positive."
            )
        if score > 0:
            positives[queries[str(query)]].append(gallery[str(image)])
    return ImageListing(
        where=where,
        ids=concatenate([part.ids for part in parts]),
        content=concatenate([part.content for part in parts]),
        read=concatenated_reader(parts),
        splits=[
            "query" if i < len(parts[0]) else "gallery"
            for i in range(len(parts[0]) + len(parts[1]))
        ],
        judgements={"positive": [tuple(sorted(set(row))) for row in positives]},
    )


def match_configs(configs: Sequence[str], where: str) -> dict[str, str]:
    """Map each part of a retrieval dataset to its config among those of the repository."""
    matches = {}
    for part, names in CONFIGS.items():
        candidates = [name for name in names if name in configs]
        if not candidates:
            raise DatasetError(
                f"{where}: no config {' or '.join(map(repr, names))}. "
                f"Configs: {', '.join(configs)}."
            )
        matches[part] = candidates[0]
    return matches


def _single_split(tables: Mapping[str, Table], split: str, where: str) -> Table:
    """Return the only table, or that of `split` if there are several."""
    return next(iter(tables.values())) if len(tables) == 1 else select_split(tables, split, where)


def _row_of_id(ids: Sequence[object], where: str) -> dict[str, int]:
    """Return the row of each id, which must be there and unique."""
    rows: dict[str, int] = {}
    for row, value in enumerate(ids):
        if is_missing(value) or rows.setdefault(str(value), row) != row:
            problem = "is missing" if is_missing(value) else f"is that of row {rows[str(value)]}"
            raise DatasetError(
                f"{where}, row {row}: the id {value!r} {problem}; judgements need unique ids."
            )
    return rows


def _column(table: Table, column: str, where: str) -> list[Any]:
    available = list(table.features)
    if column not in available:
        raise DatasetError(
            f"{where}: no column {column!r}{nearest(column, available)} "
            f"Columns: {', '.join(available)}."
        )
    return table.values(column)
