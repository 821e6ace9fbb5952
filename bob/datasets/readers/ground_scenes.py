"""Scenes of OpenMoji drawings that stand on a ground before a wall, with the depth of every pixel.

A camera looks over a level ground. With the focal length f in pixels, the camera's height H and the
row h of the horizon, the ground at the row v is at the depth  f H / (v - h), up to a wall, which
faces the camera. Drawings stand upright on the ground, so that those which are farther away are
smaller, have their feet higher up, and are covered by nearer ones. Ground and wall have tiles of
one metre. Depth is thus in the size of drawings and tiles, and in where drawings and wall stand;
horizon, height and wall differ between images, so that the place in the image does not suffice:
the task `depth` reports how far it goes.

The depth of a drawing is that of its feet. Pixels that an outline covers in part have no depth, and
no class: the mask holds categories as in `bob.datasets.readers.scenes`, where drawings of train
and test, boxes, noise, random numbers and the line style are described too. All lengths are in
metres, unless their names end in `_px`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.depths import Depths
from bob.datasets.listing import ImageListing
from bob.datasets.masks import IGNORED, Mask, Masks
from bob.datasets.readers.scene_boxes import VisibleDrawings
from bob.datasets.readers.scenes import (
    CLASSES,
    COVERED,
    SCENES,
    SIDE_PX,
    UNCOVERED,
    SceneDrawings,
    background,
    lay,
    libraries,
    png_bytes,
    random_state,
    scene_drawings,
    with_noise,
)
from bob.numerics.arrays import Bools, Doubles, Floats

VERSION = 1
"""Raised where scenes of the same number change."""
RANGE = (0.5, 25.0)
"""Least and most depth; the nearest ground in an image is at 0.7 m or farther."""
FOCAL_PX = 220.0
HORIZON_PX = (0.0, 170.0)
CAMERA_HEIGHT = (0.8, 2.4)
WALL = (6.0, 20.0)
NEAREST = 2.0
"""Least depth of a drawing; the most is `BEFORE_WALL` of the wall's."""
BEFORE_WALL = 0.85
FEET_BELOW_PX = 30.0
"""Most rows by which the feet of a drawing are below the image."""
DRAWING_HEIGHT = (1.0, 1.8)
DRAWINGS_LEAST, DRAWINGS_MOST = 5, 9
TILES = 64
"""Tiles along a side of the pattern, which is repeated."""
TILE_CONTRAST = 50
"""Largest difference in brightness of a tile, in levels of 255."""


@dataclass(frozen=True)
class Camera:
    """Where the camera is, and how far it sees."""

    horizon_px: float
    camera_height: float
    wall: float

    def depth(self) -> Doubles:
        """Return the depth (SIDE_PX,) of ground and wall at the centres of the rows."""
        rows = np.arange(SIDE_PX) + 0.5
        is_ground = rows > self.foot_px(self.wall)
        return np.array(
            [
                self.ground_depth(row) if ground else self.wall
                for row, ground in zip(rows, is_ground, strict=True)
            ]
        )

    def ground_depth(self, row_px: float) -> float:
        """Return the depth of the ground at a row below the horizon."""
        return FOCAL_PX * self.camera_height / (row_px - self.horizon_px)

    def foot_px(self, depth: float) -> float:
        """Return the row of the ground at a depth."""
        return self.horizon_px + FOCAL_PX * self.camera_height / depth


@dataclass(frozen=True)
class StandingDrawing:
    """One drawing of a scene."""

    drawing: int
    """Position in the list of drawings."""
    depth: float
    height: float
    """Of the drawing's square, margins included."""
    centre_px: float
    """Column of its middle."""
    mirrored: bool


@dataclass(frozen=True)
class GroundScene:
    """A scene as it is planned: the drawings from the farthest to the nearest."""

    name: str
    camera: Camera
    standing: tuple[StandingDrawing, ...]


@dataclass(frozen=True, eq=False)
class GroundLayers:
    """A scene as it is composed."""

    image: Image.Image
    mask: Mask
    """(H, W) class of each pixel, or IGNORED."""
    depth: Floats
    """(H, W) depth of each pixel, or NaN."""
    boxes: ImageBoxes
    instances: Bools
    """(n, H, W) the pixels of each box's drawing."""


