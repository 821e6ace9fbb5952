"""Short videos of two OpenMoji drawings that move over a textured ground, with their masks.

Each drawing moves on a straight line, by the same step in each frame, and may be covered by the
other one; the ground moves too, and noise differs between frames. The mask holds the number of the
uppermost drawing, 0 where the ground shows. All drawings of the categories of
`bob.datasets.readers.scenes` are used, which describes random numbers and digests too: nothing is
learnt, so that there is no train split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing
from bob.datasets.masks import Mask, Masks
from bob.datasets.readers.davis import CLASSES
from bob.datasets.readers.object_scenes import textured
from bob.datasets.readers.scenes import (
    SIDE_PX,
    SceneDrawings,
    lay,
    libraries,
    png_bytes,
    random_state,
    scene_drawings,
    with_noise,
)

VERSION = 1
"""Raised where clips of the same number change."""
CLIPS, FRAMES, DRAWINGS = 20, 16, 2
DRAWING_PX_LEAST, DRAWING_PX_MOST = 80, 128
HALF = 128
"""Opacity, of 255, from which a pixel belongs to a drawing."""
GROUND_STEP_PX = 2


@dataclass(frozen=True)
class MovingDrawing:
    """A drawing and its path."""

    drawing: int
    side_px: int
    start: tuple[int, int]
    """Left and top in the first frame."""
    end: tuple[int, int]
    """Left and top in the last frame."""

    def at(self, frame: int) -> tuple[int, int]:
        """Return left and top in a frame."""
        share = frame / (FRAMES - 1)
        left, top = (round(a + share * (b - a)) for a, b in zip(self.start, self.end, strict=True))
        return left, top


def list_clips(svg: Path, table: Path, cache: Path, style: str) -> ImageListing:
    """List the frames of the clips in one style, with their masks."""
    drawings = scene_drawings(svg, table, cache)
    pool = sorted(i for of_split in drawings.pools.values() for of in of_split for i in of)
    clips = [plan_clip(pool, number) for number in range(CLIPS)]
    frames = [(clip, frame) for clip in range(CLIPS) for frame in range(FRAMES)]
    content = [_digest(clips[c], c, t, drawings.digests, style) for c, t in frames]

    def compose(i: int) -> tuple[Image.Image, Mask]:
        clip, frame = frames[i]
        return compose_frame(drawings, clips[clip], clip, frame, style)

    line = " (line)" * (style == "line")
    return ImageListing(
        where="sample openmoji_clips",
        ids=[f"clip_{clip:02d}/{frame:02d}{line}" for clip, frame in frames],
        content=Digests.of(content, (0 for _ in content)),
        read=lambda i: png_bytes(compose(i)[0]),
        is_derived=True,
        splits=["test"] * len(frames),
        classes=CLASSES,
        groups=[f"clip_{clip:02d}" for clip, _ in frames],
        masks=Masks(
            [content_digest(f"mask {digest}".encode()) for digest in content],
            TargetCache(lambda i: compose(i)[1]),
        ),
    )


def plan_clip(pool: Sequence[int], number: int) -> list[MovingDrawing]:
    """Return the drawings of a clip, the lower one first; equal numbers give equal clips."""
    rng = random_state(f"clip {VERSION} {number}")
    moving = []
    for _ in range(DRAWINGS):
        side_px = rng.randint(DRAWING_PX_LEAST, DRAWING_PX_MOST + 1)
        start, end = (tuple(rng.randint(0, SIDE_PX - side_px + 1, 2).tolist()) for _ in range(2))
        moving.append(MovingDrawing(pool[rng.randint(len(pool))], side_px, start, end))
    return moving


def compose_frame(
    drawings: SceneDrawings, clip: Sequence[MovingDrawing], number: int, frame: int, style: str
) -> tuple[Image.Image, Mask]:
    """Return a frame of the clip of that number, and its mask."""
    ground = np.roll(textured(f"clip {number}"), frame * GROUND_STEP_PX, axis=1)
    image, mask = Image.fromarray(ground), np.zeros((SIDE_PX, SIDE_PX), np.int16)
    for k, moving in enumerate(clip):
        drawn = drawings.draw(moving.drawing, style, moving.side_px, mirrored=False)
        mask[lay(image, drawn, moving.at(frame)) >= HALF] = k + 1
    return Image.fromarray(with_noise(np.asarray(image), f"clip {number} {frame}")), mask


def _digest(
    clip: Sequence[MovingDrawing], number: int, frame: int, digests: Sequence[str], style: str
) -> str:
    """Return the digest of everything that a frame and its mask are made from."""
    text = [
        f"clips {VERSION} {SIDE_PX} px {libraries('colour')} {libraries(style)}",
        f"{number} {frame}",
        *(f"{digests[moving.drawing]} {moving}" for moving in clip),
    ]
    return content_digest("\n".join(text).encode())
