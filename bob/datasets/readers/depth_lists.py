"""Images with a depth map each, which lists pair: the layouts of NYUv2 and KITTI.

A list names one pair per line, and perhaps the focal length, which is not used:

    /kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579

Paths count from the folders of images and of depth maps, with or without a slash before them. A
line whose depth map is `None` has no ground truth, and is left out. Depth maps are PNG files of 16
bits; 0 is unknown.
"""

import dataclasses
from collections import Counter
from pathlib import Path

from bob.datasets.depths import Depths, decode_depth
from bob.datasets.listing import ImageListing
from bob.datasets.readers.paired_files import PairedFiles, TargetPair, require_pairs
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import DepthListsSource, DepthScale, Role

NO_DEPTH = "None"


def list_depth_lists(source: DepthListsSource, root: Path, cache: Path) -> ImageListing:
    """List the images that the lists name. DatasetError where a list or a file is missing."""
    where = f"folder '{printable(str(root))}'"
    unread: Counter[str] = Counter()
    pairs = [
        pair
        for role, file in source.lists.items()
        for pair in _pairs(source, root, file, role, unread)
    ]
    require_pairs(where, pairs)
    files = PairedFiles.of(root, pairs, cache)
    return dataclasses.replace(files.listing(where, unread), depths=depths_of_files(files, source))


def depths_of_files(files: PairedFiles, scale: DepthScale) -> Depths:
    """Return the depth maps in files of 16 bits."""
    return Depths(
        files.digests_read_with(f"{scale.per_metre:.17g}"),
        files.target_reader(
            "depth map", lambda data, name: decode_depth(data, scale.per_metre, name)
        ),
        scale.range_m,
        scale.crop,
    )


def _pairs(
    source: DepthListsSource, root: Path, file: str, role: Role, unread: Counter[str]
) -> list[TargetPair]:
    """Return the pairs of a list, in its order."""
    try:
        lines = (root / file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        path = printable(str(root / file))
        raise DatasetError(f"'{path}': cannot be read ({error}).") from error
    pairs = []
    for number, words in enumerate(map(str.split, lines), start=1):
        if not words:
            continue
        if len(words) < 2:
            raise DatasetError(
                f"'{printable(str(root / file))}', line {number}: expected the paths of an image "
                f"and of its depth map; got {' '.join(words)!r}."
            )
        if words[1] == NO_DEPTH:
            unread["images without a depth map"] += 1
            continue
        image, depth = (
            root / folder / word.lstrip("/")
            for folder, word in ((source.images, words[0]), (source.depths, words[1]))
        )
        pairs.append(TargetPair(image, depth, role))
    return pairs
