"""Windows over the images of a split, each an image; see `bob.numerics.dense.windows`.

The centred square of each image is a window as well, the only one of its image.
"""

from collections.abc import Sequence
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
    cut, names = _WindowReader(split, windows), _names(windows)
    contents = (content_digest(window.encode()) for window in _each(split.content, names))
    return Split(
        ids=_each(split.ids, names),
        y=np.repeat(split.y, len(names)),
        content=Digests.of(contents, np.repeat(traits_of(split.content), len(names))),
        read=lambda position: split.read(position // len(names)),
        masks=_masks(cut, names),
        depths=_depths(cut, names),
        alter=cut.alter,
        alpha=split.alpha,
    )


@dataclass(frozen=True, eq=False)
class _WindowReader:
    """Cuts the windows at their positions in the new split from images and targets."""

    split: Split
    windows: Windows

    def alter(self, position: int, image: Image.Image) -> Image.Image:
        """Return a window of an image."""
        of_image = position // windows_per_image(self.windows)
        image = image if self.split.alter is None else self.split.alter(of_image, image)
        down, across = self._area(position, (image.height, image.width))
        return image.crop((across.start, down.start, across.stop, down.stop))

    def mask(self, position: int) -> Mask:
        """Return a window of a mask."""
        assert self.split.masks is not None
        whole = self.split.masks.read(position // windows_per_image(self.windows))
        return whole[self._area(position, (whole.shape[0], whole.shape[1]))]

    def depth(self, position: int) -> Floats:
        """Return a window of a depth map."""
        assert self.split.depths is not None
        whole = self.split.depths.read(position // windows_per_image(self.windows))
        return whole[self._area(position, (whole.shape[0], whole.shape[1]))]

    def _area(self, position: int, size: tuple[int, int]) -> Area:
        if not isinstance(self.windows, int):
            return centred_square(size)
        return list(window_areas(size, self.windows))[position % self.windows**2]


def _masks(cut: _WindowReader, names: Sequence[str]) -> Masks | None:
    """Return the masks of the windows; None where images have none."""
    if (whole := cut.split.masks) is None:
        return None
    digests = _each(whole.content, names)
    joined = isinstance(cut.windows, int)
    return WindowMasks(digests, cut.mask, whole) if joined else Masks(digests, cut.mask)


def _depths(cut: _WindowReader, names: Sequence[str]) -> Depths | None:
    """Return the depth maps of the windows; None where images have none."""
    if (whole := cut.split.depths) is None:
        return None
    digests = _each(whole.content, names)
    if isinstance(cut.windows, int):
        return WindowDepths(digests, cut.depth, whole.range_m, whole=whole)
    return Depths(digests, cut.depth, whole.range_m)


def _each(images: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return what names the windows of each image, from what names the images."""
    return [f"{image} {name}" for image in images for name in names]


def _names(windows: Windows) -> list[str]:
    """Return the names of an image's windows."""
    if not isinstance(windows, int):
        return ["centred square"]
    return [f"window {i // windows + 1},{i % windows + 1} of {windows}" for i in range(windows**2)]
