"""How much a dataset's download is: the sum of the files that the hub would send, else what its entry says."""

from pathlib import Path

from bob.datasets.readers.parquet import files_of
from bob.datasets.readers.prepared import config_names
from bob.datasets.readers.qrels import chosen_configs
from bob.datasets.readers.repository import File, Files
from bob.errors import BobError
from bob.specs import DatasetSpec, HuggingFaceSource, RepositorySource, WebDatasetSource


def download_bytes(spec: DatasetSpec, cache: Path, offline: bool) -> int | None:
    """Of a set on the hub; None where neither the hub nor the entry says it."""
    source = spec.source
    if not isinstance(source, RepositorySource) or source.hub is None:
        return None
    try:
        return sum(
            file.size
            for file in _files(source, f"dataset {spec.name!r} ({source.hub})", cache, offline)
        )
    except BobError:  # what keeps it from being fetched, which is told when it is tried
        return spec.download.mb * 1_000_000 if spec.download else None


def _files(source: RepositorySource, where: str, cache: Path, offline: bool) -> set[File]:
    """Those that are fetched: named tars, or all splits of the configs; all that there are where these are not parquet files."""
    files = Files(source, where, cache, offline)
    if isinstance(source, WebDatasetSource):
        return {
            file for patterns in source.data_files.values() for file in files.matching(patterns)
        }
    configs = (
        [source.config]
        if isinstance(source, HuggingFaceSource)
        else list(chosen_configs(config_names(source, where, offline, cache), where).values())
    )
    by_config = [files_of(source, config, files, cache) for config in configs]
    return {
        file
        for splits in by_config
        for several in ([files.all.values()] if splits is None else splits.values())
        for file in several
    }
