"""Values that commands make of the same flags."""

import argparse
from collections.abc import Sequence

from bob.errors import ConfigError
from bob.specs import DataOptions

SIDES = ("train", "val", "test", "shift")
Condition = tuple[str, tuple[str, ...]]
"""A column and its admitted values."""


def data_options(arguments: argparse.Namespace) -> tuple[DataOptions, ...]:
    """Return the options of `--data`: one for each column of classes or of things to retrieve.

    A command without one of the flags has its default.
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
    datasets = [{"label": label} for label in labels]
    datasets += [{"retrieve": column} for column in retrieve]
    return tuple(
        DataOptions.model_validate(common | dataset) for dataset in datasets or [{"label": None}]
    )


def _merged(conditions: Sequence[Condition]) -> dict[str, tuple[str, ...]]:
    """Return column → values of the conditions of one flag, each column once."""
    merged: dict[str, tuple[str, ...]] = {}
    for column, values in conditions:
        merged[column] = tuple(dict.fromkeys((*merged.get(column, ()), *values)))
    return merged
