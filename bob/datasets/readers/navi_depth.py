"""NAVI's depth as Probe3D learns it: within each image, from the nearest to the farthest point.

Train images are those of all `multiview*` folders, test images those of all `wild_set`: the same
objects in other places. With d the depth of a pixel of the object in mm, and n and f the least and
the most in its image, the target is 0.01 + 0.99 (d - n) / max(10, f - n), which is no length:
without the size of an object, its distance cannot be told. Pixels of other things do not count.
"""

import dataclasses
from pathlib import Path

import numpy as np

from bob.datasets.content.digests import content_digest
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.depths import Depths
from bob.datasets.listing import ImageListing
from bob.datasets.readers.navi import VERSION, Photographs, folders_of, photographs_of
from bob.numerics.arrays import Floats
from bob.specs import NaviDepthSource, Role

NEAREST = 0.01
"""Target of the nearest pixel; that of the farthest is 1."""
LEAST_SPAN_MM = 10.0
"""Difference of depth below which a flat object is not stretched to all targets."""
RANGE = (0.001, 1.001)
"""What predictions are clipped to; the first is Probe3D's, the second includes a target of 1."""
FOLDERS: dict[Role, str] = {"train": "multiview*", "test": "wild_set"}


def list_navi_depth(source: NaviDepthSource, root: Path, cache: Path) -> ImageListing:
    """List all images with their relative depth. DatasetError where a file is missing."""
    photographs, splits = [], []
    for role, pattern in FOLDERS.items():
        of_role = [
            photograph
            for folder in folders_of(root, pattern)
            for photograph in photographs_of(folder)
        ]
        photographs += of_role
        splits += [role] * len(of_role)
    files = Photographs.of(root, photographs, cache)

    def read(i: int) -> Floats:
        return relative_depth(files.depth_of_image(i))

    digests = [
        content_digest(f"navi depth {VERSION} {digest}".encode()) for digest in files.content
    ]
    return dataclasses.replace(
        files.listing(splits, range(len(photographs))),
        depths=Depths(digests, TargetCache(read), RANGE),
    )


def relative_depth(depth_mm: Floats) -> Floats:
    """Return the targets of depths (H, W) in mm; NaN stays."""
    if np.isnan(depth_mm).all():  # an object thinner than a pixel of the image
        return depth_mm
    nearest, farthest = np.nanmin(depth_mm), np.nanmax(depth_mm)
    span = max(LEAST_SPAN_MM, float(farthest - nearest))
    return np.asarray(NEAREST + (1 - NEAREST) * (depth_mm - nearest) / span, np.float32)
