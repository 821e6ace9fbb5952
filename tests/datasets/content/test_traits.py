"""Traits read from headers, and transparent images laid on a background."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from bob.datasets.content.digests import file_digests
from bob.datasets.content.images import decode
from bob.datasets.content.sequences import BLOCK, Digests, concatenate
from bob.datasets.content.traits import Trait, header_traits, may_have_alpha, traits_of
from bob.datasets.open import open_dataset
from bob.datasets.own import spec_from_data_flag

GREY = Image.new("L", (4, 3), 90)
COLOUR = Image.new("RGB", (4, 3), (200, 100, 0))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    values = Image.Exif()
    values[274] = orientation
    return values


def deep(shape: tuple[int, ...] = (3, 4)) -> Image.Image:
    return Image.fromarray(np.full(shape, 40_000, np.uint16))


FRAMES = [COLOUR, Image.new("RGB", (4, 3), (0, 0, 200))]
CASES: dict[str, tuple[bytes, int]] = {
    "jpeg": (encoded(COLOUR, "JPEG"), 0),
    "grey png": (encoded(GREY), 0),
    "rgba": (encoded(COLOUR.convert("RGBA")), Trait.ALPHA),
    "grey and alpha": (encoded(GREY.convert("LA")), Trait.ALPHA),
    "transparent grey value": (encoded(GREY, transparency=7), Trait.ALPHA),
    "palette with transparency": (
        encoded(COLOUR.quantize(4), transparency=bytes(4)),
        Trait.ALPHA,
    ),
    "16-bit png": (encoded(deep()), Trait.DEEP),
    "16-bit tiff": (encoded(deep(), "TIFF"), Trait.DEEP),
    "8-bit tiff": (encoded(COLOUR, "TIFF"), 0),
    "tiff of two pages": (
        encoded(COLOUR, "TIFF", save_all=True, append_images=FRAMES[1:]),
        Trait.ANIMATED,
    ),
    "animated gif": (
        encoded(COLOUR, "GIF", save_all=True, append_images=FRAMES[1:]),
        Trait.ANIMATED,
    ),
    "animated png": (
        encoded(COLOUR, save_all=True, append_images=FRAMES[1:]),
        Trait.ANIMATED,
    ),
    "still gif": (encoded(COLOUR, "GIF"), 0),
    "cmyk": (encoded(COLOUR.convert("CMYK"), "JPEG"), Trait.CMYK),
    "upright": (encoded(COLOUR, "JPEG", exif=exif(1)), 0),
    "turned": (encoded(COLOUR, "JPEG", exif=exif(6)), Trait.TURNED),
    "turned png": (encoded(COLOUR, exif=exif(6)), Trait.TURNED),
    "empty": (b"", Trait.UNREADABLE),
    "text": (b"<html>not an image</html>", Trait.UNREADABLE),
    "header cut short": (encoded(COLOUR)[:20], Trait.UNREADABLE),
    "png cut short": (encoded(NOISE)[:2_000], Trait.CUT),
    "jpeg cut short": (encoded(NOISE, "JPEG")[:2_000], Trait.CUT),
    "jpeg with bytes behind its end": (encoded(NOISE, "JPEG") + b"maker", 0),
    "jpeg with a preview, cut short": (
        encoded(NOISE, "JPEG", comment=encoded(GREY, "JPEG"))[:3_000],
        Trait.CUT,
    ),
    "floating point": (encoded(Image.new("F", (4, 3)), "TIFF"), Trait.UNREADABLE),
}


@pytest.mark.parametrize("what", CASES)
def test_traits_are_read_from_the_header(what: str) -> None:
    data, expected = CASES[what]
    assert header_traits(data) == expected
    assert header_traits(memoryview(data)) == expected


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        # (128 · colour + 127 · 255) / 255, to the nearest: 227.4, 177.2, 127
        ("white", [(227, 177, 127), (255, 255, 255), (200, 100, 0)]),
        # 128 · colour / 255: 100.4, 50.2, 0
        ("black", [(100, 50, 0), (0, 0, 0), (200, 100, 0)]),
        ("drop", [(200, 100, 0)] * 3),
    ],
)
def test_transparent_pixels_are_laid_on_the_background(
    alpha: Literal["white", "black", "drop"], expected: list[tuple[int, int, int]]
) -> None:
    """Three pixels of one colour: half transparent, fully transparent and opaque."""
    pixels = np.array([[[200, 100, 0, a] for a in (128, 0, 255)]], np.uint8)
    image = decode(encoded(Image.fromarray(pixels)), "x", alpha)
    assert [tuple(pixel) for pixel in np.asarray(image)[0].tolist()] == expected


MODES: dict[str, Callable[[], bytes]] = {
    "grey and alpha": lambda: encoded(Image.fromarray(np.array([[[90, 0]]], np.uint8), "LA")),
    "transparent colour": lambda: encoded(
        Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3)
    ),
    "transparent grey": lambda: encoded(Image.new("L", (1, 1), 7), transparency=7),
    "transparent 16-bit grey": lambda: encoded(
        Image.fromarray(np.array([[40_000]], np.uint16)), transparency=40_000
    ),
    "palette": lambda: encoded(Image.new("P", (1, 1), 0), transparency=0),
    "gif": lambda: encoded(Image.new("P", (1, 1), 0), "GIF", transparency=0),
    "webp": lambda: encoded(Image.new("RGBA", (1, 1), (9, 9, 9, 0)), "WEBP", lossless=True),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_transparency_shows_the_background(mode: str) -> None:
    data = MODES[mode]()
    assert header_traits(data) & Trait.ALPHA
    for alpha, value in (("white", 255), ("black", 0)):
        pixel = np.asarray(decode(data, mode, alpha)).tolist()  # type: ignore[arg-type]
        assert pixel == [[[value] * 3]]


def test_opaque_images_are_the_same_on_every_background() -> None:
    data = encoded(COLOUR.convert("RGBA"))
    pixels = [np.asarray(decode(data, "x", alpha)) for alpha in ("white", "black", "drop")]
    assert all((other == pixels[0]).all() for other in pixels)


def test_traits_travel_with_digests() -> None:
    first = Digests.of(["0" * 32, "1" * 32], [0, Trait.ALPHA])
    both = concatenate([first, Digests.of(["2" * 32], [Trait.DEEP])])
    assert traits_of(both).tolist() == [0, 1, 2]
    assert isinstance(both, Digests) and both.take(np.array([2, 0])).traits.tolist() == [2, 0]
    assert may_have_alpha(first) and not may_have_alpha(first[:1])


def test_all_digests_are_those_that_were_packed() -> None:
    """One block of them, two more, and none."""
    digests = [f"{number:032x}" for number in range(BLOCK + 2)]
    packed = Digests.of(digests, [0] * len(digests))
    assert list(packed) == digests and list(packed[-2:]) == digests[-2:]
    assert list(packed[:0]) == []


def test_images_of_unknown_traits_may_have_alpha() -> None:
    assert may_have_alpha(("0" * 32,))
    assert traits_of(("0" * 32,)).tolist() == [Trait.UNKNOWN]


def test_traits_are_cached_with_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(CASES["rgba"][0])
    (tmp_path / "b.png").write_bytes(b"no image")
    files = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "absent.png"]
    traits = file_digests(tmp_path, files, tmp_path / "cache").traits.tolist()
    assert traits == [Trait.ALPHA, Trait.UNREADABLE, Trait.UNREADABLE]
    monkeypatch.setattr("bob.datasets.content.digests.header_traits", None)
    assert file_digests(tmp_path, files, tmp_path / "cache").traits.tolist() == traits


def test_alpha_is_used_and_noted_only_where_images_have_it(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(5):
            image = Image.new("RGBA" if (label, i) == ("a", 0) else "RGB", (4, 4), (i, 0, 0))
            image.save(tmp_path / "data" / label / f"{i}.png")
    spec = spec_from_data_flag(str(tmp_path / "data"))
    dataset = open_dataset(spec, tmp_path / "cache", alpha="black")
    assert dataset.alpha_used == "black"
    assert (
        "1 of 10 images has an alpha channel: transparent pixels are shown on black (see --alpha)"
    ) in dataset.notes
    dropped = open_dataset(spec, tmp_path / "cache", alpha="drop")
    assert any("is ignored: the colours stored under it are seen" in n for n in dropped.notes)
    (tmp_path / "data" / "a" / "0.png").unlink()
    assert open_dataset(spec, tmp_path / "cache").alpha_used is None
