"""Values that several commands derive from the same flags."""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bob.datasets.readers.tree import EXTENSIONS
from bob.errors import ConfigError
from bob.io.paths import is_true
from bob.specs import DataOptions, options_per_column

SIDES = ("train", "val", "test", "shift")
Condition = tuple[str, tuple[str, ...]]
"""A column and its admitted values."""


def data_options(arguments: argparse.Namespace) -> tuple[DataOptions, ...]:
    """Return the options of `--data`, one for each column of classes and each column to retrieve.

    A flag that the command does not have takes its default.
    """
    stated = vars(arguments)
    sides = {side: _merged(stated.get(side) or ()) for side in SIDES}
    common = {
        "test_split": stated.get("test_split"),
        "boxes": stated.get("boxes"),
        "normal": tuple(stated.get("normal") or ()),
        "levels": tuple(stated.get("levels") or ()),
        "group": stated.get("group"),
        "depth": stated.get("depth"),
        **sides,
    }
    labels, retrieve = stated.get("label") or [], stated.get("retrieve") or []
    if retrieve and (conflict := [name for name in ("train", "val", "shift") if sides[name]]):
        raise ConfigError(
            f"--retrieve searches all images, so that --{conflict[0]} has no meaning beside it; "
            "--test chooses the images to search."
        )
    return options_per_column(common, labels, retrieve)


def _merged(conditions: Sequence[Condition]) -> dict[str, tuple[str, ...]]:
    """Return column → values of the conditions of one flag, each column once."""
    merged: dict[str, tuple[str, ...]] = {}
    for column, values in conditions:
        merged[column] = tuple(dict.fromkeys((*merged.get(column, ()), *values)))
    return merged


def require_output_file(flag: str, written: Path | None, read: Iterable[str | Path] = ()) -> None:
    """Raise ConfigError where a file cannot or must not be written, before anything is computed.

    It would overwrite one of those that are read, or be read as an image later, or its folder
    refuses it. Nothing is written where it is None.
    """
    if written is None:
        return
    if written.suffix.lower() in EXTENSIONS:
        raise ConfigError(f"{flag} {str(written)!r} is the name of an image; give another one.")
    if written.exists() and any(Path(file).exists() and written.samefile(file) for file in read):
        raise ConfigError(
            f"{flag} {str(written)!r} is read by this command, and would be overwritten; name "
            "another file."
        )
    if written.is_dir():
        raise ConfigError(f"{flag} {str(written)!r} is a folder; name a file in it.")
    above = next(folder for folder in written.absolute().parents if is_true(folder.exists))
    if not above.is_dir():
        raise ConfigError(f"{flag} {str(written)!r}: {str(above)!r} is a file and no folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{flag} {str(written)!r}: the folder {str(above)!r} cannot be written.")
