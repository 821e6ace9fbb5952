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

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Ints

RADIUS = 0.0075
"""As a share of the image's diagonal."""
_BITS = 64
Labels = NDArray[np.integer[Any]]
BitsT = TypeVar("BitsT", bound=np.unsignedinteger[Any])


def boundary_f(mask: Labels, predicted: Labels, radius: float | None = None) -> float:
    """Return the mean over classes of F of one image, NaN where no class has a boundary.

    `mask` and `predicted` (H, W) are class indices, negative where `mask` is ignored; `radius` is
    in pixels, by default RADIUS of the diagonal. Classes count that have a boundary in the mask or
    in the prediction; one that has it in a single one of them has an F of 0.
    """
    (f,) = boundary_fs(mask, [predicted], radius)
    return f


def boundary_fs(
    mask: Labels, predictions: Sequence[Labels], radius: float | None = None
) -> list[float]:
    """Return `boundary_f` of each of some predictions for the same mask."""
    radius = RADIUS * float(np.hypot(*mask.shape)) if radius is None else radius
    true = grown(mask, int(np.ceil(radius)))
    of_mask = _Outline(boundaries(true), radius)
    values = []
    for predicted in predictions:
        said = _Outline(boundaries(np.where(true >= 0, predicted, -1)), radius)
        recalled, precise = of_mask.shares_near(said), said.shares_near(of_mask)
        f = [
            _harmonic_mean(precise.get(c, 0.0), recalled.get(c, 0.0))
            for c in sorted(precise.keys() | recalled.keys())
        ]
        values.append(float(np.mean(f)) if f else float("nan"))
    return values


def grown(labels: Labels, steps: int) -> Ints:
    """Return labels (H, W) whose negative pixels take that of a neighbour, `steps` times.

    Of several neighbours, the one above, below, left and right come first in this order.
    """
    padded = np.pad(labels.astype(np.int64), 1, constant_values=-1)
    inside = padded[1:-1, 1:-1]
    for _ in range(steps):
        rows, columns = np.nonzero(inside < 0)
        taken = np.full(len(rows), -1)
        for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
            neighbour = padded[rows + down, columns + right]
            taken = np.where(taken < 0, neighbour, taken)
        if not (taken >= 0).any():
            break
        inside[rows, columns] = np.where(taken < 0, inside[rows, columns], taken)
    return np.ascontiguousarray(inside)


def boundaries(labels: Ints) -> Ints:
    """Return the class of each pixel (H, W) on the boundary of its class, and -1 elsewhere."""
    on_boundary = np.zeros(labels.shape, bool)
    for first, second in (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]):
        one, other = labels[first], labels[second]
        differ = (one != other) & (one >= 0) & (other >= 0)
        on_boundary[first] |= differ
        on_boundary[second] |= differ
    return np.where(on_boundary, labels, -1)


@dataclass(frozen=True, eq=False)
class _Outline:
    """The boundaries of an image's classes, and the pixels near them."""

    boundary: Ints
    """(H, W) class of each pixel on one, -1 elsewhere."""
    radius: float

    @functools.cached_property
    def places(self) -> tuple[Ints, Ints]:
        """Rows and columns of its pixels."""
        rows, columns = np.nonzero(self.boundary >= 0)
        return rows, columns

    @functools.cached_property
    def classes(self) -> tuple[Ints, Ints]:
        """The classes that have one, ascending, and which of them each pixel is of."""
        return np.unique(self.boundary[self.places], return_inverse=True)

    @functools.cached_property
    def near(self) -> list[NDArray[np.unsignedinteger[Any]]]:
        """Pixels (H, W) with a bit for each class whose boundary is within the radius.

        One dilation by a disk serves all classes of a block of up to 64.
        """
        present = self.classes[0]
        return [
            dilated(_as_bits(self.boundary, present[first : first + _BITS]), self.radius)
            for first in range(0, len(present), _BITS)
        ]

    def shares_near(self, other: "_Outline") -> dict[int, float]:
        """Return class → share of its boundary within the radius of the same class in `other`."""
        present, index = self.classes
        shares = dict.fromkeys(present.tolist(), 0.0)
        blocks = [near[self.places] for near in other.near]
        for number, label in enumerate(other.classes[0].tolist()):
            if label in shares:
                block, bit = divmod(number, _BITS)
                of_class = blocks[block][index == np.searchsorted(present, label)]
                shares[label] = float(((of_class >> of_class.dtype.type(bit)) & 1).mean())
        return shares


def _as_bits(labels: Ints, classes: Ints) -> NDArray[np.unsignedinteger[Any]]:
    """Return pixels (H, W) whose bit k is set where they are of the k-th of sorted classes."""
    bits = 1 << np.arange(len(classes), dtype=np.uint64)
    of_label = np.zeros(int(max(labels.max(), classes[-1])) + 2, np.uint64)  # the last is of -1
    of_label[classes] = bits
    smallest: NDArray[np.unsignedinteger[Any]] = of_label.astype(np.min_scalar_type(bits[-1]))
    return np.asarray(smallest[labels])


def dilated(bits: NDArray[BitsT], radius: float) -> NDArray[BitsT]:
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
