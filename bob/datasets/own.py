"""The registry entry of your own images, derived from the path that `--data` names."""

from collections.abc import Sequence
from pathlib import Path

from bob.datasets.readers.table import LABEL_SEPARATOR, header_columns
from bob.errors import ConfigError
from bob.io.files import slug
from bob.specs import DatasetSpec, FolderSource, HuggingFaceSource, Role, TableSource

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_PARQUET_SPLITS: dict[Role, tuple[str, tuple[str, ...]]] = {
    "train": ("train", ("train",)),
    "val": ("validation", ("val", "dev")),
    "test": ("test", ("test",)),
}
"""Split → its name in `datasets`, and how the names of its files may begin."""


def spec_from_data_flag(path: str) -> DatasetSpec:
    """Return the entry for `--data FOLDER`, `--data table.csv` or `--data images.parquet`.

    It is named after the last part of the path.
    """
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        parquet = sorted(file.name for file in place.glob("*.parquet"))
        source = (
            _parquet(place, parquet) if parquet else FolderSource(reader="folder", path=str(place))
        )
        return DatasetSpec(name=slug(place.resolve().name), source=source)
    if not place.exists():
        raise ConfigError(f"--data {path!r}: no such file or folder. Check the path.")
    suffix = place.suffix.lower()
    if suffix == ".parquet":
        return DatasetSpec(name=slug(place.stem), source=_parquet(place, []))
    if suffix != ".csv":
        got = f"a {suffix} file" if suffix else "a file without extension"
        remedy = (
            "Unpack the archive first."
            if suffix in _ARCHIVES
            else "For other layouts, write an entry in a datasets.yaml "
            "(see docs/reference/datasets.md)."
        )
        raise ConfigError(
            f"--data {path!r}: expected a folder of class folders, a .csv table or .parquet files; "
            f"got {got}. {remedy}"
        )
    return _table(place)


def _table(place: Path) -> DatasetSpec:
    """Return the entry of a CSV table; a column `labels` gives each image several labels."""
    columns = header_columns(place)
    if "labels" not in columns or "label" in columns:
        return DatasetSpec(
            name=slug(place.stem), source=TableSource(reader="table", path=str(place))
        )
    source = TableSource(
        reader="table",
        path=str(place),
        columns={"label": "labels"},
        label_separator=LABEL_SEPARATOR,
    )
    return DatasetSpec(name=slug(place.stem), source=source, kind="multi-label")


def _parquet(place: Path, files: Sequence[str]) -> HuggingFaceSource:
    """Return the source for Parquet files with the columns image and label.

    `datasets` assigns files to splits by their names (train-0.parquet).
    """
    splits: dict[Role, str | tuple[str, ...]] = {
        role: name
        for role, (name, prefixes) in _PARQUET_SPLITS.items()
        if any(file.lower().startswith(prefixes) for file in files)
    }
    return HuggingFaceSource(
        reader="huggingface",
        path=str(place),
        image="image",
        label="label",
        splits=splits or {"train": "train"},
    )
