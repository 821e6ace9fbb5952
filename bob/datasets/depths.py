"""Depth maps: the distance of every pixel from the camera's plane, which dense tasks predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.images import pixel_values
from bob.datasets.content.sequences import take
from bob.errors import UnreadableImageError
from bob.numerics.arrays import Bools, Floats

DepthCrop = Literal["eigen", "garg"]
"""Part of a test image that is scored; see `crop_window`."""
EIGEN_SIZE = (480, 640)
"""Height and width of the depth maps from which `eigen` is cut."""


@dataclass(frozen=True, eq=False)
class Depths:
    """The depth maps of the N images of a split, in their order."""

    content: Sequence[str]
    """N hex digests of what each map is made from."""
    read: Callable[[int], Floats]
    """Position in 0..N-1 → the map (H, W) at its own size, upright, in metres; NaN where the depth
    is unknown. Safe to call from several threads. UnreadableImageError where it cannot be read."""
    range_m: tuple[float, float]
    """Depths strictly between these count; predictions are clipped to them."""
    crop: DepthCrop | None = None
    """Part of a test image that is scored; None is all of it. Train images are used in full."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.content)

    def take(self, positions: NDArray[np.int64]) -> "Depths":
        """Return the depth maps of the images at these positions, in this order."""
        content = take(self.content, positions)
        return Depths(content, lambda i: self.read(int(positions[i])), self.range_m, self.crop)

    def counted(self, depth: Floats) -> Bools:
        """Return which pixels of a map (H, W) are in range; those of unknown depth are not."""
        least, most = self.range_m
        return np.asarray((depth > least) & (depth < most))  # NaN compares as False

    def scored(self, depth: Floats) -> Bools:
        """Return which pixels of a test image's map (H, W) are scored: in range and in the crop."""
        counted = self.counted(depth)
        if self.crop is None:
            return counted
        window = np.zeros_like(counted)
        window[crop_window(self.crop, depth.shape)] = True
        return counted & window


def crop_window(crop: DepthCrop, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and the columns of an image (H, W) that are scored.

    `eigen`: rows 45 to 471 and columns 41 to 601 of NYUv2's 480 x 640 px, as the evaluations of
    BTS, AdaBins and DINOv2 cut them. `garg`: those of Garg et al. 2016 (arXiv:1603.04992) on KITTI,
    as shares of the map's height and width. The Monocular-Depth-Estimation-Toolbox, which DINOv2
    uses, first cuts maps to 352 x 1216 px at the bottom, and takes the same shares of these.
    UnreadableImageError where `eigen` is to be cut from maps of another size.
    """
    height, width = size
    if crop == "eigen":
        if (height, width) != EIGEN_SIZE:
            raise UnreadableImageError(
                f"the crop 'eigen' is cut from depth maps of {EIGEN_SIZE[1]} x {EIGEN_SIZE[0]} px; "
                f"got one of {width} x {height} px. Leave 'crop' out of the entry."
            )
        return slice(45, 471), slice(41, 601)
    rows = slice(int(0.40810811 * height), int(0.99189189 * height))
    return rows, slice(int(0.03594771 * width), int(0.96405229 * width))


def decode_depth(data: bytes, per_metre: float, name: str) -> Floats:
    """Return the depth (H, W) in metres of a grey image; 0 is unknown and becomes NaN.

    `per_metre` are the steps of a metre: 1000 where values are millimetres; `name` appears in error
    messages. UnreadableImageError where it cannot be decoded, or is no grey image.
    """
    remedy = "Save it as a PNG with one channel of 16 bits."
    values = pixel_values(data, name, "depth map", remedy).astype(np.float32)
    return np.where(values > 0, values / np.float32(per_metre), np.float32(np.nan))
