"""Traits of encoded images, read from their headers: what decoding will change or cannot read.

They are gathered in the pass over all bytes that computes digests, and cached with these. No pixel
is decoded: an alpha channel may be opaque everywhere, and damage in the middle of a file does not
show. A file that lacks the end that its format prescribes does.
"""

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.images import (
    check_pixels,
    has_alpha,
    is_turned,
    open_image,
)
from bob.datasets.content.sequences import Digests
from bob.errors import UnreadableImageError

_ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")
"""Formats whose further images are frames or pages; those of MPO are views of the same photograph.
"""
_PNG_DEPTH = 24
"""Offset of the bit depth in a PNG file."""
_TIFF_DEPTH = 258
"""The tag of the bits per channel."""
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
"""The markers before compressed pixels and at the end of a JPEG file."""


class Trait(enum.IntFlag):
    """What the header of an encoded image says."""

    ALPHA = 1
    """It has an alpha channel or a transparent colour."""
    DEEP = 2
    """It has more than 8 bits per channel, which are scaled to 8."""
    ANIMATED = 4
    """It has several frames or pages, of which the first is taken."""
    CMYK = 8
    """It is in CMYK, which is converted without a colour profile."""
    TURNED = 16
    """EXIF says that it is rotated or mirrored, which is undone."""
    UNREADABLE = 32
    """Its header cannot be read, or it is of a kind that is refused."""
    CUT = 64
    """It ends before its format says that it does, as after an interrupted copy."""
    UNKNOWN = 128
    """Its header was not read: the image is made when it is needed."""


def header_traits(data: bytes | memoryview) -> int:
    """Return the traits of an encoded image as bits of `Trait`."""
    try:
        image = open_image(data, "")
        check_pixels(image, "")
        traits = (
            (Trait.ALPHA, has_alpha(image)),
            (Trait.DEEP, _is_deep(image, data)),
            (Trait.CMYK, image.mode == "CMYK"),
            (Trait.TURNED, is_turned(image)),
            (Trait.CUT, _is_cut(image.format, bytes(data))),
            # last, as it can move to another frame
            (Trait.ANIMATED, image.format in _ANIMATED_FORMATS and _is_animated(image)),
        )
    except UnreadableImageError:
        return int(Trait.UNREADABLE)
    # On damaged data, PIL's parsers raise nearly anything, as in `images.decode`.
    except MemoryError:
        raise
    except Exception:
        return int(Trait.UNREADABLE)
    return sum(int(trait) for trait, holds in traits if holds)


def traits_of(content: Sequence[str]) -> NDArray[np.uint8]:
    """Return the traits (N,) that are known of images with these digests; else `UNKNOWN`."""
    if isinstance(content, Digests):
        return content.traits
    return np.full(len(content), Trait.UNKNOWN, np.uint8)


def may_have_alpha(content: Sequence[str]) -> bool:
    """Return whether some of the images with these digests have alpha, or may have it."""
    return bool((traits_of(content) & (Trait.ALPHA | Trait.UNKNOWN)).any())


def _is_deep(image: Image.Image, data: bytes | memoryview) -> bool:
    if image.format == "PNG":
        return data[_PNG_DEPTH] > 8
    if image.format == "TIFF":
        depths: tuple[int, ...] = image.tag_v2.get(_TIFF_DEPTH, (8,))  # type: ignore[attr-defined]
        return max(depths) > 8
    return image.mode.startswith("I")


def _is_cut(format_name: str | None, data: bytes) -> bool:
    """Return whether a PNG or JPEG file lacks its end; PIL finds this in a header of WebP.

    A JPEG file may hold a preview, with an end of its own, and bytes of cameras behind its end.
    """
    if format_name == "PNG":
        return b"IEND" not in data[-16:] and data.rfind(b"IEND") < 0
    if format_name in ("JPEG", "MPO"):
        return data[-2:] != _JPEG_END and data.find(_JPEG_END, data.rfind(_JPEG_SCAN)) < 0
    return False


def _is_animated(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))
