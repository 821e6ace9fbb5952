"""From a reader's listing to a Dataset. Listings of all readers are assembled here, by one rule.

Splits are taken as given, or a test split is sampled from train; duplicates and groups that lie in
two splits are counted in the notes. Which tasks a dataset can serve is decided by the tasks: one
with a single class, or with classes that train lacks, is assembled like any other.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.conditions import SplitConditions, split_by_conditions
from bob.datasets.conflicts import conflict_notes, target_conflict_notes, unreadable_notes
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.traits import Trait, traits_of
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.labels import group_notes, label_notes
from bob.datasets.listing import ImageListing, natural_key, tally
from bob.datasets.splits import SEED, automatic_test, count_shared_images
from bob.errors import DatasetError
from bob.specs import Role
from bob.specs.dataset import DatasetKind

ROLES: tuple[Role, ...] = ("train", "val", "test", "query", "gallery")
_NAMES_SHOWN = 20


def assemble(
    name: str,
    listing: ImageListing,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    seed: int = SEED,
    conditions: SplitConditions | None = None,
) -> Dataset:
    """Return the dataset of a listing; `seed` samples the test split where none is given.

    `leave_out` names values of attributes ({domain: (photo,)}): images that have one form a shift,
    and all others are split automatically. `conditions` choose the images of each split.
    DatasetError where the listing has no images, or where a test split is needed and cannot be
    sampled.
    """
    classes, notes = _classes(listing)
    images = _all_images(listing, classes)
    if leave_out:
        dataset = _with_left_out_shift(name, classes, images, listing, leave_out, seed)
    elif conditions is not None:
        dataset = split_by_conditions(name, classes, images, listing, conditions, seed)
    else:
        dataset = _with_splits(name, classes, images, listing, seed)
    if listing.test_split is not None:
        origin = {**dataset.split_origin, "test_split": listing.test_split}
        dataset = dataclasses.replace(dataset, split_origin=origin)
    notes = [
        *([f"skipped files: {tally(listing.unread)}"] if listing.unread else []),
        *listing.notes,
        *notes,
        *label_notes(_class_counts(classes, images)),
        *group_notes(images.groups),
        *_alpha_notes(images),
        *conflict_notes([images], classes),
        *target_conflict_notes(images),
        *dataset.notes,
        *_one_sided_classes(dataset),
        *_overlaps(dataset.splits),
        *unreadable_notes({str(side): split for side, split in dataset.splits.items()}),
    ]
    return dataclasses.replace(
        dataset, notes=tuple(notes), unread=listing.unread, kind=_kind(listing)
    )


def require_train(listing: ImageListing) -> None:
    """Raise DatasetError where a user's own images have no train split.

    Registered datasets may serve zero-shot and retrieval alone.
    """
    if len(listing.ids) and "train" not in listing.splits:
        splits = " and ".join(sorted(set(listing.splits)))
        raise DatasetError(
            f"{listing.where}: holds {splits} images and no train images. Add a train split, or "
            "call the only split 'train' to have a test split sampled from it."
        )


def _kind(listing: ImageListing) -> DatasetKind:
    """Infer what images of a listing are for; a registry entry states it."""
    if listing.points is not None:
        return "correspondence"
    if listing.depths is not None:
        return "depth"
    if listing.masks is not None:
        return "segmentation"
    if listing.boxes is not None:
        return "object-detection"
    if listing.judgements is not None:
        return "triplets" if "chosen" in listing.judgements else "retrieval"
    if listing.label_sets is not None:
        return "multi-label"
    if listing.labels is None and listing.captions is not None:
        return "image-text"
    return "classification"


def _has_pixel_targets(listing: ImageListing) -> bool:
    targets = (listing.masks, listing.depths, listing.boxes, listing.points)
    return any(target is not None for target in targets)


def _with_splits(
    name: str, classes: tuple[str, ...], images: Split, listing: ImageListing, seed: int
) -> Dataset:
    """Take the given splits, or sample a test split from train."""
    sides = np.array(listing.splits, dtype=object)
    origin: dict[str, object] = {"kind": "official"}
    notes = []
    if "train" in listing.splits and "test" not in listing.splits:
        sides = _sample_test(images, listing, np.flatnonzero(sides == "train"), seed)
        origin = _automatic_origin(listing, seed)
        if "val" in listing.splits:
            notes.append(_val_without_test(listing))
    splits = {
        side: images.take(np.flatnonzero(sides == side)) for side in ROLES if (sides == side).any()
    }
    return Dataset(name, classes, splits, origin, tuple(notes), judgements=listing.judgements)


def _val_without_test(listing: ImageListing) -> str:
    return (
        f"there is a val split and no test split: {listing.test_share:.0%} of train are drawn as "
        "test, and val chooses settings. To test on val, use `--test-split val`, or name val as "
        "the test split in the entry"
    )


def _alpha_notes(images: Split) -> list[str]:
    """Return a note on how images with alpha are shown to the backbones."""
    n = int((traits_of(images.content) & Trait.ALPHA > 0).sum())
    if not n:
        return []
    have = f"{n:,} of {len(images):,} images {'has' if n == 1 else 'have'} an alpha channel"
    if images.alpha == "drop":
        return [f"{have}, which is ignored: the colours stored under it are seen (--alpha drop)"]
    return [f"{have}: transparent pixels are shown on {images.alpha} (see --alpha)"]


def _all_images(listing: ImageListing, classes: Sequence[str]) -> Split:
    """Return all images of a listing as one split."""
    y, labels = _labels(listing, classes)
    return Split(
        ids=tuple(listing.ids) if isinstance(listing.ids, list) else listing.ids,
        y=y,
        content=tuple(listing.content) if isinstance(listing.content, list) else listing.content,
        read=(
            listing.read
            if listing.is_derived
            else planned_reader(listing.read, listing.content, listing.ids)
        ),
        groups=None if listing.groups is None else tuple(listing.groups),
        attributes={key: tuple(values) for key, values in listing.attributes.items()},
        labels=labels,
        captions=None if listing.captions is None else tuple(listing.captions),
        masks=listing.masks,
        depths=listing.depths,
        boxes=listing.boxes,
        points=listing.points,
        alpha=listing.alpha,
    )


def _labels(
    listing: ImageListing, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """Return the class of each image (N,), -1 for none, and the label sets (N, C) or None."""
    index = {label: c for c, label in enumerate(classes)}
    if listing.labels is not None:
        y = (index[label] for label in listing.labels)
        return np.fromiter(y, np.int64, len(listing.ids)), None
    if listing.label_sets is None:
        return np.full(len(listing.ids), -1), None
    labels = np.zeros((len(listing.ids), len(classes)), bool)
    for i, label_set in enumerate(listing.label_sets):
        labels[i, [index[label] for label in label_set]] = True
    return np.where(labels.any(1), labels.argmax(1), -1), labels


def _classes(listing: ImageListing) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes that have images, and a note of those that have none."""
    if not len(listing.ids):
        raise DatasetError(f"{listing.where}: holds no images.")
    if _has_pixel_targets(listing):  # which classes occur is in the masks, which are not read here
        return tuple(listing.classes or ()), []
    present = set(listing.labels or ())
    for label_set in listing.label_sets or ():
        present |= set(label_set)
    declared = listing.classes
    classes = sorted(present, key=natural_key) if declared is None else declared
    empty = [label for label in classes if label not in present]
    notes = [f"classes without images are left out: {quoted(empty)}"] if empty else []
    return tuple(label for label in classes if label in present), notes


