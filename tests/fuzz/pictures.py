"""Encoded images: what is damaged is refused, or gives the same pixels as before."""

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from bob.datasets.content.images import FORMATS, decode
from tests.fuzz.mutate import damaged, truncated
from tests.fuzz.target import Case

MODES = {"JPEG": "RGB", "GIF": "P", "PPM": "RGB", "MPO": "RGB", "JPEG2000": "RGB", "AVIF": "RGB"}


def prepare(folder: Path) -> Case:
    """Damage an image of every format that is supported, in several modes and sizes."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    sound = []
    for name in FORMATS:
        for mode in [MODES[name]] if name in MODES else ["RGB", "RGBA", "L"]:
            buffer = io.BytesIO()
            image = Image.fromarray(pixels).convert(mode)
            image = image.convert("RGB") if name == "BMP" and mode == "RGBA" else image
            image.save(buffer, name)
            data = buffer.getvalue()
            sound.append((name, data, np.asarray(decode(data, name))))

    def case(rng: random.Random) -> bool:
        name, data, before = rng.choice(sound)
        is_cut = rng.random() < 0.3
        new = (truncated if is_cut else damaged)(data, rng)
        after = np.asarray(decode(new, name))
        assert after.ndim == 3 and after.shape[2] == 3 and after.dtype == np.uint8
        # The checksums of PNG cover every byte of its pixels. A cut file lacks its last ones.
        if is_cut or name == "PNG":
            assert np.array_equal(before, after), f"{name}: damage was accepted with other pixels"
        return True

    return case
