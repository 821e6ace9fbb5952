"""Quick looks: a stratified, seeded subset of every split; smaller subsets lie in larger ones.

Images that are positives of one another in retrieval stay together: those of a group, and of a
dataset for retrieval alone, those of a class. Of a gallery, the answers to the remaining queries
come first.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Judgements, Split
from bob.datasets.splits import SEED, stratified_subset
from bob.specs import Role


def limited(dataset: Dataset, limit: int, seed: int = SEED) -> Dataset:
    """Return at most `limit` images of each split, with the class proportions kept.

    Classes that train has no longer leave the other splits too. A note counts the queries that lose
    their last positive.
    """
    origin = {**dataset.split_origin, "limit": limit, "limit_seed": seed}
    kept = {name: _sample(dataset, split, limit, seed) for name, split in dataset.splits.items()}
    shifts = {
        name: dataclasses.replace(
            shift, split=shift.split.take(_sample(dataset, shift.split, limit, seed))
        )
        for name, shift in dataset.shifts.items()
    }
    judgements = dataset.judgements
    if judgements is not None:
        kept, judgements = _answerable(dataset, kept, judgements, limit, seed)
    elif dataset.kind == "correspondence":
        kept["gallery"] = _with_sources(dataset, kept["query"], limit)
    elif "query" in kept and "gallery" in kept:
        kept["gallery"] = _with_positives(dataset, kept["query"], limit, seed)
    splits = {name: dataset.splits[name].take(positions) for name, positions in kept.items()}
    cut = dataclasses.replace(
        dataset, splits=splits, shifts=shifts, split_origin=origin, judgements=judgements
    )
    if "train" in splits and splits["train"].labels is None:
        cut = _with_trained_classes(cut, np.unique(dataset.splits["train"].y), limit)
    return dataclasses.replace(cut, notes=(*cut.notes, *_lost_positives(dataset, cut, limit)))


def _sample(dataset: Dataset, split: Split, limit: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of at most `limit` images of a split: of videos, the first frames."""
    if dataset.kind == "video":
        return np.arange(min(limit, len(split)))
    if split.groups is not None:
        return stratified_subset(split.y, split.content, limit, seed, split.groups)
    if dataset.kind == "retrieval" and "train" not in dataset.splits and (split.y >= 0).all():
        classes = [str(c) for c in split.y.tolist()]
        return stratified_subset(split.y, split.content, limit, seed, classes, every_class=False)
    return stratified_subset(split.y, split.content, limit, seed)


def _with_trained_classes(dataset: Dataset, before: NDArray[np.int64], limit: int) -> Dataset:
    """Remove the images of classes of train `before` the limit that train has no longer."""
    gone = np.setdiff1d(before, dataset.splits["train"].y)
    splits = {
        name: split.take(np.flatnonzero(~np.isin(split.y, gone)))
        for name, split in dataset.splits.items()
    }
    lost = [repr(dataset.classes[c]) for c in gone if c >= 0]
    notes = dataset.notes
    if lost:
        notes += (f"classes without images within the limit of {limit}: {', '.join(lost)}",)
    return dataclasses.replace(dataset, splits=splits, notes=notes)


def _with_positives(
    dataset: Dataset, queries: NDArray[np.int64], limit: int, seed: int
) -> NDArray[np.int64]:
    """Return gallery images: those of the queries' classes first, each class with one or more."""
    gallery = dataset.splits["gallery"]
    classes = np.unique(dataset.splits["query"].y[queries])
    positives = np.flatnonzero(np.isin(gallery.y, classes))
    others = np.flatnonzero(~np.isin(gallery.y, classes))
    parts = [positives] if len(positives) >= limit else [positives, others]
    left, chosen = limit, []
    for part in parts:
        if left and len(part):
            content = [gallery.content[int(i)] for i in part]
            subset = stratified_subset(gallery.y[part], content, left, seed)
            chosen.append(part[subset])
            left -= len(subset)
    return np.sort(np.concatenate(chosen))


def _with_sources(dataset: Dataset, queries: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return the first target images that show points of these source images."""
    sources = {dataset.splits["query"].ids[int(q)] for q in queries}
    points = dataset.splits["gallery"].points
    assert points is not None
    shown = [i for i, ids in enumerate(points.sources) if sources & set(ids)]
    return np.array(shown[:limit], np.int64)


def _answerable(
    dataset: Dataset,
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
    others = np.setdiff1d(_sample(dataset, dataset.splits["gallery"], limit, seed), answers)
    gallery = np.sort(np.concatenate([answers, others[: max(0, limit - len(answers))]]))
    place = {int(position): i for i, position in enumerate(gallery)}
    within = {
        level: [tuple(place[p] for p in row if p in place) for row in rows]
        for level, rows in of_queries.items()
    }
    return {**kept, "gallery": gallery}, within


def _lost_positives(full: Dataset, cut: Dataset, limit: int) -> list[str]:
    """Return a note on test images that have lost all other images of their group or class."""
    if "test" not in cut.splits or cut.judgements is not None:
        return []
    before, after = full.splits["test"], cut.splits["test"]
    notes = []
    if before.groups is not None and after.groups is not None:
        notes += _lonely_note("group", before.groups, after.groups, limit)
    if cut.kind == "retrieval" and (before.y >= 0).all():
        notes += _lonely_note("class", before.y.tolist(), after.y.tolist(), limit)
    return notes


def _lonely_note(
    what: str, before: Sequence[object], after: Sequence[object], limit: int
) -> list[str]:
    sizes = Counter(before)
    lonely = sum(n == 1 < sizes[value] for value, n in Counter(after).items())
    if not lonely:
        return []
    return [
        f"within the limit of {limit}, {lonely:,} of {len(after):,} test images have no other "
        f"image of their {what}, so that retrieval by {what} excludes them as queries"
    ]
