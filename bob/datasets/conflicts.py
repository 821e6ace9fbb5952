"""Byte-identical images that have different labels or targets, and images that cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bob.datasets.content.repeats import repeats
from bob.datasets.content.sequences import concatenate
from bob.datasets.content.traits import Trait, traits_of
from bob.datasets.dataset import Split
from bob.errors import UnreadableImageError

IMAGES_NAMED = 3
"""Unreadable images that a note names per split."""
SUSPECT = Trait.UNREADABLE | Trait.CUT
"""Traits of images that are decoded before a run, to see whether they can be."""


@dataclass(frozen=True)
class LabelConflict:
    """Images with the same bytes and two or more labels."""

    images: tuple[str, ...]
    """Ids of all of them, split by split."""
    labels: tuple[str, ...]
    """The label of each."""

    def example(self) -> dict[str, str]:
        """Return label → id of the first image with that label."""
        first: dict[str, str] = {}
        for image, label in zip(self.images, self.labels, strict=True):
            first.setdefault(label, image)
        return first


def label_conflicts(splits: Sequence[Split], classes: Sequence[str]) -> list[LabelConflict]:
    """Return the contents that occur with different labels, within a split or in several."""
    labelled = [split for split in splits if split.labels is not None or (split.y >= 0).any()]
    if not labelled:
        return []
    offsets = np.cumsum([0, *map(len, labelled)])
    conflicts = []
    for positions in repeats(concatenate([split.content for split in labelled])):
        parts = np.searchsorted(offsets, positions, side="right") - 1
        places = [
            (labelled[part], position - int(offsets[part]))
            for part, position in zip(parts.tolist(), positions, strict=True)
        ]
        labels = [_label(split, i, classes) for split, i in places]
        if len(set(labels) - {""}) > 1:
            conflicts.append(LabelConflict(tuple(s.ids[i] for s, i in places), tuple(labels)))
    return conflicts


def conflict_notes(splits: Sequence[Split], classes: Sequence[str]) -> list[str]:
    """Return a note on byte-identical images that have different labels."""
    conflicts = label_conflicts(splits, classes)
    if not conflicts:
        return []
    images = sum(len(conflict.images) for conflict in conflicts)
    example = " and ".join(
        f"{image!r} ({label})" for label, image in list(conflicts[0].example().items())[:2]
    )
    others = f" ({len(conflicts):,} different images)" if len(conflicts) > 1 else ""
    return [
        f"{images:,} images{others} are byte-identical to images with another label, such as "
        f"{example}: no classifier can get all of them right"
    ]


def target_conflict_notes(images: Split) -> list[str]:
    """Return notes on byte-identical images whose masks or depth maps have other bytes."""
    notes = []
    for what, targets in (("mask", images.masks), ("depth map", images.depths)):
        if targets is None:
            continue
        contents = [
            positions
            for positions in repeats(images.content)
            if len({targets.content[i] for i in positions}) > 1
        ]
        if contents:
            example = " and ".join(repr(images.ids[i]) for i in contents[0][:2])
            notes.append(
                f"{sum(map(len, contents)):,} images are byte-identical to images with another "
                f"{what}, such as {example}: where pixels differ, no prediction can fit both"
            )
    return notes


def ids_with(split: Split, trait: Trait) -> list[str]:
    """Return the ids of the images that have a trait."""
    return [split.ids[int(i)] for i in np.flatnonzero(traits_of(split.content) & trait)]


def unreadable_reasons(split: Split) -> dict[int, str]:
    """Return position → reason of the suspect images that cannot be decoded; no other is opened."""
    reasons = {}
    for i in np.flatnonzero(traits_of(split.content) & SUSPECT).tolist():
        try:
            split.decode(i)
        except UnreadableImageError as error:
            reasons[i] = str(error)
        except OSError as error:
            reasons[i] = f"{split.ids[i]}: cannot be read ({error.strerror or error})."
    return reasons


def unreadable_notes(splits: Mapping[str, Split]) -> list[str]:
    """Return notes on the images of all splits that cannot be read, and that are cut short."""
    return [
        *_trait_notes(splits, Trait.UNREADABLE, "cannot be read as {images}"),
        *_trait_notes(splits, Trait.CUT, "{are} cut short"),
    ]


def _trait_notes(splits: Mapping[str, Split], trait: Trait, text: str) -> list[str]:
    """Return a note on the images that have a trait, if there are any."""
    ids_of = {name: ids for name, split in splits.items() if (ids := ids_with(split, trait))}
    if not ids_of:
        return []
    total = sum(map(len, ids_of.values()))
    named = "; ".join(f"{name}: {_named(ids)}" for name, ids in ids_of.items())
    file, them = ("file", "it") if total == 1 else ("files", "them")
    words = (
        {"images": "an image", "are": "is"} if total == 1 else {"images": "images", "are": "are"}
    )
    return [
        f"{total:,} {file} {text.format(**words)} ({named}). Repair or remove {them}, or leave "
        f"{them} out with --skip-bad-images"
    ]


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - IMAGES_NAMED:,} more" if len(ids) > IMAGES_NAMED else ""
    return ", ".join(map(repr, ids[:IMAGES_NAMED])) + more


def _label(split: Split, i: int, classes: Sequence[str]) -> str:
    """Return the label of an image, or its labels joined; "" for none."""
    if split.labels is not None:
        return " + ".join(classes[int(c)] for c in np.flatnonzero(split.labels[i]))
    return classes[split.y[i]] if split.y[i] >= 0 else ""
