"""Pairs of images of one OpenMoji drawing, whose points correspond by known homographies.

The source image shows a drawing on a background of smooth random colours, shrunk and moved; the
target image shows it on another background, turned, shrunk and tilted. Both are warped from one
rendering of `SIDE_PX`, with noise laid over. Points are drawn inside the drawing, apart from each
other; where both images show them follows from the homographies, exactly. In the line style, target
images show line art.

All drawings of the categories of `bob.datasets.readers.scenes` are used, which describes random
numbers and digests too: nothing is learnt, so that there is no train split.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest
from bob.datasets.content.sequences import Digests
from bob.datasets.listing import ImageListing
from bob.datasets.points import PointSets, SourcePoints, TargetPoints
from bob.datasets.readers.scenes import (
    COVERED,
    SIDE_PX,
    SceneDrawings,
    background,
    libraries,
    png_bytes,
    random_state,
    scene_drawings,
    with_noise,
)
from bob.numerics.arrays import Doubles, Ints
from bob.specs import Role

ROLES: tuple[Role, ...] = ("query", "gallery")
VERSION = 1
"""Raised where pairs of the same number change."""
PAIRS = 200
POINTS_MOST = 12
APART_PX = 24.0
"""Least distance between the points of a drawing, in its rendering."""
SOURCE_SCALE, TARGET_SCALE = (0.7, 0.9), (0.45, 0.75)
TURN_DEGREES = 40.0
TILT = 0.25
"""Most change of scale across a target image, by perspective."""
MARGIN_PX = 4.0
"""Least distance of the rendering's corners from an image's edge."""


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """A pair as it is planned."""

    number: int
    drawing: int
    source: Doubles
    """(3, 3) homography from pixels of the rendering to those of the source image."""
    target: Doubles
    """(3, 3) the same, to those of the target image."""


def list_warped_pairs(svg: Path, table: Path, cache: Path, style: str) -> ImageListing:
    """List the source (query) and target (gallery) images; targets are in one style."""
    drawings = scene_drawings(svg, table, cache)
    pool = sorted(i for of_split in drawings.pools.values() for of in of_split for i in of)
    pairs = [plan_pair(pool, number) for number in range(PAIRS)]
    maker = PairMaker(drawings)
    roles = [role for role in ROLES for _ in pairs]
    names = [f"{side}/{pair.number:03d}" for side in ("source", "target") for pair in pairs]
    styles = ["colour"] * PAIRS + [style] * PAIRS
    content = [
        _digest(name, pair, drawings.digests, of_style)
        for name, pair, of_style in zip(names, (*pairs, *pairs), styles, strict=True)
    ]
    points = [content_digest(f"points {digest}".encode()) for digest in content]

    def read(i: int) -> bytes:
        pair = pairs[i % PAIRS]
        warp = pair.source if i < PAIRS else pair.target
        return png_bytes(maker.image(names[i], pair.drawing, warp, styles[i]))

    @functools.cache  # several backbones of a pass read the same ones
    def read_points(i: int) -> SourcePoints:
        pair = pairs[i % PAIRS]
        return maker.source_points(pair) if i < PAIRS else maker.target_points(pair)

    return ImageListing(
        where="sample openmoji_pairs",
        ids=[f"{n}{' (line)' * (s == 'line')}" for n, s in zip(names, styles, strict=True)],
        content=Digests.of(content, (0 for _ in content)),
        read=read,
        is_derived=True,
        splits=roles,
        points=PointSets(points, read_points, [()] * PAIRS + [(name,) for name in names[:PAIRS]]),
    )


def plan_pair(pool: Sequence[int], number: int) -> WarpedPair:
    """Return a pair of images of a drawing of `pool`; equal numbers give equal pairs."""
    rng = random_state(f"pairs {number}")
    drawing = pool[rng.randint(len(pool))]
    source = _moved_inside(np.diag([*[rng.uniform(*SOURCE_SCALE)] * 2, 1.0]), rng)
    scale, turn = rng.uniform(*TARGET_SCALE), np.radians(rng.uniform(-1, 1) * TURN_DEGREES)
    tilt = rng.uniform(-TILT / 2, TILT / 2, 2) / SIDE_PX
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centred = np.eye(3)
    centred[:2, 2] = -SIDE_PX / 2
    warp = np.eye(3)
    warp[:2, :2], warp[2, :2] = scale * rotation, tilt
    return WarpedPair(number, drawing, source, _moved_inside(warp @ centred, rng))


def _moved_inside(warp: Doubles, rng: np.random.RandomState) -> Doubles:
    """Return a homography followed by a random move that keeps the rendering in the image."""
    corners = project(warp, np.array([[0, 0], [0, SIDE_PX], [SIDE_PX, 0], [SIDE_PX, SIDE_PX]]))
    least = MARGIN_PX - corners.min(axis=0)
    most = SIDE_PX - MARGIN_PX - corners.max(axis=0)
    move = np.eye(3)
    move[:2, 2] = least + rng.uniform(0, 1, 2) * np.maximum(most - least, 0)
    return np.asarray(move @ warp, np.float64)


def project(warp: Doubles, xy: Doubles) -> Doubles:
    """Return the points (n, 2) to which a homography (3, 3) maps points (n, 2)."""
    projected = np.column_stack([xy, np.ones(len(xy))]) @ warp.T
    return np.asarray(projected[:, :2] / projected[:, 2:], np.float64)


@dataclass(frozen=True, eq=False)
class PairMaker:
    """Makes the images of pairs, and their points."""

    drawings: SceneDrawings

    def image(self, name: str, drawing: int, warp: Doubles, style: str) -> Image.Image:
        """Return a drawing, warped, on the background of that name."""
        image = Image.fromarray(background(name))
        laid = _warped(self._rendered(drawing, style), warp)
        image.paste(laid, (0, 0), laid.getchannel("A"))
        return Image.fromarray(with_noise(np.asarray(image), name))

    def source_points(self, pair: WarpedPair) -> SourcePoints:
        """Return the points of the source image."""
        xy = self._points(pair)
        return SourcePoints((SIDE_PX, SIDE_PX), _ids(pair, len(xy)), project(pair.source, xy))

    def target_points(self, pair: WarpedPair) -> TargetPoints:
        """Return the same points in the target image."""
        xy, size = self._points(pair), (SIDE_PX, SIDE_PX)
        opaque = _warped(self._rendered(pair.drawing, "colour"), pair.target).getchannel("A")
        rows, columns = np.nonzero(np.asarray(opaque) >= COVERED)
        extent = max(np.ptp(rows), np.ptp(columns)) + 1.0 if len(rows) else float(SIDE_PX)
        return TargetPoints(
            size,
            _ids(pair, len(xy)),
            project(pair.target, xy),
            pair=np.full(len(xy), pair.number),
            extent_px=np.full(len(xy), extent),
            source_place=project(pair.source, xy) / SIDE_PX,
        )

    def _rendered(self, drawing: int, style: str) -> Image.Image:
        colours, opacity = self.drawings.draw(drawing, style, SIDE_PX, mirrored=False)
        rendered = colours.copy()
        rendered.putalpha(opacity)
        return rendered

    def _points(self, pair: WarpedPair) -> Doubles:
        """Return points (n, 2) inside the drawing, in pixels of its rendering."""
        _, opacity = self.drawings.draw(pair.drawing, "colour", SIDE_PX, mirrored=False)
        inside = np.argwhere(np.asarray(opacity) >= COVERED)[:, ::-1] + 0.5
        order = random_state(f"points {pair.number}").permutation(len(inside))
        chosen: list[Doubles] = []
        for xy in inside[order]:
            if len(chosen) == POINTS_MOST:
                break
            if all(np.hypot(*(xy - other)) >= APART_PX for other in chosen):
                chosen.append(xy)
        return np.reshape(chosen, (-1, 2))


def _ids(pair: WarpedPair, n: int) -> Ints:
    return pair.number * POINTS_MOST + np.arange(n)


def _warped(rendered: Image.Image, warp: Doubles) -> Image.Image:
    """Return an image with alpha, moved by a homography; PIL asks for its inverse."""
    inverse = np.linalg.inv(warp)
    data = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    return rendered.transform(
        (SIDE_PX, SIDE_PX), Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC
    )


def _digest(name: str, pair: WarpedPair, digests: Sequence[str], style: str) -> str:
    """Return the digest of everything that an image and its points are made from."""
    text = [
        f"warped pairs {VERSION} {SIDE_PX} px {libraries('colour')} {libraries(style)}",
        f"{name} {digests[pair.drawing]}",
        *(repr(warp.round(9).tolist()) for warp in (pair.source, pair.target)),
    ]
    return content_digest("\n".join(text).encode())
