"""A dataset's registry entry into the Dataset: the one door through which all others come in."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bob.datasets.assemble import assemble, require_train
from bob.datasets.class_names import class_list, to_class_names
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.limit import limited
from bob.datasets.listing import ImageListing
from bob.datasets.own import spec_from_data_flag
from bob.datasets.readers.arrays import list_cifar_c, list_medmnist
from bob.datasets.readers.folder import list_folder
from bob.datasets.readers.huggingface import list_huggingface
from bob.datasets.readers.qrels import list_qrels
from bob.datasets.readers.real import list_real
from bob.datasets.readers.revisited import list_revisited
from bob.datasets.readers.samples import list_sample
from bob.datasets.readers.table import list_table
from bob.datasets.readers.webdataset import list_webdataset
from bob.errors import ConfigError, DatasetError, UnavailableError, nearest
from bob.io.paths import data_path
from bob.specs import (
    ArraysSource,
    DatasetSpec,
    FolderSource,
    HuggingFaceSource,
    QrelsSource,
    RealSource,
    RevisitedSource,
    SampleSource,
    ShiftSpec,
    WebDatasetSource,
)

__all__ = ["chosen_part", "spec_from_data_flag", "limited", "open_dataset"]


def open_dataset(
    spec: DatasetSpec,
    cache: Path,
    offline: bool = False,
    entries: Mapping[str, DatasetSpec] | None = None,
) -> Dataset:
    """The dataset of a registry entry; no image is decoded, and none is read whose digest is remembered below `cache`.

    `entries` are those that its shifts may refer to. A shift that cannot be had here is left out, and the notes say so.
    """
    whole = _read(spec, cache, offline)
    splits = {
        name: chosen_part(name, split, spec.where, spec.name)
        for name, split in whole.splits.items()
    }
    dataset = dataclasses.replace(whole, splits=splits, worst_group=spec.worst_group)
    _check_declared(spec, dataset)
    _check_worst_group(spec, dataset)
    opened = {spec.name: whole}
    for name, shift in spec.shifts.items():
        dataset = _with_shift(dataset, name, shift, opened, entries or {}, cache, offline)
    return dataset


def chosen_part(name: str, split: Split, where: Mapping[str, Sequence[str]], dataset: str) -> Split:
    """The images that have one of the values of each attribute, as a view."""
    chosen = np.ones(len(split), bool)
    for attribute, values in where.items():
        if attribute not in split.attributes:
            known = ", ".join(split.attributes) or "none"
            raise DatasetError(
                f"dataset {dataset!r}: where names the attribute {attribute!r}{nearest(attribute, split.attributes)} Known: {known}."
            )
        chosen &= np.isin(np.array(split.attributes[attribute], dtype=object), list(values))
    if not chosen.any():
        raise DatasetError(f"dataset {dataset!r}: no image of {name} has {dict(where)!r}.")
    return split if chosen.all() else split.part(name, np.flatnonzero(chosen))


def _with_shift(
    dataset: Dataset,
    name: str,
    spec: ShiftSpec,
    opened: dict[str, Dataset],
    entries: Mapping[str, DatasetSpec],
    cache: Path,
    offline: bool,
) -> Dataset:
    """The dataset with one more shift. `opened` remembers what was opened for earlier ones."""
    source = spec.dataset or dataset.name
    if source not in opened:
        if source not in entries:
            raise ConfigError(
                f"dataset {dataset.name!r}: shifts.{name} refers to an unknown dataset {source!r}{nearest(source, entries)}"
            )
        try:
            opened[source] = open_dataset(
                entries[source].model_copy(update={"shifts": {}}), cache, offline
            )  # shifts of shifts are none of ours
        except UnavailableError as error:
            return dataclasses.replace(
                dataset, notes=(*dataset.notes, f"without the shift {name}: {error}")
            )
    return dataclasses.replace(
        dataset, shifts={**dataset.shifts, name: _shift(dataset, name, spec, opened[source])}
    )


def _shift(dataset: Dataset, name: str, spec: ShiftSpec, source: Dataset) -> Shift:
    """Classes are matched by their names."""
    if spec.split not in source.splits:
        raise ConfigError(
            f"dataset {dataset.name!r}: shifts.{name} refers to the split {spec.split!r}, which {source.name!r} does not have."
        )
    split = _view(
        spec.split, chosen_part(spec.split, source.splits[spec.split], spec.where, source.name)
    )
    if spec.kind != "shift":
        return Shift(split, spec.kind)
    own = {label: c for c, label in enumerate(dataset.classes)}
    if strange := [
        label for c, label in enumerate(source.classes) if label not in own and (split.y == c).any()
    ]:
        raise DatasetError(
            f"dataset {dataset.name!r}: shifts.{name} holds the classes {strange[:5]!r}, which the dataset does not have."
        )
    match = np.array([own.get(label, -1) for label in source.classes])
    known = tuple(sorted(int(c) for c in match if c >= 0))
    moved = dataclasses.replace(
        split,
        y=np.where(split.y < 0, -1, match[split.y]),
        labels=_moved(split.labels, match, len(dataset.classes)),
    )
    return Shift(moved, "shift", known if len(known) < len(dataset.classes) else None)


def _moved(
    labels: NDArray[np.bool_] | None, match: NDArray[np.int64], classes: int
) -> NDArray[np.bool_] | None:
    """(N, C) label sets with their columns where the other dataset has these classes."""
    if labels is None:
        return None
    moved = np.zeros((len(labels), classes), bool)
    moved[:, match[match >= 0]] = labels[:, match >= 0]
    return moved


def _view(name: str, split: Split) -> Split:
    """The split as a view of what its rows are stored for, so that the shift's name does not matter to them."""
    return split.part(name, np.arange(len(split)))


