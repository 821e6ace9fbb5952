"""Rows of captioned images, or a confusion matrix, drawn as one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TILE_PX = 160
"""Largest width and height of an image with its frame."""
GAP_PX = 10
LINE_PX = 16
FONT_PX = 12
CHARACTERS = 26
"""Length of a caption's line; longer ones would not fit under a tile."""
FRAME = {True: (0, 114, 178), False: (213, 94, 0), None: (150, 150, 150)}
"""Colours for right, wrong and neither: blue, vermilion and grey, which colour-blind readers can
distinguish. Captions say it, too."""


@dataclass(frozen=True)
class Tile:
    """An image with lines of text under it."""

    image: Image.Image
    lines: tuple[str, ...]
    right: bool | None = None
    """Colour of the frame; see `FRAME`."""


def sheet(title: str, rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Draw rows of tiles below one another, under a title."""
    lines = max(len(tile.lines) for row in rows for tile in row)
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + lines * LINE_PX + GAP_PX
    width = max(max(map(len, rows)) * step_x + GAP_PX, int(_font().getlength(title)) + 2 * GAP_PX)
    page = Image.new("RGB", (width, 2 * LINE_PX + len(rows) * step_y + GAP_PX), "white")
    draw = ImageDraw.Draw(page)
    draw.text((GAP_PX, LINE_PX // 2), title, fill="black", font=_font())
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            _draw_tile(page, draw, tile, GAP_PX + c * step_x, 2 * LINE_PX + r * step_y)
    return page


def _draw_tile(page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
    small = tile.image.copy()
    small.thumbnail((TILE_PX - 6, TILE_PX - 6))
    draw.rectangle((x, y, x + TILE_PX - 1, y + TILE_PX - 1), outline=FRAME[tile.right], width=3)
    page.paste(small, (x + (TILE_PX - small.width) // 2, y + (TILE_PX - small.height) // 2))
    for i, line in enumerate(tile.lines):
        draw.text((x, y + TILE_PX + i * LINE_PX), shortened(line), fill="black", font=_font())


def confusion_sheet(title: str, counts: NDArray[np.int64], names: Sequence[str]) -> Image.Image:
    """Draw counts (C, C), one row per true class; darker is a larger share of the true class."""
    cell, margin = 34, int(max(_font().getlength(shortened(name)) for name in names)) + 3 * GAP_PX
    side = margin + cell * len(names) + GAP_PX
    page = Image.new(
        "RGB", (max(side, int(_font().getlength(title)) + 2 * GAP_PX), side + 2 * LINE_PX), "white"
    )
    draw = ImageDraw.Draw(page)
    draw.text((GAP_PX, GAP_PX), title, fill="black", font=_font())
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    top = margin + LINE_PX
    for i, name in enumerate(names):
        draw.text((GAP_PX, top + i * cell + cell // 3), shortened(name), fill="black", font=_font())
        _draw_upwards(page, shortened(name), margin + i * cell + cell // 3, top)
        for j in range(len(names)):
            shade = int(255 * (1 - share[i, j]))
            box = (
                margin + j * cell,
                top + i * cell,
                margin + (j + 1) * cell - 2,
                top + (i + 1) * cell - 2,
            )
            draw.rectangle(box, fill=(shade, shade, 255))
            if counts[i, j]:
                colour = "white" if share[i, j] > 0.6 else "black"
                draw.text(
                    (box[0] + 3, box[1] + cell // 3), str(counts[i, j]), fill=colour, font=_font()
                )
    return page


def _draw_upwards(page: Image.Image, text: str, x: int, bottom: int) -> None:
    """Draw text that runs upwards and ends at `bottom`."""
    band = Image.new("RGB", (int(_font().getlength(text)) + 4, LINE_PX), "white")
    ImageDraw.Draw(band).text((0, 0), text, fill="black", font=_font())
    turned = band.rotate(90, expand=True)
    page.paste(turned, (x, max(2 * LINE_PX, bottom - turned.height)))


def shortened(text: str) -> str:
    """Return the text as one line that fits under a tile."""
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS else line[: CHARACTERS - 1] + "…"


def _font() -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib ships: Latin, Greek, Cyrillic, Arabic and Hebrew."""
    return ImageFont.truetype(f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf", FONT_PX)
