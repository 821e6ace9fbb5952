"""The report on a dataset: its content, as far as it is known before anything is computed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bob.datasets.conflicts import ids_with, label_conflicts
from bob.datasets.content.repeats import repeats
from bob.datasets.content.traits import Trait, traits_of
from bob.datasets.dataset import Dataset, Split
from bob.datasets.leakage import all_splits, split_overlaps
from bob.records.data_report import (
    ClassSize,
    Conflict,
    DataReport,
    SharedImages,
    SplitReport,
)
from bob.specs import (
    DatasetSpec,
    FolderSource,
    HuggingFaceSource,
    ParquetSource,
    SampleSource,
    TableSource,
)

EXTREMES = 5
"""Number of the smallest and of the largest classes that are named."""
EXAMPLES = 5
"""Number of label conflicts that are named."""
FILES_NAMED = 20
"""Number of unreadable images that are named per split, and of those that are cut short."""


def data_report(dataset: Dataset, spec: DatasetSpec) -> DataReport:
    """Return the report on an opened dataset. No image is read."""
    splits = _with_own_classes(dataset)
    by_size = _class_sizes(dataset.classes, list(dataset.splits.values()))
    groups = Counter(group for split in dataset.splits.values() for group in split.groups or ())
    conflicts = label_conflicts(list(splits.values()), dataset.classes)
    return DataReport(
        images=sum(len(split) for split in dataset.splits.values()),
        classes=len(dataset.classes),
        smallest=tuple(by_size[:EXTREMES]),
        largest=tuple(reversed(by_size[-EXTREMES:])),
        split_source=split_source(dataset, spec),
        splits={
            name: _split_report(dataset.classes if name in splits else (), split)
            for name, split in all_splits(dataset).items()
        },
        groups=len(groups) or None,
        largest_group=_largest(groups),
        conflicting_contents=len(conflicts),
        conflicting_images=sum(len(conflict.images) for conflict in conflicts),
        conflicts=tuple(
            Conflict(images=tuple(first.values()), labels=tuple(first))
            for first in (conflict.example() for conflict in conflicts[:EXAMPLES])
        ),
        shared=tuple(
            SharedImages(split=overlap.split, other=overlap.reference, images=overlap.identical)
            for overlap in split_overlaps(dataset)
            if overlap.identical
        ),
        unread=dict(dataset.unread),
    )


def split_source(dataset: Dataset, spec: DatasetSpec) -> str:
    """Return where the splits come from, as text."""
    origin, source = dataset.split_origin, spec.source
    if spec.retrieve is not None:
        return f"all images, by which those of the same {spec.retrieve} are retrieved"
    if "conditions" in origin:
        return _conditions_text(origin)
    if origin.get("kind") != "official":
        share, seed = origin.get("share", 0.0), origin.get("seed")
        fixed = "the documented split" if isinstance(source, SampleSource) else "automatically"
        return f"{share:.0%} of train drawn as test, {fixed} (seed {seed})"
    chosen = f", tested on {spec.test_split!r}" if spec.test_split else ""
    return f"{_declared_splits(spec)}{chosen}"


def _conditions_text(origin: Mapping[str, Any]) -> str:
    """Return the conditions of splits as text: 'train vendor=apple; shift vendor=google'."""
    sides = [
        f"{side} {name}={','.join(values)}"
        for side, conditions in origin["conditions"].items()
        for name, values in conditions.items()
    ]
    if share := origin.get("share"):
        sides.append(
            f"{share:.0%} of what train and test share drawn as test (seed {origin['seed']})"
        )
    return "; ".join(sides)


def _declared_splits(spec: DatasetSpec) -> str:
    source = spec.source
    if isinstance(source, FolderSource):
        return "folders that the entry names" if source.splits else "names of folders"
    if isinstance(source, TableSource):
        return f"column {source.columns.get('split', 'split')!r}"
    if isinstance(source, ParquetSource):
        if source.split:
            return f"column {source.split!r}"
        return "files that the entry names" if source.splits else "names of files"
    if isinstance(source, HuggingFaceSource):
        return "splits of the saved dataset"
    return "official"


def _with_own_classes(dataset: Dataset) -> dict[str, Split]:
    """Return the splits, and the shifts whose images are of the dataset's classes."""
    foreign = {f"shift {name}" for name, shift in dataset.shifts.items() if shift.kind != "shift"}
    return {name: split for name, split in all_splits(dataset).items() if name not in foreign}


def _split_report(classes: Sequence[str], split: Split) -> SplitReport:
    sizes = _class_sizes(classes, [split]) if classes else []
    traits = traits_of(split.content)
    counts = {str(trait.name).lower(): int((traits & trait > 0).sum()) for trait in Trait}
    return SplitReport(
        images=len(split),
        classes=len(sizes),
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        duplicates=sum(len(positions) - 1 for positions in repeats(split.content)),
        traits={name: n for name, n in counts.items() if n},
        unreadable=tuple(ids_with(split, Trait.UNREADABLE)[:FILES_NAMED]),
        cut=tuple(ids_with(split, Trait.CUT)[:FILES_NAMED]),
    )


def _class_sizes(classes: Sequence[str], splits: Sequence[Split]) -> list[ClassSize]:
    """Return the classes that occur in some of the splits, the smallest first."""
    counts = np.zeros(len(classes), np.int64)
    for split in splits:
        if split.labels is not None:
            counts += split.labels.sum(axis=0)
        else:
            counts += np.bincount(split.y[split.y >= 0], minlength=len(classes))
    order = np.argsort(counts, kind="stable").tolist()
    return [ClassSize(name=classes[c], images=int(counts[c])) for c in order if counts[c]]


def _largest(groups: Mapping[str, int]) -> ClassSize | None:
    if not groups:
        return None
    name = max(groups, key=lambda group: groups[group])
    return ClassSize(name=name, images=groups[name])
