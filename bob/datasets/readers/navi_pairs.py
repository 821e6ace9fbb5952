"""NAVI's pairs of photographs of an object, whose points correspond by its shape and the cameras.

The archive lists pairs, with the angle between their cameras in degrees:

    custom_splits/pairwise_pixel_correspondences/pairs-wild_set.txt
    3d_dollhouse_sink/wild_set/images/000.jpg 3d_dollhouse_sink/wild_set/images/001.jpg 35.2

Each photograph that is listed is a source image once: its target is drawn, by a digest of both
names, from those that the list pairs it with at an angle of at most `MOST_DEGREES`. Probe3D draws
alike, from all images and at random. Points are pixels of the object in the source photograph,
drawn at random; they are moved to the object by depth and camera, and from there to the target's
camera. A point is one of the pair where the target's depth map agrees within 1 mm, as in NAVI's
tutorial, and a step of its encoding: the others are hidden there.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bob.datasets.content.digests import content_digest
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.points import PointSets, SeenSurface, SourcePoints, TargetPoints
from bob.datasets.readers.navi import (
    ANNOTATIONS,
    STEPS_MM,
    VERSION,
    Photograph,
    Photographs,
    photographs_of,
)
from bob.errors import DatasetError, UnreadableImageError
from bob.io.names import printable
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.specs import NaviPairsSource, Role

MOST_DEGREES = 120.0
POINTS_MOST = 20
"""Most points of a pair."""
POINTS_TRIED = 2000
"""Pixels of the source's object of which these are the first that the target shows."""
AGREES_MM = 1.0
METRES = 1e-3

Listed = Mapping[str, Mapping[str, float]]
"""Path of an image → those that it is paired with → angle in degrees."""


@dataclass(frozen=True)
class NaviPair:
    """A source and a target, as positions in the list of photographs."""

    number: int
    source: int
    target: int
    angle_deg: float


@dataclass(frozen=True, eq=False)
class PairPoints:
    """n points that both photographs of a pair show."""

    source: Doubles
    """(n, 2) pixels of the source image."""
    source_place: Doubles
    """(n, 2) the same as shares of its width and height."""
    target: Doubles
    """(n, 2) pixels of the target image."""
    seen_mm: Doubles
    """(n, 3) points before the target's camera."""


def list_navi_pairs(source: NaviPairsSource, root: Path, cache: Path) -> ImageListing:
    """List source images as queries and target images as gallery, by their paths."""
    file = root / source.pairs
    listed = _listed(file)
    partners = {
        name: partner
        for name in sorted(listed, key=natural_key)
        if (partner := _partner(name, listed[name])) is not None
    }
    if not partners:
        raise DatasetError(
            f"'{printable(str(file))}': lists no pair at an angle of at most {MOST_DEGREES:g} "
            "degrees."
        )
    targets = sorted({*partners.values()}, key=natural_key)
    names = sorted({*partners, *targets}, key=natural_key)
    files = Photographs.of(root, _photographs(root, names, file), cache)
    place = {name: i for i, name in enumerate(names)}
    pairs = [
        NaviPair(number, place[name], place[partner], listed[name][partner])
        for number, (name, partner) in enumerate(partners.items())
    ]
    points = NaviPoints(files, pairs)
    positions = [*(pair.source for pair in pairs), *(place[name] for name in targets)]
    roles: list[Role] = ["query" for _ in pairs]
    roles += ["gallery" for _ in targets]
    listing = files.listing(roles, positions)
    ids = [f"{role}/{name}" for role, name in zip(roles, listing.ids, strict=True)]
    return dataclasses.replace(listing, ids=ids, points=points.sets([place[of] for of in targets]))


