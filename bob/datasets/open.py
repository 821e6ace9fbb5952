"""Open the dataset of a registry entry."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bob.datasets.assemble import assemble, quoted, require_train, shift_overlaps
from bob.datasets.class_names import class_list, to_class_names
from bob.datasets.columns import conditions_of, with_columns
from bob.datasets.concept_counts import read_concept_counts
from bob.datasets.content.images import DEFAULT_ALPHA, Alpha
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.limit import limited
from bob.datasets.listing import ImageListing
from bob.datasets.output_folders import require_images_apart
from bob.datasets.own import spec_from_data_flag
from bob.datasets.readers.arrays import list_cifar_c, list_medmnist
from bob.datasets.readers.class_lists import list_class_lists
from bob.datasets.readers.coco import list_coco
from bob.datasets.readers.davis import list_davis
from bob.datasets.readers.depth_folders import list_depth_folders
from bob.datasets.readers.depth_lists import list_depth_lists
from bob.datasets.readers.dollar_street import list_dollar_street
from bob.datasets.readers.folder import list_folder
from bob.datasets.readers.huggingface import list_huggingface
from bob.datasets.readers.masks import list_masks
from bob.datasets.readers.navi_depth import list_navi_depth
from bob.datasets.readers.navi_pairs import list_navi_pairs
from bob.datasets.readers.nights import list_nights
from bob.datasets.readers.parquet_folder import list_parquet
from bob.datasets.readers.qrels import list_qrels
from bob.datasets.readers.real import list_real
from bob.datasets.readers.revisited import list_revisited
from bob.datasets.readers.samples import list_sample
from bob.datasets.readers.spair import list_spair
from bob.datasets.readers.table import list_table
from bob.datasets.readers.voc_boxes import list_voc_boxes
from bob.datasets.readers.webdataset import list_webdataset
from bob.datasets.relabel import relabelled
from bob.errors import ConfigError, DatasetError, UnavailableError, nearest
from bob.io.paths import data_path
from bob.numerics.arrays import Ints
from bob.specs import (
    ArraysSource,
    ClassListsSource,
    CocoSource,
    DatasetSpec,
    DavisSource,
    DepthFoldersSource,
    DepthListsSource,
    DollarStreetSource,
    FolderSource,
    HuggingFaceSource,
    MasksSource,
    NaviDepthSource,
    NaviPairsSource,
    NightsSource,
    ParquetSource,
    QrelsSource,
    RealSource,
    RevisitedSource,
    SampleSource,
    ShiftSpec,
    SPairSource,
    VocBoxesSource,
    WebDatasetSource,
)

__all__ = ["ReadDatasets", "limited", "open_dataset", "spec_from_data_flag", "with_attributes"]

ReadDatasets = dict[str, tuple[DatasetSpec, Dataset]]
"""Name → the entry without its shifts, and its dataset before `where` and shifts."""


def open_dataset(
    spec: DatasetSpec,
    cache: Path,
    offline: bool = False,
    entries: Mapping[str, DatasetSpec] | None = None,
    alpha: Alpha = DEFAULT_ALPHA,
    read: ReadDatasets | None = None,
) -> Dataset:
    """Open the dataset of a registry entry.

    No image is decoded, and none is read whose digest is remembered below `cache`. `entries` are
    those that its shifts may refer to; a shift that is unavailable here is left out, with a note.
    `alpha` is the background on which transparent images are laid. What is in `read` is not read
    again: datasets that several others refer to; what is read is added.
    UnavailableError where the dataset is not here, DatasetError where it is not as declared,
    ConfigError where the cache would be among its images.
    """
    require_images_apart(spec, {"cache": cache})
    read = {} if read is None else read
    full = _read_once(spec, cache, offline, alpha, read)
    splits = {
        name: with_attributes(name, split, spec.where, spec.name)
        for name, split in full.splits.items()
    }
    if (spec.label is not None and not spec.has_conditions) or spec.least:
        full = relabelled(dataclasses.replace(full, splits=splits), spec.label, spec.least)
        splits = dict(full.splits)
    kind = spec.kind if "kind" in spec.model_fields_set else full.kind
    dataset = dataclasses.replace(full, splits=splits, worst_group=spec.worst_group, kind=kind)
    if spec.group_by:
        _check_attributes(spec, dataset, "group_by", spec.group_by)
        dataset = dataclasses.replace(dataset, group_by=spec.group_by)
    if spec.paired is not None:
        caveat = (spec.paired.caveat,) if spec.paired.caveat else ()
        dataset = dataclasses.replace(dataset, paired=spec.paired, notes=(*dataset.notes, *caveat))
    if (target := _target(spec, dataset)) is not None:
        dataset = dataclasses.replace(dataset, target=target)
    if spec.normal:
        dataset = dataclasses.replace(dataset, normal=_normal(spec, dataset))
    if spec.frequency:
        dataset = dataclasses.replace(dataset, concept_counts=_concept_counts(spec, dataset))
    _check_declared(spec, dataset)
    _check_attributes(spec, dataset, "worst_group", filter(None, [spec.worst_group]))
    opened = {spec.name: full}
    for name, shift in spec.shifts.items():
        dataset = _with_shift(
            dataset, name, shift, opened, entries or {}, cache, offline, alpha, read
        )
    notes = (*dataset.notes, *shift_overlaps(dataset))
    return dataclasses.replace(dataset, notes=notes)


def with_attributes(
    name: str, split: Split, where: Mapping[str, Sequence[str]], dataset: str
) -> Split:
    """Return the images that have one of the values of each attribute, as a view."""
    chosen = np.ones(len(split), bool)
    for attribute, values in where.items():
        if attribute not in split.attributes:
            known = ", ".join(split.attributes) or "none"
            raise DatasetError(
                f"dataset {dataset!r}: where names the attribute {attribute!r}"
                f"{nearest(attribute, split.attributes)} Known: {known}."
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
    alpha: Alpha,
    read: ReadDatasets,
) -> Dataset:
    """Return the dataset with one more shift; `opened` caches the datasets of earlier ones."""
    source = spec.dataset or dataset.name
    if source not in opened:
        if source not in entries:
            raise ConfigError(
                f"dataset {dataset.name!r}: shifts.{name} refers to an unknown dataset {source!r}"
                f"{nearest(source, entries)}"
            )
        without_shifts = entries[source].model_copy(update={"shifts": {}})
        try:
            opened[source] = open_dataset(without_shifts, cache, offline, alpha=alpha, read=read)
        except UnavailableError as error:
            note = f"without the shift {name}: {error}"
            return dataclasses.replace(dataset, notes=(*dataset.notes, note))
    shift = _shift(dataset, name, spec, opened[source])
    return dataclasses.replace(dataset, shifts={**dataset.shifts, name: shift})


def _shift(dataset: Dataset, name: str, spec: ShiftSpec, source: Dataset) -> Shift:
    """Return a shift with its classes matched by name to the dataset's."""
    if spec.split not in source.splits:
        raise ConfigError(
            f"dataset {dataset.name!r}: shifts.{name} refers to the split {spec.split!r}, which "
            f"{source.name!r} does not have."
        )
    chosen = with_attributes(spec.split, source.splits[spec.split], spec.where, source.name)
    # a view, so that the name of the shift does not matter to the stored features
    split = chosen.part(spec.split, np.arange(len(chosen)))
    if spec.kind != "shift":
        return Shift(split, spec.kind)
    index = {label: c for c, label in enumerate(dataset.classes)}
    unknown = [
        label
        for c, label in enumerate(source.classes)
        if label not in index and (split.y == c).any()
    ]
    if unknown:
        raise DatasetError(
            f"dataset {dataset.name!r}: shifts.{name} holds the classes {unknown[:5]!r}, which the "
            "dataset does not have."
        )
    match = np.array([index.get(label, -1) for label in source.classes])
    common = tuple(sorted(int(c) for c in match if c >= 0))
    matched = dataclasses.replace(
        split,
        y=np.where(split.y < 0, -1, match[split.y]),
        labels=_matched_labels(split.labels, match, len(dataset.classes)),
    )
    return Shift(matched, "shift", common if len(common) < len(dataset.classes) else None)


