"""What a reader found, checked and split into a Dataset. Every reader ends here, so every dataset obeys the same rules:

at least two classes, each with train images; a train and a test split; duplicates and groups across given splits counted in the notes.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.splits import SEED, SHARE, automatic_test, shared_images
from bob.errors import DatasetError

SPLIT_NAMES: Mapping[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names that people give to splits, and ours."""
_TRAIN = "Add a train split, or call the only split 'train' to have a test split taken from it."


@dataclass(frozen=True, eq=False)
class Listing:
    """N labelled images of all splits together, as a reader found them."""

    where: str
    """The dataset's place, for messages."""
    ids: Sequence[str]
    labels: Sequence[str]
    """N class names."""
    content: Sequence[str]
    """N hex digests, as in `Split.content`."""
    read: Callable[[int], bytes]
    splits: Sequence[SplitName]
    """N names of the split that each image was given to. Without any "test", an automatic one is taken from "train"."""
    classes: Sequence[str] | None = None
    """Class names in their official order; None orders them naturally."""
    groups: Sequence[str] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    drawn: Sequence[str] | None = None
    """N digests for the automatic split where `content` holds more than the image's source (a renderer's version), else None."""
    notes: Sequence[str] = ()


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key in which numbers count as numbers: 0, 1, 2, 10 and not 0, 1, 10, 2."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))), name


def assemble(name: str, found: Listing, kind: str = "automatic", share: float = SHARE, seed: int = SEED) -> Dataset:
    """The dataset; `kind`, `share` and `seed` are for the test split where none was given."""
    classes, unused = _classes(found)
    index = {label: c for c, label in enumerate(classes)}
    everything = Split(
        ids=tuple(found.ids),
        y=np.array([index[label] for label in found.labels], np.int64),
        content=tuple(found.content),
        read=found.read,
        groups=None if found.groups is None else tuple(found.groups),
        attributes={key: tuple(values) for key, values in found.attributes.items()},
    )
    given = "test" in found.splits
    sides = np.array(found.splits, dtype=object) if given else _automatic(everything, found, share, seed)
    origin = {"kind": "official"} if given else {"kind": kind, "share": share, "seed": seed}
    splits: dict[SplitName, Split] = {side: everything.take(np.flatnonzero(sides == side)) for side in SPLIT_NAMES.values() if (sides == side).any()}
    _check_train(classes, splits, found.where)
    notes = (*found.notes, *unused, *_untested(classes, splits), *_straddling(splits))
    return Dataset(name=name, classes=classes, splits=splits, split_origin=origin, notes=notes)


def _classes(found: Listing) -> tuple[tuple[str, ...], list[str]]:
    """The classes that have images, and a note of those that have none."""
    present = set(found.labels)
    if "train" not in found.splits:
        raise DatasetError(f"{found.where}: holds {' and '.join(sorted(set(found.splits))) or 'no'} images and no train images. {_TRAIN}")
    if len(present) == 1:
        raise DatasetError(f"{found.where}: all images are of one class, {found.labels[0]!r}; at least two are needed.")
    known = found.classes or sorted(present, key=natural)
    empty = [repr(label) for label in known if label not in present]
    return tuple(label for label in known if label in present), [f"classes without images are left out: {', '.join(empty)}"] if empty else []


def _automatic(everything: Split, found: Listing, share: float, seed: int) -> NDArray[np.object_]:
    """(N,) names of splits: the given ones, with part of train turned to test."""
    sides = np.array(found.splits, dtype=object)
    train = np.flatnonzero(sides == "train")
    positions = train.tolist()
    content = found.drawn or found.content
    groups = None if everything.groups is None else [everything.groups[i] for i in positions]
    try:
        test = automatic_test(everything.y[train], [content[i] for i in positions], groups, share, seed)
    except DatasetError as error:
        raise DatasetError(f"{found.where}: {error}") from error
    sides[train[test]] = "test"
    return sides


def _check_train(classes: Sequence[str], splits: Mapping[SplitName, Split], where: str) -> None:
    """Every class must have train images, else no probe can know it."""
    trained = set(splits["train"].y.tolist())
    for side, split in splits.items():
        if lost := sorted(set(split.y.tolist()) - trained):
            raise DatasetError(f"{where}: {side} holds images of {', '.join(repr(classes[c]) for c in lost)}, of which train has none.")


def _untested(classes: Sequence[str], splits: Mapping[SplitName, Split]) -> list[str]:
    lost = sorted(set(range(len(classes))) - set(splits["test"].y.tolist()))
    return [f"classes without test images: {', '.join(repr(classes[c]) for c in lost)}"] if lost else []


def _straddling(splits: Mapping[SplitName, Split]) -> list[str]:
    """Notes on images and groups that are on two sides."""
    notes = []
    pairs: list[tuple[SplitName, SplitName]] = [("test", "train"), ("test", "val"), ("val", "train")]
    for one, other in pairs:
        if one not in splits or other not in splits:
            continue
        here, there = splits[one], splits[other]
        if n := shared_images(here.content, there.content):
            notes.append(f"{n} {'image' if n == 1 else 'images'} of {one} {'is' if n == 1 else 'are'} byte-identical to images of {other}")
        if groups := set(here.groups or ()) & set(there.groups or ()):
            notes.append(f"{len(groups)} {'group has' if len(groups) == 1 else 'groups have'} images in both {one} and {other}")
    return notes


def tally(values: Sequence[str]) -> str:
    """'.json (2), .txt (1)', for notes."""
    return ", ".join(f"{value} ({n})" for value, n in sorted(Counter(values).items()))
