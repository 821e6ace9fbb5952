"""Masks: reading, checks of their indices, the cache, and their place in fingerprints."""

import io
import struct
import zlib

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


def grey_png(bits: int, rows: list[list[int]]) -> bytes:
    """Return a grey PNG file with these samples, written as its specification says."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    lines = []
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        lines.append(bytes([0, *(int(text[i : i + 8], 2) for i in range(0, len(text), 8))]))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_samples_of_grey_are_indices(bits: int) -> None:
    assert decode_indices(grey_png(bits, [[0, 1, 1], [1, 0, 0]]), "m").tolist() == [
        [0, 1, 1],
        [1, 0, 0],
    ]


@pytest.mark.parametrize(("bits", "one"), [(2, 85), (4, 17)])
def test_grey_of_few_bits_is_refused(bits: int, one: int) -> None:
    """Of 2 bits, 3 would be read as 255, which is ignored; of 4 bits, class 1 as class 17."""
    data = grey_png(bits, [[0, 1, 2**bits - 1]])
    assert np.asarray(Image.open(io.BytesIO(data))).tolist() == [[0, one, 255]]
    with pytest.raises(UnreadableImageError, match=f"is grey of {bits} bits, where 1 may .* {one}"):
        decode_indices(data, "m")


@pytest.mark.parametrize("name", ["JPEG", "JPEG2000"])
def test_formats_that_change_values_are_refused(name: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, name)
    with pytest.raises(UnreadableImageError, match=f"mask 'm' is a {name} file, whose compression"):
        decode_indices(file.getvalue(), "m")


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
