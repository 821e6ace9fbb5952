"""Size of a dataset's download: the sum of the hub's files, or else what its entry states."""

from pathlib import Path

from bob.datasets.readers.parquet import parquet_files
from bob.datasets.readers.prepared import config_names
from bob.datasets.readers.qrels import match_configs
from bob.datasets.readers.repository import RepositoryFile, RepositoryFiles
from bob.errors import BobError
from bob.specs import DatasetSpec, HuggingFaceSource, RepositorySource, WebDatasetSource


def download_bytes(spec: DatasetSpec, cache: Path, offline: bool) -> int | None:
    """Return the download size of a dataset on the hub.

    None if neither the hub nor the entry states it, or if the dataset is not on the hub.
    """
    source = spec.source
    if not isinstance(source, RepositorySource) or source.hub is None:
        return None
    try:
        return sum(
            file.size
            for file in _files(source, f"dataset {spec.name!r} ({source.hub})", cache, offline)
        )
    except BobError:  # the download itself will report the reason
        return spec.download.mb * 1_000_000 if spec.download else None


def _files(source: RepositorySource, where: str, cache: Path, offline: bool) -> set[RepositoryFile]:
    """Return the files to fetch.

    These are the tars that the entry names, or the Parquet files of all splits of its configs; of
    a repository of other files, all of them.
    """
    files = RepositoryFiles(source, where, cache, offline)
    if isinstance(source, WebDatasetSource):
        return {
            file for patterns in source.data_files.values() for file in files.matching(patterns)
        }
    configs = (
        [source.config]
        if isinstance(source, HuggingFaceSource)
        else list(match_configs(config_names(source, where, offline, cache), where).values())
    )
    to_fetch: set[RepositoryFile] = set()
    for config in configs:
        splits = parquet_files(source, config, files, cache)
        if splits is None:
            return set(files.by_name.values())
        to_fetch.update(file for shards in splits.values() for file in shards)
    return to_fetch
