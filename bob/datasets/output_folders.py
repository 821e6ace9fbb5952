"""Folders that a run writes must not be among the images that it reads."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bob.datasets.readers.tree import is_hidden
from bob.errors import ConfigError
from bob.io.paths import user_path
from bob.specs import (
    DatasetSpec,
    DepthFoldersSource,
    FolderSource,
    MasksSource,
    ParquetSource,
    Source,
)


def require_apart(data: Iterable[str], folders: Mapping[str, Path]) -> None:
    """Raise ConfigError if an output folder is inside a folder of images that `--data` names.

    It would be read as a class or a split, unless it is hidden. `folders` maps flags to folders.
    """
    for path, (flag, folder) in itertools.product(data, folders.items()):
        if _is_among_images(user_path(path), folder):
            raise ConfigError(
                f"{flag} {str(folder)!r} is inside --data {path!r}, whose folders hold images: it "
                f"would be read as one of them. Name a folder elsewhere with {flag}."
            )


def require_images_apart(spec: DatasetSpec, folders: Mapping[str, Path]) -> None:
    """Raise ConfigError if an output folder is inside one of which a dataset reads all files.

    `folders` maps what a folder is for, such as "cache", to the folder.
    """
    for images, (use, folder) in itertools.product(_searched(spec.source), folders.items()):
        if images.is_absolute() and _is_among_images(images, folder):
            raise ConfigError(
                f"the {use} folder {str(folder)!r} is inside {str(images)!r}, whose folders hold "
                "images: it would be read as one of them. Name a folder elsewhere."
            )


def _searched(source: Source) -> Iterator[Path]:
    """Yield the folders in which images, masks, depth maps or Parquet files are looked for."""
    if isinstance(source, FolderSource | ParquetSource):
        yield Path(source.path)
    elif isinstance(source, MasksSource | DepthFoldersSource):
        yield Path(source.path, source.images)
        targets = source.masks if isinstance(source, MasksSource) else source.depths
        yield Path(source.path, targets)


def _is_among_images(images: Path, written: Path) -> bool:
    """Return whether a folder is inside a folder of images, and not hidden there."""
    images, written = Path(os.path.realpath(images)), Path(os.path.realpath(written))
    if not images.is_dir() or not written.is_relative_to(images):
        return False
    return not any(is_hidden(part) for part in written.relative_to(images).parts)
