"""The files below a folder, scanned once: images, other files and subfolders of every folder.

Every file that is found is an image or counted by its kind, so that a reader can account for all
of them. Links are followed, except one that leads back to a folder above itself.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bob.datasets.listing import natural_key
from bob.errors import DatasetError
from bob.io.names import printable
from bob.io.paths import is_true

EXTENSIONS_TEXT = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif"
)
EXTENSIONS = frozenset(EXTENSIONS_TEXT.split())
"""Extensions, in lower case, of the formats in `images.FORMATS`."""
_REMEDIES = {
    (".tar",): "Tars of samples need an entry with `reader: webdataset` "
    "(docs/reference/datasets.md).",
    (".zip", ".gz", ".tgz", ".7z", ".rar"): "Unpack the archives first.",
    (".arrow",): "Give the folder that `save_to_disk` wrote: it holds dataset_dict.json or "
    "state.json.",
    (".npz", ".npy"): "Arrays need an entry with `reader: medmnist` or `cifar_c` "
    "(docs/reference/datasets.md).",
}
"""Extensions → what to do about files that hold images in another form."""
HIDDEN = ("hidden", "hidden folders")
"""Kinds of files and folders whose names begin with a dot, or with macOS's `__MACOSX`."""


@dataclass(eq=False)
class Folder:
    """A visible folder with all that is directly in it."""

    path: Path
    images: list[Path] = field(default_factory=list)
    """Files with the extension of an image, and links to such files that lead nowhere."""
    others: Counter[str] = field(default_factory=Counter)
    """Kind of other entries → their number: `.txt`, `no extension`, or one of `HIDDEN`."""
    tables: list[Path] = field(default_factory=list)
    """CSV and Parquet files, which are also counted in `others`."""
    folders: "list[Folder]" = field(default_factory=list)
    """Visible subfolders in natural order."""

    @property
    def name(self) -> str:
        return printable(self.path.name)

    def walk(self) -> "Iterator[Folder]":
        """Yield this folder and all folders below it."""
        stack = [self]
        while stack:
            folder = stack.pop()
            yield folder
            stack += reversed(folder.folders)

    def all_images(self) -> list[Path]:
        """Return the images at any depth, in natural order of their paths."""
        paths = [path for folder in self.walk() for path in folder.images]
        return sorted(paths, key=lambda path: natural_key(path.as_posix()))

    def count_images(self) -> int:
        return sum(len(folder.images) for folder in self.walk())

    def count_others(self) -> Counter[str]:
        """Return the kinds of other entries at any depth."""
        counts: Counter[str] = Counter()
        for folder in self.walk():
            counts += folder.others
        return counts

    def with_images(self) -> "list[Folder]":
        """Return the subfolders that hold images at any depth."""
        return [folder for folder in self.folders if any(inner.images for inner in folder.walk())]

    def parquet_files(self) -> list[Path]:
        """Return the Parquet files at any depth, in natural order of their paths."""
        paths = [path for folder in self.walk() for path in folder.tables if is_parquet(path)]
        return sorted(paths, key=lambda path: natural_key(path.as_posix()))

    def unwrapped(self) -> "Folder":
        """Return the first folder that is more than a wrapper of a single folder with images."""
        folder = self
        while not folder.images and len(inner := folder.with_images()) == 1:
            (folder,) = inner
        return folder

    def below(self, root: Path) -> str:
        """Return the path relative to a folder above, as text."""
        return printable(self.path.relative_to(root).as_posix())


def scan(root: Path) -> Folder:
    """Return the tree of a folder. DatasetError where a folder cannot be read."""
    top = Folder(root)
    stack: list[tuple[Folder, frozenset[str]]] = [(top, frozenset())]
    while stack:
        folder, parents = stack.pop()
        above = parents | {os.path.realpath(folder.path)}
        for entry in _entries(folder.path):
            path = folder.path / entry.name
            if is_true(entry.is_dir):
                _add_folder(folder, path, entry.is_symlink(), above)
            else:
                _add_file(folder, path, entry)
        folder.folders.sort(key=lambda inner: natural_key(inner.path.name))
        stack += [(inner, above) for inner in folder.folders]
    return top


def is_parquet(path: Path) -> bool:
    """Return whether a file is called like a Parquet file."""
    return path.suffix.lower() == ".parquet"


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or an archive's left-over of macOS."""
    return name.startswith((".", "__MACOSX"))


def _entries(folder: Path) -> Sequence["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(
            f"folder '{printable(str(folder))}' cannot be read ({error.strerror})."
        ) from error


def _add_folder(folder: Folder, path: Path, is_link: bool, above: frozenset[str]) -> None:
    if is_hidden(path.name):
        folder.others["hidden folders"] += 1
    elif is_link and os.path.realpath(path) in above:
        folder.others["links to a folder above"] += 1
    else:
        folder.folders.append(Folder(path))


def _add_file(folder: Folder, path: Path, entry: "os.DirEntry[str]") -> None:
    suffix = path.suffix.lower()
    if is_hidden(path.name):
        folder.others["hidden"] += 1
    elif not is_true(entry.is_file) and is_true(path.exists):  # a pipe or socket blocks readers
        folder.others["not a regular file"] += 1
    elif suffix in EXTENSIONS:
        folder.images.append(path)
    else:
        folder.others[printable(suffix) or "no extension"] += 1
        if suffix in (".csv", ".parquet"):
            folder.tables.append(path)


def visible(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the kinds of files that are not hidden."""
    return {kind: n for kind, n in counts.items() if kind not in HIDDEN}


def remedy(counts: Mapping[str, int]) -> str:
    """Return what to do about files that hold images in another form; empty for other files."""
    for extensions, sentence in _REMEDIES.items():
        if any(extension in counts for extension in extensions):
            return f" {sentence}"
    return ""


def outside_class_folders(folder: Folder) -> Counter[str]:
    """Return what is directly in a folder of class folders and therefore not read."""
    counts = Counter({kind: n for kind, n in folder.others.items() if kind in HIDDEN})
    counts["images outside the class folders"] += len(folder.images)
    counts["outside the class folders"] += sum(visible(folder.others).values())
    return +counts
