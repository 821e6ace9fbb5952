"""Local copies of repositories: Parquet files, a folder written by `save_to_disk`, or others.

Parquet and `save_to_disk` are read in place. Anything else that `datasets` can load (an image
folder with metadata, tars, JSON) is prepared by it, below the cache under a key that changes with
the files: its own cache would return the rows of a file that was replaced by another one with the
same time.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bob.datasets.content.digests import file_version, text_digest
from bob.datasets.readers.local_parquet import LocalTable
from bob.datasets.readers.tables import PreparedTable, Table
from bob.errors import DatasetError, UnavailableError, first_line
from bob.io.git_lfs import is_pointer_file, pointer_message

SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes: of several splits, or of a single one."""


def open_local_copy(path: Path, config: str | None, where: str, cache: Path) -> Mapping[str, Table]:
    """Return the tables of a local copy by split; those of a single table are called train."""
    if not path.exists():
        raise UnavailableError(f"{where}: {str(path)!r} does not exist.")
    if path.is_file():
        return {"train": LocalTable([path])}
    if config and (path / config).is_dir():
        path, config = path / config, None
    if is_saved(path):
        return _saved_tables(path, where)
    try:
        return _loaded_tables(path, config, cache)
    except DatasetError:
        raise
    # `datasets` raises errors of a dozen classes, its own and those of pyarrow, fsspec and json.
    except Exception as error:
        _refuse_pointers(path)
        raise DatasetError(
            f"{where}: `datasets` cannot load {str(path)!r} "
            f"({type(error).__name__}: {first_line(error)}). "
            f"Expected Parquet files, an image folder, or a folder written by `save_to_disk`."
        ) from error


def is_saved(path: Path) -> bool:
    """Return whether a folder was written by `save_to_disk`."""
    return any((path / name).exists() for name in SAVED)


def _saved_tables(path: Path, where: str) -> Mapping[str, Table]:
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
    except Exception as error:  # as above
        _refuse_pointers(path)
        raise DatasetError(
            f"{where}: {str(path)!r} is not a complete folder of `save_to_disk` "
            f"({type(error).__name__}: {first_line(error)}). Write or copy it again."
        ) from error
    return _tables(saved)


def _loaded_tables(path: Path, config: str | None, cache: Path) -> Mapping[str, Table]:
    """Return the tables that `datasets` finds in a folder; it decides what belongs to a split."""
    import datasets

    with tempfile.TemporaryDirectory() as unused:
        builder = datasets.load_dataset_builder(str(path), config, cache_dir=unused)
        files = builder.config.data_files or {}
    if builder.name == "parquet":
        return {str(split): LocalTable([Path(name) for name in files[split]]) for split in files}
    key = text_digest("\n".join([str(config), *_versions(path)]))
    prepared = str(cache / "prepared" / key)
    return _tables(datasets.load_dataset(str(path), config, cache_dir=prepared))


def _tables(loaded: Any) -> Mapping[str, Table]:
    import datasets

    splits = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    return {str(split): PreparedTable(table) for split, table in splits.items()}


def _versions(path: Path) -> list[str]:
    """Return a text for each file below a folder that changes with the file."""
    versions = []
    for folder, _, names in os.walk(path, followlinks=True):
        for name in names:
            file = Path(folder) / name
            if file.exists():
                versions.append(file_version(file))
    return sorted(versions)


def _refuse_pointers(path: Path) -> None:
    """Raise where a file is a pointer of Git LFS, which no library can load."""
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            if is_pointer_file(Path(folder) / name):
                raise DatasetError(pointer_message(Path(folder) / name))
