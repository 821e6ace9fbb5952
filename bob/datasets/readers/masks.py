"""Images with a mask each: two folders of files with the same names, such as

    rooms/classes.txt              one class name per line; line 1 is index 0
    rooms/images/train/a.jpg       rooms/masks/train/a.png
    rooms/images/test/b.jpg        rooms/masks/test/b.png

Masks are PNG files with one channel or a palette whose values are class indices; 255 is ignored.
Without folders for splits, a test split is sampled. Names of folders, suffixes of names, the index
of the first class, the ignored indices, and lists that name the images of a split can be declared,
which covers ADE20K, Pascal VOC and Cityscapes.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.content.images import require_same_size
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.masks import Mask, Masks, decode_indices, to_classes
from bob.datasets.readers.tree import EXTENSIONS
from bob.datasets.split_names import plain_split_name
from bob.errors import DatasetError, nearest
from bob.io.names import printable
from bob.specs import MasksSource, Role

CLASSES_FILE = "classes.txt"
_SHOWN = 3
_LAYOUT = (
    "Expected images/NAME.jpg and masks/NAME.png, or images/train/NAME.jpg and "
    "masks/train/NAME.png, and classes.txt with one class name per line."
)


@dataclass(frozen=True)
class _Pair:
    """An image and its mask."""

    image: Path
    mask: Path
    split: Role


def list_masks(
    source: MasksSource,
    root: Path,
    cache: Path,
    class_names: Sequence[str] | None = None,
    test_split: str | None = None,
) -> ImageListing:
    """List images that have masks. DatasetError where one of the two is missing.

    `class_names` are those of the entry; None reads classes.txt. `test_split` is the folder that
    serves as the test split.
    """
    where = f"folder '{printable(str(root))}'"
    if not root.is_dir():
        raise DatasetError(f"'{printable(str(root))}' is not a folder. {_LAYOUT}")
    for folder in (source.images, source.masks):
        if not (root / folder).is_dir():
            raise DatasetError(f"{where}: has no folder {folder!r}. {_LAYOUT}")
    classes = _classes(root, where) if class_names is None else tuple(class_names)
    pairs, unread = _pairs(source, root, where, test_split)
    images, masks = [pair.image for pair in pairs], [pair.mask for pair in pairs]
    digests = file_digests(root, masks, cache)
    ids = [printable(path.relative_to(root).as_posix()) for path in images]
    names = [printable(path.relative_to(root).as_posix()) for path in masks]
    read_mask = planned_reader(lambda i: read_file(masks[i]), digests, names)
    ignored = source.ignored

    def mask(i: int) -> Mask:
        indices = decode_indices(read_mask(i), names[i])
        require_same_size("mask", names[i], indices.shape, read_file(images[i]), ids[i])
        return to_classes(indices, len(classes), ignored, source.first_index, names[i])

    return ImageListing(
        where=where,
        ids=ids,
        content=file_digests(root, images, cache),
        read=lambda i: read_file(images[i]),
        splits=[pair.split for pair in pairs],
        classes=classes,
        masks=Masks(tuple(digests), TargetCache(mask)),
        test_split=test_split,
        unread=unread,
    )


def _classes(root: Path, where: str) -> tuple[str, ...]:
    """Return the class names in the folder's file."""
    file = root / CLASSES_FILE
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{where}: {CLASSES_FILE} is missing or cannot be read ({error}). Write one class name "
            "per line; the first is that of index 0 in the masks."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise DatasetError(
            f"{where}: {CLASSES_FILE} must name at least two classes, each once; got "
            f"{list(names)!r}."
        )
    return names


def _pairs(
    source: MasksSource, root: Path, where: str, test_split: str | None
) -> tuple[list[_Pair], Counter[str]]:
    """Return images with their masks in the natural order of paths, and what is not read."""
    pairs: list[_Pair] = []
    unread: Counter[str] = Counter()
    for role, folder, names in _parts(source, root, where, test_split):
        images = _stems(root / source.images / folder, source.image_suffix, EXTENSIONS, unread)
        masks = _stems(root / source.masks / folder, source.mask_suffix, (".png",), unread)
        if names is not None:
            images = {name: images[name] for name in names if name in images}
            masks = {name: masks[name] for name in names if name in masks}
        _require_same(images, masks, names, where, folder or source.images)
        ordered = sorted(images, key=natural_key)
        pairs += [_Pair(images[name], masks[name], role) for name in ordered]
    if not pairs:
        raise DatasetError(f"{where}: holds no images with masks. {_LAYOUT}")
    return pairs, unread


Part = tuple[Role, str, list[str] | None]
"""Split, folder below those of images and masks, names of the images; None is all."""


def _parts(source: MasksSource, root: Path, where: str, test_split: str | None) -> list[Part]:
    """Return the parts of the dataset: declared, or found by the names of folders."""
    if source.lists:
        return [(role, "", _listed(root / file)) for role, file in source.lists.items()]
    if source.splits:
        return [(role, folder, None) for role, folder in source.splits.items()]
    folders = sorted(path.name for path in (root / source.images).iterdir() if path.is_dir())
    if test_split is not None and test_split not in folders:
        raise DatasetError(
            f"{where}: no folder {test_split!r} in {source.images!r} to test on"
            f"{nearest(test_split, folders)} There are: {', '.join(folders) or 'none'}."
        )
    parts: list[Part] = []
    for name in folders:
        role = "test" if name == test_split else plain_split_name(name)
        if role not in ("train", "val", "test"):
            raise DatasetError(
                f"{where}: folder {name!r} of {source.images!r} is not a split"
                f"{nearest(name, ('train', 'val', 'test'))} Name it train, val or test."
            )
        if role != "test" or test_split in (None, name):
            parts.append((role, name, None))
    return parts or [("train", "", None)]


def _listed(file: Path) -> list[str]:
    """Return the names in a list, one per line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"'{printable(str(file))}': cannot be read ({error}).") from error
    return [line.split()[0] for line in lines if line.strip()]


def _stems(
    folder: Path, suffix: str, extensions: Collection[str], unread: Counter[str]
) -> dict[str, Path]:
    """Return the files below a folder by their path without suffix and extension."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_dir():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.suffix.lower() not in extensions or not name.endswith(suffix):
            unread[path.suffix.lower() or "without extension"] += 1
        else:
            found[name.removesuffix(suffix)] = path
    return found


def _require_same(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    names: Sequence[str] | None,
    where: str,
    folder: str,
) -> None:
    """Raise DatasetError where an image has no mask, or the other way round."""
    wanted = {*images, *masks} if names is None else set(names)
    for kind, there in (("mask", masks), ("image", images)):
        if lacking := sorted(wanted - set(there), key=natural_key):
            shown = ", ".join(repr(printable(name)) for name in lacking[:_SHOWN])
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            raise DatasetError(f"{where}: no {kind} in {folder!r} for {shown}{more}. {_LAYOUT}")
