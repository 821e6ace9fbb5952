"""Encoded bytes into RGB pixels: the one place where images are decoded.

Pixels are those of PIL's `convert("RGB")`, by which the backbones' own libraries (timm, open_clip) read images: grey repeated, alpha dropped,
palettes looked up, CMYK converted without a profile, the first frame of an animation. Differs in two points:

* EXIF orientation is applied, so a photograph stands as every viewer shows it.
* 16-bit grey is scaled to 8 bits; `convert` clips it, and nearly every pixel turns white.
"""

import warnings
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bob.errors import UnreadableImageError

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded or resized to: where PIL itself refuses, 0.5 GiB of RGB."""

Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS replaces PIL's check, which warns at half of it and raises an error of another kind
Image.init()  # every format is known from the start, not after the first file that needs it: threads see one list

FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
)
"""PIL's names of what is read. A closed list: some of PIL's other formats start programs."""

_GREY_16 = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
_ORIENTATION = 274  # the EXIF tag
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, name: str) -> Image.Image:
    """The image upright in mode RGB, fully loaded; `name` is for messages. Same bytes, same pixels, from any thread."""
    image = _open(data, name)
    _check_pixels(*image.size, name)
    try:
        image.load()
        turn = _TURN.get(_orientation(image))
        rgb = _to_rgb(image, name)
        return rgb if turn is None else rgb.transpose(turn)
    except (UnreadableImageError, MemoryError):  # a full memory is not the image's fault
        raise
    except Exception as error:  # on damaged data PIL's parsers raise nearly anything: OSError, SyntaxError, struct.error, KeyError, ...
        raise UnreadableImageError(
            f"image {name!r} cannot be decoded: it is cut off or damaged ({error})."
        ) from error


def check_elongation(width: int, height: int, short_px: int, name: str) -> None:
    """Refuses an image so long and thin that it would explode when its shorter side is resized to `short_px`."""
    short, long = sorted((width, height))
    resized = short_px * round(long * short_px / short)
    if resized > MAX_PIXELS:
        raise UnreadableImageError(
            f"image {name!r} is {width} x {height} px: with its shorter side at {short_px} px it would have {resized:,} pixels; "
            f"at most {MAX_PIXELS:,} are allowed. Crop it, or use crop_mode 'squash'."
        )


def _open(data: bytes, name: str) -> Image.Image:
    """The image with its header read."""
    if not data:
        raise UnreadableImageError(f"image {name!r} is empty (0 bytes).")
    _silence_pil()
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        what = f"is no image of a known format ({', '.join(FORMATS)}), or its header is damaged"
        raise UnreadableImageError(f"image {name!r} {what}: it begins with {data[:16]!r}.") from error
    except MemoryError:
        raise
    except Exception as error:  # as in decode
        raise UnreadableImageError(f"image {name!r} has a damaged header ({error}).") from error


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"image {name!r} is {width} x {height} px: {width * height:,} pixels; at most {MAX_PIXELS:,} are allowed."
        )


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError(
            f"image {name!r} holds floating-point pixels, whose range is unknown (PIL mode 'F'). Save it with 8 or 16 bits."
        )
    if image.mode in _GREY_16:
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    image.info.pop(
        "transparency", None
    )  # RGB has no place for it; PIL would warn, or look for a free palette entry
    if image.mode == "RGB":
        return image  # PIL would copy it, which takes longer than decoding a large JPEG
    rgb: Image.Image = image.convert("RGB")
    return rgb


def _to_8_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) grey of 0..65535 as uint8: value * 255 / 65535 to the nearest. Wider values (32-bit TIFF) are clipped to 16 bits first."""
    return ((np.clip(grey.astype(np.int64), 0, 65535) * 255 + 32767) // 65535).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1..8; 1 where the EXIF block is damaged, since the pixels are sound."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as in decode
        return 1


def _silence_pil() -> None:
    """Turns off PIL's warnings, which tell of odd metadata; damaged pixels are errors here.

    A filter that is looked for at each call, as others may reset the list. `catch_warnings` would be neater but is not thread-safe.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _QUIET = warnings.filters[0]
