"""Images with a depth map each, which lists pair: the layouts of NYUv2 and KITTI.

A list names one pair per line, and perhaps the focal length, which is not used:

    /kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579

Paths count from the folders of images and of depth maps, with or without a slash before them. A
line whose depth map is `None` has no ground truth, and is left out. Depth maps are PNG files of 16
bits; 0 is unknown.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.content.images import require_same_size
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.depths import Depths, decode_depth
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.io.names import printable
from bob.numerics.arrays import Floats
from bob.specs import DepthListsSource, Role

NO_DEPTH = "None"
_SHOWN = 3


@dataclass(frozen=True)
class _DepthPair:
    """An image and its depth map."""

    image: Path
    depth: Path
    split: Role


def list_depth_lists(source: DepthListsSource, root: Path, cache: Path) -> ImageListing:
    """List the images that the lists name. DatasetError where a list or a file is missing."""
    where = f"folder '{printable(str(root))}'"
    unread: Counter[str] = Counter()
    pairs = [
        pair
        for role, file in source.lists.items()
        for pair in _pairs(source, root, file, role, unread)
    ]
    images, maps = [pair.image for pair in pairs], [pair.depth for pair in pairs]
    _require_files(where, [*images, *maps])
    ids, names = (
        [printable(path.relative_to(root).as_posix()) for path in paths] for paths in (images, maps)
    )
    digests = file_digests(root, maps, cache)
    read_map = planned_reader(lambda i: read_file(maps[i]), digests, names)

    def depth(i: int) -> Floats:
        metres = decode_depth(read_map(i), source.per_metre, names[i])
        require_same_size("depth map", names[i], metres.shape, read_file(images[i]), ids[i])
        return metres

    return ImageListing(
        where=where,
        ids=ids,
        content=file_digests(root, images, cache),
        read=lambda i: read_file(images[i]),
        splits=[pair.split for pair in pairs],
        depths=Depths(
            [f"{digest} {source.per_metre:g}" for digest in digests],
            TargetCache(depth),
            source.range_m,
            source.crop,
        ),
        unread=unread,
    )


def _pairs(
    source: DepthListsSource, root: Path, file: str, role: Role, unread: Counter[str]
) -> list[_DepthPair]:
    """Return the pairs of a list, in its order."""
    try:
        lines = (root / file).read_text(encoding="utf-8").splitlines()
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
        pairs.append(_DepthPair(image, depth, role))
    return pairs


def _require_files(where: str, paths: Sequence[Path]) -> None:
    """Raise DatasetError where files do not exist."""
    if missing := [path for path in paths if not path.is_file()]:
        shown = ", ".join(repr(printable(str(path))) for path in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        raise DatasetError(f"{where}: the lists name files that do not exist: {shown}{more}.")
