"""How well a predicted segmentation follows the boundaries of a mask.

The boundary of a class are its pixels with one of another class above, below, left or right. Of a
class in one image, precision is the share of the predicted boundary within a radius of the true
one, recall the share of the true boundary within a radius of the predicted one, and F their
harmonic mean (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?",
whose radius is 0.75 % of the image's diagonal).

Ignored pixels have no class. Masks often ignore a band along outlines, in whose middle the boundary
is: labels therefore grow into ignored pixels by the radius, from all sides alike; what is then left
has no boundary, in the mask or in the prediction.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Ints

RADIUS = 0.0075
"""As a share of the image's diagonal."""
_BITS = 64
Labels = NDArray[np.integer[Any]]


def boundary_f(mask: Labels, predicted: Labels, radius: float | None = None) -> float:
    """Return the mean over classes of F of one image, NaN where no class has a boundary.

    `mask` and `predicted` (H, W) are class indices, negative where `mask` is ignored; `radius` is
    in pixels, by default RADIUS of the diagonal. Classes count that have a boundary in the mask or
    in the prediction; one that has it in a single one of them has an F of 0.
    """
    radius = RADIUS * float(np.hypot(*mask.shape)) if radius is None else radius
    true = grown(mask, int(np.ceil(radius)))
    said = np.where(true >= 0, predicted, -1)
    true_boundary, said_boundary = boundaries(true), boundaries(said)
    recalled = _shares_within(true_boundary, said_boundary, radius)
    precise = _shares_within(said_boundary, true_boundary, radius)
    f = [
        _harmonic_mean(precise.get(c, 0.0), recalled.get(c, 0.0))
        for c in sorted(precise.keys() | recalled.keys())
    ]
    return float(np.mean(f)) if f else float("nan")


def grown(labels: Labels, steps: int) -> Ints:
    """Return labels (H, W) whose negative pixels take that of a neighbour, `steps` times.

    Of several neighbours, the one above, below, left and right come first in this order.
    """
    grown_labels = labels.astype(np.int64)
    for _ in range(steps):
        if not (grown_labels < 0).any():
            break
        before = grown_labels
        grown_labels = before.copy()
        for neighbour in _neighbours(before):
            filled = (grown_labels < 0) & (neighbour >= 0)
            grown_labels[filled] = neighbour[filled]
    return grown_labels


def boundaries(labels: Ints) -> Ints:
    """Return the class of each pixel (H, W) on the boundary of its class, and -1 elsewhere."""
    on_boundary = np.zeros(labels.shape, bool)
    for neighbour in _neighbours(labels):
        on_boundary |= (neighbour >= 0) & (neighbour != labels)
    return np.where(on_boundary, labels, -1)


def _neighbours(labels: Ints) -> Iterator[Ints]:
    """Yield the labels (H, W) above, below, left and right of each pixel; -1 beyond the image."""
    padded = np.pad(labels, 1, constant_values=-1)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        yield padded[down : down + labels.shape[0], right : right + labels.shape[1]]


def _shares_within(boundary: Ints, other: Ints, radius: float) -> dict[int, float]:
    """Return class → share of its boundary with the same class in the other one within a radius.

    Each class is a bit of a pixel, so that one dilation by a disk serves 64 classes.
    """
    rows, columns = np.nonzero(boundary >= 0)
    present, index = np.unique(boundary[rows, columns], return_inverse=True)
    shares = {}
    for first in range(0, len(present), _BITS):
        classes = present[first : first + _BITS]
        near = dilated(_as_bits(other, classes), radius)[rows, columns]
        for bit, label in enumerate(classes.tolist()):
            of_class = near[index == first + bit]
            shares[label] = float(((of_class >> np.uint64(bit)) & np.uint64(1)).mean())
    return shares


def _as_bits(labels: Ints, classes: Ints) -> NDArray[np.uint64]:
    """Return pixels (H, W) whose bit k is set where they are of the k-th of sorted classes."""
    place = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    bits = np.uint64(1) << place.astype(np.uint64)
    return np.where(classes[place] == labels, bits, np.uint64(0))


def dilated(bits: NDArray[np.uint64], radius: float) -> NDArray[np.uint64]:
    """Return pixels (H, W) with the bits of all pixels within a radius.

    The disk consists of rows: pixels are widened to the left and right step by step, and each width
    is copied to the rows whose chord it is.
    """
    (height, width), reach = bits.shape, int(radius)
    padded = np.pad(bits, reach)
    chords = [int(np.sqrt(radius**2 - down**2)) for down in range(reach + 1)]
    wide = padded[:, reach : reach + width].copy()
    result = np.zeros_like(bits)
    for half in range(reach + 1):
        if half:
            wide |= padded[:, reach - half : reach - half + width]
            wide |= padded[:, reach + half : reach + half + width]
        for down in (down for down, chord in enumerate(chords) if chord == half):
            result |= wide[reach - down : reach - down + height]
            result |= wide[reach + down : reach + down + height]
    return result


def _harmonic_mean(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b > 0 else 0.0
