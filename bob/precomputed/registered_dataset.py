"""Examples of a dataset of images: splits, labels and groups are the dataset's.

Rows are matched to images by id.
"""

from collections.abc import Mapping
from itertools import chain

from bob.datasets.dataset import Dataset, Split
from bob.errors import DatasetError
from bob.precomputed.columns import FeatureFile
from bob.precomputed.messages import first_quoted
from bob.precomputed.rows import Examples
from bob.specs import Role


def matched_examples(file: FeatureFile, dataset: Dataset, skip_missing: bool = False) -> Examples:
    """Return the row of every image of a dataset.

    Shifts of which rows are missing are excluded. DatasetError where images of splits have no row,
    unless `skip_missing`, and where the file's labels show that rows are matched to wrong images.
    """
    if not file.has_ids:
        raise DatasetError(
            f"{file.where}: holds no ids, by which rows are matched to the images of "
            f"{dataset.name!r}: add an array 'ids' of their names."
        )
    row_of_id = _below_folder(_row_of_id(file), dataset)
    _check_any_match(file, dataset, row_of_id)
    missing = {
        side: [name for name in split.ids if name not in row_of_id]
        for side, split in dataset.splits.items()
    }
    if any(missing.values()) and not skip_missing:
        raise DatasetError(
            f"{file.where}: {_missing_text(dataset, missing)}. Add them, or exclude these images "
            "with --skip-missing."
        )
    _check_labels(file, dataset, row_of_id)
    shifts = {
        name
        for name, shift in dataset.shifts.items()
        if _has_all_rows(dataset, shift.split, row_of_id)
    }
    notes = (
        [f"{file.where}: {_missing_text(dataset, missing)}; these images are excluded"]
        if any(missing.values())
        else []
    )
    notes += [
        f"without the shift {name}: the file lacks some of its rows"
        for name in dataset.shifts
        if name not in shifts
    ]
    notes += _unused_note(dataset, shifts, row_of_id)
    return Examples(
        dataset.with_shifts(shifts),
        file.tables,
        row_of_id,
        (*file.notes, *notes),
        has_images=True,
    )


def _row_of_id(file: FeatureFile) -> dict[str, int]:
    """Return id → row, with ids as relative POSIX paths."""
    ids = file.column("ids")
    return {name.replace("\\", "/").removeprefix("./"): i for i, name in enumerate(ids)}


def _below_folder(row_of_id: Mapping[str, int], dataset: Dataset) -> Mapping[str, int]:
    """Return ids relative to the dataset's folder.

    What precedes the first image's id is removed from all ids.
    """
    first = next(iter(dataset.splits.values())).ids[0]
    if first in row_of_id:
        return row_of_id
    folders = {name[: -len(first)] for name in row_of_id if name.endswith(f"/{first}")}
    if len(folders) != 1:
        return row_of_id
    folder = folders.pop()
    return {name.removeprefix(folder): i for name, i in row_of_id.items()}


def _check_any_match(file: FeatureFile, dataset: Dataset, row_of_id: Mapping[str, int]) -> None:
    names = list(chain.from_iterable(split.ids for split in dataset.splits.values()))
    if not any(name in row_of_id for name in names):
        raise DatasetError(
            f"{file.where}: none of its {len(row_of_id):,} ids is the name of an image of "
            f"{dataset.name!r}. Ids look like {next(iter(row_of_id))!r}, names of images like "
            f"{names[0]!r}."
        )


def _missing_text(dataset: Dataset, missing: Mapping[Role, list[str]]) -> str:
    """Return `has no row for 3 of 20 test images ('a/1.png', ...) of 'photos'`."""
    parts = [
        f"{len(names):,} of {len(dataset.splits[side]):,} {side} images ({first_quoted(names)})"
        for side, names in missing.items()
        if names
    ]
    return f"has no row for {' and '.join(parts)} of {dataset.name!r}"


def _has_all_rows(dataset: Dataset, shift: Split, row_of_id: Mapping[str, int]) -> bool:
    """Whether every image of a shift has a row that is not another image's of the same name."""
    content_of_id = {
        name: content
        for split in dataset.splits.values()
        for name, content in zip(split.ids, split.content, strict=True)
    }
    return all(
        name in row_of_id and content_of_id.get(name, content) == content
        for name, content in zip(shift.ids, shift.content, strict=True)
    )


def _unused_note(dataset: Dataset, shifts: set[str], row_of_id: Mapping[str, int]) -> list[str]:
    """Return a note on rows that belong to no image."""
    splits = [*dataset.splits.values(), *(dataset.shifts[name].split for name in shifts)]
    used = set(chain.from_iterable(split.ids for split in splits))
    unused = [name for name in row_of_id if name not in used]
    if not unused:
        return []
    rows = "1 row belongs" if len(unused) == 1 else f"{len(unused):,} rows belong"
    return [f"{rows} to no image of {dataset.name!r}: {first_quoted(unused)}"]


def _check_labels(file: FeatureFile, dataset: Dataset, row_of_id: Mapping[str, int]) -> None:
    """Raise DatasetError where the file's labels contradict the dataset's.

    They may have other names, or be finer or coarser; if they are none of these, ids and rows are
    in different orders.
    """
    labels = file.column("y")
    pairs: dict[tuple[str, str], str] = {}
    for split in dataset.splits.values():
        if not labels or split.labels is not None:
            continue
        for name, c in zip(split.ids, split.y.tolist(), strict=True):
            if name in row_of_id and c >= 0:
                pairs.setdefault((labels[row_of_id[name]], dataset.classes[c]), name)
    file_labels, dataset_labels = {label for label, _ in pairs}, {label for _, label in pairs}
    if len(pairs) <= max(len(file_labels), len(dataset_labels)):
        return
    label = next(label for label, _ in pairs if sum(label == other for other, _ in pairs) > 1)
    (first_class, first), (second_class, second), *_ = (
        (name, image) for (other, name), image in pairs.items() if other == label
    )
    raise DatasetError(
        f"{file.where}: its labels are not those of {dataset.name!r}: {label!r} is "
        f"{first_class!r} for {first!r} and {second_class!r} for {second!r}. Are ids, labels and "
        "features in the same order?"
    )
