"""Your own images in class folders: `FOLDER/class/**`, or `FOLDER/train|val|test/class/**`.

Classes are in natural order (0, 1, 2, 10), images in natural order of their paths. Links are
followed. Hidden files, and files whose extension is not that of an image, are skipped and counted
in the notes.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import SPLIT_NAMES, ImageListing, natural_key, tally
from bob.errors import DatasetError, nearest
from bob.specs import FolderSource, Role

_EXTENSIONS_TEXT = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif"
)
EXTENSIONS = frozenset(_EXTENSIONS_TEXT.split())
"""Extensions, in lower case, of the formats in `images.FORMATS`."""
_LAYOUTS = (
    "Expected FOLDER/class/image.jpg, or FOLDER/train/class/image.jpg and "
    "FOLDER/test/class/image.jpg; or a table of the images with the columns path and label."
)


@dataclass(frozen=True)
class _Image:
    path: Path
    label: str
    split: Role
    levels: tuple[str, ...] = ()
    """Names of the folders between the split and the class."""


def list_folder(source: FolderSource, root: Path, cache: Path) -> ImageListing:
    """List the images in class folders."""
    if not root.is_dir():
        raise DatasetError(
            f"{str(root)!r} {'is not a folder' if root.exists() else 'does not exist'}. {_LAYOUTS}"
        )
    skipped: list[str] = []
    images = _images(source, root, skipped)
    files = [image.path for image in images]
    return ImageListing(
        where=f"folder '{root}'",
        ids=[path.relative_to(root).as_posix() for path in files],
        labels=[image.label for image in images],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[image.split for image in images],
        attributes={
            level: [image.levels[n] for image in images] for n, level in enumerate(source.levels)
        },
        notes=[f"skipped files: {tally(skipped)}"] if skipped else [],
    )


def _images(source: FolderSource, root: Path, skipped: list[str]) -> list[_Image]:
    """Return all images by split and class; the kind of each skipped file is added to `skipped`."""
    if source.splits or source.levels:
        split_folders: dict[Role, str] = dict(source.splits) or {"train": "."}
        return [
            image
            for role, name in split_folders.items()
            for image in _images_below(_split_folder(root, name), role, source.levels, (), skipped)
        ]
    folders = _subfolders(root, skipped)
    _check_depth(root, folders)
    if not _is_split_layout(root, folders):
        return _images_of_classes(folders, "train", (), skipped)
    images = []
    for folder in sorted(folders, key=lambda folder: list(SPLIT_NAMES).index(folder.name.lower())):
        images += _images_of_classes(
            _subfolders(folder, skipped), SPLIT_NAMES[folder.name.lower()], (), skipped
        )
    return images


def _check_depth(root: Path, folders: Sequence[Path]) -> None:
    """Raise if there are no class folders, or if they are in the only folder inside."""
    if not folders:
        tables = sorted(
            path.name
            for path, _ in _entries(root)
            if path.suffix.lower() == ".csv" and not _is_hidden(path)
        )
        hint = (
            f" If {tables[0]!r} lists the images, give '{root / tables[0]}' instead."
            if tables
            else ""
        )
        raise DatasetError(f"folder '{root}': contains no class folders. {_LAYOUTS}{hint}")
    if (
        len(folders) == 1
        and folders[0].name.lower() not in SPLIT_NAMES
        and (inner := _wrapped_folders(folders[0]))
    ):
        raise DatasetError(
            f"folder '{root}': contains only the folder {folders[0].name!r}, which holds the "
            f"folders {', '.join(inner[:5])} and no images. Give '{folders[0]}' instead."
        )


def _wrapped_folders(folder: Path) -> list[str]:
    """Return the names of the subfolders, if there are several and no images beside them.

    The class folders are then probably one level further down than expected.
    """
    images = any(
        path.suffix.lower() in EXTENSIONS and not _is_hidden(path)
        for path, is_folder in _entries(folder)
        if not is_folder
    )
    names = [path.name for path in _subfolders(folder, [])]
    return names if len(names) > 1 and not images else []


def _split_folder(root: Path, name: str) -> Path:
    """Return the folder that the entry names for a split, or raise."""
    if not (root / name).is_dir():
        available = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise DatasetError(
            f"folder '{root}': no folder {name!r} inside{nearest(name, available)} "
            f"Folders: {', '.join(available[:20]) or 'none'}."
        )
    return root / name


def _images_below(
    folder: Path,
    role: Role,
    levels: Sequence[str],
    parents: tuple[str, ...],
    skipped: list[str],
) -> list[_Image]:
    """Return the images of a split whose class folders are `levels` folders further down."""
    folders = _subfolders(folder, skipped)
    if not levels:
        return _images_of_classes(folders, role, parents, skipped)
    return [
        image
        for subfolder in folders
        for image in _images_below(subfolder, role, levels[1:], (*parents, subfolder.name), skipped)
    ]


def _is_split_layout(root: Path, folders: Sequence[Path]) -> bool:
    """Return whether the folders are splits; raise if some are splits and others are not.

    A single folder called 'train' among others is a class.
    """
    splits = [folder.name for folder in folders if folder.name.lower() in SPLIT_NAMES]
    others = [folder.name for folder in folders if folder.name.lower() not in SPLIT_NAMES]
    if len(splits) > 1 and others:
        raise DatasetError(
            f"folder '{root}': contains the splits {', '.join(splits)} and also "
            f"{', '.join(map(repr, others))}. Move the folders that are not splits elsewhere."
        )
    roles = [SPLIT_NAMES[name.lower()] for name in splits]
    if repeated := [name for name in splits if roles.count(SPLIT_NAMES[name.lower()]) > 1]:
        raise DatasetError(
            f"folder '{root}': {' and '.join(map(repr, repeated))} are names of the same split. "
            f"Keep one of them."
        )
    return bool(splits) and not others


def _images_of_classes(
    folders: Sequence[Path], split: Role, levels: tuple[str, ...], skipped: list[str]
) -> list[_Image]:
    """Return the images of class folders, each of which must hold at least one."""
    images = []
    for folder in folders:
        others: list[str] = []
        paths = sorted(_walk(folder, others), key=lambda path: natural_key(path.as_posix()))
        if not paths:
            raise DatasetError(_explain_no_images(folder, others))
        skipped += others
        images += [_Image(path, folder.name, split, levels) for path in paths]
    return images


def _explain_no_images(folder: Path, others: Sequence[str]) -> str:
    if any(kind != "hidden" for kind in others):
        return (
            f"class folder '{folder}' contains no images but {tally(others)}. Convert these to a "
            f"supported format ({_EXTENSIONS_TEXT}), or remove the folder."
        )
    return (
        f"class folder '{folder}' contains no images. Add some ({_EXTENSIONS_TEXT}), or remove "
        f"the folder."
    )


def _subfolders(folder: Path, skipped: list[str]) -> list[Path]:
    """Return the visible subfolders in natural order; files beside them count as skipped."""
    entries = _entries(folder)
    skipped += [
        _kind(path) if _is_hidden(path) else "outside the class folders"
        for path, is_folder in entries
        if not is_folder
    ]
    return sorted(
        (path for path, is_folder in entries if is_folder and not _is_hidden(path)),
        key=lambda path: natural_key(path.name),
    )


def _walk(
    folder: Path, skipped: list[str], parents: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield the images below a folder; a link back to a parent folder is not followed."""
    real = folder.resolve()
    if real in parents:
        return
    for path, is_folder in _entries(folder):
        if is_folder and not _is_hidden(path):
            yield from _walk(path, skipped, parents | {real})
        elif _is_hidden(path) or path.suffix.lower() not in EXTENSIONS:
            skipped.append(_kind(path))
        else:
            yield path


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """Return the entries of a folder, each with whether it is a folder or a link to one."""
    try:
        with os.scandir(folder) as entries:
            return [(Path(entry.path), entry.is_dir()) for entry in entries]
    except OSError as error:
        raise DatasetError(f"folder '{folder}' cannot be read ({error.strerror}).") from error


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _kind(path: Path) -> str:
    """Return a file's extension, or why it has none that counts, for the notes."""
    return "hidden" if _is_hidden(path) else path.suffix.lower() or "no extension"
