"""Points that correspond between images: those of source images, and where targets show them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.sequences import take
from bob.numerics.arrays import Doubles, Floats, Ints


@dataclass(frozen=True, eq=False)
class SourcePoints:
    """n points of a source image."""

    size: tuple[int, int]
    """(H, W) of the image in pixels."""
    ids: Ints
    """(n,) numbers of the points, unique within the dataset."""
    xy: Doubles
    """(n, 2) column and row in pixels; (0, 0) is the upper left corner of the image, and a pixel's
    centre is at (column + 0.5, row + 0.5)."""


@dataclass(frozen=True, eq=False)
class SeenSurface:
    """What a target image shows in space, of an object whose shape and cameras are known."""

    pixels_m: Floats
    """(H, W, 3) the point that each pixel shows, in metres; NaN where it is not of the object."""
    points_m: Doubles
    """(n, 3) the image's corresponding points, in the same coordinates."""
    angle_deg: Doubles
    """(n,) angle between the cameras of a point's two images."""


@dataclass(frozen=True, eq=False)
class TargetPoints(SourcePoints):
    """n points of a target image, which the sources with these `ids` correspond to.

    A target image can be in several pairs.
    """

    pair: Ints
    """(n,) number of the pair of images, unique within the dataset."""
    extent_px: Doubles
    """(n,) longer side of the object's box in the target image, to which distances are compared."""
    source_place: Doubles
    """(n, 2) column and row of the source point as shares of its image's width and height."""
    surface: SeenSurface | None = None
    """None where the object's shape is not known."""


@dataclass(frozen=True, eq=False)
class PointSets:
    """The points of the N images of a split, in their order."""

    content: Sequence[str]
    """N hex digests of what they are made from."""
    read: Callable[[int], SourcePoints]
    """Position in 0..N-1 → the image's points; of a split of targets, `TargetPoints`. Safe to call
    from several threads."""
    sources: Sequence[tuple[str, ...]] = ()
    """Of a split of targets, the ids of the source images of each."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.content)

    def take(self, positions: NDArray[np.int64]) -> "PointSets":
        """Return the points of the images at these positions, in this order."""
        return PointSets(
            take(self.content, positions),
            lambda i: self.read(int(positions[i])),
            [self.sources[int(i)] for i in positions] if self.sources else (),
        )
