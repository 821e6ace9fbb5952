"""One's own images in class folders: `FOLDER/class/**`, or `FOLDER/train|val|test/class/**`.

Classes are in natural order (0, 1, 2, 10), images in natural order of their paths. Links are followed. Hidden files and files that are no images by
their extension are left out and counted in the notes.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import SPLIT_NAMES, ImageListing, natural_key, tally
from bob.errors import DatasetError
from bob.specs import FolderSource, Role

_WRITTEN = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif"
)
EXTENSIONS = frozenset(_WRITTEN.split())
"""The extensions, in lower case, of what `images.FORMATS` reads."""
_LAYOUTS = (
    "Expected FOLDER/class/image.jpg, or FOLDER/train/class/image.jpg and FOLDER/test/class/image.jpg; "
    "or else a table of the images, with the columns path and label."
)


@dataclass(frozen=True)
class _Image:
    path: Path
    label: str
    split: Role
    above: tuple[str, ...] = ()
    """The folders between the split and the class."""


def list_folder(source: FolderSource, root: Path, cache: Path) -> ImageListing:
    """What lies in a folder of class folders."""
    if not root.is_dir():
        raise DatasetError(
            f"{str(root)!r} {'is not a folder' if root.exists() else 'does not exist'}. {_LAYOUTS}"
        )
    left_out: list[str] = []
    images = _images(source, root, left_out)
    files = [image.path for image in images]
    return ImageListing(
        where=f"folder '{root}'",
        ids=[path.relative_to(root).as_posix() for path in files],
        labels=[image.label for image in images],
        content=file_digests(root, files, cache),
        read=lambda i: read_file(files[i]),
        splits=[image.split for image in images],
        attributes={
            level: [image.above[n] for image in images] for n, level in enumerate(source.levels)
        },
        notes=[f"files left out: {tally(left_out)}"] if left_out else [],
    )


def _images(source: FolderSource, root: Path, left_out: list[str]) -> list[_Image]:
    """All images, by split and class."""
    if source.splits or source.levels:
        parts: dict[Role, str] = dict(source.splits) or {"train": "."}
        return [
            image
            for role, folder in parts.items()
            for image in _below(_named(root, folder), role, source.levels, (), left_out)
        ]
    folders = _subfolders(root, left_out)
    _check_place(root, folders)
    if not _is_split_layout(root, folders):
        return _of_classes(folders, "train", (), left_out)
    images = []
    for folder in sorted(folders, key=lambda folder: list(SPLIT_NAMES).index(folder.name.lower())):
        images += _of_classes(
            _subfolders(folder, left_out), SPLIT_NAMES[folder.name.lower()], (), left_out
        )
    return images


def _check_place(root: Path, folders: Sequence[Path]) -> None:
    """There are class folders here, and not in the only folder inside."""
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
        raise DatasetError(f"folder '{root}': no class folders inside. {_LAYOUTS}{hint}")
    if (
        len(folders) == 1
        and folders[0].name.lower() not in SPLIT_NAMES
        and (inner := _wrapped(folders[0]))
    ):
        more = f"which holds no images but the folders {', '.join(inner[:5])}"
        raise DatasetError(
            f"folder '{root}': holds one folder, {folders[0].name!r}, {more}. Give '{folders[0]}' instead."
        )


def _wrapped(folder: Path) -> list[str]:
    """The names of the folders inside, where nothing else is: what is meant lies one level further down."""
    images = any(
        path.suffix.lower() in EXTENSIONS and not _is_hidden(path)
        for path, is_folder in _entries(folder)
        if not is_folder
    )
    names = [path.name for path in _subfolders(folder, [])]
    return names if len(names) > 1 and not images else []


def _named(root: Path, folder: str) -> Path:
    if not (root / folder).is_dir():
        raise DatasetError(
            f"folder '{root}': there is no folder {folder!r} inside. It holds: {', '.join(p.name for p in sorted(root.iterdir())[:20])}."
        )
    return root / folder


def _below(
    folder: Path, role: Role, levels: Sequence[str], above: tuple[str, ...], left_out: list[str]
) -> list[_Image]:
    """The images of a split whose class folders lie `levels` folders further down."""
    folders = _subfolders(folder, left_out)
    if not levels:
        return _of_classes(folders, role, above, left_out)
    return [
        image
        for inner in folders
        for image in _below(inner, role, levels[1:], (*above, inner.name), left_out)
    ]


def _is_split_layout(root: Path, folders: Sequence[Path]) -> bool:
    """Whether the folders are splits. One class called 'train' among others is a class; 'train' and 'test' beside other folders is a mistake."""
    splits = [folder.name for folder in folders if folder.name.lower() in SPLIT_NAMES]
    others = [folder.name for folder in folders if folder.name.lower() not in SPLIT_NAMES]
    if len(splits) > 1 and others:
        raise DatasetError(
            f"folder '{root}': holds the splits {', '.join(splits)} and also {', '.join(map(repr, others))}. Move those elsewhere."
        )
    taken = [SPLIT_NAMES[name.lower()] for name in splits]
    if doubled := [name for name in splits if taken.count(SPLIT_NAMES[name.lower()]) > 1]:
        raise DatasetError(
            f"folder '{root}': {' and '.join(doubled)} are the same split. Keep one."
        )
    return bool(splits) and not others


def _of_classes(
    folders: Sequence[Path], split: Role, above: tuple[str, ...], left_out: list[str]
) -> list[_Image]:
    images = []
    for folder in folders:
        others: list[str] = []
        paths = sorted(_walk(folder, others), key=lambda path: natural_key(path.as_posix()))
        if not paths:
            held = (
                f" but {tally(others)}; convert these"
                if any(kind != "hidden" for kind in others)
                else ""
            )
            raise DatasetError(
                f"class folder '{folder}' holds no images{held}. Remove it, or add some ({_WRITTEN})."
            )
        left_out += others
        images += [_Image(path, folder.name, split, above) for path in paths]
    return images


def _subfolders(folder: Path, left_out: list[str]) -> list[Path]:
    """The visible folders inside, in natural order; files are counted as left out."""
    entries = _entries(folder)
    left_out += [
        _kind(path) if _is_hidden(path) else "outside the class folders"
        for path, is_folder in entries
        if not is_folder
    ]
    return sorted(
        (path for path, is_folder in entries if is_folder and not _is_hidden(path)),
        key=lambda path: natural_key(path.name),
    )


def _walk(
    folder: Path, left_out: list[str], above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """The images below a folder; a link back to a folder above is not followed again."""
    real = folder.resolve()
    if real in above:
        return
    for path, is_folder in _entries(folder):
        if is_folder and not _is_hidden(path):
            yield from _walk(path, left_out, above | {real})
        elif _is_hidden(path) or path.suffix.lower() not in EXTENSIONS:
            left_out.append(_kind(path))
        else:
            yield path


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """What lies inside, each with whether it is a folder or a link to one."""
    try:
        with os.scandir(folder) as entries:
            return [(Path(entry.path), entry.is_dir()) for entry in entries]
    except OSError as error:
        raise DatasetError(f"folder '{folder}' cannot be read ({error.strerror}).") from error


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _kind(path: Path) -> str:
    return "hidden" if _is_hidden(path) else path.suffix.lower() or "no extension"
