"""COCO JSON: one file for each split, which names images, boxes and categories.

    coco/train2017/000000000009.jpg
    coco/annotations/instances_train2017.json

The file holds `images` (`id`, `file_name`, `width`, `height`), `categories` (`id`, `name`) and
`annotations` (`image_id`, `category_id`, `bbox` as left, top, width and height, and perhaps `area`
and `iscrowd`). Classes are the categories in the order of their ids. Files may differ in ids if the
names are the same in that order. Images without annotations are images without objects. The area of
an object is that of its mask where the file states it, as in COCO's evaluation, else of its box.

Where every annotation has a `segmentation`, a list of polygons or runs of pixels (RLE, as numbers
or as text), images have instance masks too; see `bob.numerics.dense.runs`.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.content.digests import content_digest, file_digests, read_file
from bob.datasets.content.images import require_same_size
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.paired_files import require_files
from bob.datasets.readers.tree import scan
from bob.errors import DatasetError, UnreadableImageError
from bob.io.names import printable
from bob.numerics.arrays import Bools
from bob.numerics.dense.runs import mask_of_polygons, mask_of_runs, runs_of_text
from bob.specs import CocoSource, Role

Values = Mapping[str, Any]
LARGEST = 1e9
"""Largest coordinate or area that is read, in pixels."""


@dataclass(frozen=True, eq=False)
class _Annotated:
    """An image, and what the file says of it."""

    path: Path
    split: Role
    size: tuple[int, int]
    """(H, W)"""
    objects: Sequence[Values]
    index: Mapping[int, int]
    """Id of each category in the file → class."""


def list_coco(source: CocoSource, root: Path, cache: Path) -> ImageListing:
    """List the images of the files. DatasetError where one cannot be read or is inconsistent."""
    where = f"folder '{printable(str(root))}'"
    files = {role: root / file for role, file in source.annotations.items()}
    contents = {role: _content(file) for role, file in files.items()}
    categories = {role: _categories(content, files[role]) for role, content in contents.items()}
    classes, *others = (tuple(of.values()) for of in categories.values())
    if any(other != classes for other in others):
        raise DatasetError(f"{where}: the annotation files differ in their categories.")
    images = [
        image
        for role, content in contents.items()
        for image in _images(
            content,
            files[role],
            role,
            root / source.images.get(role, ""),
            {category: c for c, category in enumerate(categories[role])},
        )
    ]
    if not images:
        raise DatasetError(f"{where}: the annotation files list no images.")
    paths = [image.path for image in images]
    folders = {root / source.images.get(role, "") for role in contents}
    require_files(where, "the annotations", paths)
    ids = [printable(path.relative_to(root).as_posix()) for path in paths]

    def boxes(i: int) -> ImageBoxes:
        require_same_size("annotation", ids[i], images[i].size, read_file(paths[i]), ids[i])
        return _boxes(images[i])

    def masks(i: int) -> Bools:
        require_same_size("annotation", ids[i], images[i].size, read_file(paths[i]), ids[i])
        return _masks(images[i], ids[i])

    objects = [of for image in images for of in image.objects]
    masked = sum(_is_segmentation(of.get("segmentation")) for of in objects)
    has_masks = masked == len(objects) > 0
    return ImageListing(
        where=where,
        ids=ids,
        content=file_digests(root, paths, cache),
        read=lambda i: read_file(paths[i]),
        splits=[image.split for image in images],
        classes=classes,
        boxes=BoxSets(
            [_digest(image, has_masks) for image in images],
            functools.cache(boxes),
            masks if has_masks else None,
        ),
        unread=_unlisted(folders, paths),
        notes=_notes(images, masked),
    )


def _unlisted(folders: Iterable[Path], listed: Iterable[Path]) -> dict[str, int]:
    """Return how many images of the folders are in no file; none where a folder is unreadable."""
    try:
        found = {path for top in folders for folder in scan(top).walk() for path in folder.images}
    except DatasetError:  # of a folder that no image is read from, such as lost+found
        return {}
    unlisted = len(found.difference(listed))
    return {"images that no annotation file lists": unlisted} if unlisted else {}


def _content(file: Path) -> Values:
    """Return the content of a file, as far as it is read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        for name in ("images", "annotations", "categories"):
            if not isinstance(content.get(name), list):
                raise ValueError(f"it has no list {name!r}")
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"'{printable(str(file))}': cannot be read as COCO JSON ({error})."
        ) from error
    return content