def _matched_labels(
    labels: NDArray[np.bool_] | None, match: NDArray[np.int64], classes: int
) -> NDArray[np.bool_] | None:
    """Return label sets (N, C) with their columns where the other dataset has these classes."""
    if labels is None:
        return None
    matched = np.zeros((len(labels), classes), bool)
    matched[:, match[match >= 0]] = labels[:, match >= 0]
    return matched


def _read_once(
    spec: DatasetSpec, cache: Path, offline: bool, alpha: Alpha, read: ReadDatasets
) -> Dataset:
    """Return the entry's dataset before its `where` and `shifts`, from `read` if it is there."""
    without_shifts = spec.model_copy(update={"shifts": {}})
    if spec.name not in read or read[spec.name][0] != without_shifts:
        read[spec.name] = without_shifts, _read(spec, cache, offline, alpha)
    return read[spec.name][1]


def _read(spec: DatasetSpec, cache: Path, offline: bool, alpha: Alpha) -> Dataset:
    """Return the entry's dataset before its `where` and `shifts`."""
    try:
        listing = dataclasses.replace(_listing(spec, cache, offline), alpha=alpha)
    except DatasetError as error:
        if not spec.obtain:
            raise
        raise type(error)(f"{error} {spec.obtain}") from error
    listing = with_columns(spec, _with_class_names(spec, listing))
    dataset = assemble(spec.name, listing, spec.leave_out, conditions=conditions_of(spec))
    if spec.options is not None and (stated := spec.options.stated()):
        origin = {**dataset.split_origin, "options": stated}
        dataset = dataclasses.replace(dataset, split_origin=origin)
    return _in_class_range(dataset, spec.class_range) if spec.class_range else dataset


