"""Your own Parquet files: one of them, or a folder such as a clone of a hub repository.

The names of the files and of their folders say which split they are of (`my_train.parquet`,
`data/test-00000-of-00002.parquet`, `train/0.parquet`), unless a column does. Every file is read,
noted or refused.
"""

import dataclasses
import fnmatch
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from bob.datasets.content.sequences import take
from bob.datasets.listing import ImageListing, natural_key
from bob.datasets.readers.local_parquet import LocalTable
from bob.datasets.readers.split_rows import SplitRows, listing_of_rows
from bob.datasets.readers.tree import scan
from bob.datasets.split_names import (
    ROLES,
    SplitChoice,
    names_two_splits,
    parse_split_name,
    plain_split_name,
    role_of_value,
)
from bob.errors import DatasetError
from bob.io.names import printable
from bob.specs import ParquetSource, Role

_SHOWN = 5


def list_parquet(
    name: str, source: ParquetSource, root: Path, cache: Path, test_split: str | None = None
) -> ImageListing:
    """List the rows of Parquet files.

    `test_split` is the split, by the names of its files or in the column, that serves as the test
    split.
    """
    where = f"dataset {name!r} ('{printable(str(root))}')"
    files, unread = _files(root, where)
    choice = SplitChoice(test_split)
    if source.splits:
        roles = _declared(source, list(files), where)
    elif source.split:
        roles = dict.fromkeys(files, "train")
    else:
        roles = _detected(list(files), choice, where)
    _check_test(roles, choice, source, where)
    names = [
        file for role in (*ROLES, "query", "gallery") for file in files if roles.get(file) == role
    ]
    parts = [
        SplitRows(LocalTable([files[file]]), source, printable(file), where, cache)
        for file in names
    ]
    unread += Counter(f"file {printable(file)!r}" for file in files if file not in roles)
    listing = dataclasses.replace(
        listing_of_rows(where, parts, [roles[file] for file in names], source),
        test_split=test_split,
        unread=unread,
        notes=_unread_columns(parts, source),
    )
    return _by_column(listing, parts, source.split, choice) if source.split else listing


def _files(root: Path, where: str) -> tuple[dict[str, Path], Counter[str]]:
    """Return the Parquet files by their paths below a folder, and the kinds of other files."""
    if root.is_file():
        return {root.name: root}, Counter()
    if not root.is_dir():
        raise DatasetError(f"{where}: there is no such file or folder.")
    tree = scan(root)
    files = {path.relative_to(root).as_posix(): path for path in tree.parquet_files()}
    if not files:
        raise DatasetError(f"{where}: holds no Parquet files.")
    unread = tree.count_others()
    unread["images"] += tree.count_images()
    unread[".parquet"] -= len(files)
    return files, +unread


def _declared(source: ParquetSource, files: Sequence[str], where: str) -> dict[str, Role]:
    """Return the splits of the files that an entry names."""
    roles: dict[str, Role] = {}
    for role, patterns in source.splits.items():
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            matches = fnmatch.filter(files, pattern)
            if not matches:
                raise DatasetError(
                    f"{where}: no file matches {pattern!r}. Files: {_quoted(files)}."
                )
            if twice := [file for file in matches if roles.get(file, role) != role]:
                raise DatasetError(
                    f"{where}: {twice[0]!r} matches the patterns of {roles[twice[0]]} and {role}."
                )
            roles |= dict.fromkeys(matches, role)
    return roles


def _detected(files: Sequence[str], choice: SplitChoice, where: str) -> dict[str, Role]:
    """Return the splits of files by their names; a file of an unused split has none.

    All are of train if no name says anything.
    """
    _check_one_dataset(files, where)
    named = {file: name for file in files if (name := _split_name(file, choice, where)) is not None}
    if not named:
        return dict.fromkeys(files, "train")
    if unnamed := [file for file in files if file not in named]:
        raise DatasetError(
            f"{where}: the names of {_quoted(unnamed)} say no split, and those of "
            f"{_quoted(list(named))} do. {_remedy('train')}"
        )
    roles: dict[str, Role] = {}
    for file, name in named.items():
        use = choice.use(name)
        if use == "unclear":
            raise DatasetError(
                f"{where}: {file!r} may hold val or test images. Rename it, or test on it with "
                f"`--test-split {name}`. {_remedy('test')}"
            )
        if use in ROLES:
            roles[file] = use
    return roles


