"""NAVI (Jampani et al. 2023, arXiv:2306.09109): objects whose shape and cameras are known.

    navi_v1.5/3d_dollhouse_sink/multiview-00-pixel_5/annotations.json
    navi_v1.5/3d_dollhouse_sink/multiview-00-pixel_5/images/000.jpg
    navi_v1.5/3d_dollhouse_sink/multiview-00-pixel_5/depth/000.png
    navi_v1.5/3d_dollhouse_sink/wild_set/...                          the same

`multiview*` are photographs of an object in one place, `wild_set` those in others; folders of
videos, masks and scans are not read. `annotations.json` lists images with `filename`, `image_size`
(height and width of the upright image) and `camera`: `q` (quaternion, w first) and `t` (mm) take
points of the object to the camera, whose axes point right, down and into the scene, and
`focal_length` is in pixels; the principal point is at (width // 2, height // 2). Depth maps are PNG
files of 16 bits: v stands for 655,350 / v mm along the camera's axis, and 0 for no object.

An image is cut to a square around its object, as Probe3D does (El Banani et al. 2024,
arXiv:2404.08636, github.com/mbanani/probe3d), and shrunk to at most `MOST_PX`. Whatever belongs to
pixels goes through the same cut.
"""

import functools
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.images import decode, pixel_values
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.sequences import Digests
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.paired_files import require_files
from bob.datasets.readers.scenes import png_bytes
from bob.errors import DatasetError, UnreadableImageError
from bob.io.names import printable
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.specs import Role

VERSION = 1
"""Raised where the same files give other images or targets."""
ANNOTATIONS = "annotations.json"
STEPS_MM = (2**16 - 1) * 10
"""A value of a depth map times the depth in millimetres, as NAVI's `data_util.py` decodes it."""
MOST_PX = 512
CACHE_BYTES = 2**28
"""Depth maps that are kept: those of 256 images of `MOST_PX`, whose cut is computed from them."""
_REMEDY = "Unpack the archive again, whose folder holds a folder for each object."


