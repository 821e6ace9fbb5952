"""A dataset: encoded images, labels and splits. Nothing is decoded here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """N labelled images of one split, in a fixed order."""

    ids: tuple[str, ...]
    """N names, unique within the dataset, by which a person finds the image: a path below the dataset's folder, a row number."""
    y: NDArray[np.int64]
    """(N,) class indices into the dataset's `classes`."""
    content: tuple[str, ...]
    """N hex digests (xxh3-128) of what each image is made from; equal digests are byte-identical images."""
    read: Callable[[int], bytes]
    """Position in 0..N-1 → the encoded image. Safe to call from several threads."""
    groups: tuple[str, ...] | None = None
    """N group names (patient, site, object), or None."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other facts, each with N values: {"cell_type": ("mono", "poly", ...)}. Neither labels nor groups."""

    def __len__(self) -> int:
        return len(self.ids)

    def images_fingerprint(self) -> str:
        """Hex digest of the images in their order: what feature rows depend on."""
        return xxhash.xxh3_128_hexdigest("\n".join(self.content).encode())

    def take(self, positions: NDArray[np.int64]) -> "Split":
        """The split made of these positions, in this order."""
        return Split(
            ids=tuple(self.ids[i] for i in positions),
            y=self.y[positions],
            content=tuple(self.content[i] for i in positions),
            read=lambda i: self.read(int(positions[i])),
            groups=None if self.groups is None else tuple(self.groups[i] for i in positions),
            attributes={name: tuple(values[i] for i in positions) for name, values in self.attributes.items()},
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named dataset with a train split, a test split and perhaps a val split."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Split]
    split_origin: Mapping[str, Any] = field(default_factory=dict)
    """How the splits came about: {"kind": "official" | "documented" | "automatic", ...the seed and share of an automatic one}."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know: duplicates across splits, classes without test images."""

    def fingerprint(self) -> str:
        """Hex digest of images, labels, classes and splits: what scores depend on."""
        digest = xxhash.xxh3_128("\n".join(self.classes).encode())
        for name in sorted(self.splits):
            split = self.splits[name]
            digest.update(f"\0{name}\0{split.images_fingerprint()}\0".encode() + split.y.tobytes())
        return digest.hexdigest()
