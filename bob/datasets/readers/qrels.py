"""mteb's retrieval repositories: images to ask with, images to find, and which answers which (query-id, corpus-id, score).

The config of the queries is `query`, else `queries`; that of the judgements `qrels`, else `default`. A split that is not there under its name may be
the only one. A score above 0 is a positive; an image judged 0 is like one that is not judged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bob.datasets.content.sequences import concatenate
from bob.datasets.listing import ImageListing
from bob.datasets.readers.huggingface import Part, chained, open_tables, split_of
from bob.datasets.readers.prepared import config_names
from bob.datasets.readers.tables import Table
from bob.errors import DatasetError, nearest
from bob.specs import HuggingFaceSource, QrelsSource

CONFIGS = {
    "query": ("query", "queries"),
    "gallery": ("corpus",),
    "judgements": ("qrels", "default"),
}


def list_qrels(name: str, source: QrelsSource, cache: Path, offline: bool) -> ImageListing:
    """Queries, then the gallery."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    configs = chosen_configs(config_names(source, where, offline, cache), where)
    image = {"query": "image", "gallery": "image", "judgements": None}
    opened = {
        part: open_tables(source, config, image[part], where, offline, cache)
        for part, config in configs.items()
    }
    tables = {
        part: _only(opened[part], source.split, f"{where}, {config}")
        for part, config in configs.items()
    }
    columns = HuggingFaceSource(
        reader="huggingface", hub="a/b", image="image", splits={"test": "test"}
    )
    parts = [Part(tables[part], columns, part, where, cache) for part in ("query", "gallery")]
    queries, gallery = (
        {str(value): row for row, value in enumerate(_column(tables[part], "id", where))}
        for part in ("query", "gallery")
    )
    positives: list[list[int]] = [[] for _ in queries]
    judged = tables["judgements"]
    for query, answer, score in zip(
        *(_column(judged, column, where) for column in ("query-id", "corpus-id", "score")),
        strict=True,
    ):
        if str(query) not in queries or str(answer) not in gallery:
            raise DatasetError(
                f"{where}: a judgement names query {query!r} and image {answer!r}, one of which is not there."
            )
        if score > 0:
            positives[queries[str(query)]].append(gallery[str(answer)])
    return ImageListing(
        where=where,
        ids=concatenate([part.ids for part in parts]),
        content=concatenate([part.content for part in parts]),
        read=chained(parts),
        splits=[
            "query" if i < len(parts[0]) else "gallery"
            for i in range(len(parts[0]) + len(parts[1]))
        ],
        judgements={"positive": [tuple(sorted(set(row))) for row in positives]},
    )


def chosen_configs(known: Sequence[str], where: str) -> dict[str, str]:
    """Part → its config's name among those of the repository."""
    found = {}
    for part, names in CONFIGS.items():
        here = [name for name in names if name in known]
        if not here:
            raise DatasetError(
                f"{where}: has no config {' or '.join(map(repr, names))}. Configs: {', '.join(known)}."
            )
        found[part] = here[0]
    return found


def _only(tables: Mapping[str, Table], split: str, where: str) -> Table:
    return next(iter(tables.values())) if len(tables) == 1 else split_of(tables, split, where)


def _column(table: Table, column: str, where: str) -> list[Any]:
    there = list(table.features)
    if column not in there:
        raise DatasetError(
            f"{where}: there is no column {column!r}{nearest(column, there)} Columns: {', '.join(there)}."
        )
    return table.values(column)