def _read(spec: DatasetSpec, cache: Path, offline: bool) -> Dataset:
    """The entry's dataset before its `where` and `shifts`."""
    listing = _listing(spec, cache, offline)
    dataset = assemble(spec.name, _with_names(spec, listing), spec.leave_out)
    return _in_range(dataset, spec.class_range) if spec.class_range else dataset


def _listing(spec: DatasetSpec, cache: Path, offline: bool) -> ImageListing:
    """What the entry's reader finds."""
    source = spec.source
    if isinstance(source, SampleSource):
        return list_sample(spec.name, source, cache)
    if isinstance(source, HuggingFaceSource):
        return list_huggingface(spec.name, source, cache, offline)
    if isinstance(source, WebDatasetSource):
        return list_webdataset(spec.name, source, cache, offline)
    if isinstance(source, QrelsSource):
        return list_qrels(spec.name, source, cache, offline)
    path = data_path(source.path)
    if spec.obtain and not path.exists():
        raise UnavailableError(
            f"dataset {spec.name!r}: {str(path)!r} does not exist. {spec.obtain}"
        )
    if isinstance(source, RealSource):
        return list_real(path, cache)
    if isinstance(source, RevisitedSource):
        return list_revisited(source, path, cache)
    if isinstance(source, ArraysSource):
        return (
            list_medmnist(path, cache) if source.reader == "medmnist" else list_cifar_c(path, cache)
        )
    listing = (
        list_folder(source, path, cache)
        if isinstance(source, FolderSource)
        else list_table(source, path, cache)
    )
    if not (source.splits or getattr(source, "split", None)):
        require_train(listing)
    return listing


def _with_names(spec: DatasetSpec, found: ImageListing) -> ImageListing:
    """Labels that are numbers as the entry's class names."""
    if spec.class_names is None:
        return found
    names = class_list(spec.class_names) if isinstance(spec.class_names, str) else spec.class_names
    if found.label_sets is not None:
        return dataclasses.replace(
            found,
            label_sets=[to_class_names(several, names, found) for several in found.label_sets],
            classes=names,
        )
    return dataclasses.replace(found, labels=to_class_names(found.labels or (), names, found), classes=names)


def _in_range(dataset: Dataset, places: tuple[int, int]) -> Dataset:
    """The images of the classes at these places alone."""
    first, end = places
    splits = {}
    for name, split in dataset.splits.items():
        kept = split.take(np.flatnonzero((split.y >= first) & (split.y < end)))
        splits[name] = dataclasses.replace(kept, y=kept.y - first)
    return dataclasses.replace(dataset, classes=dataset.classes[first:end], splits=splits)


def _check_worst_group(spec: DatasetSpec, dataset: Dataset) -> None:
    """The attribute must be there, else a worst-group score would look at no groups at all."""
    for name, split in dataset.splits.items():
        if spec.worst_group and spec.worst_group not in split.attributes:
            known = ", ".join(split.attributes) or "none"
            near = nearest(spec.worst_group, split.attributes)
            raise DatasetError(
                f"dataset {spec.name!r}: worst_group names {spec.worst_group!r}, which images of {name} do not have{near} Known: {known}."
            )


def _check_declared(spec: DatasetSpec, dataset: Dataset) -> None:
    """The class count and the images per split must be as the registry says, else scores would not be comparable with those published."""
    found: dict[str, int] = {name: len(split) for name, split in dataset.splits.items()}
    moved = [
        f"{name} holds {found.get(name, 0):,} images, declared {n:,}"
        for name, n in spec.counts.items()
        if found.get(name, 0) != n
    ]
    in_all = sum(found.values()) + sum(len(shift.split) for shift in dataset.shifts.values())
    if spec.images and spec.images != in_all:
        moved.insert(0, f"there are {in_all:,} images, declared {spec.images:,}")
    if spec.classes and spec.classes != len(dataset.classes):
        moved.insert(0, f"there are {len(dataset.classes)} classes, declared {spec.classes}")
    if moved:
        raise DatasetError(
            f"dataset {spec.name!r} is not as its registry entry declares: {'; '.join(moved)}. Is it another revision, or incomplete?"
        )
