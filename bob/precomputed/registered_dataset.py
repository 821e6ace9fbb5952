"""Rows for a dataset that is known here: splits, labels and groups are the dataset's, rows are found by the names of its images."""

from collections.abc import Iterable, Mapping
from itertools import chain

from bob.datasets.dataset import Dataset, Split
from bob.errors import DatasetError
from bob.precomputed.columns import Given
from bob.precomputed.rows import Examples
from bob.specs import Role

_SHOWN = 5


def known_examples(given: Given, dataset: Dataset, skip_missing: bool = False) -> Examples:
    """Every image's row. DatasetError where images have none, unless they are to be skipped, and where labels show that rows are not the images'.

    A shift of the dataset of which rows are missing is left out.
    """
    if not given.has_ids:
        raise DatasetError(
            f"{given.where}: holds no ids, by which rows are found for the images of {dataset.name!r}: an array 'ids' of their names."
        )
    places = _relative(_places(given), dataset)
    wanted = {name: split.ids for name, split in dataset.splits.items()}
    _check_found(given, dataset, places)
    missing = {name: [one for one in ids if one not in places] for name, ids in wanted.items()}
    if any(missing.values()) and not skip_missing:
        raise DatasetError(
            f"{given.where}: {_misses(dataset, missing)}. Add them, or leave these images out with --skip-missing."
        )
    _check_labels(given, dataset, places)
    kept = {
        name for name, shift in dataset.shifts.items() if _has_all(dataset, shift.split, places)
    }
    notes = (
        [f"{given.where}: {_misses(dataset, missing)}, which are left out"]
        if any(missing.values())
        else []
    )
    notes += [
        f"without the shift {name}: the file does not have all of its rows"
        for name in dataset.shifts
        if name not in kept
    ]
    used = set(chain(*wanted.values(), *(dataset.shifts[name].split.ids for name in kept)))
    notes += _unused([name for name in places if name not in used], dataset)
    return Examples(
        dataset.with_shifts(kept), given.blocks, places, (*given.notes, *notes), known=True
    )


def _places(given: Given) -> dict[str, int]:
    ids = chain.from_iterable(block.ids or () for block in given.blocks)
    return {name.replace("\\", "/").removeprefix("./"): i for i, name in enumerate(ids)}


def _relative(places: Mapping[str, int], dataset: Dataset) -> Mapping[str, int]:
    """Ids below the dataset's folder: what stands before the first image's own id is taken off all."""
    first = next(iter(dataset.splits.values())).ids[0]
    if first in places:
        return places
    before = {name[: -len(first)] for name in places if name.endswith(f"/{first}")}
    if len(before) != 1:
        return places
    folder = before.pop()
    return {name.removeprefix(folder): i for name, i in places.items()}


def _check_found(given: Given, dataset: Dataset, places: Mapping[str, int]) -> None:
    ids = list(chain.from_iterable(split.ids for split in dataset.splits.values()))
    if not any(name in places for name in ids):
        raise DatasetError(
            f"{given.where}: none of its {len(places):,} ids is the name of an image of {dataset.name!r}. "
            f"Ids are such as {next(iter(places))!r}, names of images such as {ids[0]!r}."
        )


def _misses(dataset: Dataset, missing: Mapping[Role, list[str]]) -> str:
    """`has no row for 3 of 20 test images of 'photos': 'a/1.png', ...`"""
    told = [
        f"{len(names):,} of {len(dataset.splits[side]):,} {side} images ({_shown(names)})"
        for side, names in missing.items()
        if names
    ]
    return f"has no row for {' and '.join(told)} of {dataset.name!r}"


def _shown(names: Iterable[str]) -> str:
    held = list(names)
    return ", ".join(map(repr, held[:_SHOWN])) + (", ..." if len(held) > _SHOWN else "")


def _has_all(dataset: Dataset, shift: Split, places: Mapping[str, int]) -> bool:
    """Whether every image of a shift has a row: its own, and not that of another image of the same name."""
    own = {
        name: content
        for split in dataset.splits.values()
        for name, content in zip(split.ids, split.content, strict=True)
    }
    return all(
        name in places and own.get(name, content) == content
        for name, content in zip(shift.ids, shift.content, strict=True)
    )


def _unused(names: list[str], dataset: Dataset) -> list[str]:
    return (
        [f"{len(names):,} rows are of no image of {dataset.name!r}: {_shown(names)}"]
        if names
        else []
    )


def _check_labels(given: Given, dataset: Dataset, places: Mapping[str, int]) -> None:
    """Labels in the file may have other names, be finer or coarser; where they are none of that, ids and rows are not in the same order."""
    labels = list(chain.from_iterable(block.y or () for block in given.blocks))
    pairs: dict[tuple[str, str], str] = {}
    for split in (split for split in dataset.splits.values() if labels and split.labels is None):
        for name, c in zip(split.ids, split.y.tolist(), strict=True):
            if name in places and c >= 0:
                pairs.setdefault((labels[places[name]], dataset.classes[c]), name)
    theirs, ours = {label for label, _ in pairs}, {label for _, label in pairs}
    if len(pairs) <= max(len(theirs), len(ours)):
        return
    twice = next(label for label, _ in pairs if sum(label == other for other, _ in pairs) > 1)
    (one, first), (other, second) = [
        (name, image) for (label, name), image in pairs.items() if label == twice
    ][:2]
    raise DatasetError(
        f"{given.where}: its labels are not those of {dataset.name!r}: {twice!r} is {one!r} for {first!r} and {other!r} for {second!r}. "
        "Are ids, labels and features in one order?"
    )
