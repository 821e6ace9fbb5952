"""The entry of one's own images, made of what `--data` names."""

from collections.abc import Sequence
from pathlib import Path

from bob.datasets.readers.table import SEVERAL, columns_of
from bob.errors import ConfigError
from bob.io.files import slug
from bob.specs import DatasetSpec, FolderSource, HuggingFaceSource, Role, TableSource

_OWN = (
    "must be a folder of class folders, a table whose name ends in .csv, or parquet. Other forms take an entry in a datasets.yaml of yours "
    "(--tasks-dir; docs/datasets.md)."
)
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def from_data_flag(path: str) -> DatasetSpec:
    """The entry of `--data FOLDER`, `--data table.csv` or `--data images.parquet`, named after the path's last part."""
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        parquet = sorted(file.name for file in place.glob("*.parquet"))
        source = (
            _parquet(place, parquet) if parquet else FolderSource(reader="folder", path=str(place))
        )
        return DatasetSpec(name=slug(place.resolve().name), source=source)
    if not place.exists():
        raise ConfigError(f"--data {path!r}: there is no such folder or table.")
    if place.suffix.lower() == ".parquet":
        return DatasetSpec(name=slug(place.stem), source=_parquet(place, []))
    if place.suffix.lower() != ".csv":
        raise ConfigError(
            f"--data {path!r}: {_OWN}{' Unpack it first.' if place.suffix.lower() in _PACKED else ''}"
        )
    return _table(place)


def _table(place: Path) -> DatasetSpec:
    """With a column `labels`, images have several each."""
    if "labels" not in (columns := columns_of(place)) or "label" in columns:
        return DatasetSpec(
            name=slug(place.stem), source=TableSource(reader="table", path=str(place))
        )
    source = TableSource(
        reader="table", path=str(place), columns={"label": "labels"}, label_separator=SEVERAL
    )
    return DatasetSpec(name=slug(place.stem), source=source, kind="multi-label")


def _parquet(place: Path, files: Sequence[str]) -> HuggingFaceSource:
    """Columns image and label; `datasets` tells splits by the names of files (train-0.parquet)."""
    theirs: dict[Role, str] = {"train": "train", "val": "validation", "test": "test"}
    begin: dict[Role, tuple[str, ...]] = {
        "train": ("train",),
        "val": ("val", "dev"),
        "test": ("test",),
    }
    there: dict[Role, str | tuple[str, ...]] = {
        role: theirs[role]
        for role, words in begin.items()
        if any(name.lower().startswith(words) for name in files)
    }
    return HuggingFaceSource(
        reader="huggingface",
        path=str(place),
        image="image",
        label="label",
        splits=there or {"train": "train"},
    )
