"""DAVIS 2017's layout (Pont-Tuset et al. 2017, arXiv:1704.00675): a folder of frames per video.

    DAVIS/ImageSets/2017/val.txt                   one video per line: blackswan
    DAVIS/JPEGImages/480p/blackswan/00000.jpg
    DAVIS/Annotations/480p/blackswan/00000.png     palette; object of each pixel, 0 is background

Videos are groups, and frames are in the natural order of their names. Pixels of index 255 have no
object.
"""

import dataclasses
from pathlib import Path

import numpy as np

from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.masks import IGNORED, Mask, Masks, decode_indices
from bob.datasets.readers.paired_files import (
    PairedFiles,
    TargetPair,
    listed_names,
    require_pairs,
)
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import DavisSource

IMAGES, MASKS = Path("JPEGImages") / "480p", Path("Annotations") / "480p"
CLASSES = ("background", "object")
"""Objects are counted in each video; they have no classes."""
VOID = 255


def list_davis(source: DavisSource, root: Path, cache: Path) -> ImageListing:
    """List the frames of the videos that the list names.

    DatasetError where the list, a video or a mask is missing.
    """
    where = f"folder '{printable(str(root))}'"
    pairs = []
    for video in listed_names(root / source.list):
        frames = sorted(
            (root / IMAGES / video).glob("*.jpg"), key=lambda path: natural_key(path.name)
        )
        if not frames:
            raise DatasetError(
                f"{where}: {source.list} names video {video!r}, of which "
                f"{(IMAGES / video).as_posix()} holds no frames (*.jpg)."
            )
        masks = root / MASKS / video
        pairs += [TargetPair(frame, masks / f"{frame.stem}.png", "test") for frame in frames]
    require_pairs(where, pairs)
    files = PairedFiles.of(root, pairs, cache)
    return dataclasses.replace(
        files.listing(where, {}),
        classes=CLASSES,
        groups=[pair.image.parent.name for pair in pairs],
        masks=Masks(files.digests, files.target_reader("mask", _decode)),
    )


def _decode(data: bytes, name: str) -> Mask:
    indices = decode_indices(data, name)
    return np.where(indices == VOID, IGNORED, indices).astype(np.int16)
