"""A small NAVI in its published layout: flat squares before two cameras.

Photographs are 60 x 40 px with a focal length of 100 px, so that the optical axis is at (30, 20).
Their red is four times the column, and their green four times the row.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT, FOCAL_PX = 60, 40, 100
NEAR, FAR = 2000, 1000
"""Values of depth maps: 655,350 / 2,000 = 327.675 mm, and twice as much."""
NEAR_MM, FAR_MM = 327.675, 655.35
STRAIGHT, QUARTER_TURN = (1.0, 0.0, 0.0, 0.0), (0.5**0.5, 0.0, 0.0, 0.5**0.5)
"""Quaternions: no rotation, and 90 degrees around the optical axis, which takes x to y."""
PAIRS = "custom_splits/pairwise_pixel_correspondences/pairs-wild_set.txt"


def annotation(name: str, q: Sequence[float], t: Sequence[float], **changes: Any) -> dict[str, Any]:
    """Return what `annotations.json` says of a photograph."""
    camera = {"q": [*q], "t": [*t], "focal_length": FOCAL_PX, "camera_model": "pixel_5"}
    return {
        "object_id": "bull",
        "camera": camera,
        "filename": name,
        "filename_original": "PXL_20230304_014157778",
        "image_size": [HEIGHT, WIDTH],
        "scene_name": "wild_set",
        "split": "train",
        "occluded": False,
        **changes,
    }


def square(
    left: int, top: int, width: int, height: int, values: int | NDArray[Any]
) -> NDArray[np.uint16]:
    """Return a depth map with these values (height, width) in a rectangle, and 0 around it."""
    depth = np.zeros((HEIGHT, WIDTH), np.uint16)
    depth[top : top + height, left : left + width] = values
    return depth


def write_scene(
    folder: Path,
    annotations: Sequence[Mapping[str, Any]],
    depths: Sequence[NDArray[np.uint16]],
) -> None:
    """Write a folder such as `bull/wild_set`."""
    for name in ("images", "depth", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(annotations))
    rows, columns = np.indices((HEIGHT, WIDTH))
    for number, (of, depth) in enumerate(zip(annotations, depths, strict=True)):
        pixels = np.stack([4 * columns, 4 * rows, np.full_like(rows, 20 * number)], axis=-1)
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(folder / "images" / of["filename"], quality=100, subsampling=0)
        png = Path(of["filename"]).with_suffix(".png").name
        Image.fromarray(depth).save(folder / "depth" / png)
        Image.fromarray((depth > 0).astype(np.uint8) * 255).save(folder / "masks" / png)


def write_pairs(root: Path, *lines: str) -> None:
    """Write NAVI's list of pairs."""
    (root / PAIRS).parent.mkdir(parents=True, exist_ok=True)
    (root / PAIRS).write_text("".join(f"{line}\n" for line in lines))
