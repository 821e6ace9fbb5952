"""Decoding, compared with PIL's `convert("RGB")` and tried on damaged bytes."""

import contextlib
import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bob.datasets.content import images
from bob.datasets.content.images import MAX_PIXELS, check_elongation, decode, upright_rgb
from bob.datasets.readers.folder import EXTENSIONS
from bob.errors import UnreadableImageError


def noise(mode: str, size: tuple[int, int] = (13, 7)) -> Image.Image:
    """Return an image of random pixels, the same in each call."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_pil(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def palette_image() -> Image.Image:
    return noise("RGB").quantize(16)


LIKE_PIL = {
    "rgb jpeg": encoded(noise("RGB"), "JPEG"),
    "progressive jpeg": encoded(noise("RGB"), "JPEG", progressive=True),
    "grey jpeg": encoded(noise("L"), "JPEG"),
    "cmyk jpeg": encoded(noise("CMYK"), "JPEG"),
    "rgb png": encoded(noise("RGB"), "PNG"),
    "grey png": encoded(noise("L"), "PNG"),
    "grey png with a transparent value": encoded(noise("L"), "PNG", transparency=7),
    "grey-alpha png": encoded(noise("LA"), "PNG"),
    "rgba png": encoded(noise("RGBA"), "PNG"),
    "1-bit png": encoded(noise("L").convert("1"), "PNG"),
    "palette png": encoded(palette_image(), "PNG"),
    "palette png with transparency bytes": encoded(
        palette_image(), "PNG", transparency=bytes(range(16))
    ),
    "palette png with one transparent entry": encoded(palette_image(), "PNG", transparency=3),
    "gif": encoded(palette_image(), "GIF", transparency=3),
    "animated gif": encoded(
        palette_image(), "GIF", save_all=True, append_images=[Image.new("RGB", (13, 7), "red")]
    ),
    "animated png": encoded(
        noise("RGB"), "PNG", save_all=True, append_images=[Image.new("RGB", (13, 7), "red")]
    ),
    "webp": encoded(noise("RGBA"), "WEBP", lossless=True),
    "animated webp": encoded(
        noise("RGB"), "WEBP", save_all=True, append_images=[Image.new("RGB", (13, 7), "red")]
    ),
    "bmp": encoded(noise("RGB"), "BMP"),
    "tiff": encoded(noise("RGB"), "TIFF"),
    "cmyk tiff": encoded(noise("CMYK"), "TIFF"),
    "ycbcr tiff": encoded(noise("YCbCr"), "TIFF"),
    "ppm": encoded(noise("RGB"), "PPM"),
    "1 x 1": encoded(noise("RGB", (1, 1)), "PNG"),
}


@pytest.mark.parametrize("what", LIKE_PIL)
def test_pixels_equal_those_of_pil(what: str) -> None:
    image = decode(LIKE_PIL[what], what, "drop")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), by_pil(LIKE_PIL[what]))


def test_palette_with_transparency_equals_conversion_through_rgba() -> None:
    data = LIKE_PIL["palette png with transparency bytes"]
    np.testing.assert_array_equal(
        np.asarray(decode(data, "p", "drop")),
        np.asarray(Image.open(BytesIO(data)).convert("RGBA").convert("RGB")),
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """A 2 x 1 image, red then blue; `red_at` is where the EXIF standard puts red."""
    red_at = {
        1: (0, 0),
        2: (1, 0),
        3: (1, 0),
        4: (0, 0),
        5: (0, 0),
        6: (0, 0),
        7: (0, 1),
        8: (0, 1),
    }[orientation]
    image = Image.new("RGB", (2, 1), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[274] = orientation
    turned = decode(encoded(image, "PNG", exif=exif), "turned")
    assert turned.size == ((2, 1) if orientation < 5 else (1, 2))
    assert turned.getpixel(red_at) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied_once_in_every_format(kind: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert decode(encoded(noise("RGB"), kind, exif=exif), kind).size == (7, 13)


@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\x7fgarbage", b"garbage!", b"MM"])
def test_damaged_exif_block_is_ignored(exif: bytes) -> None:
    assert decode(encoded(noise("RGB"), "JPEG", exif=b"Exif\0\0" + exif), "x").size == (13, 7)


def test_orientation_that_is_not_a_number_is_ignored() -> None:
    """An EXIF block of one entry: tag 274 as 4 bytes of text, 'abc'."""
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, 274, 2, 4, b"abc\0", 0)
    assert decode(encoded(noise("RGB"), "JPEG", exif=exif), "x").size == (13, 7)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2")]
)
def test_16_bit_grey_is_scaled(kind: str, dtype: str) -> None:
    """By hand: value / 257, rounded.

    0 -> 0; 257 -> 1; 128 * 257 = 32896 -> 128; 65535 -> 255; 385 / 257 = 1.498 -> 1;
    386 / 257 = 1.502 -> 2.
    """
    values = np.array([[0, 257, 32896, 65535, 385, 386]], dtype)
    mode = "I;16B" if dtype == ">u2" else "I;16"
    image = Image.frombytes(mode, (6, 1), values.tobytes())
    assert np.asarray(decode(encoded(image, kind), "grey"))[0, :, 0].tolist() == [
        0,
        1,
        128,
        255,
        1,
        2,
    ]


def test_32_bit_grey_is_clipped_to_16_bits() -> None:
    image = Image.fromarray(np.array([[-5, 257, 70000]], np.int32))
    assert np.asarray(decode(encoded(image, "TIFF"), "grey"))[0].tolist() == [
        [0, 0, 0],
        [1, 1, 1],
        [255, 255, 255],
    ]


def test_exif_orientation_is_applied_to_16_bit_grey() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert decode(
        encoded(Image.fromarray(np.zeros((3, 5), np.uint16)), "PNG", exif=exif), "grey"
    ).size == (3, 5)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


JPEG = encoded(noise("RGB", (64, 64)), "JPEG")
BAD = {
    "empty": (b"", r"image 'a\.jpg' is empty \(0 bytes\)"),
    "text": (
        b"hello, I am text",
        r"image 'a\.jpg' is not in a supported format .*JPEG.* begins with b'hello, I am text'",
    ),
    "cut JPEG": (
        JPEG[: len(JPEG) // 2],
        r"image 'a\.jpg' cannot be decoded: the file is truncated or damaged",
    ),
    "cut PNG": (encoded(noise("RGB", (64, 64)), "PNG")[:2000], r"image 'a\.jpg' cannot be decoded"),
    "cut in the header": (JPEG[:3], "not in a supported format|damaged header"),
    "floating point": (
        encoded(Image.new("F", (3, 3)), "TIFF"),
        r"image 'a\.jpg' holds floating-point pixels \(PIL mode 'F'\)",
    ),
    "one row too many": (
        png_header(13378, 13377),
        r"13378 x 13377 px: 178,957,506 pixels; at most 178,956,970 are allowed",
    ),
    "a bomb": (png_header(2**31 - 1, 2**31 - 1), "at most 178,956,970"),
    "a format that is not read": (encoded(noise("RGB"), "EPS"), "not in a supported format"),
}


@pytest.mark.parametrize("what", BAD)
def test_unreadable_images_are_reported(what: str) -> None:
    data, message = BAD[what]
    with pytest.raises(UnreadableImageError, match=message):
        decode(data, "a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_damage_raises_unreadable_image_error_only(kind: str) -> None:
    """200 files with changed bytes and cut ends are each decoded or refused.

    No warning (an error in tests) and no other exception is raised.
    """
    whole = encoded(noise("RGB", (16, 16)), kind)
    rng = np.random.default_rng(1)
    for _ in range(200):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(0, 256)
        with contextlib.suppress(UnreadableImageError):
            decode(bytes(data[: rng.integers(1, len(data) + 1)]), "damaged")


def test_memory_error_is_not_an_unreadable_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        decode(JPEG, "a.jpg")


def test_error_of_the_header_parser_is_an_unreadable_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("too many text chunks")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(
        UnreadableImageError, match=r"'a\.jpg' has a damaged header \(too many text chunks\)"
    ):
        decode(JPEG, "a.jpg")


def test_threads_decode_the_same_pixels() -> None:
    equal: list[bool] = []

    def work() -> None:
        for what, data in LIKE_PIL.items():
            equal.append(np.array_equal(np.asarray(decode(data, what, "drop")), expected[what]))

    expected = {what: by_pil(data) for what, data in LIKE_PIL.items()}
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(equal) == 8 * len(LIKE_PIL) and all(equal)


def test_elongated_image_is_refused() -> None:
    """30,000 x 5 with its shorter side at 224 px has 224 * 1,344,000 = 301,056,000 pixels."""
    with pytest.raises(
        UnreadableImageError,
        match=r"'long\.png' is 30000 x 5 px: with its shorter side at 224 px it would have "
        r"301,056,000 pixels",
    ):
        check_elongation(30_000, 5, 224, "long.png")
    check_elongation(30_000, 50, 224, "long.png")
    check_elongation(1, 1, 224, "dot.png")


def test_every_extension_belongs_to_a_supported_format() -> None:
    formats = Image.registered_extensions()
    assert {formats[extension] for extension in EXTENSIONS - {".pnm"}} <= {*images.FORMATS}
    assert MAX_PIXELS == 178_956_970


def test_format_is_recognised_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(LIKE_PIL["rgb png"])
    assert decode((tmp_path / "a.jpg").read_bytes(), "a.jpg").size == (13, 7)


def test_an_opened_image_is_left_as_it_is() -> None:
    image = Image.open(BytesIO(encoded(noise("L"), "PNG", transparency=7)))
    upright_rgb(image, "grey.png", "drop")
    assert image.mode == "L"
    assert image.info["transparency"] == 7
