"""Masks: the class of every pixel of an image, which dense tasks learn and predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.images import pixel_values
from bob.datasets.content.sequences import take
from bob.errors import UnreadableImageError

IGNORED = -1
"""Class of pixels that are neither learnt nor scored."""
Mask = NDArray[np.int16]
"""(H, W) class index of each pixel, or IGNORED."""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of the N images of a split, in their order."""

    content: Sequence[str]
    """N hex digests of what each mask is made from."""
    read: Callable[[int], Mask]
    """Position in 0..N-1 → the mask at its own size, upright. Safe to call from several threads.

    DatasetError where it cannot be read or holds a class that the dataset does not have."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.content)

    def take(self, positions: NDArray[np.int64]) -> "Masks":
        """Return the masks of the images at these positions, in this order."""
        return Masks(take(self.content, positions), lambda i: self.read(int(positions[i])))


def decode_indices(data: bytes, name: str) -> NDArray[np.int32]:
    """Return the indices (H, W) of a grey or palette image; `name` appears in error messages.

    UnreadableImageError where it cannot be decoded, or holds colours instead of indices.
    """
    remedy = "Save it as a PNG with one channel or a palette, whose values are class indices."
    return pixel_values(data, name, "mask", remedy)


def to_classes(
    indices: NDArray[np.int32], classes: int, ignored: Sequence[int], offset: int, name: str
) -> Mask:
    """Return the mask (H, W) of stored indices: class = index - offset.

    `ignored` are the indices of pixels that do not count. UnreadableImageError for an index that
    is neither a class nor ignored.
    """
    mask = (indices - offset).astype(np.int16)
    mask[np.isin(indices, list(ignored))] = IGNORED
    wrong = (mask >= classes) | ((mask < 0) & (mask != IGNORED))
    wrong |= (mask == IGNORED) & ~np.isin(indices, list(ignored))
    if wrong.any():
        raise UnreadableImageError(
            f"mask {name!r} holds the index {int(indices[wrong][0])}; the {classes} classes are "
            f"{offset} to {classes - 1 + offset}, and {', '.join(map(str, ignored))} is ignored. "
            "Correct the mask or the list of classes."
        )
    return mask
