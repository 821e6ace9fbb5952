"""Listings: the images that a reader found, before `bob.datasets.assemble` checks and splits them.

Every reader returns an `ImageListing`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bob.datasets.boxes import BoxSets
from bob.datasets.content.images import DEFAULT_ALPHA, Alpha
from bob.datasets.dataset import Judgements
from bob.datasets.depths import Depths
from bob.datasets.masks import Masks
from bob.datasets.points import PointSets
from bob.datasets.splits import TEST_SHARE
from bob.specs import Role


@dataclass(frozen=True, eq=False)
class ImageListing:
    """N images of all splits together, as a reader found them."""

    where: str
    """Location of the dataset, which begins error messages."""
    ids: Sequence[str]
    content: Sequence[str]
    """N hex digests, as in `Split.content`."""
    read: Callable[[int], bytes]
    """Position in 0..N-1 → the encoded image, whose digest is compared with `content`."""
    splits: Sequence[Role]
    """N split names. With "train" and without "test", "train" is split automatically."""
    labels: Sequence[str] | None = None
    """N class names; None if images have no labels (retrieval by judgements, captions)."""
    label_sets: Sequence[Sequence[str]] | None = None
    """N sets of class names, which replace `labels` if an image can have several labels."""
    classes: Sequence[str] | None = None
    """Class names in their official order; None sorts them in natural order."""
    label_column: str | None = None
    """Name of the column that holds the labels, where it is not an attribute too."""
    groups: Sequence[str] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    captions: Sequence[tuple[str, ...]] | None = None
    masks: Masks | None = None
    """The class of every pixel, as an index into `classes`, which then must be given."""
    depths: Depths | None = None
    """The depth of every pixel."""
    boxes: BoxSets | None = None
    """Where the objects of each image are; `classes` then must be given."""
    points: PointSets | None = None
    """Points that correspond between images of the splits query and gallery."""
    judgements: Judgements | None = None
    split_content: Sequence[str] | None = None
    """N digests for the automatic split; None uses `content`.

    Set if `content` also depends on something that must not move the split: a renderer's version.
    """
    is_derived: bool = False
    """Whether `read` makes images of other bytes, and compares those with their digests itself;
    `content` then also covers how they are made."""
    automatic_kind: str = "automatic"
    """Kind of an automatic split in records; `documented` for the fixed split of a sample."""
    test_share: float = TEST_SHARE
    """Share of each class that an automatic split puts into test."""
    test_split: str | None = None
    """Name of the split that serves as the test split, where the user chose one."""
    alpha: Alpha = DEFAULT_ALPHA
    """The background on which transparent images are laid."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Kind of files (or images, or rows) that are there and are not read → their number."""
    notes: Sequence[str] = ()


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that compares numbers by value: 0, 1, 2, 10 and not 0, 1, 10, 2."""
    return tuple(
        int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))
    ), name


def tally(counts: Mapping[str, int]) -> str:
    """Return values with their counts as text: '.json (2), .txt (1)'."""
    return ", ".join(f"{value} ({n:,})" for value, n in sorted(counts.items()))
