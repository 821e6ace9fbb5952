"""Quick looks: a stratified, seeded subset of every split, of which a smaller one is part of a larger one."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Judgements, Split
from bob.datasets.splits import SEED, stratified_subset
from bob.specs import Role


def limited(dataset: Dataset, limit: int, seed: int = SEED) -> Dataset:
    """At most `limit` images of each split, class proportions kept; classes that train no longer has leave the other splits too.

    Of a gallery, the images that answer the queries that are left come first, so that each still has its answers.
    """
    origin = {**dataset.split_origin, "limit": limit, "limit_seed": seed}
    kept = {name: _positions(split, limit, seed) for name, split in dataset.splits.items()}
    shifts = {
        name: dataclasses.replace(
            shift, split=shift.split.take(_positions(shift.split, limit, seed))
        )
        for name, shift in dataset.shifts.items()
    }
    judgements = dataset.judgements
    if judgements is not None:
        kept, judgements = _answered(dataset.splits, kept, judgements, limit, seed)
    splits = {name: dataset.splits[name].take(positions) for name, positions in kept.items()}
    dataset = dataclasses.replace(
        dataset, splits=splits, shifts=shifts, split_origin=origin, judgements=judgements
    )
    return (
        _trained(dataset, limit)
        if "train" in splits and splits["train"].labels is None
        else dataset
    )


def _positions(split: Split, limit: int, seed: int) -> NDArray[np.int64]:
    return stratified_subset(split.y, split.content, limit, seed)


def _trained(dataset: Dataset, limit: int) -> Dataset:
    """Without the images of classes that train no longer has."""
    trained = np.unique(dataset.splits["train"].y)
    splits = {
        name: split.take(np.flatnonzero(np.isin(split.y, trained)))
        for name, split in dataset.splits.items()
    }
    lost = [repr(label) for c, label in enumerate(dataset.classes) if c not in trained]
    notes = (
        (f"classes without images within the limit of {limit}: {', '.join(lost)}",) if lost else ()
    )
    return dataclasses.replace(dataset, splits=splits, notes=(*dataset.notes, *notes))


def _answered(
    splits: Mapping[Role, Split],
    kept: Mapping[Role, NDArray[np.int64]],
    judgements: Judgements,
    limit: int,
    seed: int,
) -> tuple[dict[Role, NDArray[np.int64]], Judgements]:
    """The queries that are kept, a gallery that answers them, and the judgements among these."""
    of_queries = {level: [rows[q] for q in kept["query"]] for level, rows in judgements.items()}
    answers = np.unique(
        [
            position
            for level, rows in of_queries.items()
            if level != "junk"
            for row in rows
            for position in row
        ]
    ).astype(np.int64)
    others = np.setdiff1d(
        stratified_subset(splits["gallery"].y, splits["gallery"].content, limit, seed), answers
    )
    gallery = np.sort(np.concatenate([answers, others[: max(0, limit - len(answers))]]))
    place = {int(position): i for i, position in enumerate(gallery)}
    within = {
        level: [tuple(place[p] for p in row if p in place) for row in rows]
        for level, rows in of_queries.items()
    }
    return {**kept, "gallery": gallery}, within