def _with_left_out_shift(
    name: str,
    classes: tuple[str, ...],
    images: Split,
    listing: ImageListing,
    leave_out: Mapping[str, Sequence[str]],
    seed: int,
) -> Dataset:
    """Make a shift of the images that are left out, and split the others.

    All are views of the same images, whose features are stored once. Groups with images in the
    shift go to test, so that none of their images is fitted on.
    """
    out = _has_values(images, listing.where, leave_out)
    left = "+".join(value for values in leave_out.values() for value in values)
    shared = _shares_groups(images, out)
    sides = _sample_test(images, listing, np.flatnonzero(~out), seed, shared[~out])
    if not (~out & (sides == "train")).any():
        raise DatasetError(
            f"{listing.where}: every group has images that leave_out {dict(leave_out)!r} leaves "
            "out, so that none is left for train. Leave out other images, or remove the groups."
        )
    parts: tuple[Role, ...] = ("train", "test")
    splits = {side: images.part("whole", np.flatnonzero(~out & (sides == side))) for side in parts}
    shift = Shift(images.part("whole", np.flatnonzero(out)), "shift")
    notes = []
    if shared.any():
        notes.append(
            f"{shared.sum():,} images are in test because the shift {left!r} has images of their "
            "groups too"
        )
    if given := sorted(set(listing.splits) - {"train"}):
        notes.append(
            f"the given splits ({', '.join(given)}) are not used: leave_out splits all images"
        )
    origin = {**_automatic_origin(listing, seed), "left_out": left}
    return Dataset(name, classes, splits, origin, tuple(notes), shifts={left: shift})


