"""Scenes of several OpenMoji drawings, in which the category of every pixel is known.

A scene is a background of smooth random colours, on which 3 to 6 drawings are laid, one over
another, and noise over all of it, so that flat colours do not tell drawings from ground. Each has
one of eight categories (`Symbols` is left out: its signs look like anything) and a random place,
size and direction. The mask holds the category of the uppermost drawing, 0 where the background
shows, and ignores the pixels of an outline that a drawing covers in part. Boxes are around what is
visible of each drawing, whose pixels are its instance mask, and one that is nearly hidden is
ignored.

Train scenes are made of the train drawings of `openmoji`, test scenes of its test drawings. Scenes
are made when they are read, and depend on their number, the SVG files, and the versions of the
renderer and of Pillow, all of which are in their digest. Random numbers are those of NumPy's
`RandomState`, whose streams are frozen.

The line style has the same scenes with all drawings as line art on white.
"""

import functools
import importlib.metadata
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.images import decode
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.sequences import Digests
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing
from bob.datasets.masks import IGNORED, Mask, Masks
from bob.datasets.readers.openmoji import Drawing, render, renderer, variants
from bob.datasets.readers.scene_boxes import VisibleDrawings
from bob.datasets.splits import automatic_test
from bob.numerics.arrays import Bools
from bob.specs import Role, SampleSource

VERSION = 1
"""Raised where scenes of the same number change."""
SIDE_PX = 256
SCENES: dict[Role, int] = {"train": 400, "test": 160}
TEST_SHARE = 0.25
"""Share of each category whose drawings are test drawings, as in `openmoji`."""
CLASSES = (
    "ground",
    "Activities",
    "Animals & Nature",
    "Flags",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Travel & Places",
)
"""Names of the classes; a drawing's class is its category."""
DRAWINGS_LEAST, DRAWINGS_MOST = 3, 6
DRAWING_PX_LEAST, DRAWING_PX_MOST = 72, 144
COVERED, UNCOVERED = 230, 25
"""Opacity, of 255, from which a pixel belongs to a drawing, and up to which it does not."""
NOISE = 20
"""Largest noise, in levels of 255."""


@dataclass(frozen=True)
class Placement:
    """One drawing of a scene."""

    drawing: int
    """Position in the list of drawings."""
    left: int
    top: int
    side_px: int
    mirrored: bool


@dataclass(frozen=True, eq=False)
class Layers:
    """A scene as it is composed."""

    image: Image.Image
    mask: Mask
    """(H, W) class of each pixel, or IGNORED."""
    boxes: ImageBoxes
    instances: Bools
    """(n, H, W) the pixels of each box's drawing."""


@dataclass(frozen=True, eq=False)
class SceneDrawings:
    """The drawings that scenes are made of."""

    drawings: Sequence[Drawing]
    digests: Sequence[str]
    """Of their SVG files."""
    read_svg: Callable[[int], bytes]
    pools: Mapping[Role, Sequence[Sequence[int]]]
    """Split → its drawings by category, in the order of `CLASSES`: positions in `drawings`."""

    def draw(self, drawing: int, style: str, side_px: int, mirrored: bool) -> "Drawn":
        """Return a drawing's colours and its opacity, which is that of the colour style."""
        svg = self.read_svg(drawing)
        png = render(svg, "colour", side_px, None)
        with Image.open(io.BytesIO(png)) as drawn:
            opacity = drawn.convert("RGBA").getchannel("A")
        colours = decode(
            png if style == "colour" else render(svg, "line", side_px, "white"),
            "drawing",
            "drop" if style == "colour" else "white",
        )
        if mirrored:
            flip = Image.Transpose.FLIP_LEFT_RIGHT
            return colours.transpose(flip), opacity.transpose(flip)
        return colours, opacity

    def category(self, drawing: int) -> int:
        """Return the class index of a drawing."""
        return CLASSES.index(str(self.drawings[drawing].entry["category"]))


Drawn = tuple[Image.Image, Image.Image]
"""Colours (mode RGB) and opacity (mode L)."""


def scene_drawings(svg: Path, table: Path, cache: Path) -> SceneDrawings:
    """Return the drawings of the train and of the test scenes."""
    source = SampleSource(reader="openmoji")
    drawings = [
        drawing
        for entry in json.loads(table.read_text(encoding="utf-8"))
        for drawing in variants(entry, svg, source)
    ]
    files = [drawing.svg for drawing in drawings]
    digests = file_digests(svg, files, cache)
    read_svg = planned_reader(lambda i: read_file(files[i]), digests, [*map(str, files)])
    return SceneDrawings(drawings, digests, read_svg, _pools(drawings, digests))


