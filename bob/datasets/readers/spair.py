"""SPair-71k (Min et al. 2019, arXiv:1908.10543): pairs of images with points that correspond.

    SPair-71k/JPEGImages/cat/2008_001234.jpg
    SPair-71k/PairAnnotation/test/000001-2008_001234-2009_004321:cat.json

A pair's file names its category, source and target image (`src_imname`, `trg_imname`), their sizes
(width, height, channels), the target's box (`trg_bndbox`, left, top, right, bottom) and the points
of both (`src_kps`, `trg_kps`, column and row of a pixel). An image is in many pairs; its source
points are listed once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.points import PointSets, SourcePoints, TargetPoints
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import Role, SPairSource

Point = tuple[float, float]
POINTS_MOST = 1000
"""More than the points of an image, which are numbered from a multiple of it."""
_SIDES = ("src", "trg")


@dataclass(frozen=True)
class _Pair:
    """What a file says of a pair; points are (column, row) of a pixel."""

    names: tuple[str, str]
    """Paths of the source and of the target image below the folder."""
    sizes: tuple[tuple[int, int], tuple[int, int]]
    """(H, W) of both."""
    extent: float
    """Longer side of the target's box."""
    points: Sequence[tuple[Point, Point]]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "_Pair":
        """Read the content of a file. ValueError, LookupError or TypeError where it is no pair."""
        source, target = (_points(values[f"{side}_kps"]) for side in _SIDES)
        if len(source) != len(target) or not source:
            raise ValueError("src_kps and trg_kps must have as many points, at least one")
        left, top, right, bottom = _numbers(values["trg_bndbox"])
        if not (right > left and bottom > top):
            raise ValueError(f"trg_bndbox has no extent; got {values['trg_bndbox']!r}")
        src, trg = (f"JPEGImages/{values['category']}/{values[f'{s}_imname']}" for s in _SIDES)
        return cls(
            (src, trg),
            (_size(values["src_imsize"]), _size(values["trg_imsize"])),
            max(right - left, bottom - top),
            [*zip(source, target, strict=True)],
        )


@dataclass(eq=False)
class _Source:
    """A source image: its size (H, W), and the ids of its points by their place."""

    number: int
    size: tuple[int, int]
    ids: dict[Point, int] = field(default_factory=dict)

    def points(self) -> SourcePoints:
        xy = np.array([*self.ids], np.float64).reshape(-1, 2)
        return SourcePoints(self.size, np.array([*self.ids.values()], np.int64), xy)


@dataclass(eq=False)
class _Target:
    """A target image: its size (H, W), its source images, and a row for each point."""

    size: tuple[int, int]
    sources: dict[str, None] = field(default_factory=dict)
    rows: list[tuple[int, Point, int, float, Point]] = field(default_factory=list)
    """Id, place, number of the pair, extent of the object, and place in the source image."""

    def points(self) -> TargetPoints:
        ids, xy, pair, extent, place = zip(*self.rows, strict=True)
        return TargetPoints(
            self.size,
            np.array(ids, np.int64),
            np.array(xy, np.float64),
            np.array(pair, np.int64),
            np.array(extent, np.float64),
            np.array(place, np.float64),
        )


def list_spair(source: SPairSource, root: Path, cache: Path) -> ImageListing:
    """List source images as queries and target images as gallery, by their names."""
    where = f"folder '{printable(str(root))}'"
    folder = root / "PairAnnotation" / source.split
    files = sorted(folder.glob("*.json"), key=lambda path: natural_key(path.name))
    if not files:
        raise DatasetError(f"{where}: has no pairs 'PairAnnotation/{source.split}/*.json'.")
    sources: dict[str, _Source] = {}
    targets: dict[str, _Target] = {}
    for number, file in enumerate(files):
        _add_pair(number, _read_pair(file), sources, targets)
    names = [*sorted(sources, key=natural_key), *sorted(targets, key=natural_key)]
    shown = [targets[name] for name in names[len(sources) :]]
    points: list[SourcePoints] = [
        *(sources[name].points() for name in names[: len(sources)]),
        *(target.points() for target in shown),
    ]
    images = [root / name for name in names]
    if missing := [path for path in images if not path.is_file()]:
        raise DatasetError(f"{where}: pairs name the image '{missing[0]}', which does not exist.")
    roles: list[Role] = ["query" for _ in sources]
    roles += ["gallery" for _ in targets]
    of_targets = [tuple(f"query/{name}" for name in each.sources) for each in shown]
    return ImageListing(
        where=where,
        ids=[f"{role}/{name}" for role, name in zip(roles, names, strict=True)],
        content=file_digests(root, images, cache),
        read=lambda i: read_file(images[i]),
        splits=roles,
        points=PointSets(
            [_digest(each) for each in points],
            points.__getitem__,
            [*(() for _ in sources), *of_targets],
        ),
    )


def _read_pair(file: Path) -> _Pair:
    try:
        return _Pair.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"'{printable(str(file))}': cannot be read ({reason}).") from error


def _add_pair(
    number: int, pair: _Pair, sources: dict[str, _Source], targets: dict[str, _Target]
) -> None:
    """Add the points of a pair to those of its images. Pixels become places of their centres."""
    (of_source, of_target), sizes = pair.names, pair.sizes
    source = sources.setdefault(of_source, _Source(len(sources), sizes[0]))
    target = targets.setdefault(of_target, _Target(sizes[1]))
    target.sources[of_source] = None
    for (x, y), (u, v) in pair.points:
        at = (x + 0.5, y + 0.5)
        point = source.ids.setdefault(at, POINTS_MOST * source.number + len(source.ids))
        place = (at[0] / source.size[1], at[1] / source.size[0])
        target.rows.append((point, (u + 0.5, v + 0.5), number, pair.extent, place))


def _points(values: Any) -> list[Point]:
    return [(x, y) for x, y in map(_numbers, values)]


def _numbers(values: Any) -> list[float]:
    """Return finite numbers; ValueError or TypeError for others."""
    numbers = [float(value) for value in values]
    if not np.isfinite(numbers).all():
        raise ValueError(f"a coordinate is not finite; got {values!r:.80}")
    return numbers


def _size(values: Any) -> tuple[int, int]:
    """Return (H, W) of SPair's (W, H, channels)."""
    width, height = int(values[0]), int(values[1])
    if min(width, height) < 1:
        raise ValueError(f"an image has no pixels; got the size {values!r:.80}")
    return height, width


def _digest(points: SourcePoints) -> str:
    values = {name: np.asarray(of).tolist() for name, of in vars(points).items()}
    return content_digest(repr(values).encode())