def _categories(content: Values, file: Path) -> dict[int, str]:
    """Return the names of the categories by id, in the order of ids."""
    names = {_key(of, "id", file, int): str(_key(of, "name", file)) for of in content["categories"]}
    if not names or len(set(names.values())) < len(content["categories"]):
        raise DatasetError(
            f"'{printable(str(file))}': needs at least one category, each with an id and a name of "
            f"its own; got {list(names.values())[:20]!r}."
        )
    return dict(sorted(names.items()))


def _images(
    content: Values, file: Path, role: Role, folder: Path, index: Mapping[int, int]
) -> list[_Annotated]:
    """Return the images of a file in the natural order of their names."""
    objects: dict[Any, list[Values]] = {}
    sizes: dict[Any, tuple[int, int]] = {}
    for of in content["images"]:
        if _key(of, "id", file) in objects:
            raise DatasetError(f"'{printable(str(file))}': two images have the id {of['id']!r}.")
        objects[of["id"]] = []
        sizes[of["id"]] = _key(of, "height", file, int), _key(of, "width", file, int)
    _require_distinct_names(content["images"], file)
    for number, annotation in enumerate(content["annotations"]):
        image = _key(annotation, "image_id", file)
        if image not in objects or _key(annotation, "category_id", file) not in index:
            raise DatasetError(
                f"'{printable(str(file))}': annotation {number} names an image or a category that "
                f"is not in the file; got image_id {image!r} and category_id "
                f"{annotation['category_id']!r}."
            )
        if not (_is_box(annotation.get("bbox")) and _is_area(annotation.get("area", 0))):
            raise DatasetError(
                f"'{printable(str(file))}': annotation {number} needs 'bbox' with left, top, "
                "width and height in pixels, and an 'area' that is at least 0 or missing; got "
                f"{annotation.get('bbox')!r:.200} and {annotation.get('area')!r:.200}."
            )
        if annotation.get("iscrowd", 0) not in (0, 1):
            raise DatasetError(
                f"'{printable(str(file))}': annotation {number} needs an 'iscrowd' that is 0, 1 or "
                f"missing; got {annotation['iscrowd']!r:.200}."
            )
        _require_inside(annotation["bbox"], sizes[image], number, file)
        objects[image].append(annotation)
    return [
        _Annotated(
            folder / _relative_name(of, file),
            role,
            sizes[of["id"]],
            objects[of["id"]],
            index,
        )
        for of in sorted(content["images"], key=lambda of: natural_key(str(of.get("file_name"))))
    ]


def _key(of: Any, name: str, file: Path, kind: type | UnionType = int | str) -> Any:
    if not isinstance(of, dict) or not isinstance(of.get(name), kind):
        raise DatasetError(f"'{printable(str(file))}': an entry has no {name!r}; got {of!r:.200}.")
    return of[name]


def _relative_name(of: Values, file: Path) -> str:
    """Return the name of an image's file below its folder."""
    name = str(_key(of, "file_name", file, str))
    if Path(name).is_absolute():
        raise DatasetError(
            f"'{printable(str(file))}': file_name must count from the folder of the images; got "
            f"{name!r}."
        )
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and -LARGEST <= value <= LARGEST  # NaN compares as False


