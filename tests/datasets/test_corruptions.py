"""Corrupted images: the library's own pixels, the same whatever the order of images."""

import importlib.metadata
import threading
from io import BytesIO
from typing import Any

import imagecorruptions
import numpy as np
import pytest
from PIL import Image

from bob.datasets.corruptions import (
    CORRUPTION_FAMILIES,
    SEEDED,
    corrupt_image,
    corrupted_split,
)
from bob.datasets.dataset import Split

NAMES = [name for names in CORRUPTION_FAMILIES.values() for name in names]


def picture(seed: int = 0) -> Image.Image:
    """Return a smooth random image of 48 x 32 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 32), Image.Resampling.BICUBIC)


def make_split(**facts: Any) -> Split:
    """Return three images of two classes."""

    def read(i: int) -> bytes:
        file = BytesIO()
        picture(i).save(file, "PNG")
        return file.getvalue()

    ids, content = ([f"{prefix}{i}" for i in range(3)] for prefix in ("image", "content"))
    return Split(ids, np.arange(3) % 2, content, read, **facts)


def altered(split: Split, position: int, image: Image.Image) -> np.ndarray:
    """Return the pixels of an image as the split alters it at a position."""
    assert split.alter is not None
    return np.asarray(split.alter(position, image))


def test_the_families_are_the_library_s() -> None:
    for family, names in CORRUPTION_FAMILIES.items():
        subset = "validation" if family == "extra" else family
        assert list(names) == imagecorruptions.get_corruption_names(subset)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_the_library_s(name: str) -> None:
    """The image has the working size already, so that only the corruption changes it."""
    for severity in (1, 5):
        pixels = np.asarray(corrupt_image(picture(), name, severity, 32, seed=7))
        np.random.seed(7)
        options = {"seed": 7} if name in SEEDED else {}
        expected = imagecorruptions.corrupt(np.asarray(picture()), severity, name, **options)
        assert np.array_equal(pixels, expected)
        assert not np.array_equal(pixels, np.asarray(picture()))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), (32, 32)), ((100, 50), (64, 32)), ((20, 30), (32, 48)), ((31, 4000), (32, 4129))],
)
def test_the_shorter_side_is_resized(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert corrupt_image(Image.new("RGB", size), "contrast", 1, 32, 0).size == expected


def test_pixels_depend_on_neither_order_nor_threads_nor_numpy_s_global_generator() -> None:
    """Nor does a corruption change the numbers that others draw from the global generator."""
    corrupted = corrupted_split(make_split(), "gaussian_noise", (1, 3), 32)
    alone = {i: altered(corrupted, i, picture(i % 3)) for i in (5, 0, 3, 1, 4, 2)}
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    threaded: dict[int, np.ndarray] = {}

    def corrupt(i: int) -> None:
        threaded[i] = altered(corrupted, i, picture(i % 3))

    threads = [threading.Thread(target=corrupt, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(threaded[i], alone[i]) for i in range(6))
    assert np.array_equal(np.random.random(3), expected)


def test_equal_content_is_corrupted_alike_and_other_content_otherwise() -> None:
    split = make_split()
    full = corrupted_split(split, "fog", (2,), 32)
    part = corrupted_split(split.take(np.array([2, 1])), "fog", (2,), 32)
    assert list(part.content) == [full.content[2], full.content[1]]
    assert np.array_equal(altered(full, 2, picture()), altered(part, 0, picture()))
    assert not np.array_equal(altered(full, 2, picture()), altered(full, 1, picture()))


def test_content_covers_corruption_severity_size_and_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = [
        corrupted_split(make_split(), name, (severity,), side_px).content[0]
        for name, severity, side_px in (
            ("fog", 1, 32),
            ("fog", 2, 32),
            ("fog", 1, 64),
            ("snow", 1, 32),
        )
    ]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "other")
    digests.append(corrupted_split(make_split(), "fog", (1,), 32).content[0])
    assert len({*digests, make_split().content[0]}) == 6


def test_images_are_altered_before_they_are_corrupted() -> None:
    """Black images become 0.1 of 255 brighter, rounded down."""
    black = make_split(alter=lambda i, image: Image.new("RGB", image.size))
    brighter = corrupted_split(black, "brightness", (1,), 32)
    assert np.unique(altered(brighter, 0, picture())).tolist() == [25]