@dataclass(frozen=True, eq=False)
class NaviCamera:
    """Where a photograph was taken from, and how."""

    size: tuple[int, int]
    """(H, W) of the photograph in pixels."""
    rotation: Doubles
    """(3, 3)"""
    translation_mm: Doubles
    """(3,)"""
    focal_px: float

    @classmethod
    def of(cls, annotation: Mapping[str, Any]) -> "NaviCamera":
        """Read the camera of an annotation. ValueError, KeyError or TypeError for other values."""
        height, width = map(int, annotation["image_size"])
        camera = annotation["camera"]
        quaternion, translation = (np.array(camera[key], np.float64) for key in "qt")
        focal_px = float(camera["focal_length"])
        if quaternion.shape != (4,) or translation.shape != (3,):
            raise ValueError("q must hold four numbers, and t three")
        values = [*quaternion, *translation, focal_px]
        if not (np.isfinite(values).all() and quaternion.any() and focal_px > 0):
            raise ValueError(
                "q, t and focal_length must be finite, q not zero, and the last positive"
            )
        if min(height, width) < 1:
            raise ValueError(f"image_size must be positive; got {[height, width]!r}")
        return cls((height, width), rotation_of(quaternion), translation, focal_px)

    @property
    def principal_px(self) -> Doubles:
        """Column and row of the optical axis (2,)."""
        return np.array([self.size[1] // 2, self.size[0] // 2], np.float64)

    def seen_at(self, xy: Doubles, depth_mm: Doubles) -> Doubles:
        """Return the points (n, 3) in mm before the camera at pixels (n, 2) and depths (n,)."""
        rays = (xy - self.principal_px) / self.focal_px
        return np.column_stack([rays, np.ones(len(xy))]) * depth_mm[:, None]

    def to_object(self, points: Doubles) -> Doubles:
        """Return points (n, 3) before the camera in the object's coordinates."""
        return np.asarray((points - self.translation_mm) @ self.rotation, np.float64)

    def from_object(self, points: Doubles) -> Doubles:
        """Return points (n, 3) of the object before the camera."""
        return np.asarray(points @ self.rotation.T + self.translation_mm, np.float64)

    def project(self, points: Doubles) -> Doubles:
        """Return the pixels (n, 2) where points (n, 3) with positive depth are seen."""
        return points[:, :2] / points[:, 2:] * self.focal_px + self.principal_px


def rotation_of(quaternion: Doubles) -> Doubles:
    """Return the rotation (3, 3) of a quaternion (4,), w first, of any length."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph of an object."""

    image: Path
    depth: Path
    camera: NaviCamera


@dataclass(frozen=True)
class ObjectCut:
    """The part of a photograph that is shown."""

    left: int
    top: int
    width: int
    height: int
    object_px: int
    """Longer side of the object's box."""

    @classmethod
    def around(cls, depth: Floats) -> "ObjectCut":
        """Return the square around the pixels of known depth (H, W), moved into the photograph.

        Where the object is longer than the photograph is wide, it is a rectangle. ValueError where
        no depth is known.
        """
        known = ~np.isnan(depth)
        spans = [np.flatnonzero(known.any(axis=axis)) for axis in (0, 1)]
        if not len(spans[0]):
            raise ValueError("no pixel shows the object")
        side = max(int(of[-1] - of[0]) + 1 for of in spans)
        (left, width), (top, height) = (
            _stretch(int(of[0]), int(of[-1]) + 1, side, limit)
            for of, limit in zip(spans, depth.shape[::-1], strict=True)
        )
        return cls(left, top, width, height, side)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image that is made of it."""
        shrunk = min(1.0, MOST_PX / max(self.height, self.width))
        return max(1, round(self.height * shrunk)), max(1, round(self.width * shrunk))

    @property
    def scale(self) -> Doubles:
        """Pixels of the image for a pixel of the photograph, along columns and rows (2,)."""
        return np.array([self.size[1] / self.width, self.size[0] / self.height])

    def image(self, photograph: Image.Image) -> Image.Image:
        """Return the image."""
        box = (self.left, self.top, self.left + self.width, self.top + self.height)
        height, width = self.size
        return photograph.crop(box).resize((width, height), Image.Resampling.BICUBIC)

    @property
    def rows_and_columns(self) -> tuple[Ints, Ints]:
        """The photograph's rows (h,) and columns (w,) at the centres of the image's pixels."""
        spans = zip((self.top, self.left), (self.height, self.width), self.size, strict=True)
        rows, columns = (
            first + ((np.arange(n) + 0.5) * (length / n)).astype(np.int64)
            for first, length, n in spans
        )
        return rows, columns

    def sampled(self, values: Floats) -> Floats:
        """Return the values (h, w) of a map (H, W) at the centres of the image's pixels."""
        return values[np.ix_(*self.rows_and_columns)]

    def place(self, xy: Doubles) -> Doubles:
        """Return the pixels (n, 2) of the image of pixels (n, 2) of the photograph."""
        return np.asarray((xy - (self.left, self.top)) * self.scale, np.float64)


def _stretch(first: int, end: int, side: int, limit: int) -> tuple[int, int]:
    """Return the start and the length of `side` pixels around others, within `limit`."""
    length = min(side, limit)
    return min(max((first + end - length) // 2, 0), limit - length), length


@dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs with their depth maps."""

    root: Path
    photographs: Sequence[Photograph]
    images: Digests
    depths: Digests

    @classmethod
    def of(cls, root: Path, photographs: Sequence[Photograph], cache: Path) -> "Photographs":
        """Check that the files of photographs exist. DatasetError names those that do not."""
        images, depths = (
            [photograph.image for photograph in photographs],
            [photograph.depth for photograph in photographs],
        )
        require_files(folder_text(root), f"its {ANNOTATIONS} files", [*images, *depths])
        return cls(
            root, photographs, file_digests(root, images, cache), file_digests(root, depths, cache)
        )

    @functools.cached_property
    def names(self) -> list[str]:
        """Paths of the images below the folder."""
        return [_name(self.root, photograph.image) for photograph in self.photographs]

    @functools.cached_property
    def content(self) -> list[str]:
        """Digests of what the images are made of."""
        pillow = importlib.metadata.version("pillow")
        return [
            content_digest(f"navi {VERSION} {MOST_PX} px, pillow {pillow} {image} {depth}".encode())
            for image, depth in zip(self.images, self.depths, strict=True)
        ]

    def cut(self, i: int) -> ObjectCut:
        """Return the part of a photograph that is shown."""
        if i not in self._cuts:
            self.depth_of_image(i)
        return self._cuts[i]

    @functools.cached_property
    def _cuts(self) -> dict[int, ObjectCut]:
        return {}

    @functools.cached_property
    def depth_of_image(self) -> TargetCache[Floats]:
        """Position → the depth (h, w) in mm at the image's pixels; NaN where the object is not."""
        return TargetCache(self._depth_of_image, CACHE_BYTES)

    def _depth_of_image(self, i: int) -> Floats:
        depth = self.depth_mm(i)
        try:
            cut = self._cuts[i] = ObjectCut.around(depth)
        except ValueError as error:
            raise UnreadableImageError(f"depth map {self._depth_name(i)!r}: {error}.") from error
        return cut.sampled(depth)

    def image(self, i: int) -> bytes:
        """Return an image as PNG bytes."""
        photograph = decode(self._read_image(i), self.names[i])
        self._require_size(i, "image", self.names[i], photograph.size[::-1])
        return png_bytes(self.cut(i).image(photograph))

    def depth_mm(self, i: int) -> Floats:
        """Return the depth of a photograph (H, W) in mm, NaN where the object is not."""
        name = self._depth_name(i)
        values = pixel_values(self._read_depth(i), name, "depth map", _REMEDY).astype(np.float32)
        self._require_size(i, "depth map", name, values.shape)
        return np.where(values > 0, STEPS_MM / np.maximum(values, 1), np.float32(np.nan))

    def _depth_name(self, i: int) -> str:
        return _name(self.root, self.photographs[i].depth)

    def _require_size(self, i: int, what: str, name: str, shape: tuple[int, ...]) -> None:
        height, width = self.photographs[i].camera.size
        if shape != (height, width):
            raise UnreadableImageError(
                f"{what} {name!r} is {shape[1]} x {shape[0]} px; {ANNOTATIONS} says "
                f"{width} x {height} px."
            )

    @functools.cached_property
    def _read_image(self) -> Any:
        paths = [photograph.image for photograph in self.photographs]
        return planned_reader(lambda i: read_file(paths[i]), self.images, self.names)

    @functools.cached_property
    def _read_depth(self) -> Any:
        paths = [photograph.depth for photograph in self.photographs]
        names = [_name(self.root, path) for path in paths]
        return planned_reader(lambda i: read_file(paths[i]), self.depths, names)

    def listing(self, splits: Sequence[Role], positions: Sequence[int]) -> ImageListing:
        """Return the listing of the images at these positions, without targets."""
        return ImageListing(
            where=folder_text(self.root),
            ids=[f"{self.names[i]}" for i in positions],
            content=Digests.of((self.content[i] for i in positions), (0 for _ in positions)),
            read=lambda i: self.image(positions[i]),
            is_derived=True,
            splits=splits,
        )


def photographs_of(folder: Path) -> list[Photograph]:
    """Return the photographs of a folder, in the natural order of their names.

    DatasetError where its annotations cannot be read, with the file's name.
    """
    file = folder / ANNOTATIONS
    try:
        annotations = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(annotations, list):
            raise ValueError("it is no list")
        photographs = [_photograph(folder, of) for of in annotations]
        if len({photograph.image for photograph in photographs}) < len(photographs):
            raise ValueError("it names an image twice")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(
            f"'{printable(str(file))}': cannot be read as NAVI's annotations ({reason}). {_REMEDY}"
        ) from error
    return sorted(photographs, key=lambda photograph: natural_key(photograph.image.name))


def _photograph(folder: Path, annotation: Mapping[str, Any]) -> Photograph:
    name = Path(str(annotation["filename"]))
    if len(name.parts) != 1:
        raise ValueError(f"filename must be a name in the folder images; got {str(name)!r}")
    depth = folder / "depth" / f"{name.stem}.png"
    return Photograph(folder / "images" / name, depth, NaviCamera.of(annotation))


def folders_of(root: Path, pattern: str) -> list[Path]:
    """Return the folders OBJECT/PATTERN; DatasetError where there is none."""
    folders = sorted(
        (path for path in root.glob(f"*/{pattern}") if path.is_dir()),
        key=lambda path: natural_key(_name(root, path)),
    )
    if not folders:
        raise DatasetError(f"{folder_text(root)}: has no folders OBJECT/{pattern}. {_REMEDY}")
    return folders


def folder_text(root: Path) -> str:
    """Return the dataset's folder for messages."""
    return f"folder '{printable(str(root))}'"


def _name(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())