def _listing(spec: DatasetSpec, cache: Path, offline: bool) -> ImageListing:
    """Return the listing of the entry's reader."""
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
        medmnist = source.reader == "medmnist"
        return list_medmnist(path, cache) if medmnist else list_cifar_c(path, cache)
    if isinstance(source, MasksSource):
        return list_masks(source, path, cache, _entry_class_names(spec), spec.test_split)
    if isinstance(source, CocoSource):
        return list_coco(source, path, cache)
    if isinstance(source, VocBoxesSource):
        return list_voc_boxes(source, path, cache, _entry_class_names(spec) or ())
    if isinstance(source, DepthListsSource):
        return list_depth_lists(source, path, cache)
    if isinstance(source, DepthFoldersSource):
        return list_depth_folders(source, path, cache, spec.test_split)
    if isinstance(source, DavisSource):
        return list_davis(source, path, cache)
    if isinstance(source, SPairSource):
        return list_spair(source, path, cache)
    if isinstance(source, NaviDepthSource):
        return list_navi_depth(source, path, cache)
    if isinstance(source, NaviPairsSource):
        return list_navi_pairs(source, path, cache)
    if isinstance(source, DollarStreetSource):
        return list_dollar_street(path, cache)
    if isinstance(source, NightsSource):
        return list_nights(source, path, cache)
    if isinstance(source, ClassListsSource):
        return list_class_lists(path, cache)
    if isinstance(source, FolderSource):
        listing = list_folder(source, path, cache, spec.test_split)
    elif isinstance(source, ParquetSource):
        listing = list_parquet(spec.name, source, path, cache, spec.test_split)
    else:
        listing = list_table(source, path, cache, spec.test_split)
    if not (source.splits or getattr(source, "split", None)):
        require_train(listing)
    return listing