def _is_area(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _require_distinct_names(images: Sequence[Values], file: Path) -> None:
    """Raise DatasetError where two images are the same file."""
    names = Counter(_relative_name(of, file) for of in images)
    if twice := [name for name, n in names.items() if n > 1]:
        raise DatasetError(
            f"'{printable(str(file))}': two images have the file_name {twice[0]!r}. Put their "
            "annotations under one id."
        )


def _require_inside(bbox: Sequence[float], size: tuple[int, int], number: int, file: Path) -> None:
    """Raise DatasetError where no part of a box is in its image of (H, W) pixels."""
    (left, top, width, height), (rows, columns) = bbox, size
    if _is_beyond(left, width, columns) or _is_beyond(top, height, rows):
        raise DatasetError(
            f"'{printable(str(file))}': annotation {number} is outside of its image of {columns} x "
            f"{rows} px; got the 'bbox' {bbox!r}: left, top, width and height."
        )


def _is_beyond(first: float, length: float, limit: int) -> bool:
    """Return whether a stretch of an axis has no part between 0 and `limit`."""
    return first + length <= 0 > first or first >= limit < first + length


def _is_box(values: Any) -> bool:
    """Return whether values are left, top, width and height."""
    is_four = isinstance(values, list) and len(values) == 4 and all(map(_is_number, values))
    return is_four and min(values[2:]) >= 0


def _boxes(image: _Annotated) -> ImageBoxes:
    edges = np.array([of["bbox"] for of in image.objects], np.float64).reshape(-1, 4)
    sides = edges[:, 2:].prod(axis=1)
    areas = [of.get("area", side) for of, side in zip(image.objects, sides, strict=True)]
    crowds = np.array([bool(of.get("iscrowd")) for of in image.objects], bool)
    return ImageBoxes(
        image.size,
        np.concatenate([edges[:, :2], edges[:, :2] + edges[:, 2:]], axis=1),
        np.array([image.index[of["category_id"]] for of in image.objects], np.int64),
        np.array(areas, np.float64),
        crowds,
        crowds,
    )


def _notes(images: Sequence[_Annotated], masked: int) -> list[str]:
    """Return what is odd about the objects, of which `masked` have a segmentation."""
    total = sum(len(image.objects) for image in images)
    beyond = narrow = repeated = empty = 0
    for image in images:
        boxes = [of["bbox"] for of in image.objects]
        beyond += sum(_reaches_beyond(box, image.size) for box in boxes)
        narrow += sum(min(box[2:]) < 1 for box in boxes)
        empty += sum(of.get("area") == 0 < min(of["bbox"][2:]) for of in image.objects)
        repeated += len(boxes) - len({(of["category_id"], *of["bbox"]) for of in image.objects})
    counted = (
        (
            total - masked if masked else 0,
            "have no 'segmentation' of polygons or runs, so that the others' masks are not read",
        ),
        (
            beyond,
            "reach beyond their image by more than a pixel: 'bbox' is left, top, width and height",
        ),
        (
            narrow,
            "are less than a pixel wide or high, and hardly found: 'bbox' is in pixels",
        ),
        (empty, "state an 'area' of 0, and count as small objects"),
        (repeated, "repeat the image, category and box of another: one of both is not found"),
    )
    return [f"{n:,} of {total:,} annotations {what}" for n, what in counted if n]


def _reaches_beyond(bbox: Sequence[float], size: tuple[int, int]) -> bool:
    """Return whether a box ends more than a pixel beyond its image of (H, W) pixels."""
    left, top, width, height = bbox
    return min(left, top) < -1 or left + width > size[1] + 1 or top + height > size[0] + 1


def _is_segmentation(value: Any) -> bool:
    """Return whether a value has the form of polygons or of runs."""
    if isinstance(value, dict):
        return isinstance(value.get("counts"), list | str)
    return isinstance(value, list) and bool(value) and all(map(_is_polygon, value))


def _is_polygon(value: Any) -> bool:
    """Return whether a value is a list of at least three pairs of coordinates."""
    has_pairs = isinstance(value, list) and len(value) >= 6 and len(value) % 2 == 0
    return has_pairs and all(map(_is_number, value))


def _masks(image: _Annotated, name: str) -> Bools:
    """Return the pixels (n, H, W) of an image's objects; UnreadableImageError names what is wrong.

    Runs state their size; that of the image is `image.size`.
    """
    masks = np.zeros((len(image.objects), *image.size), bool)
    for number, of in enumerate(image.objects):
        try:
            masks[number] = _mask(of["segmentation"], image.size)
        except ValueError as error:
            raise UnreadableImageError(
                f"{name}: the segmentation of its annotation {number} cannot be read ({error})."
            ) from error
    return masks


def _mask(value: Any, size: tuple[int, int]) -> Bools:
    if isinstance(value, list):
        return mask_of_polygons(value, size)
    if value.get("size") != [*size]:
        raise ValueError(f"its runs are of {value.get('size')!r:.80}, the image of {[*size]!r} px")
    runs = value["counts"]
    if isinstance(runs, str):
        return mask_of_runs(runs_of_text(runs), size)
    if not all(isinstance(run, int) for run in runs):
        raise ValueError("its runs are not whole numbers")
    return mask_of_runs(runs, size)


def _digest(image: _Annotated, has_masks: bool) -> str:
    """Return the digest of what is read of an image's annotations."""
    facts = [
        [image.index[of["category_id"]], of["bbox"], of.get("area"), bool(of.get("iscrowd"))]
        + ([of["segmentation"]] if has_masks else [])
        for of in image.objects
    ]
    return content_digest(json.dumps([image.size, facts]).encode())
