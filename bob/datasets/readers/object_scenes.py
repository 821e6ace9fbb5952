"""Scenes of a single OpenMoji drawing on a textured ground, with its box and its pixels.

The ground has smooth random colours, and blotches of a few pixels over them; the drawing has a
random place inside the image, size and direction. All drawings of the categories of
`bob.datasets.readers.scenes` are used, which describes random numbers and digests too: nothing is
learnt, so that there is no train split.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.boxes import BoxSets
from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing
from bob.datasets.readers.scenes import (
    CLASSES,
    SIDE_PX,
    Composer,
    Placement,
    background,
    libraries,
    random_state,
    scene_drawings,
)

VERSION = 1
"""Raised where scenes of the same number change."""
SCENES = 200
DRAWING_PX_LEAST, DRAWING_PX_MOST = 80, 176
BLOTCHES = 48
"""Blotches along a side."""
CONTRAST = 48
"""Largest difference that a blotch makes, in levels of 255."""


def list_object_scenes(svg: Path, table: Path, cache: Path, style: str) -> ImageListing:
    """List the scenes in one style, with their boxes."""
    drawings = scene_drawings(svg, table, cache)
    pool = sorted(i for of_split in drawings.pools.values() for of in of_split for i in of)
    places = [place_drawing(pool, number) for number in range(SCENES)]
    names = [f"object/{number:03d}" for number in range(SCENES)]
    composer = Composer(drawings, style, textured)
    content = [
        _digest(name, place, drawings.digests[place.drawing], style)
        for name, place in zip(names, places, strict=True)
    ]
    return ImageListing(
        where="sample openmoji_objects",
        ids=[f"{name}{' (line)' * (style == 'line')}" for name in names],
        content=Digests.of(content, (0 for _ in content)),
        read=lambda i: composer.image(names[i], [places[i]]),
        is_derived=True,
        splits=["test"] * SCENES,
        classes=CLASSES,
        boxes=BoxSets(
            [content_digest(f"boxes {digest}".encode()) for digest in content],
            functools.cache(lambda i: composer.layers(names[i], [places[i]]).boxes),
            TargetCache(lambda i: composer.layers(names[i], [places[i]]).instances),
        ),
    )


def place_drawing(pool: Sequence[int], number: int) -> Placement:
    """Return the drawing of a scene, all of it in the image; equal numbers give equal scenes."""
    rng = random_state(f"object {VERSION} {number}")
    side_px = rng.randint(DRAWING_PX_LEAST, DRAWING_PX_MOST + 1)
    left, top = rng.randint(0, SIDE_PX - side_px + 1, 2).tolist()
    return Placement(pool[rng.randint(len(pool))], left, top, side_px, bool(rng.randint(2)))


def textured(name: str) -> NDArray[np.uint8]:
    """Return smooth random colours with blotches, (SIDE_PX, SIDE_PX, 3)."""
    blotches = random_state(f"blotches {name}").randint(0, 256, (BLOTCHES, BLOTCHES))
    smooth = Image.fromarray(blotches.astype(np.uint8)).resize(
        (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
    )
    change = (np.asarray(smooth, np.float64)[:, :, None] - 127.5) * (CONTRAST / 127.5)
    return np.clip(background(name) + change, 0, 255).round().astype(np.uint8)


def _digest(name: str, place: Placement, drawing: str, style: str) -> str:
    """Return the digest of everything that a scene is made from."""
    made_by = f"object scenes {VERSION} {SIDE_PX} px {libraries('colour')} {libraries(style)}"
    return content_digest(f"{made_by}\n{name}\n{drawing} {place}".encode())