def _split_name(file: str, choice: SplitChoice, where: str) -> str | None:
    """Return the part of a file's path that names its split; None if there is none."""
    *folders, stem = Path(file).with_suffix("").parts
    if names_two_splits(stem):
        raise DatasetError(f"{where}: the name of {file!r} holds two splits. {_remedy('train')}")
    if choice.chooses(stem) or parse_split_name(stem) is not None:
        return stem
    for folder in reversed(folders):
        if choice.chooses(folder) or plain_split_name(folder) is not None:
            return folder
    return None


def _check_one_dataset(files: Sequence[str], where: str) -> None:
    """Raise where folders other than those of splits hold files: these may be several datasets."""
    folders = {
        tuple(
            part
            for part in Path(file).parts[:-1]
            if part != "data" and plain_split_name(part) is None
        )
        for file in files
    }
    if len(folders) > 1:
        names = ["/".join(parts) or "." for parts in sorted(folders)]
        raise DatasetError(
            f"{where}: holds Parquet files in the folders {_quoted(names)}, which may be several "
            f"datasets. Give one of the folders. {_remedy('train')}"
        )


def _check_test(
    roles: Mapping[str, Role], choice: SplitChoice, source: ParquetSource, where: str
) -> None:
    """Raise where no file is of the split to test on, or none is of any split."""
    if not roles:
        raise DatasetError(f"{where}: no file is of a split that can be read.")
    if choice.test_split is not None and not source.split and "test" not in roles.values():
        raise DatasetError(
            f"{where}: no split {choice.test_split!r} to test on; the files are "
            f"{_quoted(list(roles))}. Correct --test-split."
        )


def _by_column(
    listing: ImageListing, parts: Sequence[SplitRows], column: str, choice: SplitChoice
) -> ImageListing:
    """Return a listing in which a column names the split of each row."""
    values = [value for part in parts for value in part.texts(column)]
    roles: dict[str, Role | None] = {
        value: role_of_value(value, choice, f"{listing.where}: column {column!r}")
        for value in dict.fromkeys(values)
    }
    if choice.test_split is not None and "test" not in roles.values():
        raise DatasetError(
            f"{listing.where}: no split {choice.test_split!r} to test on; column {column!r} holds "
            f"{_quoted(list(roles))}. Correct --test-split."
        )
    kept = [i for i, value in enumerate(values) if roles[value] is not None]
    unread = Counter(f"rows of the split {value!r}" for value in values if roles[value] is None)
    splits = [role for value in values if (role := roles[value]) is not None]
    read = listing.read
    return dataclasses.replace(
        listing,
        ids=take(listing.ids, np.array(kept)),
        content=take(listing.content, np.array(kept)),
        read=lambda i: read(kept[i]),
        splits=splits,
        labels=listing.labels and [listing.labels[i] for i in kept],
        label_sets=listing.label_sets and [listing.label_sets[i] for i in kept],
        groups=listing.groups and [listing.groups[i] for i in kept],
        captions=listing.captions and [listing.captions[i] for i in kept],
        attributes={name: [texts[i] for i in kept] for name, texts in listing.attributes.items()},
        unread=Counter(listing.unread) + unread,
    )


def _unread_columns(parts: Sequence[SplitRows], source: ParquetSource) -> list[str]:
    """Return a note on columns that are not read."""
    read = {source.image, source.label, source.captions, source.group, source.split}
    read |= set(source.attributes.values())
    columns = {column for part in parts for column in part.columns} - read
    columns = {column for column in columns if not column.startswith("__")}  # of pandas
    names = sorted(columns, key=natural_key)
    return [f"columns that are not read: {_quoted(names)}"] if names else []


def _quoted(names: Collection[str]) -> str:
    shown = ", ".join(repr(printable(name)) for name in list(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _remedy(role: str) -> str:
    return (
        f"Or write an entry whose source says `splits: {{{role}: FILES, ...}}` "
        "(docs/reference/datasets.md)."
    )
