"""Other classes of the same images: the values of an attribute, or all but small classes."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.listing import natural_key
from bob.errors import DatasetError, nearest
from bob.numerics.arrays import Ints
from bob.specs import Role


def relabelled(dataset: Dataset, label: str | None, least: Mapping[Role, int]) -> Dataset:
    """Return the dataset with the values of the attribute `label` as classes, as views.

    Classes with fewer images in a split than `least` says are left out, with their images. The
    features of the views are those of the original splits.
    """
    names, labels = _labels(dataset, label)
    kept = np.ones(len(names), bool)
    for role, count in least.items():
        if role not in dataset.splits:
            raise DatasetError(f"dataset {dataset.name!r}: least names {role!r}, which it lacks.")
        kept &= np.bincount(labels[role], minlength=len(names)) >= count
    if not kept.any():
        raise DatasetError(
            f"dataset {dataset.name!r}: none of {len(names)} classes has as many images as least "
            f"{dict(least)!r} says."
        )
    index = np.where(kept, np.cumsum(kept) - 1, -1)
    splits = {}
    for role, split in dataset.splits.items():
        positions = np.flatnonzero(kept[labels[role]])
        view = split.part(role, positions)
        splits[role] = dataclasses.replace(view, y=index[labels[role][positions]])
    classes = tuple(name for name, is_kept in zip(names, kept, strict=True) if is_kept)
    return dataclasses.replace(dataset, classes=classes, splits=splits)


def _labels(dataset: Dataset, label: str | None) -> tuple[tuple[str, ...], dict[Role, Ints]]:
    """Return class names, and the class of each image by split."""
    if any((split.y < 0).any() or split.labels is not None for split in dataset.splits.values()):
        raise DatasetError(
            f"dataset {dataset.name!r}: label and least need images with one class each."
        )
    if label is None:
        return dataset.classes, {role: split.y for role, split in dataset.splits.items()}
    for split in dataset.splits.values():
        if label not in split.attributes:
            known = ", ".join(split.attributes) or "none"
            raise DatasetError(
                f"dataset {dataset.name!r}: label names the attribute {label!r}"
                f"{nearest(label, split.attributes)} Known: {known}."
            )
    values = {role: split.attributes[label] for role, split in dataset.splits.items()}
    names = tuple(sorted({v for several in values.values() for v in several}, key=natural_key))
    index = {name: c for c, name in enumerate(names)}
    return names, {
        role: np.array([index[value] for value in several], np.int64)
        for role, several in values.items()
    }
