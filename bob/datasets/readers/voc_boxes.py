"""Pascal VOC's boxes (Everingham et al. 2010): an XML file for each image.

    VOC2007/ImageSets/Main/trainval.txt     one name per line: 000005
    VOC2007/JPEGImages/000005.jpg
    VOC2007/Annotations/000005.xml          size, and name, difficult and bndbox of each object

Edges in the file count pixels from 1, and belong to the object: a box of the first pixel alone is
(1, 1, 1, 1), here (0, 0, 1, 1). Areas and overlaps are then those of the official evaluation, which
adds 1 to differences. Difficult objects are ignored.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.content.digests import read_file
from bob.datasets.content.images import require_same_size
from bob.datasets.listing import ImageListing
from bob.datasets.readers.paired_files import (
    PairedFiles,
    TargetPair,
    listed_names,
    require_pairs,
)
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import VocBoxesSource

EDGES = ("xmin", "ymin", "xmax", "ymax")


def list_voc_boxes(
    source: VocBoxesSource, root: Path, cache: Path, class_names: Sequence[str]
) -> ImageListing:
    """List the images that the lists name. DatasetError where a list or a file is missing."""
    where = f"folder '{printable(str(root))}'"
    pairs = [
        TargetPair(root / "JPEGImages" / f"{name}.jpg", root / "Annotations" / f"{name}.xml", role)
        for role, file in source.lists.items()
        for name in listed_names(root / file)
    ]
    require_pairs(where, pairs)
    files = PairedFiles.of(root, pairs, cache)
    classes = tuple(class_names)
    index = {name: c for c, name in enumerate(classes)}

    def boxes(i: int) -> ImageBoxes:
        found = parse_voc(read_file(files.targets[i]), index, files.names[i])
        image = files.read_image(i)
        require_same_size("annotation", files.names[i], found.size, image, files.ids[i])
        return found

    return dataclasses.replace(
        files.listing(where, {}),
        classes=classes,
        boxes=BoxSets(files.digests_read_with(repr(classes)), functools.cache(boxes)),
    )


def parse_voc(data: bytes, index: Mapping[str, int], name: str) -> ImageBoxes:
    """Return the boxes of an XML file; `name` appears in error messages.

    `index` are the classes. DatasetError where the file cannot be read, or names another class.
    """
    try:
        tree = ElementTree.fromstring(data)
        size = int(_text(tree, "size/height")), int(_text(tree, "size/width"))
        objects = tree.findall("object")
        edges = [[float(_text(of, f"bndbox/{edge}")) for edge in EDGES] for of in objects]
        labels = [index[_text(of, "name")] for of in objects]
        difficult = [_text(of, "difficult", "0") == "1" for of in objects]
        xyxy = np.array(edges, np.float64).reshape(-1, 4) - (1, 1, 0, 0)
        if not (np.isfinite(xyxy).all() and (xyxy[:, 2:] > xyxy[:, :2]).all()):
            raise ValueError("a bndbox has no extent")
        if (xyxy[:, 2:] < 0).any() or (xyxy[:, :2] > size[::-1]).any():
            raise ValueError(f"a bndbox is outside of the image of {size[1]} x {size[0]} px")
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"'{name}': cannot be read as VOC's annotations ({error}).") from error
    except KeyError as error:
        raise DatasetError(
            f"'{name}': names the class {error}; there are: {', '.join(index)}."
        ) from error
    return ImageBoxes(
        size,
        xyxy,
        np.array(labels, np.int64),
        (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1),
        np.array(difficult, bool),
        np.zeros(len(objects), bool),
    )


def _text(of: ElementTree.Element, path: str, default: str | None = None) -> str:
    text = of.findtext(path, default)
    if text is None:
        raise ValueError(f"<{of.tag}> has no {path}")
    return text.strip()
