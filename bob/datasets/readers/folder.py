"""Your own images in class folders: `FOLDER/class/**`, or `FOLDER/train|val|test/class/**`.

Classes are in natural order (0, 1, 2, 10), images in natural order of their paths. What counts as a
split is decided in `split_folders`. Every file is read, or counted in the notes by its kind;
folders that could be classes as well as splits or attributes are refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing, tally
from bob.datasets.readers.nesting import check_nesting, check_root
from bob.datasets.readers.split_folders import LAYOUTS, find_splits
from bob.datasets.readers.tree import (
    EXTENSIONS,
    EXTENSIONS_TEXT,
    Folder,
    outside_class_folders,
    remedy,
    scan,
    visible,
)
from bob.datasets.split_names import SplitChoice
from bob.errors import DatasetError, nearest
from bob.io.names import printable
from bob.specs import FolderSource, Role
from bob.specs.data_options import LABEL

__all__ = ["EXTENSIONS", "list_folder"]

_SUBFOLDERS_SHOWN = 3


@dataclass(frozen=True)
class _Image:
    path: Path
    label: str
    split: Role
    levels: tuple[str, ...] = ()
    """Names of the folders that encode attributes."""


@dataclass
class _Found:
    """The images of a folder, and what it holds besides."""

    root: Path
    images: list[_Image] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    subfolders: list[str] = field(default_factory=list)
    """Folders inside class folders, whose images count as those of the class."""
    notes: list[str] = field(default_factory=list)


def list_folder(
    source: FolderSource, root: Path, cache: Path, test_split: str | None = None
) -> ImageListing:
    """List the images in class folders.

    `test_split` is the split, by name or folder, that serves as the test split.
    """
    where = f"folder '{printable(str(root))}'"
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"'{printable(str(root))}' {problem}. {LAYOUTS}")
    found = _Found(root)
    if source.splits or source.levels:
        _add_declared(found, source)
    else:
        _add_detected(found, scan(root), SplitChoice(test_split), where)
    files = [image.path for image in found.images]
    names = [path.relative_to(root).as_posix() for path in files]
    ids = [printable(name) for name in names]
    return ImageListing(
        where=where,
        ids=ids,
        labels=[image.label for image in found.images],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[image.split for image in found.images],
        attributes={
            level: [image.levels[n] for image in found.images]
            for n, level in enumerate(source.attributes)
        },
        test_split=test_split,
        unread=found.unread,
        notes=[*found.notes, *_nested_notes(found), *_name_notes(names, ids)],
    )


def _add_detected(found: _Found, tree: Folder, choice: SplitChoice, where: str) -> None:
    """Add the images of a folder whose layout is not declared."""
    check_root(tree, where)
    splits = find_splits(tree, choice, where)
    if splits is None:
        check_nesting(tree.with_images(), where)
        _add_classes(found, tree, "train", ())
        return
    found.unread += splits.unread
    found.notes += splits.notes
    for role, folder in splits.folders.items():
        check_nesting(folder.with_images(), where)
        _add_classes(found, folder, role, ())


def _add_declared(found: _Found, source: FolderSource) -> None:
    """Add the images of the folders that an entry names."""
    declared: Mapping[Role, str] = source.splits or {"train": "."}
    for role, name in declared.items():
        folder = _split_folder(found.root, name)
        _add_below(found, scan(folder), role, source.levels, ())
    if not found.images:
        levels = ", ".join(source.levels) or "none"
        raise DatasetError(
            f"folder '{printable(str(found.root))}': no image is as many folders deep as the "
            f"levels say ({levels}, then the classes)."
        )
    if "." not in declared.values():
        used = {Path(name).parts[0] for name in declared.values()}
        found.unread += Counter(
            {
                f"folder {printable(path.name)!r}": 1
                for path in found.root.iterdir()
                if path.is_dir() and path.name not in used
            }
        )


def _split_folder(root: Path, name: str) -> Path:
    """Return the folder that the entry names for a split, or raise."""
    if not (root / name).is_dir():
        available = sorted(printable(path.name) for path in root.iterdir() if path.is_dir())
        raise DatasetError(
            f"folder '{printable(str(root))}': no folder {name!r} inside{nearest(name, available)} "
            f"Folders: {', '.join(available[:20]) or 'none'}."
        )
    return root / name


def _add_below(
    found: _Found, folder: Folder, role: Role, levels: Sequence[str], parents: tuple[str, ...]
) -> None:
    """Add the images of a split whose class folders are `levels` folders further down."""
    if not levels or levels[0] == LABEL:
        _add_classes(found, folder, role, parents, levels[1:])
        return
    found.unread += outside_class_folders(folder)
    for inner in folder.folders:
        _add_below(found, inner, role, levels[1:], (*parents, inner.name))


def _add_classes(
    found: _Found,
    folder: Folder,
    role: Role,
    levels: tuple[str, ...],
    inner_levels: Sequence[str] = (),
) -> None:
    """Add the images of class folders, each of which must hold at least one.

    `levels` are the folders above, and `inner_levels` the names of those inside class folders.
    """
    found.unread += outside_class_folders(folder)
    _check_names(folder)
    for inner in folder.folders:
        paths, others = inner.all_images(), inner.count_others()
        if not paths:
            raise DatasetError(_explain_no_images(inner, others))
        found.unread += others
        found.images += [
            _Image(path, inner.name, role, (*levels, *_inner_levels(path, inner, inner_levels)))
            for path in paths
        ]
        found.subfolders += [
            nested.below(found.root)
            for nested in inner.walk()
            if nested is not inner and nested.images and not inner_levels
        ]


def _inner_levels(path: Path, folder: Folder, levels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the folders inside a class folder that encode attributes."""
    inside = path.relative_to(folder.path).parts[:-1]
    if len(inside) < len(levels):
        raise DatasetError(
            f"image '{printable(str(path))}' is {len(inside)} folders below its class folder, "
            f"where the levels name {len(levels)}: {', '.join(levels)}. Move it, or correct them."
        )
    return tuple(map(printable, inside[: len(levels)]))


