"""A dataset: encoded images, labels and splits. Nothing is decoded here."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.sequences import take
from bob.specs import Role

_CHUNK = 65_536
"""Digests that are joined at once."""
SplitName = Role
Judgements = Mapping[str, Sequence[Sequence[int]]]
"""Level ("positive", "easy", "hard", "junk") → for each query, the gallery positions so judged."""


@dataclass(frozen=True, eq=False)
class Split:
    """N labelled images of one split, in a fixed order."""

    ids: Sequence[str]
    """N names, unique within the dataset, by which a person finds the image: a path below the dataset's folder, a row number."""
    y: NDArray[np.int64]
    """(N,) class indices into the dataset's `classes`."""
    content: Sequence[str]
    """N hex digests (xxh3-128) of what each image is made from; equal digests are byte-identical images."""
    read: Callable[[int], bytes]
    """Position in 0..N-1 → the encoded image. Safe to call from several threads."""
    groups: Sequence[str] | None = None
    """N group names (patient, site, object), or None."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other facts, each with N values: {"cell_type": ("mono", "poly", ...)}. Neither labels nor groups."""
    labels: NDArray[np.bool_] | None = None
    """(N, C) the classes of each image where it can have several; `y` is then the first of them."""
    captions: Sequence[tuple[str, ...]] | None = None
    """N tuples of sentences that describe each image, or None."""
    alter: Callable[[int, Image.Image], Image.Image] | None = None
    """Position and decoded RGB image → the image that is cropped and embedded; `content` tells of it. None leaves images as they are."""
    origin: "Origin | None" = None
    """The split whose stored rows these images share; see `part`."""

    def __len__(self) -> int:
        return len(self.ids)

    def images_fingerprint(self) -> str:
        """Hex digest of the images in their order: what feature rows depend on."""
        return self._images_fingerprint

    @functools.cached_property
    def _images_fingerprint(self) -> str:
        digest = xxhash.xxh3_128()
        for start in range(0, len(self), _CHUNK):
            digest.update(
                (("\n" if start else "") + "\n".join(self.content[start : start + _CHUNK])).encode()
            )
        return digest.hexdigest()

    def take(self, positions: NDArray[np.int64]) -> "Split":
        """The split made of these positions, in this order: images of their own, whose rows are stored for themselves."""
        alter = self.alter
        return Split(
            ids=take(self.ids, positions),
            y=self.y[positions],
            content=take(self.content, positions),
            read=lambda i: self.read(int(positions[i])),
            groups=None if self.groups is None else take(self.groups, positions),
            attributes={name: take(values, positions) for name, values in self.attributes.items()},
            labels=None if self.labels is None else self.labels[positions],
            captions=None if self.captions is None else tuple(self.captions[i] for i in positions),
            alter=None if alter is None else lambda i, image: alter(int(positions[i]), image),
        )

    def part(self, name: str, positions: NDArray[np.int64]) -> "Split":
        """As `take`, but a view of this split, which is called `name`: its rows are rows of the whole, so that nothing is embedded twice."""
        above = self.origin or Origin(name, self, np.arange(len(self)))
        return dataclasses.replace(
            self.take(positions),
            origin=dataclasses.replace(above, positions=above.positions[positions]),
        )


@dataclass(frozen=True, eq=False)
class Origin:
    """What a view is a view of."""

    name: str
    split: Split
    positions: NDArray[np.int64]
    """(N,) where each image of the view is in the whole."""


@dataclass(frozen=True, eq=False)
class Shift:
    """Test images that differ from the train images in a known way."""

    split: Split
    """Its `y` counts in the classes of the dataset that it belongs to; that of a near or far set means nothing."""
    kind: Literal["shift", "near", "far"]
    """The same classes under other conditions, or images of none of the classes: close to them, or far from them."""
    classes: tuple[int, ...] | None = None
    """Score among these classes only (ImageNet-A and -R hold 200 of 1,000); None is all."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named dataset: train and test splits and perhaps a val split; or query and gallery."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Split]
    split_origin: Mapping[str, Any] = field(default_factory=dict)
    """How the splits came about: {"kind": "official" | "documented" | "automatic", ...the seed and share of an automatic one}."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know: duplicates across splits, classes without test images."""
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    """Further test sets of its family, by name."""
    judgements: Judgements | None = None
    """Which gallery images answer which query, where labels do not say it."""
    worst_group: str | None = None
    """The attribute whose values are the groups among which a worst one is looked for; None takes each test set as one."""

    def with_shifts(self, names: Collection[str]) -> "Dataset":
        """The dataset with these of its shifts alone: scores that are of none of the others do not depend on them."""
        return dataclasses.replace(
            self, shifts={name: shift for name, shift in self.shifts.items() if name in names}
        )

    def fingerprint(self) -> str:
        """Hex digest of images, labels, classes and splits, those of its shifts among them: what scores depend on."""
        digest = xxhash.xxh3_128("\n".join(self.classes).encode())
        for name, split in sorted(self.splits.items()):
            digest.update(f"\0{name}\0".encode() + _told(split))
        for shift_name, shift in sorted(self.shifts.items()):
            digest.update(
                f"\0{shift_name}\0{shift.kind}\0{shift.classes}\0".encode() + _told(shift.split)
            )
        if self.worst_group is not None:
            digest.update(f"\0{self.worst_group}".encode())
        if self.judgements is not None:
            digest.update(
                repr(
                    {
                        level: [tuple(row) for row in rows]
                        for level, rows in sorted(self.judgements.items())
                    }
                ).encode()
            )
        return digest.hexdigest()


def _told(split: Split) -> bytes:
    """A split's images and everything that is said of them."""
    attributes = {name: list(values) for name, values in sorted(split.attributes.items())}
    said = (
        split.groups and list(split.groups),
        attributes,
        split.captions and list(split.captions),
    )
    labels = b"" if split.labels is None else np.packbits(split.labels).tobytes()
    return (
        f"{split.images_fingerprint()}\0".encode()
        + split.y.tobytes()
        + repr(said).encode()
        + labels
    )
