"""Two folders of files with the same names: images, and the targets of their pixels.

    rooms/images/train/a.jpg       rooms/masks/train/a.png
    rooms/images/test/b.jpg        rooms/masks/test/b.png

Without folders for splits, a test split is sampled. Suffixes of names, folders of splits, and lists
that name the images of a split can be declared.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.datasets.listing import natural_key
from bob.datasets.readers.paired_files import TargetPair, listed_names
from bob.datasets.readers.tree import EXTENSIONS, scan
from bob.datasets.split_names import plain_split_name
from bob.errors import DatasetError, nearest
from bob.io.names import printable, some_names
from bob.specs import PairedFoldersSource, Role

TARGET_EXTENSIONS = (".png",)
Part = tuple[Role, str, list[str] | None]
"""Split, folder below those of images and targets, names of the images; None is all."""


@dataclass(frozen=True)
class PairedFolders:
    """The folders of a dataset, and how their files are paired."""

    source: PairedFoldersSource
    root: Path
    targets: str
    """Folder of the targets below the root."""
    target_suffix: str
    """End of the targets' names that images lack."""
    test_split: str | None
    """Folder that serves as the test split."""
    what: str
    """What the targets are, for messages: `mask`."""
    own_layout: str
    """What is expected of a folder that no entry describes, for messages."""

    @property
    def layout(self) -> str:
        """What is expected, for messages."""
        source = self.source
        named = source.splits or source.lists or source.image_suffix or self.target_suffix
        if source.images == "images" and self.targets in ("masks", "depths") and not named:
            return self.own_layout
        folder = next(iter(source.splits.values()), "")
        image, target = (
            "/".join(filter(None, (top, folder, f"NAME{suffix}")))
            for top, suffix in (
                (source.images, f"{source.image_suffix}.jpg or .png"),
                (self.targets, f"{self.target_suffix}.png"),
            )
        )
        return f"Expected {image}, and {target}."

    @property
    def where(self) -> str:
        """The dataset's folder, for messages."""
        return f"folder '{printable(str(self.root))}'"

    def require_folders(self) -> None:
        """Raise DatasetError where a folder is missing."""
        if not self.root.is_dir():
            raise DatasetError(f"'{printable(str(self.root))}' is not a folder. {self.layout}")
        for folder in (self.source.images, self.targets):
            if not (self.root / folder).is_dir():
                raise DatasetError(f"{self.where}: has no folder {folder!r}. {self.layout}")

    def pairs(self) -> tuple[list[TargetPair], Counter[str]]:
        """Return the pairs in the natural order of paths, and what is not read.

        DatasetError where one of the two files of a pair is missing.
        """
        source, root = self.source, self.root
        pairs: list[TargetPair] = []
        unread: Counter[str] = Counter()
        for role, folder, names in self._parts(unread):
            images = _stems(root / source.images / folder, source.image_suffix, EXTENSIONS, unread)
            targets = _stems(
                root / self.targets / folder, self.target_suffix, TARGET_EXTENSIONS, unread
            )
            if names is not None:
                images = {name: images[name] for name in names if name in images}
                targets = {name: targets[name] for name in names if name in targets}
            self._require_same(images, targets, names, folder or source.images)
            ordered = sorted(images, key=natural_key)
            pairs += [TargetPair(images[name], targets[name], role) for name in ordered]
        if not pairs:
            raise DatasetError(f"{self.where}: holds no images with {self.what}s. {self.layout}")
        return pairs, unread

    def _parts(self, unread: Counter[str]) -> list[Part]:
        """Return the parts of the dataset: declared, or found by the names of folders.

        Images and targets beside the folders of splits are counted in `unread`.
        """
        source, test_split = self.source, self.test_split
        if source.lists:
            lists = source.lists.items()
            return [(role, "", listed_names(self.root / file)) for role, file in lists]
        if source.splits:
            return [(role, folder, None) for role, folder in source.splits.items()]
        folders = sorted(folder.path.name for folder in scan(self.root / source.images).folders)
        if test_split is not None and test_split not in folders:
            raise DatasetError(
                f"{self.where}: no folder {test_split!r} in {source.images!r} to test on"
                f"{nearest(test_split, folders)} There are: {', '.join(folders) or 'none'}."
            )
        parts: list[Part] = []
        for name in folders:
            role = "test" if name == test_split else plain_split_name(name)
            if role not in ("train", "val", "test"):
                raise DatasetError(
                    f"{self.where}: folder {name!r} of {source.images!r} is not a split"
                    f"{nearest(name, ('train', 'val', 'test'))} Name it train, val or test."
                )
            if role != "test" or test_split in (None, name):
                parts.append((role, name, None))
        if not parts:
            return [("train", "", None)]
        for what, top in (("images", source.images), (f"{self.what}s", self.targets)):
            if outside := _count_outside(self.root / top, folders):
                unread[f"{what} outside the folders of splits"] += outside
        return parts

    def _require_same(
        self,
        images: Mapping[str, Path],
        targets: Mapping[str, Path],
        names: Sequence[str] | None,
        folder: str,
    ) -> None:
        """Raise DatasetError where an image has no target, or the other way round."""
        wanted = {*images, *targets} if names is None else set(names)
        for kind, there in ((self.what, targets), ("image", images)):
            if lacking := sorted(wanted - set(there), key=natural_key):
                raise DatasetError(
                    f"{self.where}: no {kind} in {folder!r} for {some_names(lacking)}. "
                    f"{self.layout}"
                )


def _count_outside(top: Path, folders: Collection[str]) -> int:
    """Return how many images below a folder are in none of its subfolders of these names."""
    tree = scan(top)
    others = [inner for inner in tree.folders if inner.path.name not in folders]
    return len(tree.images) + sum(inner.count_images() for inner in others)


def _stems(
    folder: Path, suffix: str, extensions: Collection[str], unread: Counter[str]
) -> dict[str, Path]:
    """Return the files below a folder by their path without suffix and extension.

    DatasetError where two files differ in their extension alone.
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    tree = scan(folder)
    unread += tree.count_others()
    for path in tree.all_images():
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.suffix.lower() not in extensions or not name.endswith(suffix):
            unread[path.suffix.lower()] += 1
            continue
        stem = name.removesuffix(suffix)
        if stem in found:
            raise DatasetError(
                f"folder '{printable(str(folder))}': {found[stem].name!r} and {path.name!r} have "
                "the same name but for the extension, so that targets belong to either. Rename or "
                "remove one."
            )
        found[stem] = path
    return found
