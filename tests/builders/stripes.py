"""Images that only some backbones tell apart: stripes of the same colours in both classes."""

from pathlib import Path

import numpy as np
from PIL import Image


def make_stripes(folder: Path, per_class: int = 120, side_px: int = 12) -> Path:
    """Create two class folders, of noisy horizontal and vertical stripes.

    `raw_pixels` sees the difference; to `channel_statistics` the classes are the same.
    """
    rng = np.random.default_rng(0)
    stripes = np.arange(side_px)[:, None] // 3 % 2 * np.ones((side_px, side_px))
    for name, pattern in (("horizontal", stripes), ("vertical", stripes.T)):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            noise = rng.normal(0, 40, (side_px, side_px, 3))
            pixels = np.clip(80 + 90 * pattern[..., None] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03d}.png")
    return folder
