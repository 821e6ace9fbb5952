"""Images in two splits: identical bytes, near-duplicates, and images that only share a hash."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.leakage import all_splits, image_signatures, split_overlaps
from bob.datasets.open import open_dataset, spec_from_data_flag


def picture(seed: int, px: int = 96) -> Image.Image:
    """Return smooth coloured blobs, other ones for each seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize((px, px), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def make_split(images: list[bytes]) -> Split:
    ids = tuple(f"image {i}" for i in range(len(images)))
    return Split(
        ids,
        np.zeros(len(images), np.int64),
        tuple(str(hash(data)) for data in images),
        lambda i: images[i],
    )


def overlap(
    test: list[bytes], train: list[bytes]
) -> tuple[int, int | None, tuple[tuple[str, str], ...]]:
    dataset = Dataset("x", ("a", "b"), {"train": make_split(train), "test": make_split(test)})
    (leak,) = split_overlaps(
        dataset, {name: image_signatures(split, 2) for name, split in dataset.splits.items()}
    )
    return leak.identical, leak.near_duplicates, leak.examples


TRAIN = [encoded(picture(seed)) for seed in range(60)]

ALTERED: dict[str, Callable[[Image.Image], bytes]] = {
    "as JPEG": lambda image: encoded(image, "JPEG", quality=60),
    "half the size": lambda image: encoded(image.resize((48, 48), Image.Resampling.LANCZOS)),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
    "grey": lambda image: encoded(image.convert("L")),
}


@pytest.mark.parametrize("how", ALTERED)
def test_altered_copy_is_a_near_duplicate(how: str) -> None:
    """The test set holds image 7 of train altered, image 3 unaltered, and a new image."""
    test = [encoded(picture(1000)), ALTERED[how](picture(7)), TRAIN[3]]
    assert overlap(test, TRAIN) == (1, 1, (("image 1", "image 7"),))


def test_other_images_are_no_near_duplicates() -> None:
    assert overlap([encoded(picture(seed)) for seed in range(500, 700)], TRAIN) == (0, 0, ())


def digit(column: int) -> bytes:
    """Return a white stroke on black.

    Most neighbouring pixels are equal, so the hashes of different strokes differ in few bits.
    """
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, column : column + 3] = 255
    return encoded(Image.fromarray(pixels))


def test_sparse_images_with_similar_hashes_are_no_near_duplicates() -> None:
    assert overlap([digit(6)], [digit(10), digit(14), digit(18)])[1] == 0
    assert overlap([digit(6)], [encoded(Image.open(io.BytesIO(digit(6))).convert("RGB"))])[1] == 1


def test_flat_images_are_near_duplicates_but_unreadable_ones_are_not() -> None:
    flat = [encoded(Image.new("L", (9, 9), level)) for level in (10, 200)]
    assert overlap(flat[:1], flat[1:])[1] == 1
    assert overlap([b"no image"], [b"nor this one"])[:2] == (0, 0)


def test_scored_splits_are_compared_with_train_and_val() -> None:
    """Each scored split is compared with train and val; shifts are not compared with each other."""
    one = make_split(TRAIN[:4])
    dataset = Dataset(
        "x",
        ("a", "b"),
        {"train": one, "val": one, "test": one},
        shifts={"s": Shift(one, "shift"), "t": Shift(one, "shift")},
    )
    assert list(all_splits(dataset)) == ["train", "val", "test", "shift s", "shift t"]
    pairs = [(leak.split, leak.reference) for leak in split_overlaps(dataset)]
    assert pairs == [
        (one, other)
        for other in ("train", "val")
        for one in ("val", "test", "shift s", "shift t")
        if one != other
    ]
    assert {(leak.identical, leak.near_duplicates) for leak in split_overlaps(dataset)} == {
        (4, None)
    }
    asked = Dataset("y", (), {"query": one, "gallery": make_split(TRAIN[2:9])})
    assert [(leak.split, leak.reference, leak.identical) for leak in split_overlaps(asked)] == [
        ("query", "gallery", 2)
    ]


def test_notes_count_byte_identical_images(tmp_path: Path) -> None:
    for split, seeds in {"train": range(4), "test": range(3, 6)}.items():
        for seed in seeds:
            path = tmp_path / "photos" / split / "ab"[seed % 2] / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(TRAIN[seed])
    assert open_dataset(
        spec_from_data_flag(str(tmp_path / "photos")), tmp_path / "cache"
    ).notes == ("1 image of test is byte-identical to images of train",)
