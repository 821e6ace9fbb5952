"""Common corruptions of test images (Hendrycks & Dietterich 2019, arXiv:1903.12261), on the fly.

The corruptions are those of `imagecorruptions` (Michaelis et al. 2019, arXiv:1907.07484), which
turned the authors' scripts into a library for images of any size: 15 common ones and 4 meant for
tuning, each at 5 severities with ImageNet-C's constants. `imagecorruptions-imaug` is its maintained
copy, which runs with current versions of NumPy and scikit-image. Known differences of the library
from ImageNet-C: motion blur and snow are rendered without ImageMagick, frost scales its pictures
differently, glass blur is compiled.

Severities are lengths in pixels of 224 px images. An image is therefore resized before it is
corrupted, its shorter side to the task's `side_px`. ImageNet-C also crops the centre of 224 px,
which is left to the backbone here: every backbone sees the same corrupted pixels, and as much of
the image as it would see of a clean one. ImageNet-C's JPEG files (quality 85) are not imitated.

Randomness is seeded from the image's content, the corruption and the severity alone: neither the
order of images nor other threads matter.
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
from bob.datasets.content.sequences import Digests
from bob.datasets.content.traits import traits_of
from bob.datasets.dataset import Split
from bob.io.paths import in_package

CORRUPTION_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""Family → its corruptions, as the paper groups them."""
DISTRIBUTION = "imagecorruptions-imaug"
LIBRARIES = (DISTRIBUTION, "scikit-image", "opencv-python", "scipy")
"""Distributions whose versions determine the pixels."""
SEEDED = ("glass_blur", "impulse_noise")
"""Corruptions with a seed argument; other random ones use NumPy's global generator."""

_random_state_lock = threading.Lock()


def missing_library() -> str | None:
    """Return that the corruption library is not installed, with the remedy; None if it is."""
    if in_package(DISTRIBUTION, "imagecorruptions/__init__.py"):
        return None
    return f"{DISTRIBUTION} not installed. Run: pip install 'bob-bench[corruptions]'"


def corrupted_split(
    split: Split, corruption: str, severities: Sequence[int], side_px: int
) -> Split:
    """Return the split corrupted at S severities: S · N images, severity by severity.

    The digests in its `content` cover the corruption, the severity and the library versions.
    """
    made_by = " ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    cases = [(severity, i) for severity in severities for i in range(len(split))]
    content = Digests.of(
        (
            content_digest(
                f"{split.content[i]} {corruption} {severity} {side_px} px {made_by}".encode()
            )
            for severity, i in cases
        ),
        np.tile(traits_of(split.content), len(severities)),
    )

    def alter(position: int, image: Image.Image) -> Image.Image:
        severity, i = cases[position]
        clean = image if split.alter is None else split.alter(i, image)
        seed = xxhash.xxh32_intdigest(f"{split.content[i]} {corruption} {severity}".encode())
        return corrupt_image(clean, corruption, severity, side_px, seed)

    return Split(
        ids=[f"{split.ids[i]} {corruption} {severity}" for severity, i in cases],
        y=np.tile(split.y, len(severities)),
        content=content,
        read=lambda position: split.read(cases[position][1]),
        alter=alter,
        alpha=split.alpha,
    )


def corrupt_image(
    image: Image.Image, corruption: str, severity: int, side_px: int, seed: int
) -> Image.Image:
    """Resize an RGB image's shorter side to `side_px` pixels and corrupt it; `seed` has 32 bits."""
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
    """Seed NumPy's global generator, which the library uses, for one thread at a time.

    Its previous state is restored afterwards.
    """
    with _random_state_lock:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
