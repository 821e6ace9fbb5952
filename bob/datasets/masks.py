"""Masks: the class of every pixel of an image, which dense tasks learn and predict."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.images import check_pixels, open_image
from bob.datasets.content.sequences import take
from bob.errors import UnreadableImageError

IGNORED = -1
"""Class of pixels that are neither learnt nor scored."""
Mask = NDArray[np.int16]
"""(H, W) class index of each pixel, or IGNORED."""
CACHE_BYTES = 96 * 2**20
"""Most bytes of masks that are kept: a block of 256 images of 400 x 450 pixels."""
_INDEX_MODES = ("L", "P", "1", "I;16", "I;16L", "I;16B", "I;16N", "I")
"""PIL's modes whose values are indices; those of palettes are not looked up."""


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


class MaskCache:
    """Reads masks, and keeps those that were read last: several backbones need them in turn.

    Safe to call from several threads.
    """

    def __init__(self, read: Callable[[int], Mask], most_bytes: int = CACHE_BYTES) -> None:
        self._read, self._most_bytes = read, most_bytes
        self._masks: OrderedDict[int, Mask] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, position: int) -> Mask:
        """Return the mask of an image."""
        with self._lock:
            if position in self._masks:
                self._masks.move_to_end(position)
                return self._masks[position]
        mask = self._read(position)
        mask.setflags(write=False)
        with self._lock:
            if position not in self._masks:
                self._masks[position] = mask
                self._bytes += mask.nbytes
            while self._bytes > self._most_bytes and len(self._masks) > 1:
                self._bytes -= self._masks.popitem(last=False)[1].nbytes
        return mask


def decode_indices(data: bytes, name: str) -> NDArray[np.int32]:
    """Return the indices (H, W) of a grey or palette image; `name` appears in error messages.

    UnreadableImageError where it cannot be decoded, or holds colours instead of indices.
    """
    image = open_image(data, name)
    check_pixels(image, name)
    if image.mode not in _INDEX_MODES:
        raise UnreadableImageError(
            f"mask {name!r} holds colours (PIL mode {image.mode!r}). Save it as a PNG with one "
            "channel or a palette, whose values are class indices."
        )
    try:
        return np.asarray(image).astype(np.int32)
    except MemoryError:
        raise
    except Exception as error:  # on damaged data, PIL's parsers raise nearly anything
        raise UnreadableImageError(
            f"mask {name!r} cannot be decoded: the file is truncated or damaged ({error}). "
            "Replace it."
        ) from error


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
