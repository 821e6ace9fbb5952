"""Datasets: encoded images, labels and splits. No image is decoded before it is asked for."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.boxes import BoxSets
from bob.datasets.content.images import DEFAULT_ALPHA, Alpha, decode
from bob.datasets.content.sequences import take
from bob.datasets.content.traits import may_have_alpha
from bob.datasets.depths import Depths
from bob.datasets.masks import Masks
from bob.datasets.points import PointSets
from bob.numerics.arrays import Ints
from bob.specs import PairedGroups, Role
from bob.specs.dataset import DatasetKind

_CHUNK = 65_536
"""Digests that are joined at once."""
SplitName = Role
Judgements = Mapping[str, Sequence[Sequence[int]]]
"""Level ("positive", "easy", "hard", "junk") → for each query, the gallery positions so judged."""


@dataclass(frozen=True, eq=False)
class Split:
    """N labelled images of one split, in a fixed order."""

    ids: Sequence[str]
    """N names, unique within the dataset, by which a person finds the image: a path below the
    dataset's folder, a row number."""
    y: NDArray[np.int64]
    """(N,) class indices into the dataset's `classes`; -1 where an image has no class."""
    content: Sequence[str]
    """N hex digests (xxh3-128) of what each image is made from; equal digests are byte-identical
    images."""
    read: Callable[[int], bytes]
    """Position in 0..N-1 → the encoded image. Safe to call from several threads."""
    groups: Sequence[str] | None = None
    """N group names (patient, site, object), or None."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other facts with N values each: {"cell_type": ("mono", "poly", ...)}. Neither labels nor
    groups."""
    labels: NDArray[np.bool_] | None = None
    """(N, C) the classes of each image where it can have several; `y` is then the first of them."""
    captions: Sequence[tuple[str, ...]] | None = None
    """N tuples of sentences that describe each image, or None."""
    masks: Masks | None = None
    """The class of every pixel, or None."""
    depths: Depths | None = None
    """The depth of every pixel, or None."""
    boxes: BoxSets | None = None
    """Where the objects of each image are, or None."""
    points: PointSets | None = None
    """Points that correspond between source (query) and target (gallery) images, or None."""
    alter: Callable[[int, Image.Image], Image.Image] | None = None
    """Position and decoded RGB image → the image that is cropped and embedded; `content` covers
    it. None leaves images unchanged."""
    origin: "Origin | None" = None
    """The split whose stored features these images share; see `part`."""
    alpha: Alpha = DEFAULT_ALPHA
    """The background on which transparent images are laid."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"

    @functools.cached_property
    def present_classes(self) -> frozenset[int]:
        """The class indices that occur in `y`, among them -1 where an image has no class."""
        return frozenset(np.unique(self.y).tolist())

    def decode(self, i: int) -> Image.Image:
        """Return the image at a position in 0..N-1 in mode RGB, before `alter`.

        UnreadableImageError, or OSError, where it cannot be read.
        """
        return decode(self.read(i), self.ids[i], self.alpha)

    @functools.cached_property
    def alpha_used(self) -> Alpha | None:
        """The background of transparent images; None where no image can be transparent."""
        return self.alpha if may_have_alpha(self.content) else None

    @functools.cached_property
    def images_fingerprint(self) -> str:
        """Hex digest of the images in their order: what features depend on."""
        digest = xxhash.xxh3_128()
        for start in range(0, len(self), _CHUNK):
            joined = "\n".join(self.content[start : start + _CHUNK])
            digest.update((("\n" if start else "") + joined).encode())
        return digest.hexdigest()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex digest of the images and of their labels, groups, attributes, captions, targets."""
        attributes = {name: list(values) for name, values in sorted(self.attributes.items())}
        facts = (
            self.groups and list(self.groups),
            attributes,
            self.captions and list(self.captions),
        )
        digest = xxhash.xxh3_128(f"{self.images_fingerprint}\0".encode())
        digest.update(self.y.tobytes())
        digest.update(repr(facts).encode())
        digest.update(b"" if self.labels is None else np.packbits(self.labels).tobytes())
        if self.masks is not None:
            digest.update("\n".join(["\0masks", *self.masks.content]).encode())
        if self.depths is not None:
            scored = f"\0depths {self.depths.range_m} {self.depths.crop}"
            digest.update("\n".join([scored, *self.depths.content]).encode())
        if self.boxes is not None:
            digest.update("\n".join(["\0boxes", *self.boxes.content]).encode())
        if self.points is not None:
            digest.update("\n".join(["\0points", *self.points.content]).encode())
        return digest.hexdigest()

    @property
    def full(self) -> "tuple[str | None, Split]":
        """The split whose features are stored, and its name: its origin's, or None for itself."""
        return (None, self) if self.origin is None else (self.origin.name, self.origin.split)

    def take(self, positions: NDArray[np.int64]) -> "Split":
        """Return the split of these positions, in this order, with features of its own."""
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
            masks=None if self.masks is None else self.masks.take(positions),
            depths=None if self.depths is None else self.depths.take(positions),
            boxes=None if self.boxes is None else self.boxes.take(positions),
            points=None if self.points is None else self.points.take(positions),
            alter=None if alter is None else lambda i, image: alter(int(positions[i]), image),
            alpha=self.alpha,
        )

    def part(self, name: str, positions: NDArray[np.int64]) -> "Split":
        """Return a view of this split, which is called `name`, at some positions.

        As `take`, but the features of the view are rows of the full split's, so that nothing is
        embedded twice.
        """
        above = self.origin or Origin(name, self, np.arange(len(self)))
        origin = dataclasses.replace(above, positions=above.positions[positions])
        return dataclasses.replace(self.take(positions), origin=origin)


