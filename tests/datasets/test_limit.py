"""Quick looks keep groups and positives together, and say what they lose."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset
from bob.datasets.limit import limited
from bob.datasets.listing import ImageListing
from bob.datasets.splits import CHUNK, stratified_subset
from tests.builders.splits import digests, labels


def dataset(
    y: NDArray[np.int64], splits: list[Any], groups: list[str] | None = None, **changes: Any
) -> Dataset:
    """Return a dataset without images, whose examples have these classes and splits."""
    listing = ImageListing(
        where="made",
        ids=[str(i) for i in range(len(y))],
        content=digests(len(y)),
        read=lambda i: b"",
        splits=splits,
        labels=[str(c) for c in y],
        groups=groups,
    )
    made = assemble("made", listing)
    return Dataset(**{**vars(made), **changes})


def lonely(values: Any) -> int:
    return sum(n == 1 for n in Counter(values).values())


def test_groups_stay_together() -> None:
    """50 objects with 6 views each, as in retrieval of instances: 150 images are 25 objects."""
    groups = [f"object {i // 6}" for i in range(300)]
    y = np.arange(300) // 6 % 5
    chosen = stratified_subset(y, digests(300), 150, groups=groups)
    assert set(Counter(groups[i] for i in chosen).values()) == {6} and len(chosen) == 150
    assert np.bincount(y[chosen]).tolist() == [30] * 5


def test_random_groups_leave_no_image_alone() -> None:
    """Beyond one image per class, no image of a group of several is chosen alone."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        n, classes = int(rng.integers(20, 200)), int(rng.integers(1, 6))
        y = rng.integers(0, classes, n)
        groups = [str(g) for g in rng.integers(0, max(2, n // 4), n)]
        limit = int(rng.integers(1, n + 1))
        chosen = stratified_subset(y, digests(n), limit, groups=groups)
        sizes, kept = Counter(groups), Counter(groups[i] for i in chosen)
        alone = [group for group, size in kept.items() if size == 1 < sizes[group]]
        assert len(alone) <= classes and limit - 1 <= len(chosen) <= limit
        if limit >= classes:
            assert set(y[chosen].tolist()) == set(y.tolist())
        if limit >= classes * (CHUNK + 1):
            assert not alone


def test_large_groups_come_in_parts() -> None:
    """Two hospitals with 100 images each: a part of each rather than one of them."""
    groups = ["north"] * 100 + ["south"] * 100
    chosen = stratified_subset(labels(200), digests(200), 4 * CHUNK, groups=groups)
    assert min(Counter(groups[i] for i in chosen).values()) >= CHUNK


def test_subsets_of_groups_are_nested_and_do_not_depend_on_order() -> None:
    rng = np.random.default_rng(1)
    y, content = rng.integers(0, 3, 60), digests(60)
    groups = [str(g) for g in rng.integers(0, 15, 60)]
    before: set[int] = set()
    for limit in range(1, 61):
        now = set(stratified_subset(y, content, limit, groups=groups).tolist())
        assert before <= now
        before = now
    assert len(before) == 60
    order = rng.permutation(60)
    again = stratified_subset(
        y[order], [content[i] for i in order], 20, groups=[f"x{groups[i]}" for i in order]
    )
    expected = stratified_subset(y, content, 20, groups=groups)
    assert set(order[again].tolist()) == set(expected.tolist())


def test_groups_of_one_are_chosen_like_single_images() -> None:
    y, content = labels(40, 25, 5), digests(70)
    for limit in (1, 2, 3, 10, 35, 70):
        alone = stratified_subset(y, content, limit, groups=[str(i) for i in range(70)])
        assert alone.tolist() == stratified_subset(y, content, limit).tolist()


def test_limited_dataset_keeps_positives_of_groups() -> None:
    """300 test images of 50 objects in 5 classes; the class proportions are kept as well."""
    y = np.concatenate([np.arange(300) // 6 % 5] * 2)
    groups = [f"{side} {i // 6}" for side in "ab" for i in range(300)]
    cut = limited(dataset(y, ["train"] * 300 + ["test"] * 300, groups), 150)
    test = cut.splits["test"]
    assert len(test) == 150 and lonely(test.groups) == 0 and cut.notes == ()
    assert np.bincount(test.y).tolist() == [30] * 5


def test_limited_dataset_for_retrieval_keeps_positives_of_classes() -> None:
    """1,000 products with 5 photographs each: 150 images are 30 products, not 150."""
    made = dataset(np.arange(5_000) // 5, ["test"] * 5_000, kind="retrieval")
    cut = limited(made, 150)
    assert len(cut.splits["test"]) == 150 and lonely(cut.splits["test"].y.tolist()) == 0
    assert cut.notes == ()


def test_queries_find_their_classes_in_a_limited_gallery() -> None:
    """400 products with 2 queries and 3 gallery images each."""
    y = np.concatenate([np.arange(800) // 2, np.arange(1_200) // 3])
    made = dataset(y, ["query"] * 800 + ["gallery"] * 1_200, kind="retrieval")
    for limit in (50, 100, 600):
        cut = limited(made, limit)
        queries, gallery = cut.splits["query"], cut.splits["gallery"]
        assert len(queries) <= limit and len(gallery) <= limit
        assert set(queries.y.tolist()) <= set(gallery.y.tolist())


def test_lost_positives_are_noted() -> None:
    """Three classes of one object each with two views: three images are one of each object."""
    made = dataset(
        np.concatenate([np.arange(21) % 3, [0, 0, 1, 1, 2, 2]]),
        ["train"] * 21 + ["test"] * 6,
        [str(i) for i in range(21)] + list("uuvvww"),
    )
    assert limited(made, 3).notes == (
        "within the limit of 3, 3 of 3 test images have no other image of their group, so that "
        "retrieval by group excludes them as queries",
    )
    assert limited(made, 6).notes == ()
