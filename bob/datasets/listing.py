"""What a reader found, before it is checked and split: every reader returns one, and `bob.datasets.assemble` makes the Dataset of it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bob.datasets.dataset import Judgements
from bob.datasets.splits import SHARE
from bob.specs import Role

SPLIT_NAMES: Mapping[str, Role] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""Names that people give to splits, and ours."""


@dataclass(frozen=True, eq=False)
class Listing:
    """N images of all splits together, as a reader found them."""

    where: str
    """The dataset's place, for messages."""
    ids: Sequence[str]
    content: Sequence[str]
    """N hex digests, as in `Split.content`."""
    read: Callable[[int], bytes]
    splits: Sequence[Role]
    """N names of the split that each image was given to. With "train" and without "test", an automatic one is taken from "train"."""
    labels: Sequence[str] | None = None
    """N class names; None where images have none (retrieval by judgements, captions)."""
    label_sets: Sequence[Sequence[str]] | None = None
    """N sets of class names where an image can have several, instead of `labels`."""
    classes: Sequence[str] | None = None
    """Class names in their official order; None orders them naturally."""
    groups: Sequence[str] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    captions: Sequence[tuple[str, ...]] | None = None
    judgements: Judgements | None = None
    drawn: Sequence[str] | None = None
    """N digests for the automatic split where `content` holds more than the image's source (a renderer's version), else None."""
    automatic: str = "automatic"
    """What an automatic split is called in records: `documented` where it is that of a sample and stays."""
    share: float = SHARE
    """Of an automatic test split."""
    notes: Sequence[str] = ()


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key in which numbers count as numbers: 0, 1, 2, 10 and not 0, 1, 10, 2."""
    return tuple(
        int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))
    ), name


def tally(values: Sequence[str]) -> str:
    """'.json (2), .txt (1)', for notes."""
    return ", ".join(f"{value} ({n})" for value, n in sorted(Counter(values).items()))
