"""Splits and shifts by the values of attributes: train on one vendor, test on others.

Let T, V, E and S be the images that train, val, test and a shift admit.

(A) Without groups, images of T alone are train and those of E alone are test; images of both are
    divided by the automatic split.
(B) With groups, a group with images of T and of E is divided as one: it becomes train or test, and
    its images that only the other side admits are left out.
(C) Images of V and S are left out where their group is in train, those of V also where it is in
    test, and those of S also where it is in val.
(D) Where the dataset comes with test images, T is chosen from its train images, and E and S from
    its test images; nothing is divided or left out, and notes count the groups on both sides.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.listing import ImageListing
from bob.datasets.splits import automatic_test
from bob.errors import DatasetError, nearest
from bob.numerics.arrays import Bools
from bob.specs import Role
from bob.specs.data_options import GROUP, LABEL, Conditions

_VALUES_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class SplitConditions:
    """The images that each split admits, by the values of attributes.

    Without `train`, it admits all images that nothing else names; without `test`, it admits what
    train does.
    """

    train: Conditions
    val: Conditions
    test: Conditions
    shift: Conditions

    def plain(self) -> dict[str, dict[str, list[str]]]:
        """Return the conditions that are stated, as JSON-ready values."""
        return {
            side: {name: list(values) for name, values in conditions.items()}
            for side, conditions in vars(self).items()
            if conditions
        }


def split_by_conditions(
    name: str,
    classes: tuple[str, ...],
    images: Split,
    listing: ImageListing,
    conditions: SplitConditions,
    seed: int,
) -> Dataset:
    """Return the dataset whose splits and shifts are views of the images that conditions admit.

    DatasetError where a condition names no attribute or value that there is, where splits overlap
    that are not divided automatically, or where a split or shift is left without images.
    """
    admitted, shifts = _admitted(listing, conditions)
    sides, left_out = _divided(images, listing, admitted, seed)
    if "test" not in listing.splits:
        _leave_out_groups(images, sides, shifts, left_out)
    all_sides = [*sides.items(), *((f"the shift {s!r}", mask) for s, mask in shifts.items())]
    for side, mask in all_sides:
        if not mask.any() and (side != "val" or conditions.val):
            raise DatasetError(_explain_empty(listing.where, side, bool(left_out)))
    used = np.logical_or.reduce([*sides.values(), *shifts.values()])
    classes, whole = _with_present_classes(classes, images.take(np.flatnonzero(used)))

    def view(mask: Bools) -> Split:
        return whole.part("whole", np.flatnonzero(mask[used]))

    is_divided = "test" not in listing.splits and bool((admitted["train"] & admitted["test"]).any())
    drawn = {"share": listing.test_share, "seed": seed} if is_divided else {}
    return Dataset(
        name,
        classes,
        {role: view(mask) for role, mask in sides.items() if mask.any()},
        {
            "kind": listing.automatic_kind if is_divided else "official",
            **drawn,
            "conditions": conditions.plain(),
        },
        tuple(_notes(left_out, int((~used).sum()) - sum(left_out.values()))),
        shifts={shift: Shift(view(mask), "shift") for shift, mask in shifts.items()},
    )


def column(listing: ImageListing, name: str) -> Sequence[str]:
    """Return the N values of an attribute; `label` and `group` are the classes and the groups.

    DatasetError where there is no such column.
    """
    if name in listing.attributes:
        return listing.attributes[name]
    if name in (LABEL, listing.label_column) and listing.labels is not None:
        return listing.labels
    if name == GROUP and listing.groups is not None:
        return listing.groups
    known = list(listing.attributes)
    raise DatasetError(
        f"{listing.where}: there is no column or folder level {name!r}{nearest(name, known)} "
        f"There are: {', '.join(known) or 'none'}."
    )


def _admitted(
    listing: ImageListing, conditions: SplitConditions
) -> tuple[dict[Role, Bools], dict[str, Bools]]:
    """Return the images (N,) that train, val and test admit, and those of each shift."""
    pools = _pools(listing)

    def matching(names: Conditions) -> Bools:
        mask = np.ones(len(listing.ids), bool)
        for name, values in names.items():
            mask &= admits(listing, name, values)
        return mask

    shifts = _shifts(listing, conditions.shift, pools["test"])
    named = np.logical_or.reduce([np.zeros(len(listing.ids), bool), *shifts.values()])
    val = np.zeros(len(listing.ids), bool)
    if conditions.val or "val" in listing.splits:
        val = pools["val"] & matching(conditions.val)
    if conditions.val:
        named |= val
    if "test" in listing.splits:
        train = pools["train"] & matching(conditions.train)
        test = pools["test"] & matching(conditions.test or conditions.train)
        test &= np.ones(len(listing.ids), bool) if conditions.test else ~named
    else:
        test = pools["test"] & matching(conditions.test)
        others = named | test if conditions.test else named
        train = pools["train"] & (matching(conditions.train) if conditions.train else ~others)
        test = test if conditions.test else train.copy()
    admitted: dict[Role, Bools] = {"train": train, "val": val, "test": test}
    _check_disjoint(listing.where, admitted, shifts)
    return admitted, shifts


def _pools(listing: ImageListing) -> dict[Role, Bools]:
    """Return the images (N,) among which each split may choose."""
    splits = np.array(listing.splits, dtype=object)
    test = splits == ("test" if "test" in listing.splits else "train")
    val = splits == ("val" if "val" in listing.splits else "train")
    return {"train": splits == "train", "val": val, "test": test}


def admits(listing: ImageListing, name: str, values: Sequence[str]) -> Bools:
    """Return the images (N,) with one of the values; DatasetError where one does not occur."""
    actual = np.array(column(listing, name), dtype=object)
    known = sorted(set(actual.tolist()))
    for value in values:
        if value not in known:
            shown = ", ".join(map(repr, known[:_VALUES_SHOWN]))
            more = f" and {len(known) - _VALUES_SHOWN} more" if len(known) > _VALUES_SHOWN else ""
            raise DatasetError(
                f"{listing.where}: no image has {name}={value}{nearest(value, known)} "
                f"Values of {name!r}: {shown}{more}."
            )
    return np.isin(actual, list(values))


def _shifts(listing: ImageListing, conditions: Conditions, pool: Bools) -> dict[str, Bools]:
    """Return the images (N,) of each shift, which is named after its value."""
    pairs = [(name, value) for name, values in conditions.items() for value in values]
    values = [value for _, value in pairs]
    return {
        value if values.count(value) == 1 else f"{name}_{value}": pool
        & admits(listing, name, [value])
        for name, value in pairs
    }


def _check_disjoint(
    where: str, admitted: Mapping[Role, Bools], shifts: Mapping[str, Bools]
) -> None:
    """Raise where val or a shift admits images of train or test."""
    others = {"val": admitted["val"], **{f"the shift {name!r}": m for name, m in shifts.items()}}
    for other, mask in others.items():
        for side in ("train", "test"):
            if n := int((mask & admitted[side]).sum()):
                images = "1 image is" if n == 1 else f"{n:,} images are"
                raise DatasetError(
                    f"{where}: {images} in {side} as well as in {other}. Choose other values, so "
                    "that no image is both."
                )


def _divided(
    images: Split, listing: ImageListing, admitted: Mapping[Role, Bools], seed: int
) -> tuple[dict[Role, Bools], dict[str, int]]:
    """Return the images (N,) of train, val and test, and how many were left out of each."""
    train, test = admitted["train"].copy(), admitted["test"].copy()
    left_out: dict[str, int] = {}
    if "test" not in listing.splits:
        both = _undecided(images, train, test)
        if both.any():
            to_test = _drawn(images, listing, np.flatnonzero(both), seed)
            train[both] &= ~to_test
            test[both] &= to_test
        lost = both & ~train & ~test
        if lost.any():
            left_out["train and test"] = int(lost.sum())
    return {"train": train, "val": admitted["val"].copy(), "test": test}, left_out


def _undecided(images: Split, train: Bools, test: Bools) -> Bools:
    """Return the images (N,) that train and test both admit, or whose group both admit."""
    if images.groups is None:
        return train & test
    shared = _groups(images, train) & _groups(images, test)
    return (train | test) & _in_groups(images, shared)


def _drawn(images: Split, listing: ImageListing, positions: NDArray[np.int64], seed: int) -> Bools:
    """Return which of the images at some positions the automatic split puts into test."""
    if images.labels is not None or listing.labels is None:
        raise DatasetError(
            f"{listing.where}: train and test admit the same images, and images without one label "
            "each cannot be divided automatically. Give conditions that tell train and test apart."
        )
    content = listing.split_content or listing.content
    groups = None if images.groups is None else [images.groups[i] for i in positions]
    try:
        return automatic_test(
            images.y[positions],
            [content[i] for i in positions],
            groups,
            listing.test_share,
            seed,
        )
    except DatasetError as error:
        raise DatasetError(f"{listing.where}: {error}") from error


def _leave_out_groups(
    images: Split,
    sides: dict[Role, Bools],
    shifts: dict[str, Bools],
    left_out: dict[str, int],
) -> None:
    """Remove images from val and shifts whose group is in a split that must not share it."""
    if images.groups is None:
        return
    fitted = _groups(images, sides["train"])
    taken = _in_groups(images, fitted | _groups(images, sides["test"]))
    if n := int((sides["val"] & taken).sum()):
        left_out["val"] = n
        sides["val"] = sides["val"] & ~taken
    taken = _in_groups(images, fitted | _groups(images, sides["val"]))
    for name, mask in shifts.items():
        if n := int((mask & taken).sum()):
            left_out[f"the shift {name!r}"] = n
            shifts[name] = mask & ~taken


def _groups(images: Split, mask: Bools) -> set[str]:
    groups = images.groups or ()
    return {groups[i] for i in np.flatnonzero(mask).tolist()}


def _in_groups(images: Split, names: set[str]) -> Bools:
    return np.fromiter((group in names for group in images.groups or ()), bool, len(images))


def _with_present_classes(classes: tuple[str, ...], images: Split) -> tuple[tuple[str, ...], Split]:
    """Return the classes that some image has, and the images with these classes' indices."""
    present = np.zeros(len(classes), bool)
    present[images.y[images.y >= 0]] = True
    if images.labels is not None:
        present |= images.labels.any(0)
    index = np.cumsum(present) - 1
    y = np.where(images.y < 0, -1, index[images.y]) if len(classes) else images.y
    labels = None if images.labels is None else images.labels[:, present]
    kept = tuple(label for label, there in zip(classes, present, strict=True) if there)
    return kept, dataclasses.replace(images, y=y, labels=labels)


def _explain_empty(where: str, side: str, by_groups: bool) -> str:
    reason = (
        "every image that it admits is of a group that train or test has"
        if by_groups
        else "no image has the values that were asked for"
    )
    return f"{where}: {side} is left without images: {reason}. Choose other values."


def _notes(left_out: Mapping[str, int], unused: int) -> list[str]:
    notes = []
    for side, n in left_out.items():
        images = "1 image is" if n == 1 else f"{n:,} images are"
        notes.append(f"{images} left out of {side}, so that no group is on both sides")
    if unused:
        images = "1 image is" if unused == 1 else f"{unused:,} images are"
        notes.append(f"{images} in no split, because no condition admits them")
    return notes
