"""Photos made on the fly: a small classification problem."""

from pathlib import Path

import numpy as np
from PIL import Image

BASELINES = "channel_statistics,raw_pixels"
"""Backbones that load instantly and need no weights."""


def make_photos(folder: Path, per_class: int = 20, classes: int = 3, side_px: int = 24) -> Path:
    """Create class folders of noise around one colour per class.

    Any backbone solves this problem better than chance.
    """
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 200, (classes, 3))
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(
                rng.normal(colours[c], 60, (side_px, side_px + i % 7, 3)), 0, 255
            ).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{c}" / f"{i:03d}.png")
    return folder
