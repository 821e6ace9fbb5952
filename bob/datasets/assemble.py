"""What a reader found, checked and split into a Dataset. Every reader's listing comes here, so every dataset obeys the same rules:

with a train split, at least two classes, each with train images, and a test split; duplicates and groups across given splits counted in the notes.
Which splits there are decides which tasks a dataset can carry: one without train images is a shift of another, or for zero-shot and retrieval.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.splits import SEED, automatic_test, count_shared_images
from bob.errors import DatasetError
from bob.specs import Role

ROLES: tuple[Role, ...] = ("train", "val", "test", "query", "gallery")
_TRAIN = "Add a train split, or call the only split 'train' to have a test split taken from it."
_NAMES_SHOWN = 20


def assemble(
    name: str,
    found: ImageListing,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    seed: int = SEED,
) -> Dataset:
    """The dataset; `seed` is for the test split where none was given.

    `leave_out` names values of attributes ({domain: (photo,)}): images that have one are a shift, and all others are split automatically.
    """
    classes, unused = _classes(found)
    everything = _everything(found, classes)
    sides = np.array(found.splits, dtype=object)
    if leave_out:
        dataset = _held_out(name, classes, everything, found, leave_out, seed)
    else:
        given = "test" in found.splits or "train" not in found.splits
        sides = (
            sides
            if given
            else _automatic(everything, found, np.flatnonzero(sides == "train"), seed)
        )
        origin = {"kind": "official"} if given else _origin(found, seed)
        splits = {
            side: everything.take(np.flatnonzero(sides == side))
            for side in ROLES
            if (sides == side).any()
        }
        dataset = Dataset(
            name=name,
            classes=classes,
            splits=splits,
            split_origin=origin,
            judgements=found.judgements,
        )
    if "train" in dataset.splits and found.label_sets is None:
        _check_train(dataset, found.where)
    notes = (*found.notes, *unused, *_untested(dataset), *_straddling(dataset.splits))
    return dataclasses.replace(dataset, notes=notes)


def require_train(found: ImageListing) -> None:
    """A user's own images need train images; a registered dataset may be for zero-shot and retrieval alone."""
    if len(found.ids) and "train" not in found.splits:
        raise DatasetError(
            f"{found.where}: holds {' and '.join(sorted(set(found.splits)))} images and no train images. {_TRAIN}"
        )


def _everything(found: ImageListing, classes: Sequence[str]) -> Split:
    y, labels = _labels(found, classes)
    return Split(
        ids=found.ids if not isinstance(found.ids, list) else tuple(found.ids),
        y=y,
        content=found.content if not isinstance(found.content, list) else tuple(found.content),
        read=found.read,
        groups=None if found.groups is None else tuple(found.groups),
        attributes={key: tuple(values) for key, values in found.attributes.items()},
        labels=labels,
        captions=None if found.captions is None else tuple(found.captions),
    )