def list_ground_scenes(svg: Path, table: Path, cache: Path, style: str) -> ImageListing:
    """List the scenes in one style, with their masks, depth maps and boxes."""
    drawings = scene_drawings(svg, table, cache)
    splits = [split for split, count in SCENES.items() for _ in range(count)]
    scenes = [
        plan_scene(drawings.pools[split], f"ground/{split}/{number:03d}")
        for split, count in SCENES.items()
        for number in range(count)
    ]
    composer = GroundComposer(drawings, style)
    content = [_digest(scene, drawings.digests, style) for scene in scenes]

    def composed(i: int) -> GroundLayers:
        """Compose a scene, and keep the targets: who reads its image soon reads them."""
        layers = composer.layers(scenes[i])
        masks.keep(i, layers.mask)
        depths.keep(i, layers.depth)
        return layers

    masks = TargetCache(lambda i: composed(i).mask)
    depths = TargetCache(lambda i: composed(i).depth)
    return ImageListing(
        where="sample openmoji_depth",
        ids=[f"{scene.name}{' (line)' * (style == 'line')}" for scene in scenes],
        content=Digests.of(content, (0 for _ in scenes)),
        read=lambda i: png_bytes(composed(i).image),
        is_derived=True,
        splits=splits,
        classes=CLASSES,
        masks=Masks(
            [content_digest(f"mask {digest}".encode()) for digest in content],
            masks,
        ),
        depths=Depths(
            [content_digest(f"depth {digest}".encode()) for digest in content],
            depths,
            RANGE,
        ),
        boxes=BoxSets(
            [content_digest(f"boxes {digest}".encode()) for digest in content],
            functools.cache(lambda i: composed(i).boxes),
            TargetCache(lambda i: composed(i).instances),
        ),
    )


def plan_scene(pool: Sequence[Sequence[int]], name: str) -> GroundScene:
    """Return a scene of some drawings by category; equal names give equal scenes."""
    rng = random_state(f"places {name}")
    camera = Camera(rng.uniform(*HORIZON_PX), rng.uniform(*CAMERA_HEIGHT), rng.uniform(*WALL))
    nearest = max(NEAREST, camera.ground_depth(SIDE_PX + FEET_BELOW_PX))
    standing = []
    for _ in range(rng.randint(DRAWINGS_LEAST, DRAWINGS_MOST + 1)):
        of_category = pool[rng.randint(len(pool))]
        drawing = of_category[rng.randint(len(of_category))]
        depth = nearest * (BEFORE_WALL * camera.wall / nearest) ** rng.uniform()
        height, centre_px = rng.uniform(*DRAWING_HEIGHT), rng.uniform(0, SIDE_PX)
        standing.append(StandingDrawing(drawing, depth, height, centre_px, bool(rng.randint(2))))
    return GroundScene(name, camera, tuple(sorted(standing, key=lambda place: -place.depth)))


@dataclass(frozen=True, eq=False)
class GroundComposer:
    """Lays drawings on a ground before a wall."""

    drawings: SceneDrawings
    style: str

    def layers(self, scene: GroundScene) -> GroundLayers:
        """Compose a scene."""
        image = Image.fromarray(_ground_and_wall(scene))
        mask = np.zeros((SIDE_PX, SIDE_PX), np.int16)
        visible = VisibleDrawings.of_size(SIDE_PX, SIDE_PX)
        depth = np.repeat(scene.camera.depth()[:, None], SIDE_PX, axis=1).astype(np.float32)
        for place in scene.standing:
            side_px = round(FOCAL_PX * place.height / place.depth)
            drawn = self.drawings.draw(place.drawing, self.style, side_px, place.mirrored)
            box = drawn[1].getbbox()
            feet_px = side_px if box is None else box[3]
            top = round(scene.camera.foot_px(place.depth)) - feet_px
            covered = lay(image, drawn, (round(place.centre_px - side_px / 2), top))
            mask[covered > UNCOVERED], depth[covered > UNCOVERED] = IGNORED, np.nan
            category = self.drawings.category(place.drawing)
            mask[covered >= COVERED] = category
            depth[covered >= COVERED] = place.depth
            visible.add(category, covered >= COVERED, covered > UNCOVERED)
        noisy = with_noise(np.asarray(image), scene.name)
        image = Image.fromarray(noisy)
        return GroundLayers(image, mask, depth, visible.boxes(), visible.masks())


def _ground_and_wall(scene: GroundScene) -> NDArray[np.uint8]:
    """Return smooth colours with tiles in perspective, (SIDE_PX, SIDE_PX, 3) uint8."""
    depth = scene.camera.depth()[:, None]
    is_wall = depth == scene.camera.wall
    rows, columns = np.indices((SIDE_PX, SIDE_PX)) + 0.5
    across = (columns - SIDE_PX / 2) * depth / FOCAL_PX
    up = (rows - scene.camera.horizon_px) * depth / FOCAL_PX
    pattern = random_state(f"tiles {scene.name}").randint(
        -TILE_CONTRAST, TILE_CONTRAST + 1, (2, TILES, TILES)
    )
    along = np.where(is_wall, up, depth)
    tile = [np.floor(lengths).astype(np.int64) % TILES for lengths in (along, across)]
    brightness = pattern[is_wall.astype(np.int64), tile[0], tile[1]]
    tiled = background(scene.name).astype(np.int64) + brightness[..., None]
    pixels: NDArray[np.uint8] = np.clip(tiled, 0, 255).astype(np.uint8)
    return pixels


def _digest(scene: GroundScene, digests: Sequence[str], style: str) -> str:
    """Return the digest of everything that a scene is made from."""
    parts = [f"{digests[at.drawing]} {dataclasses.astuple(at)[1:]}" for at in scene.standing]
    text = [
        f"ground scenes {VERSION} {SIDE_PX} px {libraries(style)}",
        scene.name,
        str(scene.camera),
    ]
    return content_digest("\n".join([*text, *parts]).encode())
