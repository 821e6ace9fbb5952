"""Decoding of encoded bytes into RGB pixels: the only module that decodes images.

Pixels are those of PIL's `convert("RGB")`, by which the backbones' own libraries (timm, open_clip)
read images: grey is repeated, palettes looked up, CMYK converted without a profile, and the first
frame of an animation taken. There are three differences:

* EXIF orientation is applied, so that a photograph is upright as in every viewer.
* 16-bit grey is scaled to 8 bits; `convert` clips it, and nearly every pixel turns white.
* Transparent images are laid on a background, white by default. `convert` drops alpha, and shows
  what the file holds under it, which no viewer does. docs/decisions/010-alpha.md gives the reasons.
"""

import warnings
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bob.errors import UnreadableImageError

Alpha = Literal["white", "black", "drop"]
"""The background of transparent images; `drop` shows the colours that are stored under alpha."""
DEFAULT_ALPHA: Alpha = "white"
MAX_PIXELS = 178_956_970
"""Largest number of pixels that is decoded or resized to: PIL's own limit, 0.5 GiB of RGB."""

# MAX_PIXELS replaces PIL's check, which warns at half of it and raises an error of another class.
Image.MAX_IMAGE_PIXELS = None
# Registers all formats now, not after the first file that needs them: threads see one list.
Image.init()

FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
)
"""PIL's names of the supported formats. A closed list: some of PIL's formats start programs."""

INDEX_MODES = ("L", "P", "1", "I;16", "I;16L", "I;16B", "I;16N", "I")
"""PIL's modes of images with one value per pixel; those of palettes are not looked up."""
LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
"""Formats whose pixels can have other values than those that were saved."""
_GREY_16 = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
_PNG, _IHDR_DEPTH, _IHDR_COLOUR = b"\x89PNG\r\n\x1a\n", 24, 25
"""Signature of a PNG file, and the places of bits per sample and of the colour type (0 is grey)."""
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


def pixel_values(data: bytes, name: str, what: str, remedy: str) -> NDArray[np.int32]:
    """Return the values (H, W) of an image that holds data and no colours: a mask, a depth map.

    `what`, `name` and `remedy` appear in messages. UnreadableImageError where it cannot be decoded,
    holds colours, is turned by EXIF, or does not give back the values that were saved: in formats
    that lose some, and in grey of 2 or 4 bits, which PIL, OpenCV and torchvision stretch to 0..255.
    """
    image = open_image(data, name)
    check_pixels(image, name)
    if image.mode not in INDEX_MODES:
        raise UnreadableImageError(
            f"{what} {name!r} holds colours (PIL mode {image.mode!r}). {remedy}"
        )
    if is_turned(image):
        raise UnreadableImageError(f"{what} {name!r} is turned by EXIF. Save it upright.")
    if image.format in LOSSY_FORMATS:
        raise UnreadableImageError(
            f"{what} {name!r} is a {image.format} file, whose compression changes values. {remedy}"
        )
    if (bits := _stretched_bits(data)) is not None:
        raise UnreadableImageError(
            f"{what} {name!r} is grey of {bits} bits, where 1 may stand for 1 or for "
            f"{255 // (2**bits - 1)}. Save it with 8 or 16 bits, or with a palette."
        )
    try:
        return np.asarray(image).astype(np.int32)
    except MemoryError:
        raise
    except Exception as error:  # on damaged data, PIL's parsers raise nearly anything
        raise UnreadableImageError(
            f"{what} {name!r} cannot be decoded: the file is truncated or damaged ({error}). "
            "Replace it."
        ) from error


def _stretched_bits(data: bytes) -> int | None:
    """Return the bits of a grey PNG file whose values libraries stretch; None of any other."""
    if not data.startswith(_PNG) or data[_IHDR_COLOUR] != 0:
        return None
    return data[_IHDR_DEPTH] if data[_IHDR_DEPTH] in (2, 4) else None


def decode(data: bytes, name: str, alpha: Alpha = DEFAULT_ALPHA) -> Image.Image:
    """Return the image upright in mode RGB, fully loaded; `name` appears in error messages.

    `alpha` is the background of transparent pixels. Equal bytes give equal pixels, from any thread.
    """
    return upright_rgb(open_image(data, name), name, alpha)


def upright_rgb(image: Image.Image, name: str, alpha: Alpha = DEFAULT_ALPHA) -> Image.Image:
    """Return an image that PIL has opened upright in mode RGB, as `decode` does of its bytes."""
    check_pixels(image, name)
    try:
        image.load()
        turn = _TURN.get(_orientation(image))
        rgb = _to_rgb(image, alpha)
        return rgb if turn is None else rgb.transpose(turn)
    except (UnreadableImageError, MemoryError):  # running out of memory is not the image's fault
        raise
    # On damaged data, PIL's parsers raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise UnreadableImageError(
            f"image {name!r} cannot be decoded: the file is truncated or damaged ({error}). "
            f"Replace or remove it."
        ) from error


