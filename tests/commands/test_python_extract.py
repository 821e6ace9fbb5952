"""`bob.extract` gives an image that PIL has opened the features of its file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bob
from bob.errors import UnreadableImageError


def grey_of_16_bits(path: Path) -> None:
    """Save values of 0 to 65,535, nearly all of which PIL's `convert` clips to white."""
    values = np.random.default_rng(0).integers(0, 65536, (40, 60), np.uint16)
    Image.fromarray(values).save(path)


def turned_by_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # orientation: the camera was held on its side
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)


def transparent(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("save", [grey_of_16_bits, turned_by_exif, transparent])
def test_an_opened_image_has_the_features_of_its_file(
    tmp_path: Path, save: Callable[[Path], None]
) -> None:
    path = tmp_path / "image.png"
    save(path)
    of_file, of_image = (bob.extract("raw_pixels", [image]) for image in (path, Image.open(path)))
    np.testing.assert_array_equal(of_image, of_file)


def test_an_image_of_floating_point_values_is_refused() -> None:
    image = Image.fromarray(np.zeros((8, 8), np.float32))
    with pytest.raises(UnreadableImageError, match="floating-point pixels"):
        bob.extract("raw_pixels", [image])