def _listed(file: Path) -> Listed:
    """Return the pairs of a list, in both directions. DatasetError where a line is no pair."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"'{printable(str(file))}': cannot be read ({error}).") from error
    listed: dict[str, dict[str, float]] = {}
    for number, line in enumerate(lines, start=1):
        if not (words := line.split()):
            continue
        try:
            first, second, angle = words[0], words[1], float(words[2])
        except (IndexError, ValueError):
            raise DatasetError(
                f"'{printable(str(file))}', line {number}: expected the paths of two images and "
                f"the angle between their cameras in degrees; got {line!r:.200}."
            ) from None
        listed.setdefault(first, {})[second] = angle
        listed.setdefault(second, {})[first] = angle
    return listed


def _partner(name: str, partners: Mapping[str, float]) -> str | None:
    """Return the target of a source image, drawn by digest; None where no angle is small enough."""
    near = [of for of, angle in partners.items() if of != name and 0 < angle <= MOST_DEGREES]
    return min(near, key=lambda of: content_digest(f"{name} {of}".encode()), default=None)


def _photographs(root: Path, names: Sequence[str], file: Path) -> list[Photograph]:
    """Return the photographs of listed images; DatasetError where annotations lack one."""
    folders = {(root / name).parent.parent for name in names}
    known = {
        photograph.image: photograph
        for folder in sorted(folders)
        for photograph in photographs_of(folder)
    }
    for name in names:
        if root / name not in known:
            raise DatasetError(
                f"'{printable(str(file))}': names {name!r}, which the {ANNOTATIONS} of its folder "
                "does not."
            )
    return [known[root / name] for name in names]


@dataclass(frozen=True, eq=False)
class NaviPoints:
    """The points of pairs."""

    files: Photographs
    pairs: Sequence[NaviPair]

    def sets(self, targets: Sequence[int]) -> PointSets:
        """Return the points of the sources of all pairs, and then those of `targets`.

        These are positions in the list of photographs.
        """
        of_target: dict[int, list[NaviPair]] = {target: [] for target in targets}
        for pair in self.pairs:
            of_target[pair.target].append(pair)
        shown = [*([pair] for pair in self.pairs), *of_target.values()]
        names, count = self.files.names, len(self.pairs)

        def read(i: int) -> SourcePoints:
            return self.of_source(shown[i][0]) if i < count else self.of_target(shown[i])

        return PointSets(
            [self._digest(of, i < count) for i, of in enumerate(shown)],
            read,
            [
                *(() for _ in self.pairs),
                *(tuple(f"query/{names[pair.source]}" for pair in of) for of in of_target.values()),
            ],
        )

    def of_source(self, pair: NaviPair) -> SourcePoints:
        """Return the points in the source image."""
        xy = self._points(pair).source
        return SourcePoints(self.files.cut(pair.source).size, _ids(pair, len(xy)), xy)

    def of_target(self, pairs: Sequence[NaviPair]) -> TargetPoints:
        """Return the points of all pairs in their common target image."""
        target, of_pairs = pairs[0].target, [self._points(pair) for pair in pairs]
        counts = [len(of.target) for of in of_pairs]
        cut = self.files.cut(target)
        seen = np.concatenate([of.seen_mm for of in of_pairs])
        return TargetPoints(
            cut.size,
            np.concatenate([_ids(pair, n) for pair, n in zip(pairs, counts, strict=True)]),
            np.concatenate([of.target for of in of_pairs]),
            pair=np.repeat([pair.number for pair in pairs], counts),
            extent_px=np.full(len(seen), cut.object_px * float(cut.scale.max())),
            source_place=np.concatenate([of.source_place for of in of_pairs]),
            surface=SeenSurface(
                self._surface(target),
                seen * METRES,
                np.repeat([pair.angle_deg for pair in pairs], counts),
            ),
        )

    def _surface(self, i: int) -> Floats:
        """Return what the pixels of an image show (h, w, 3), in metres before the camera."""
        cut, camera = self.files.cut(i), self.files.photographs[i].camera
        depth = self.files.depth_of_image(i).astype(np.float64)
        rows, columns = cut.rows_and_columns
        xy = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float64) + 0.5
        seen = camera.seen_at(xy.reshape(-1, 2), depth.ravel())
        return (seen.reshape(*depth.shape, 3) * METRES).astype(np.float32)

    @functools.cached_property
    def _known_points(self) -> dict[NaviPair, PairPoints]:
        return {}

    def _points(self, pair: NaviPair) -> PairPoints:
        if pair not in self._known_points:
            try:
                self._known_points[pair] = self._computed(pair)
            except UnreadableImageError:  # of one photograph; the other is in other pairs
                none = np.zeros((0, 2))
                self._known_points[pair] = PairPoints(none, none, none, np.zeros((0, 3)))
        return self._known_points[pair]

    def _computed(self, pair: NaviPair) -> PairPoints:
        files, ends = self.files, (pair.source, pair.target)
        depths = [files.depth_mm(i) for i in ends]
        cuts = [files.cut(i) for i in ends]
        cameras = [files.photographs[i].camera for i in ends]
        rows, columns = np.nonzero(~np.isnan(depths[0]))
        seed = int(content_digest(f"navi points {files.names[pair.source]}".encode())[:8], 16)
        drawn = np.random.RandomState(seed).permutation(len(rows))[:POINTS_TRIED]
        rows, columns = rows[drawn], columns[drawn]
        xy = np.column_stack([columns, rows]).astype(np.float64) + 0.5
        at_source = cameras[0].seen_at(xy, depths[0][rows, columns].astype(np.float64))
        at_target = cameras[1].from_object(cameras[0].to_object(at_source))
        shown = np.flatnonzero(at_target[:, 2] > 0)
        shown = shown[is_seen(at_target[shown], cameras[1].project(at_target[shown]), depths[1])]
        shown = shown[:POINTS_MOST]
        source, target = (
            cut.place(at)
            for cut, at in zip(cuts, (xy[shown], cameras[1].project(at_target[shown])), strict=True)
        )
        return PairPoints(source, source / cuts[0].size[::-1], target, at_target[shown])

    def _digest(self, pairs: Sequence[NaviPair], is_source: bool) -> str:
        cameras = [self.files.photographs[i].camera for of in pairs for i in (of.source, of.target)]
        text = [
            f"navi points {VERSION} {POINTS_MOST} {'source' if is_source else 'target'}",
            *(
                f"{self.files.content[pair.source]} {self.files.content[pair.target]} {pair}"
                for pair in pairs
            ),
            *(
                repr((c.size, c.rotation.tolist(), c.translation_mm.tolist(), c.focal_px))
                for c in cameras
            ),
        ]
        return content_digest("\n".join(text).encode())


def _ids(pair: NaviPair, n: int) -> Ints:
    return pair.number * POINTS_MOST + np.arange(n)


def is_seen(points: Doubles, xy: Doubles, depth_mm: Floats) -> Bools:
    """Return which points (n, 3) before a camera are on the surface that its depth map shows.

    `xy` (n, 2) are their pixels. A value v of the map stands for depths of up to depth² / STEPS_MM
    around its own.
    """
    height, width = depth_mm.shape
    columns, rows = np.floor(xy).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    shown = np.where(inside, depth_mm[rows.clip(0, height - 1), columns.clip(0, width - 1)], np.nan)
    step = points[:, 2] ** 2 / STEPS_MM
    return np.abs(shown - points[:, 2]) < AGREES_MM + step  # NaN compares as False