def _labels(
    found: ImageListing, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """(N,) the class of each image, -1 where it has none; and (N, C) its classes, where it can have several."""
    index = {label: c for c, label in enumerate(classes)}
    if found.labels is not None:
        return np.fromiter((index[label] for label in found.labels), np.int64, len(found.ids)), None
    if found.label_sets is None:
        return np.full(len(found.ids), -1), None
    labels = np.zeros((len(found.ids), len(classes)), bool)
    for i, several in enumerate(found.label_sets):
        labels[i, [index[label] for label in several]] = True
    return np.where(labels.any(1), labels.argmax(1), -1), labels


def _classes(found: ImageListing) -> tuple[tuple[str, ...], list[str]]:
    """The classes that have images, and a note of those that have none."""
    present = set(found.labels or ())
    for several in found.label_sets or ():
        present |= set(several)
    if not len(found.ids):
        raise DatasetError(f"{found.where}: holds no images.")
    if len(present) == 1:
        raise DatasetError(
            f"{found.where}: all images are of one class, {next(iter(present))!r}; at least two are needed."
        )
    known = found.classes if found.classes is not None else sorted(present, key=natural_key)
    empty = [label for label in known if label not in present]
    return tuple(label for label in known if label in present), [
        f"classes without images are left out: {_shown(empty)}"
    ] if empty else []


def _held_out(
    name: str,
    classes: tuple[str, ...],
    everything: Split,
    found: ImageListing,
    leave_out: Mapping[str, Sequence[str]],
    seed: int,
) -> Dataset:
    """Train and test from the images that no value names, and a shift of the others; all are views of the whole, whose rows are stored once."""
    out = np.zeros(len(everything), bool)
    for attribute, values in leave_out.items():
        if attribute not in everything.attributes:
            known = ", ".join(everything.attributes) or "none"
            raise DatasetError(
                f"{found.where}: leave_out names the attribute {attribute!r}, which images do not have. Known: {known}."
            )
        out |= np.isin(np.array(everything.attributes[attribute], dtype=object), list(values))
    if not out.any() or out.all():
        there = "; ".join(
            f"{attribute} {_listed(everything.attributes[attribute])}" for attribute in leave_out
        )
        raise DatasetError(
            f"{found.where}: leave_out {dict(leave_out)!r} leaves out {'all' if out.any() else 'no'} images. There are: {there}."
        )
    sides = _automatic(everything, found, np.flatnonzero(~out), seed)
    parts: tuple[Role, ...] = ("train", "test")
    splits = {
        side: everything.part("whole", np.flatnonzero(~out & (sides == side))) for side in parts
    }
    shift = Shift(everything.part("whole", np.flatnonzero(out)), "shift")
    left = "+".join(value for values in leave_out.values() for value in values)
    return Dataset(
        name, classes, splits, {**_origin(found, seed), "left_out": left}, shifts={left: shift}
    )


def _listed(values: Sequence[str]) -> str:
    return ", ".join(sorted(set(values))[:_NAMES_SHOWN])


def _origin(found: ImageListing, seed: int) -> dict[str, object]:
    return {"kind": found.automatic_kind, "share": found.test_share, "seed": seed}


def _automatic(
    everything: Split, found: ImageListing, train: NDArray[np.int64], seed: int
) -> NDArray[np.object_]:
    """(N,) names of splits: the given ones, with `train` split into train and test."""
    if everything.labels is not None or found.labels is None:
        raise DatasetError(
            f"{found.where}: has no test split, and none can be taken from images without one label each. Give test images."
        )
    sides = np.array(found.splits, dtype=object)
    content = found.split_content or found.content
    groups = None if everything.groups is None else [everything.groups[i] for i in train]
    try:
        test = automatic_test(
            everything.y[train], [content[i] for i in train], groups, found.test_share, seed
        )
    except DatasetError as error:
        raise DatasetError(f"{found.where}: {error}") from error
    sides[train] = np.where(test, "test", "train")
    return sides


def _check_train(dataset: Dataset, where: str) -> None:
    """Every class must have train images, else no probe can know it."""
    trained = set(dataset.splits["train"].y.tolist())
    for side, split in dataset.splits.items():
        if lost := sorted(set(split.y.tolist()) - trained):
            raise DatasetError(
                f"{where}: {side} holds images of {_shown([dataset.classes[c] for c in lost])}, of which train has none."
            )


def _untested(dataset: Dataset) -> list[str]:
    """A note on classes that are trained on and not tested."""
    if (
        "train" not in dataset.splits
        or "test" not in dataset.splits
        or dataset.splits["test"].labels is not None
    ):
        return []
    lost = sorted(set(range(len(dataset.classes))) - set(dataset.splits["test"].y.tolist()))
    return (
        [f"classes without test images: {_shown([dataset.classes[c] for c in lost])}"]
        if lost
        else []
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + more


def _straddling(splits: Mapping[Role, Split]) -> list[str]:
    """Notes on images and groups that are on two sides."""
    notes = []
    pairs: list[tuple[Role, Role]] = [("test", "train"), ("test", "val"), ("val", "train")]
    for one, other in pairs:
        if one not in splits or other not in splits:
            continue
        here, there = splits[one], splits[other]
        if n := count_shared_images(here.content, there.content):
            notes.append(
                f"{n} {'image' if n == 1 else 'images'} of {one} {'is' if n == 1 else 'are'} byte-identical to images of {other}"
            )
        if groups := set(here.groups or ()) & set(there.groups or ()):
            notes.append(
                f"{len(groups)} {'group has' if len(groups) == 1 else 'groups have'} images in both {one} and {other}"
            )
    return notes
