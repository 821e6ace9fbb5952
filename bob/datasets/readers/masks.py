"""Images with a mask each: two folders of files with the same names, such as

    rooms/classes.txt              one class name per line; line 1 is index 0
    rooms/images/train/a.jpg       rooms/masks/train/a.png
    rooms/images/test/b.jpg        rooms/masks/test/b.png

Masks are PNG files with one channel or a palette whose values are class indices; 255 is ignored.
Names of folders, suffixes of names, the index of the first class, the ignored indices, and lists
that name the images of a split can be declared, which covers ADE20K, Pascal VOC and Cityscapes.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bob.datasets.listing import ImageListing
from bob.datasets.masks import Mask, Masks, decode_indices, to_classes
from bob.datasets.readers.paired_files import PairedFiles
from bob.datasets.readers.paired_folders import PairedFolders
from bob.errors import DatasetError
from bob.specs import MasksSource

CLASSES_FILE = "classes.txt"
_LAYOUT = (
    "Expected images/NAME.jpg and masks/NAME.png, or images/train/NAME.jpg and "
    "masks/train/NAME.png, and classes.txt with one class name per line."
)


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
    masks, suffix = source.masks, source.mask_suffix
    folders = PairedFolders(source, root, masks, suffix, test_split, "mask", _LAYOUT)
    folders.require_folders()
    classes = _classes(root, folders.where) if class_names is None else tuple(class_names)
    pairs, unread = folders.pairs()
    files = PairedFiles.of(root, pairs, cache)

    meaning = f"{source.first_index} {sorted(source.ignored)}"

    def decode(data: bytes, name: str) -> Mask:
        indices = decode_indices(data, name)
        return to_classes(indices, len(classes), source.ignored, source.first_index, name)

    return dataclasses.replace(
        files.listing(folders.where, unread),
        classes=classes,
        masks=Masks(files.digests_read_with(meaning), files.target_reader("mask", decode)),
        test_split=test_split,
    )


def _classes(root: Path, where: str) -> tuple[str, ...]:
    """Return the class names in the folder's file."""
    file = root / CLASSES_FILE
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
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