def _check_names(folder: Folder) -> None:
    """Raise where two folders have the same name once bytes that are not UTF-8 are escaped."""
    counts = Counter(inner.name for inner in folder.folders)
    if repeated := [name for name, n in counts.items() if n > 1]:
        raise DatasetError(
            f"folder '{printable(str(folder.path))}': two folders would be called {repeated[0]!r}, "
            "because one of the names is not UTF-8. Rename one of them."
        )


def _explain_no_images(folder: Folder, others: Mapping[str, int]) -> str:
    where = f"class folder '{printable(str(folder.path))}' contains no images"
    if hint := remedy(others):
        return f"{where} but {tally(others)}.{hint}"
    if visible(others):
        return (
            f"{where} but {tally(others)}. Convert these to a supported format "
            f"({EXTENSIONS_TEXT}), or remove the folder."
        )
    return f"{where}. Add some ({EXTENSIONS_TEXT}), or remove the folder."


def _nested_notes(found: _Found) -> list[str]:
    """Return a note on folders inside class folders."""
    if not found.subfolders:
        return []
    shown = ", ".join(map(repr, found.subfolders[:_SUBFOLDERS_SHOWN]))
    more = len(found.subfolders) - _SUBFOLDERS_SHOWN
    return [
        "images in folders inside class folders count as those of the class: "
        f"{shown}{f' and {more:,} more' if more > 0 else ''}"
    ]


def _name_notes(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return a note on names that are not UTF-8, which ids and labels show escaped."""
    escaped = [text for name, text in zip(names, ids, strict=True) if text != name]
    if not escaped:
        return []
    return [
        f"{len(escaped):,} {'name is' if len(escaped) == 1 else 'names are'} not UTF-8, such as "
        f"{escaped[0]!r}, in which other bytes are escaped"
    ]
