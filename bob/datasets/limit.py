"""Quick looks: a stratified, seeded subset of every split; smaller subsets lie in larger ones."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Judgements, Split
from bob.datasets.splits import SEED, stratified_subset
from bob.specs import Role


def limited(dataset: Dataset, limit: int, seed: int = SEED) -> Dataset:
    """Return at most `limit` images of each split, with the class proportions kept.

    Classes that train has no longer leave the other splits too. Of a gallery, the images that are
    relevant to the remaining queries come first, so that each query still has its answers.
    """
    origin = {**dataset.split_origin, "limit": limit, "limit_seed": seed}
    kept = {name: _sample(split, limit, seed) for name, split in dataset.splits.items()}
    shifts = {
        name: dataclasses.replace(shift, split=shift.split.take(_sample(shift.split, limit, seed)))
        for name, shift in dataset.shifts.items()
    }
    judgements = dataset.judgements
    if judgements is not None:
        kept, judgements = _answerable(dataset.splits, kept, judgements, limit, seed)
    splits = {name: dataset.splits[name].take(positions) for name, positions in kept.items()}
    dataset = dataclasses.replace(
        dataset, splits=splits, shifts=shifts, split_origin=origin, judgements=judgements
    )
    if "train" in splits and splits["train"].labels is None:
        return _with_trained_classes(dataset, limit)
    return dataset


def _sample(split: Split, limit: int, seed: int) -> NDArray[np.int64]:
    return stratified_subset(split.y, split.content, limit, seed)


def _with_trained_classes(dataset: Dataset, limit: int) -> Dataset:
    """Remove the images of classes that train has no longer."""
    trained = np.unique(dataset.splits["train"].y)
    splits = {
        name: split.take(np.flatnonzero(np.isin(split.y, trained)))
        for name, split in dataset.splits.items()
    }
    lost = [repr(label) for c, label in enumerate(dataset.classes) if c not in trained]
    notes = dataset.notes
    if lost:
        notes += (f"classes without images within the limit of {limit}: {', '.join(lost)}",)
    return dataclasses.replace(dataset, splits=splits, notes=notes)


def _answerable(
    splits: Mapping[Role, Split],
    kept: Mapping[Role, NDArray[np.int64]],
    judgements: Judgements,
    limit: int,
    seed: int,
) -> tuple[dict[Role, NDArray[np.int64]], Judgements]:
    """Return the kept queries, a gallery with their answers, and the judgements among these."""
    of_queries = {level: [rows[q] for q in kept["query"]] for level, rows in judgements.items()}
    relevant = [
        position
        for level, rows in of_queries.items()
        if level != "junk"
        for row in rows
        for position in row
    ]
    answers = np.unique(relevant).astype(np.int64)
    others = np.setdiff1d(_sample(splits["gallery"], limit, seed), answers)
    gallery = np.sort(np.concatenate([answers, others[: max(0, limit - len(answers))]]))
    place = {int(position): i for i, position in enumerate(gallery)}
    within = {
        level: [tuple(place[p] for p in row if p in place) for row in rows]
        for level, rows in of_queries.items()
    }
    return {**kept, "gallery": gallery}, within