@dataclass(frozen=True, eq=False)
class Origin:
    """The full split of a view."""

    name: str
    split: Split
    positions: NDArray[np.int64]
    """(N,) positions in the full split of the view's images."""


@dataclass(frozen=True, eq=False)
class Shift:
    """Test images that differ from the train images in a known way."""

    split: Split
    """Its `y` counts in the classes of the dataset that it belongs to; that of a near or far set
    is meaningless."""
    kind: Literal["shift", "near", "far"]
    """The same classes under other conditions, or images of none of the classes: similar to them,
    or very different."""
    classes: tuple[int, ...] | None = None
    """Classes among which to score (ImageNet-A and -R hold 200 of 1,000); None is all."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named dataset: train and test splits and perhaps a val split; or query and gallery."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Split]
    split_origin: Mapping[str, Any] = field(default_factory=dict)
    """How the splits were made: {"kind": "official" | "documented" | "automatic", ...}, with seed
    and share of an automatic one."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know: duplicates across splits, untested classes."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Kind of files (or images, or rows) that are there and are not read → their number."""
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    """Further test sets of its family, by name."""
    judgements: Judgements | None = None
    """Which gallery images are relevant to which query, where labels do not say it."""
    worst_group: str | None = None
    """The attribute whose values are the groups of a worst-group score; None takes each test set
    as one group."""
    normal: tuple[int, ...] | None = None
    """The classes that are normal, where the others are anomalies; None is not declared."""
    group_by: tuple[str, ...] | None = None
    """Attributes by which accuracy is compared; None is those with few values."""
    paired: PairedGroups | None = None
    """Which values of an attribute make images easy or hard; None where it is not declared."""
    concept_counts: Mapping[str, Ints] = field(default_factory=dict)
    """Corpus → (C,) how often each class occurs in it; see `bob.datasets.concept_counts`."""
    target: str | None = None
    """The attribute whose numbers a regression predicts; None where there is none."""
    kind: DatasetKind = "classification"
    """What the images are for; see `bob.specs.dataset`."""

    def __repr__(self) -> str:
        """Return the sizes of classes and splits: all ids would fill a notebook."""
        parts = [f"{len(self.classes):,} classes"]
        parts += [f"{name} {len(split):,}" for name, split in self.splits.items()]
        parts += [f"{name} {len(shift.split):,}" for name, shift in self.shifts.items()]
        return f"Dataset({self.name!r}: {', '.join(parts)})"

    @property
    def alpha_used(self) -> Alpha | None:
        """The background of transparent images; None where no image can be transparent."""
        splits = (*self.splits.values(), *(shift.split for shift in self.shifts.values()))
        return next((split.alpha for split in splits if split.alpha_used), None)

    def with_shifts(self, names: Collection[str]) -> "Dataset":
        """Return the dataset with some of its shifts only, on which the others have no effect."""
        shifts = {name: shift for name, shift in self.shifts.items() if name in names}
        return dataclasses.replace(self, shifts=shifts)

    def fingerprint(self, shifts: Iterable[str] | None = None) -> str:
        """Return a hex digest of images, labels, classes and splits: what scores depend on.

        `shifts` are the names of the shifts that count; None is all.
        """
        digest = xxhash.xxh3_128("\n".join(self.classes).encode())
        for name, split in sorted(self.splits.items()):
            digest.update(f"\0{name}\0{split.fingerprint}".encode())
        for shift_name in sorted(self.shifts if shifts is None else set(shifts) & set(self.shifts)):
            shift = self.shifts[shift_name]
            digest.update(
                f"\0{shift_name}\0{shift.kind}\0{shift.classes}\0{shift.split.fingerprint}".encode()
            )
        if self.worst_group is not None:
            digest.update(f"\0{self.worst_group}".encode())
        if self.normal is not None:
            digest.update(f"\0normal {self.normal}".encode())
        if self.group_by is not None:
            digest.update(f"\0group_by {self.group_by}".encode())
        if self.paired is not None:
            digest.update(f"\0paired {self.paired.model_dump(exclude={'caveat'})}".encode())
        if self.target is not None:
            digest.update(f"\0target {self.target}".encode())
        for corpus, count in sorted(self.concept_counts.items()):
            digest.update(f"\0frequency {corpus}\0".encode() + count.tobytes())
        if self.judgements is not None:
            digest.update(self._judgements_digest.encode())
        return digest.hexdigest()

    @functools.cached_property
    def _judgements_digest(self) -> str:
        levels = {
            level: [tuple(row) for row in rows]
            for level, rows in sorted((self.judgements or {}).items())
        }
        return xxhash.xxh3_128_hexdigest(repr(levels).encode())