def list_scenes(svg: Path, table: Path, cache: Path, style: str) -> ImageListing:
    """List the scenes in one style, with their masks and boxes."""
    drawings = scene_drawings(svg, table, cache)
    scenes = [
        (f"{split}/{number:03d}", split, place_drawings(drawings.pools[split], split, number))
        for split, count in SCENES.items()
        for number in range(count)
    ]
    composer = Composer(drawings, style)
    content = [_digest(name, places, drawings.digests, style) for name, _, places in scenes]

    def composed(i: int) -> Layers:
        """Compose a scene, and keep its mask: who reads its image soon reads it."""
        layers = composer.layers(scenes[i][0], scenes[i][2])
        masks.keep(i, layers.mask)
        return layers

    masks = TargetCache(lambda i: composed(i).mask)
    return ImageListing(
        where="sample openmoji_scenes",
        ids=[f"{name}{' (line)' * (style == 'line')}" for name, _, _ in scenes],
        content=Digests.of(content, (0 for _ in scenes)),
        read=lambda i: png_bytes(composed(i).image),
        is_derived=True,
        splits=[split for _, split, _ in scenes],
        classes=CLASSES,
        masks=Masks(
            [content_digest(f"mask {digest}".encode()) for digest in content],
            masks,
        ),
        boxes=BoxSets(
            [content_digest(f"boxes {digest}".encode()) for digest in content],
            functools.cache(lambda i: composed(i).boxes),
            TargetCache(lambda i: composed(i).instances),
        ),
    )


def _pools(drawings: Sequence[Drawing], digests: Sequence[str]) -> dict[Role, list[list[int]]]:
    """Return the train and the test drawings, by category: positions in the list of drawings."""
    categories = sorted({str(drawing.entry["category"]) for drawing in drawings})
    y = np.array([categories.index(str(drawing.entry["category"])) for drawing in drawings])
    is_test = automatic_test(y, digests, share=TEST_SHARE)
    return {
        role: [
            np.flatnonzero((y == categories.index(name)) & (is_test == (role == "test"))).tolist()
            for name in CLASSES[1:]
        ]
        for role in SCENES
    }


def place_drawings(pool: Sequence[Sequence[int]], split: str, number: int) -> list[Placement]:
    """Return the drawings of a scene, the lowest first; equal numbers give equal scenes."""
    rng = random_state(f"places {split} {number}")
    placements = []
    for _ in range(rng.randint(DRAWINGS_LEAST, DRAWINGS_MOST + 1)):
        of_category = pool[rng.randint(len(pool))]
        side_px = rng.randint(DRAWING_PX_LEAST, DRAWING_PX_MOST + 1)
        left, top = (rng.randint(-side_px // 4, SIDE_PX - 3 * side_px // 4) for _ in range(2))
        drawing = of_category[rng.randint(len(of_category))]
        placements.append(Placement(drawing, left, top, side_px, bool(rng.randint(2))))
    return placements


def background(name: str) -> NDArray[np.uint8]:
    """Return smooth random colours, (SIDE_PX, SIDE_PX, 3)."""
    corners = random_state(f"background {name}").randint(0, 256, (4, 4, 3)).astype(np.uint8)
    smooth = Image.fromarray(corners).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    return np.array(smooth, np.uint8)


@dataclass(frozen=True, eq=False)
class Composer:
    """Lays drawings on backgrounds."""

    drawings: SceneDrawings
    style: str
    ground: Callable[[str], NDArray[np.uint8]] = background
    """Name of a scene → its background (SIDE_PX, SIDE_PX, 3)."""

    def image(self, name: str, placements: Sequence[Placement]) -> bytes:
        """Return a scene as PNG bytes."""
        return png_bytes(self.layers(name, placements).image)

    def layers(self, name: str, placements: Sequence[Placement]) -> Layers:
        """Compose a scene."""
        image = Image.fromarray(self.ground(name))
        mask = np.zeros((SIDE_PX, SIDE_PX), np.int16)
        visible = VisibleDrawings.of_size(SIDE_PX, SIDE_PX)
        for place in placements:
            drawn = self.drawings.draw(place.drawing, self.style, place.side_px, place.mirrored)
            covered = lay(image, drawn, (place.left, place.top))
            mask[covered > UNCOVERED] = IGNORED
            category = self.drawings.category(place.drawing)
            mask[covered >= COVERED] = category
            visible.add(category, covered >= COVERED, covered > UNCOVERED)
        noisy = Image.fromarray(with_noise(np.asarray(image), name))
        return Layers(noisy, mask, visible.boxes(), visible.masks())


def lay(image: Image.Image, drawn: Drawn, at: tuple[int, int]) -> NDArray[np.uint8]:
    """Lay a drawing on an image, left and top at `at`; return its opacity there (H, W)."""
    colours, opacity = drawn
    image.paste(colours, at, opacity)
    laid = Image.new("L", image.size)
    laid.paste(opacity, at)
    return np.asarray(laid)


def png_bytes(image: Image.Image) -> bytes:
    """Return an image as PNG bytes."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def with_noise(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with the same noise in all channels of a pixel."""
    noise = random_state(f"noise {name}").randint(-NOISE, NOISE + 1, (*pixels.shape[:2], 1))
    noisy: NDArray[np.uint8] = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return noisy


def random_state(text: str) -> np.random.RandomState:
    """Return random numbers that a text determines."""
    return np.random.RandomState(int(content_digest(f"scenes {VERSION} {text}".encode())[:8], 16))


@functools.cache
def libraries(style: str) -> str:
    """Return text that covers what determines the pixels beside SVG files and this package."""
    return f"{renderer(style)}, pillow {importlib.metadata.version('pillow')}"


def _digest(name: str, placements: Sequence[Placement], digests: Sequence[str], style: str) -> str:
    """Return the digest of everything that a scene is made from."""
    parts = [f"{digests[place.drawing]} {place}" for place in placements]
    text = "\n".join([f"scenes {VERSION} {SIDE_PX} px {libraries(style)}", name, *parts])
    return content_digest(text.encode())
