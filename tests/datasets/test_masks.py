"""Masks: reading, checks of their indices, the cache, and their place in fingerprints."""

import io

import numpy as np
import pytest
from PIL import Image

from bob.datasets.content.target_cache import TargetCache
from bob.datasets.masks import IGNORED, decode_indices, to_classes
from bob.errors import UnreadableImageError
from tests.builders.segmentation import blocky_masks, mask_dataset


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


INDICES = np.array([[0, 1, 255], [2, 3, 0]], np.uint8)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_indices_are_read_as_stored(mode: str) -> None:
    image = Image.fromarray(INDICES.astype(np.uint16)) if mode == "I;16" else None
    if image is None:
        image = Image.fromarray(INDICES)
    if mode == "P":
        image = image.copy()
        image.putpalette([*range(255, -1, -1)] * 3)
    np.testing.assert_array_equal(decode_indices(png(image), "m"), INDICES)


def test_colours_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match=r"mask 'm' holds colours \(PIL mode 'RGB'\)"):
        decode_indices(png(Image.new("RGB", (2, 2))), "m")


def test_damaged_masks_are_refused() -> None:
    data = png(Image.fromarray(np.random.default_rng(0).integers(0, 9, (60, 60), np.uint8)))
    with pytest.raises(UnreadableImageError, match="mask 'm' cannot be decoded"):
        decode_indices(data[: len(data) // 2], "m")


def test_indices_become_classes() -> None:
    indices = INDICES.astype(np.int32)
    assert to_classes(indices, 4, (255,), 0, "m").tolist() == [[0, 1, IGNORED], [2, 3, 0]]
    # the first class has index 1, and 0 is ignored, as in ADE20K
    assert to_classes(indices, 3, (0, 255), 1, "m").tolist() == [[IGNORED, 0, IGNORED], [1, 2, -1]]


@pytest.mark.parametrize(("ignored", "offset", "index"), [((255,), 0, 3), ((255,), 1, 0)])
def test_an_index_without_class_is_named(ignored: tuple[int, ...], offset: int, index: int) -> None:
    with pytest.raises(UnreadableImageError, match=f"mask 'm' holds the index {index}; the 3 cl"):
        to_classes(INDICES.astype(np.int32), 3, ignored, offset, "m")


def test_masks_read_last_are_kept_within_a_bound() -> None:
    read: list[int] = []

    def mask(position: int) -> np.ndarray:
        read.append(position)
        return np.zeros((10, 10), np.int16)

    cached = TargetCache(mask, most_bytes=450)  # two masks of 200 bytes
    for position in (0, 1, 0, 1, 2, 1, 0):
        assert not cached(position).flags.writeable
    assert read == [0, 1, 2, 0]


def test_a_mask_that_was_made_with_its_image_is_not_read() -> None:
    read: list[int] = []

    def mask(position: int) -> np.ndarray:
        read.append(position)
        return np.zeros((10, 10), np.int16)

    cached = TargetCache(mask, most_bytes=450)
    made = np.ones((10, 10), np.int16)
    cached.keep(0, made)
    assert cached(0) is made and not made.flags.writeable
    for position in (1, 2, 0):  # two masks fit
        cached(position)
    assert read == [1, 2, 0]


def test_a_mask_changes_the_fingerprint_of_its_dataset() -> None:
    masks = {name: blocky_masks(3, 2, 2, 2, 0) for name in ("train", "test")}
    data = mask_dataset(masks, 2)
    split = data.splits["train"]
    assert split.masks is not None
    order = np.array([1, 0, 2])
    other = split.masks.take(order)
    assert other.content[0] == split.masks.content[1]
    changed = type(split)(split.ids, split.y, split.content, split.read, masks=other)
    bare = type(split)(split.ids, split.y, split.content, split.read)
    assert len({split.fingerprint, changed.fingerprint, bare.fingerprint}) == 3
    assert split.images_fingerprint == changed.images_fingerprint
    assert split.take(order).masks.content == other.content  # type: ignore[union-attr]
