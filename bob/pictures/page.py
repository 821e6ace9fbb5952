"""A page of images: sections of captioned thumbnails and tables, as one self-contained HTML file.

Nothing that a dataset says reaches the page as markup: Jinja escapes what it prints. There are no
scripts, and a content security policy forbids every request.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

from bob.io.text import visible

THUMBNAIL_PX = 144
"""Longest side of an image on the page; larger ones are reduced to it."""
WIDE_PX = 400
"""Longest side of a wide picture."""
_JPEG_QUALITY = 85
_MOST_COLOURS = 256


@dataclass(frozen=True)
class Picture:
    """An image with its caption."""

    uri: str
    """The thumbnail as a data URI; see `thumbnail`."""
    name: str
    """The file's name, or another name by which a person finds the image."""
    lines: tuple[str, ...]
    """What is said of it."""
    right: bool | None = None
    """Whether it is framed as right or wrong; None is neither. The lines say it, too."""
    is_wide: bool = False
    """Whether it is shown larger, as it consists of two images side by side."""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side under a heading."""

    heading: str
    pictures: Sequence[Picture]
    leads: bool = False
    """Whether the first picture is what the others are shown for, such as a query."""


@dataclass(frozen=True)
class TableCell:
    """A cell of a table."""

    text: str
    share: float | None = None
    """How dark the cell is, in [0, 1]; None is not coloured."""
    right: bool = False
    """Whether it counts what is right, whose colour is another."""


@dataclass(frozen=True)
class PageTable:
    """A table whose first column names its rows."""

    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[TableCell]]]


@dataclass(frozen=True)
class PageSection:
    """A part of the page."""

    title: str
    about: str
    """What is shown, and how it was chosen."""
    strips: Sequence[Strip] = ()
    table: PageTable | None = None


def thumbnail(image: Image.Image, most_px: int = THUMBNAIL_PX) -> str:
    """Return an RGB image of any size as the data URI of a JPEG, at most `most_px` wide and high;
    smaller images are not enlarged."""
    small = image.copy()
    small.thumbnail((most_px, most_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def map_uri(pixels: NDArray[np.uint8]) -> str:
    """Return a map of colours (h, w, 3) as a data URI.

    A map of few colours is a PNG, which keeps its edges; any other a JPEG, which is smaller.
    """
    image = Image.fromarray(pixels)
    if image.getcolors(_MOST_COLOURS) is None:
        return thumbnail(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def to_page(title: str, facts: Sequence[str], sections: Sequence[PageSection]) -> str:
    """Return the HTML of a page with a title, sentences about it, and sections."""
    return _template().render(title=title, facts=facts, sections=sections)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.from_string(
        files("bob.pictures").joinpath("page.html").read_text(encoding="utf-8")
    )