def _with_class_names(spec: DatasetSpec, listing: ImageListing) -> ImageListing:
    """Replace labels that are numbers by the entry's class names."""
    names = _entry_class_names(spec)
    if names is None or listing.masks is not None or listing.boxes is not None:
        return listing
    if listing.label_sets is not None:
        label_sets = [to_class_names(labels, names, listing) for labels in listing.label_sets]
        return dataclasses.replace(listing, label_sets=label_sets, classes=names)
    labels = to_class_names(listing.labels or (), names, listing)
    return dataclasses.replace(listing, labels=labels, classes=names)


def _entry_class_names(spec: DatasetSpec) -> tuple[str, ...] | None:
    """Return the class names that an entry states; None where it states none."""
    if isinstance(spec.class_names, str):
        return class_list(spec.class_names)
    return spec.class_names


def _in_class_range(dataset: Dataset, class_range: tuple[int, int]) -> Dataset:
    """Keep the images of some classes only."""
    first, end = class_range
    splits = {}
    for name, split in dataset.splits.items():
        kept = split.take(np.flatnonzero((split.y >= first) & (split.y < end)))
        splits[name] = dataclasses.replace(kept, y=kept.y - first)
    return dataclasses.replace(dataset, classes=dataset.classes[first:end], splits=splits)


def _target(spec: DatasetSpec, dataset: Dataset) -> str | None:
    """Return the attribute with numbers to predict: the entry's, or a column `target` of all."""
    if spec.target is not None:
        return spec.target
    everywhere = all("target" in split.attributes for split in dataset.splits.values())
    return "target" if everywhere else None


def _concept_counts(spec: DatasetSpec, dataset: Dataset) -> dict[str, Ints]:
    """Return how often each class occurs in each corpus."""
    where = f"dataset {spec.name!r}, frequency"
    return {
        corpus: read_concept_counts(data_path(file), dataset.classes, where)
        for corpus, file in spec.frequency.items()
    }


def _normal(spec: DatasetSpec, dataset: Dataset) -> tuple[int, ...]:
    """Return the normal classes by index; DatasetError where the dataset lacks one."""
    index = {label: c for c, label in enumerate(dataset.classes)}
    for label in spec.normal:
        if label not in index:
            raise DatasetError(
                f"dataset {spec.name!r}: normal names the class {label!r}, which it does not "
                f"have{nearest(label, dataset.classes)} Classes: {quoted(dataset.classes)}."
            )
    return tuple(sorted(index[label] for label in spec.normal))


def _check_attributes(
    spec: DatasetSpec, dataset: Dataset, field: str, names: Iterable[str]
) -> None:
    """Raise DatasetError where images lack an attribute that a field of the entry names."""
    for attribute, (name, split) in itertools.product(names, dataset.splits.items()):
        if attribute not in split.attributes:
            known = ", ".join(split.attributes) or "none"
            near = nearest(attribute, split.attributes)
            raise DatasetError(
                f"dataset {spec.name!r}: {field} names {attribute!r}, which images of {name} do "
                f"not have{near} Known: {known}."
            )


def _check_declared(spec: DatasetSpec, dataset: Dataset) -> None:
    """Raise DatasetError where counts differ from the registry's: scores would not compare."""
    counts: dict[str, int] = {name: len(split) for name, split in dataset.splits.items()}
    wrong = [
        f"{name} holds {counts.get(name, 0):,} images, declared {declared:,}"
        for name, declared in spec.counts.items()
        if counts.get(name, 0) != declared
    ]
    total = sum(counts.values()) + sum(len(shift.split) for shift in dataset.shifts.values())
    if spec.images and spec.images != total:
        wrong.insert(0, f"there are {total:,} images, declared {spec.images:,}")
    if spec.classes and spec.classes != len(dataset.classes):
        wrong.insert(0, f"there are {len(dataset.classes)} classes, declared {spec.classes}")
    if wrong:
        raise DatasetError(
            f"dataset {spec.name!r} is not as its registry entry declares: {'; '.join(wrong)}. "
            "Is it another revision, or incomplete?"
        )
