"""Windows over the images of a split, each an image; see `bob.numerics.dense.windows`.

The centred square of each image is a window as well, the only one of its image.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.content.traits import traits_of
from bob.datasets.dataset import Split
from bob.datasets.depths import Depths
from bob.datasets.masks import Mask, Masks
from bob.numerics.arrays import Floats
from bob.numerics.dense.windows import Area, centred_square, window_areas

Windows = int | Literal["center"]
"""n, for n x n windows of each image, or the centred square."""


@dataclass(frozen=True, eq=False)
class WindowDepths(Depths):
    """The depth maps of the n x n windows of each image, image by image; without a crop."""

    whole: Depths = field(kw_only=True)
    """Those of the N images."""


@dataclass(frozen=True, eq=False)
class WindowMasks(Masks):
    """The masks of the n x n windows of each image, image by image."""

    whole: Masks
    """Those of the N images."""


def windows_per_image(windows: Windows | None) -> int:
    """Return how many windows an image has; 1 where it is taken whole."""
    return windows**2 if isinstance(windows, int) else 1


def windowed_split(split: Split, windows: Windows) -> Split:
    """Return the windows of each image of a split, image by image and row by row.

    The digests in its `content` cover the windows. Of targets, it has masks and depths; those of
    n x n windows know the ones of whole images.
    """
    rows = windows_per_image(windows)

    def area(position: int, size: tuple[int, int]) -> Area:
        if not isinstance(windows, int):
            return centred_square(size)
        return list(window_areas(size, windows))[position % rows]

    def alter(position: int, image: Image.Image) -> Image.Image:
        image = image if split.alter is None else split.alter(position // rows, image)
        down, across = area(position, (image.height, image.width))
        return image.crop((across.start, down.start, across.stop, down.stop))

    def mask(position: int) -> Mask:
        assert split.masks is not None
        whole = split.masks.read(position // rows)
        return whole[area(position, (whole.shape[0], whole.shape[1]))]

    def depth(position: int) -> Floats:
        assert split.depths is not None
        whole = split.depths.read(position // rows)
        return whole[area(position, (whole.shape[0], whole.shape[1]))]

    names, are_joined = _names(windows), isinstance(windows, int)
    masks: Masks | None = None
    if split.masks is not None:
        digests = [f"{digest} {name}" for digest in split.masks.content for name in names]
        masks = WindowMasks(digests, mask, split.masks) if are_joined else Masks(digests, mask)
    depths: Depths | None = None
    if split.depths is not None:
        digests = [f"{digest} {name}" for digest in split.depths.content for name in names]
        depths = Depths(digests, depth, split.depths.range_m)
        if are_joined:
            depths = WindowDepths(digests, depth, split.depths.range_m, whole=split.depths)
    return Split(
        ids=[f"{image} {name}" for image in split.ids for name in names],
        y=np.repeat(split.y, rows),
        content=Digests.of(
            (
                content_digest(f"{digest} {name}".encode())
                for digest in split.content
                for name in names
            ),
            np.repeat(traits_of(split.content), rows),
        ),
        read=lambda position: split.read(position // rows),
        masks=masks,
        depths=depths,
        alter=alter,
        alpha=split.alpha,
    )


def _names(windows: Windows) -> list[str]:
    """Return the names of an image's windows."""
    if not isinstance(windows, int):
        return ["centred square"]
    return [f"window {i // windows + 1},{i % windows + 1} of {windows}" for i in range(windows**2)]