def _shares_groups(images: Split, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the other images (N,) are in a group with one that is left out."""
    if images.groups is None:
        return np.zeros(len(images), bool)
    left_out = {images.groups[int(i)] for i in np.flatnonzero(out)}
    shares = (group in left_out for group in images.groups)
    return np.fromiter(shares, bool, len(images)) & ~out


def _has_values(
    images: Split, where: str, leave_out: Mapping[str, Sequence[str]]
) -> NDArray[np.bool_]:
    """Return which images (N,) have one of the values; DatasetError where all or none have."""
    out = np.zeros(len(images), bool)
    for attribute, values in leave_out.items():
        if attribute not in images.attributes:
            known = ", ".join(images.attributes) or "none"
            raise DatasetError(
                f"{where}: leave_out names the attribute {attribute!r}, which images do not have. "
                f"Known: {known}."
            )
        out |= np.isin(np.array(images.attributes[attribute], dtype=object), list(values))
    if not out.any() or out.all():
        values_of = (
            f"{attribute} {', '.join(sorted(set(images.attributes[attribute]))[:_NAMES_SHOWN])}"
            for attribute in leave_out
        )
        raise DatasetError(
            f"{where}: leave_out {dict(leave_out)!r} leaves out {'all' if out.any() else 'no'} "
            f"images. There are: {'; '.join(values_of)}."
        )
    return out


def _automatic_origin(listing: ImageListing, seed: int) -> dict[str, object]:
    return {"kind": listing.automatic_kind, "share": listing.test_share, "seed": seed}


def _sample_test(
    images: Split,
    listing: ImageListing,
    train: NDArray[np.int64],
    seed: int,
    not_train: NDArray[np.bool_] | None = None,
) -> NDArray[np.object_]:
    """Return the names of the splits (N,): the given ones, with a test split sampled from train.

    `not_train` marks those of the train positions that may not stay there.
    """
    if images.labels is not None or (listing.labels is None and not _has_pixel_targets(listing)):
        raise DatasetError(
            f"{listing.where}: has no test split, and none can be sampled from images without one "
            "label each. Give test images."
        )
    sides = np.array(listing.splits, dtype=object)
    content = listing.split_content or listing.content
    groups = None if images.groups is None else [images.groups[i] for i in train]
    try:
        test = automatic_test(
            images.y[train],
            [content[i] for i in train],
            groups,
            listing.test_share,
            seed,
            not_train,
        )
    except DatasetError as error:
        raise DatasetError(f"{listing.where}: {error}") from error
    sides[train] = np.where(test, "test", "train")
    return sides


def _one_sided_classes(dataset: Dataset) -> list[str]:
    """Return notes on classes with train images and no test images, and the other way round.

    Where some classes are declared normal, the anomalies are expected in test alone.
    """
    train, test = dataset.splits.get("train"), dataset.splits.get("test")
    if train is None or test is None or test.labels is not None:
        return []
    trained, tested = (set(split.y[split.y >= 0].tolist()) for split in (train, test))
    lost = {"test": trained - tested}
    if dataset.normal is None:
        lost["train"] = tested - trained
    return [
        f"classes without {side} images: {quoted([dataset.classes[c] for c in sorted(classes)])}"
        for side, classes in lost.items()
        if classes
    ]


def _class_counts(classes: Sequence[str], images: Split) -> dict[str, int]:
    """Return the number of images of each class."""
    if images.labels is not None:
        counts = images.labels.sum(axis=0)
    else:
        counts = np.bincount(images.y[images.y >= 0], minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def quoted(names: Sequence[str]) -> str:
    """Return names in quotes, the first twenty of many."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + more


def shift_overlaps(dataset: Dataset) -> list[str]:
    """Return notes on images and groups that lie in a shift and in train or val."""
    notes = []
    fitted: list[Role] = [side for side in ("train", "val") if side in dataset.splits]
    digests = {side: set(dataset.splits[side].content) for side in fitted if dataset.shifts}
    for name, shift in dataset.shifts.items():
        for side in fitted:
            if n := sum(digest in digests[side] for digest in shift.split.content):
                images = (
                    "image of the shift {0!r} is" if n == 1 else "images of the shift {0!r} are"
                )
                notes.append(f"{n:,} {images.format(name)} byte-identical to images of {side}")
            there = dataset.splits[side].groups
            if groups := set(shift.split.groups or ()) & set(there or ()):
                have = "group has" if len(groups) == 1 else "groups have"
                notes.append(f"{len(groups):,} {have} images in both the shift {name!r} and {side}")
    return notes


def _overlaps(splits: Mapping[Role, Split]) -> list[str]:
    """Return notes on images and groups that lie in two splits."""
    notes = []
    pairs: list[tuple[Role, Role]] = [("test", "train"), ("test", "val"), ("val", "train")]
    for first, second in pairs:
        if first not in splits or second not in splits:
            continue
        here, there = splits[first], splits[second]
        if n := count_shared_images(here.content, there.content):
            images = "image of {0} is" if n == 1 else "images of {0} are"
            notes.append(f"{n} {images.format(first)} byte-identical to images of {second}")
        if groups := set(here.groups or ()) & set(there.groups or ()):
            have = "group has" if len(groups) == 1 else "groups have"
            notes.append(f"{len(groups)} {have} images in both {first} and {second}")
    return notes
