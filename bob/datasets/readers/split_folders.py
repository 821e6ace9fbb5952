"""Which folders are splits, from their names and from what they hold.

Folders are splits if their names say nothing else (`train`, `test_images`), or share the rest of
their names (`seg_train`, `seg_test`). A wrapper of one folder (`seg_train/seg_train/...`) is
skipped. A folder without class folders has no labels: it is not read, with a note, unless it is the
train split. What could be a split or a class is refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bob.datasets.listing import tally
from bob.datasets.readers.tree import Folder, is_parquet, outside_class_folders, remedy
from bob.datasets.split_names import (
    ROLES,
    SplitChoice,
    parse_split_name,
    plain_split_name,
    splits_of_others,
)
from bob.errors import DatasetError
from bob.specs import Role

LAYOUTS = (
    "Expected FOLDER/class/image.jpg, or FOLDER/train/class/image.jpg and "
    "FOLDER/test/class/image.jpg; or a table of the images with the columns path and label."
)
_CLASS_NAMES = frozenset(("train", "valid", "dev"))
"""Names of splits that are words for classes too: vehicles, documents, circuit boards."""
_MASKS = frozenset(("ground_truth", "groundtruth", "masks"))
"""Names of folders beside splits that hold pixel masks of test images, as in MVTec AD."""
_SHOWN = 5


@dataclass
class SplitFolders:
    """The folders of the splits, and what is in none of them."""

    folders: dict[Role, Folder] = field(default_factory=dict)
    """Split → the folder of its class folders: train, val, test."""
    unread: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def find_splits(root: Folder, choice: SplitChoice, where: str) -> SplitFolders | None:
    """Return the splits of a folder; None if its folders are classes.

    DatasetError if some are splits and others could be either, or if a set is of unclear use.
    """
    if not root.folders:
        raise DatasetError(f"{where}: contains no class folders. {LAYOUTS}{_hint(root)}")
    candidates = _candidates(root, choice, where)
    others = [folder for folder in root.folders if folder not in candidates]
    holding = [folder for folder in others if folder.count_images() and not _is_masks(folder)]
    if not candidates or _is_class(candidates, holding):
        if choice.test_split is not None:
            raise DatasetError(_no_such_split(choice, (), where))
        return None
    _require_separable(candidates, holding, choice, where)
    splits = SplitFolders(unread=outside_class_folders(root))
    for folder in others:
        splits.unread += folder.count_others()
        if n := folder.count_images():
            noun = "masks" if _is_masks(folder) else "images"
            splits.unread[f"{noun} of {folder.name!r}, beside the splits"] += n
    for folder in candidates:
        _add(splits, root, folder, choice, where)
    if choice.test_split is not None and "test" not in splits.folders:
        names = [folder.name for folder in candidates]
        raise DatasetError(_no_such_split(choice, names, where))
    splits.folders = {role: splits.folders[role] for role in ROLES if role in splits.folders}
    return splits


def _candidates(root: Folder, choice: SplitChoice, where: str) -> list[Folder]:
    """Return the folders that are splits by their names."""
    plain = [
        folder
        for folder in root.folders
        if plain_split_name(folder.name) or choice.chooses(folder.name)
    ]
    if plain:
        return plain
    families: dict[tuple[str, ...], list[Folder]] = {}
    for folder in root.folders:
        if (parsed := parse_split_name(folder.name)) is not None:
            families.setdefault(parsed.rest, []).append(folder)
    several = [
        family
        for family in families.values()
        if len({choice.use(folder.name) for folder in family}) > 1
    ]
    mixed = set(splits_of_others([folder.name for folder in root.folders]))
    if len(several) > 1:
        mixed |= {folder.name for family in several for folder in family}
    if mixed:
        folders = [folder for folder in root.folders if folder.name in mixed]
        raise DatasetError(
            f"{where}: the names of {_quoted(folders)} hold a class and a split. {LAYOUTS}"
        )
    return several[0] if several else []


def _is_masks(folder: Folder) -> bool:
    return folder.name.lower() in _MASKS


def _is_class(candidates: Sequence[Folder], others: Sequence[Folder]) -> bool:
    """Return whether the only folder with the name of a split is a class: a train beside a bus."""
    return (
        len(candidates) == 1
        and bool(others)
        and candidates[0].name.lower() in _CLASS_NAMES
        and not _class_root(candidates[0]).with_images()
    )


def _require_separable(
    candidates: Sequence[Folder], others: Sequence[Folder], choice: SplitChoice, where: str
) -> None:
    """Raise where other folders hold images and could be splits or classes too.

    Beside two splits, images outside class folders can be neither.
    """
    if not others:
        return
    with_classes = {
        choice.use(folder.name) for folder in candidates if _class_root(folder).with_images()
    }
    if len(with_classes.intersection(ROLES)) > 1 and not any(
        _class_root(folder).with_images() for folder in others
    ):
        return
    noun = "split" if len(candidates) == 1 else "splits"
    names = ", ".join(folder.name for folder in candidates)
    remedy = "Move the folders that are not splits elsewhere."
    if not with_classes:
        remedy = (
            f"If {_quoted(candidates)} {'is a class' if len(candidates) == 1 else 'are classes'}, "
            "list the images in a table with the columns path and label; if not, move "
            f"{'it' if len(candidates) == 1 else 'them'} elsewhere."
        )
    raise DatasetError(f"{where}: contains the {noun} {names} and also {_quoted(others)}. {remedy}")


def _add(
    splits: SplitFolders, root: Folder, folder: Folder, choice: SplitChoice, where: str
) -> None:
    """Add the folder of a split, or count its images as unread."""
    use, inner, images = choice.use(folder.name), _class_root(folder), folder.count_images()
    has_classes = bool(inner.with_images())
    if use == "unclear" and has_classes:
        raise DatasetError(
            f"{where}: {folder.name!r} may hold val or test images. Rename it to 'val' or 'test', "
            f"or test on it with `--test-split {folder.name}`."
        )
    if use in ROLES and (has_classes or (folder.folders and not images)):
        _check_free(splits, use, folder, where)
        splits.folders[use] = inner
        if inner is not folder:
            splits.notes.append(f"the class folders are in {inner.below(root.path)!r}")
            splits.unread += folder.count_others() - inner.count_others()
        return
    if use == "train":
        raise DatasetError(
            f"{where}: {folder.name!r} holds {images:,} images and no class folders. {LAYOUTS}"
            f"{_hint(root)}"
        )
    splits.unread += folder.count_others()
    if images:
        reason = {
            "unused": "as another split is tested on",
            "unlabelled": "which have no labels",
        }.get(str(use), "outside class folders and so without labels")
        splits.unread[f"images of {folder.name!r}, {reason}"] += images


def _check_free(splits: SplitFolders, role: Role, folder: Folder, where: str) -> None:
    """Raise where a split has a folder already."""
    if role in splits.folders:
        raise DatasetError(
            f"{where}: {splits.folders[role].name!r} and {folder.name!r} are names of the same "
            "split. Keep one of them."
        )


def _class_root(split: Folder) -> Folder:
    """Return the folder of a split's class folders: itself, or inside wrappers of one folder."""
    use, folder = parse_split_name(split.name), split
    while not folder.images and len(inner := folder.with_images()) == 1:
        (only,) = inner
        classes = only.unwrapped()
        named_alike = use is not None and parse_split_name(only.name) == use
        if not named_alike and (classes.images or len(classes.with_images()) < 2):
            return folder
        folder = only
    return folder


def _no_such_split(choice: SplitChoice, names: Sequence[str], where: str) -> str:
    return (
        f"{where}: no split {choice.test_split!r} to test on; the folder holds "
        f"{', '.join(names) or 'class folders and no splits'}. Correct --test-split."
    )


def _quoted(folders: Sequence[Folder]) -> str:
    shown = ", ".join(repr(folder.name) for folder in folders[:_SHOWN])
    return shown + (f" and {len(folders) - _SHOWN:,} more" if len(folders) > _SHOWN else "")


def _hint(root: Folder) -> str:
    """Return what else the folder holds: tables that may list the images, or other files."""
    if tables := [table for table in root.tables if not is_parquet(table)]:
        table = min(tables)
        return f" If {table.name!r} lists the images, give '{table}' instead."
    counts = root.others + Counter(images=len(root.images))
    return f" It holds: {tally(counts)}.{remedy(root.others)}" if counts else ""
