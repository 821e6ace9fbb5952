"""A dataset's registry entry into the Dataset: the one door through which all others come in."""

import dataclasses
from pathlib import Path

import numpy as np

from bob.datasets.dataset import Dataset, Split
from bob.datasets.folder import read_folder
from bob.datasets.huggingface import read_huggingface
from bob.datasets.samples import read_sample
from bob.datasets.splits import SEED, stratified_subset
from bob.datasets.table import read_table
from bob.errors import ConfigError, DatasetError
from bob.files import slug
from bob.specs import DatasetSpec, FolderSource, HuggingFaceSource, SampleSource, TableSource


def open_dataset(spec: DatasetSpec, cache: Path, offline: bool = False) -> Dataset:
    """The dataset of a registry entry; no image is decoded, and none is read whose digest is remembered below `cache`."""
    dataset = _read(spec, cache, offline)
    _check_declared(spec, dataset)
    return dataset


def from_data_flag(path: str) -> DatasetSpec:
    """The entry of `--data FOLDER` or `--data table.csv`, named after the path's last part."""
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        return DatasetSpec(name=slug(place.resolve().name), source=FolderSource(reader="folder", path=str(place)))
    if not place.exists():
        raise ConfigError(f"--data {path!r}: there is no such folder or table.")
    if place.suffix.lower() != ".csv":
        raise ConfigError(f"--data {path!r}: must be a folder of class folders, or a table whose name ends in .csv.")
    return DatasetSpec(name=slug(place.stem), source=TableSource(reader="table", path=str(place)))


def limited(dataset: Dataset, limit: int, seed: int = SEED) -> Dataset:
    """At most `limit` images of each split, class proportions kept; classes that train no longer has leave the other splits too."""
    splits = {name: _subset(split, limit, seed) for name, split in dataset.splits.items()}
    trained = np.unique(splits["train"].y)
    kept = {name: split.take(np.flatnonzero(np.isin(split.y, trained))) for name, split in splits.items()}
    if lost := [repr(label) for c, label in enumerate(dataset.classes) if c not in trained]:
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, f"classes without images within the limit of {limit}: {', '.join(lost)}"))
    return dataclasses.replace(dataset, splits=kept, split_origin={**dataset.split_origin, "limit": limit, "limit_seed": seed})


def _subset(split: Split, limit: int, seed: int) -> Split:
    return split.take(stratified_subset(split.y, split.content, limit, seed))


def _read(spec: DatasetSpec, cache: Path, offline: bool) -> Dataset:
    source = spec.source
    if isinstance(source, SampleSource):
        return read_sample(spec.name, source, cache)
    if isinstance(source, HuggingFaceSource):
        return read_huggingface(spec.name, source, cache, offline)
    path = Path(source.path).expanduser()
    return read_folder(spec.name, path, cache) if isinstance(source, FolderSource) else read_table(spec.name, path, cache)


def _check_declared(spec: DatasetSpec, dataset: Dataset) -> None:
    """The class count and the images per split must be as the registry says, else scores would not be comparable with those published."""
    found: dict[str, int] = {name: len(split) for name, split in dataset.splits.items()}
    moved = [f"{name} holds {found.get(name, 0):,} images, declared {n:,}" for name, n in spec.counts.items() if found.get(name, 0) != n]
    if spec.classes and spec.classes != len(dataset.classes):
        moved.insert(0, f"there are {len(dataset.classes)} classes, declared {spec.classes}")
    if moved:
        raise DatasetError(f"dataset {spec.name!r} is not as its registry entry declares: {'; '.join(moved)}. Is it another revision, or incomplete?")