def check_elongation(width: int, height: int, short_px: int, name: str) -> None:
    """Raise if an image is so elongated that resizing its shorter side to `short_px` blows it up.

    Sizes are in pixels; the resized image may have at most `MAX_PIXELS`.
    """
    short, long = sorted((width, height))
    resized = short_px * round(long * short_px / short)
    if resized > MAX_PIXELS:
        raise UnreadableImageError(
            f"image {name!r} is {width} x {height} px: with its shorter side at {short_px} px it "
            f"would have {resized:,} pixels; at most {MAX_PIXELS:,} are allowed. Crop it, or use "
            f"crop_mode 'squash'."
        )


def open_image(data: bytes | memoryview, name: str) -> Image.Image:
    """Open an image and read its header only."""
    if not len(data):
        raise UnreadableImageError(f"image {name!r} is empty (0 bytes). Replace or remove it.")
    _silence_pil()
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            f"image {name!r} is not in a supported format ({', '.join(FORMATS)}), or its header is "
            f"damaged: it begins with {bytes(data[:16])!r}. Convert or replace it."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # as in decode
        raise UnreadableImageError(
            f"image {name!r} has a damaged header ({error}). Replace or remove it."
        ) from error


def check_pixels(image: Image.Image, name: str) -> None:
    """Raise UnreadableImageError for an opened image that is too large or of unknown range."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"image {name!r} is {width} x {height} px: {width * height:,} pixels; "
            f"at most {MAX_PIXELS:,} are allowed. Scale it down."
        )
    if image.mode == "F":
        raise UnreadableImageError(
            f"image {name!r} holds floating-point pixels (PIL mode 'F'), whose range is unknown. "
            f"Save it with 8 or 16 bits per channel."
        )


def has_alpha(image: Image.Image) -> bool:
    """Return whether an opened image has an alpha channel or a transparent colour."""
    return bool(image.has_transparency_data)


def is_turned(image: Image.Image) -> bool:
    """Return whether EXIF says that an opened image is rotated or mirrored.

    A PNG file may hold EXIF behind its pixels, which are not read.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return False
    return _orientation(image) in _TURN


def _to_rgb(image: Image.Image, alpha: Alpha) -> Image.Image:
    if alpha != "drop" and has_alpha(image):
        return _on_background(image, alpha)
    if image.mode in _GREY_16:
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if "transparency" in image.info:
        # RGB cannot express it; PIL would warn, or look for a free palette entry.
        image = image.copy()
        del image.info["transparency"]
    if image.mode == "RGB":
        return image  # PIL would copy it, which takes longer than decoding a large JPEG
    rgb: Image.Image = image.convert("RGB")
    return rgb


def _on_background(image: Image.Image, alpha: Alpha) -> Image.Image:
    """Lay a transparent image on a background: (alpha * colour + (255 - alpha) * background) / 255.

    It is rounded, and computed on stored (gamma-encoded) values, as browsers do.
    """
    if image.mode in _GREY_16:
        transparent = np.asarray(image) == image.info["transparency"]
        opacity = Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8))
        colours = Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    else:
        rgba = image.convert("RGBA")
        opacity, colours = rgba.getchannel("A"), rgba.convert("RGB")
    if opacity.getextrema() == (255, 255):  # the formula gives the colours themselves
        return colours
    laid = Image.new("RGB", image.size, alpha)
    laid.paste(colours, mask=opacity)
    return laid


def _to_8_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale (H, W) grey values of 0..65535 to uint8: value * 255 / 65535, rounded to nearest.

    Wider values (32-bit TIFF) are clipped to 16 bits first.
    """
    return ((np.clip(grey.astype(np.int64), 0, 65535) * 255 + 32767) // 65535).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1..8; 1 if the EXIF block is damaged, as the pixels are sound."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as in decode
        return 1


def _silence_pil() -> None:
    """Turn off PIL's warnings, which report odd metadata; damaged pixels are errors here.

    The filter is looked up at each call, as other code may reset the list. `catch_warnings` would
    be neater but is not thread-safe.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _QUIET = warnings.filters[0]


def require_same_size(
    what: str, name: str, shape: tuple[int, ...], image: bytes, image_name: str
) -> None:
    """Raise UnreadableImageError where a mask or a depth map has another size than its image.

    `what` it is, its `name` and its `shape` (H, W); `image` are the encoded bytes of the image.
    """
    opened = open_image(image, image_name)
    if is_turned(opened):
        raise UnreadableImageError(
            f"image {image_name!r} is turned by EXIF, and its {what} is not. Save it upright."
        )
    if opened.size != (shape[1], shape[0]):
        width, height = opened.size
        raise UnreadableImageError(
            f"{what} {name!r} is {shape[1]} x {shape[0]} px, its image {width} x {height} px. "
            "They must have the same size."
        )
