"""Folders one level above the classes: they would become classes without a word, and are refused.

A folder inside a class folder belongs to the class, which is right for `dog/outdoors/1.jpg` and
wrong for `colour/dog/1.jpg`. The second kind shows in names: its folders hold the same subfolders
(`colour/dog`, `grey/dog`), or subfolders that are called like its neighbours.
"""

from collections import Counter
from collections.abc import Sequence

from bob.datasets.readers.tree import Folder
from bob.datasets.split_names import plain_split_name
from bob.errors import DatasetError

_SHOWN = 5
_SHARED_NAMES = 2
"""Number of subfolders that two folders must share to be on the level above the classes."""
_SHARED = 0.5
"""Share of its subfolders that a folder must share."""


def check_root(root: Folder, where: str) -> None:
    """Raise where the class folders are in the only folder with images, or further down."""
    inner = root.unwrapped()
    if inner is root:
        return
    names = [folder.name for folder in inner.with_images()]
    if len(names) < 2 or plain_split_name(root.with_images()[0].name):
        return  # a single class, or a split, which is unwrapped on its own
    images = f"{len(inner.images):,} images" if inner.images else "no images"
    raise DatasetError(
        f"{where}: contains only the folder {inner.below(root.path)!r}, which holds the folders "
        f"{', '.join(names[:_SHOWN])} and {images}. Give '{inner.path}' instead."
    )


def check_nesting(folders: Sequence[Folder], where: str) -> None:
    """Raise where folders that would become classes are on a level above the classes."""
    inside = {folder: _subfolders(folder) for folder in folders}
    holders = Counter(name for names in inside.values() for name in set(names))
    outside = {folder.name.casefold() for folder, names in inside.items() if not names}
    above = [
        folder
        for folder, names in inside.items()
        if _is_above(names, {name for name in names if holders[name] > 1 or name in outside})
    ]
    if not above:
        return
    names = inside[above[0]]
    quoted = ", ".join(repr(folder.name) for folder in above[:_SHOWN])
    subject = f"the folder {quoted} holds" if len(above) == 1 else f"the folders {quoted} hold"
    shared = ", ".join(map(repr, names[:_SHOWN]))
    if any(plain_split_name(name) for name in names):
        raise DatasetError(
            f"{where}: {subject} the folders {shared}, which name splits. "
            "Expected FOLDER/train/class/image.jpg: move the splits above the classes."
        )
    raise DatasetError(
        f"{where}: {subject} no images directly, but folders with names that occur elsewhere too "
        f"({shared}). If these are the classes, give one of the folders above, or write an entry "
        "with `levels: [NAME]`; if not, one with `splits: {train: .}` "
        "(docs/reference/datasets.md)."
    )


def _is_above(names: Sequence[str], shared: set[str]) -> bool:
    return len(shared) >= _SHARED_NAMES and len(shared) >= _SHARED * len(names)


def _subfolders(folder: Folder) -> list[str]:
    """Return the names of the folders that hold all images of a folder; none for a class folder."""
    inner = folder.unwrapped()
    return [] if inner.images else [name.name.casefold() for name in inner.with_images()]
