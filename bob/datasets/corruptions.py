"""Common corruptions of test images (Hendrycks & Dietterich 2019, arXiv:1903.12261), applied on the fly.

The corruptions are those of `imagecorruptions` (Michaelis et al. 2019, arXiv:1907.07484), which turned the authors' scripts into a library for images
of any size: 15 common ones and the 4 meant for tuning, each at 5 severities with ImageNet-C's constants. `imagecorruptions-imaug` is the
maintained copy of it, which runs with today's numpy and scikit-image. Known differences of the library from ImageNet-C: motion blur and snow are
drawn without ImageMagick, frost takes its pictures at another scale, glass blur is compiled.

Severities are lengths in pixels of 224 px images. So an image is resized before it is corrupted, its shorter side to the task's `side_px`; ImageNet-C
crops the centre of 224 px too, which is left to the backbone here: every backbone sees the same corrupted pixels, and as much of the image as
it would see of a clean one. ImageNet-C's JPEG files (quality 85) are not imitated.

What is random follows from the image's content, the corruption and the severity alone: neither the order of images nor other threads matter.
"""

import contextlib
import importlib.metadata
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.digests import content_digest
from bob.datasets.dataset import Split
from bob.io.paths import in_package

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""Family → its corruptions, as the paper sorts them."""
DISTRIBUTION = "imagecorruptions-imaug"
LIBRARIES = (DISTRIBUTION, "scikit-image", "opencv-python", "scipy")
"""What the pixels are made by."""
SEEDED = ("glass_blur", "impulse_noise")
"""Corruptions that take their seed; others that draw do so from numpy's global generator."""

_drawing = threading.Lock()


def missing_library() -> str | None:
    """What is lacking here, and the remedy."""
    found = in_package(DISTRIBUTION, "imagecorruptions/__init__.py")
    return (
        None
        if found
        else f"{DISTRIBUTION} not installed. Run: pip install 'bob-bench[corruptions]'"
    )


def corrupted(split: Split, corruption: str, severities: Sequence[int], side_px: int) -> Split:
    """S · N images: all of the split at the first severity, then at the next. Their content is their own."""
    made_by = " ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    at = [(severity, i) for severity in severities for i in range(len(split))]
    content = [
        content_digest(
            f"{split.content[i]} {corruption} {severity} {side_px} px {made_by}".encode()
        )
        for severity, i in at
    ]

    def alter(position: int, image: Image.Image) -> Image.Image:
        severity, i = at[position]
        before = image if split.alter is None else split.alter(i, image)
        return corrupt(
            before,
            corruption,
            severity,
            side_px,
            xxhash.xxh32_intdigest(f"{split.content[i]} {corruption} {severity}".encode()),
        )

    return Split(
        ids=[f"{split.ids[i]} {corruption} {severity}" for severity, i in at],
        y=np.tile(split.y, len(severities)),
        content=content,
        read=lambda position: split.read(at[position][1]),
        alter=alter,
    )


def corrupt(
    image: Image.Image, corruption: str, severity: int, side_px: int, seed: int
) -> Image.Image:
    """The RGB image with its shorter side at side_px, corrupted; `seed` is of 32 bits."""
    from imagecorruptions import corruptions as library

    scale = side_px / min(image.size)
    width, height = (max(side_px, round(length * scale)) for length in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    function, options = getattr(library, corruption), {"seed": seed} if corruption in SEEDED else {}
    with contextlib.nullcontext() if corruption in SEEDED else _seeded(seed):
        pixels: NDArray[Any] = np.asarray(function(resized, severity, **options))
    return Image.fromarray(np.uint8(pixels))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """numpy's global generator, from which the library draws, in a known state for one thread at a time, and afterwards as it was."""
    with _drawing:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
