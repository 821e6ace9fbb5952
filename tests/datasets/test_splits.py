"""Automatic splits and subsets: small cases by hand, a second implementation, and invariances."""

from collections import Counter

import numpy as np
import pytest
import xxhash

from bob.datasets.splits import automatic_test, count_shared_images, stratified_subset
from bob.errors import DatasetError
from tests.builders.splits import digests, labels


def in_hash_order(content: list[str], seed: int) -> list[int]:
    """Sort positions by the documented hash."""
    return sorted(
        range(len(content)), key=lambda i: xxhash.xxh3_128_digest(f"{seed}:{content[i]}".encode())
    )


# (class sizes, share, test images per class): share * n rounded half up, at least 1, at most
# n - 1; a single example stays in train
COUNTS = [
    ((10, 5), 0.2, {0: 2, 1: 1}),
    ((10, 1), 0.2, {0: 2}),
    ((2, 3, 4), 0.2, {0: 1, 1: 1, 2: 1}),
    ((1803, 821), 0.25, {0: 451, 1: 205}),  # 450.75 and 205.25
    ((10, 2), 0.9, {0: 9, 1: 1}),  # 1.8 rounds to 2, of which one must stay
    ((6, 6), 0.25, {0: 2, 1: 2}),  # 1.5 rounds up
]


@pytest.mark.parametrize(("sizes", "share", "expected"), COUNTS)
def test_test_count_is_the_rounded_share_of_each_class(
    sizes: tuple[int, ...], share: float, expected: dict[int, int]
) -> None:
    y = labels(*sizes)
    test = automatic_test(y, digests(len(y)), share=share)
    assert Counter(y[test].tolist()) == expected


def test_test_examples_are_first_in_hash_order() -> None:
    y, content = labels(10, 15), digests(25)
    test = automatic_test(y, content, seed=3)
    order = in_hash_order(content, 3)
    assert set(np.flatnonzero(test)) == {
        *[i for i in order if y[i] == 0][:2],
        *[i for i in order if y[i] == 1][:3],
    }


def test_split_is_pinned() -> None:
    """The split of a dataset depends neither on the platform nor on the version of a library."""
    assert np.flatnonzero(automatic_test(labels(10, 10), digests(20))).tolist() == [2, 3, 11, 13]


def test_seed_changes_the_split() -> None:
    y, content = labels(50, 50), digests(100)
    assert not np.array_equal(
        automatic_test(y, content, seed=0), automatic_test(y, content, seed=1)
    )


@pytest.mark.parametrize("grouped", [False, True])
def test_split_does_not_depend_on_the_order_of_files_or_classes(grouped: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 300)
    content = [f"{i % 250:x}" for i in range(300)]
    groups = [f"g{i}" for i in rng.integers(0, 80, 300)] if grouped else None
    test = automatic_test(y, content, groups)
    for _ in range(5):
        order, renamed = rng.permutation(300), rng.permutation(5)
        again = automatic_test(
            renamed[y[order]],
            [content[i] for i in order],
            groups and [f"other {groups[i]}" for i in order],
        )
        np.testing.assert_array_equal(again, test[order])


def test_linked_examples_stay_on_one_side() -> None:
    """With random groups and duplicates, no group or content is on two sides.

    Every class keeps train examples.
    """
    rng = np.random.default_rng(1)
    for _ in range(50):
        n = int(rng.integers(20, 200))
        y, groups = rng.integers(0, 3, n), [str(i) for i in rng.integers(0, n // 2, n)]
        content = [f"{i:x}" for i in rng.integers(0, 2 * n, n)]
        test = automatic_test(y, content, groups)
        for linked in (groups, content):
            assert not {linked[i] for i in np.flatnonzero(test)} & {
                linked[i] for i in np.flatnonzero(~test)
            }
        assert set(y[~test].tolist()) == set(y.tolist())


def test_links_are_transitive() -> None:
    """a-b share a group, b-c share content, c-d share a group.

    So a, b, c, d are one unit of four, too large for a target of 2 of 10.
    """
    content = ["a", "same", "same", "d", "e", "f", "g", "h", "i", "j"]
    groups = ["1", "1", "2", "2", "3", "4", "5", "6", "7", "8"]
    y = labels(10)
    for seed in range(20):
        test = automatic_test(y, content, groups, seed=seed)
        assert not test[:4].any() and test.sum() == 2


def test_class_of_large_groups_receives_test_examples() -> None:
    """Three patients have 10, 8 and 10 images.

    The target is 3, to which 0 is nearer than 8 or 10; so the smallest is taken in the last step.
    """
    y = labels(28)
    groups = ["a"] * 10 + ["b"] * 8 + ["c"] * 10
    assert np.flatnonzero(automatic_test(y, digests(28), groups, share=0.1)).tolist() == list(
        range(10, 18)
    )


def test_one_image_per_class_cannot_be_split() -> None:
    with pytest.raises(
        DatasetError,
        match=r"every class has a single image\. Add images, or provide train and test images",
    ):
        automatic_test(labels(1, 1, 1), digests(3))


def test_one_group_per_class_cannot_be_split() -> None:
    with pytest.raises(
        DatasetError, match="in every class, all images belong to one group or are byte-identical"
    ):
        automatic_test(labels(3, 3), digests(6), ["a"] * 3 + ["b"] * 3)


@pytest.mark.parametrize("share", [0, 1, -0.1, 20])
def test_share_must_lie_between_0_and_1(share: float) -> None:
    with pytest.raises(DatasetError, match="must lie between 0 and 1; got"):
        automatic_test(labels(5, 5), digests(10), share=share)


def seats(sizes: list[int], limit: int) -> list[int]:
    """Distribute seats by Sainte-Laguë's usual definition.

    One seat each, then always to the largest size / (2 * seats + 1).
    """
    seats_per_class = [1] * len(sizes)
    while sum(seats_per_class) < limit:
        seats_per_class[
            max(
                range(len(sizes)),
                key=lambda c: (
                    (seats_per_class[c] < sizes[c]) * sizes[c] / (2 * seats_per_class[c] + 1)
                ),
            )
        ] += 1
    return seats_per_class


@pytest.mark.parametrize("limit", [3, 4, 7, 20, 100, 136])
def test_subset_keeps_class_proportions(limit: int) -> None:
    sizes = [101, 7, 29]
    y = labels(*sizes)
    chosen = stratified_subset(y, digests(len(y)), limit)
    assert np.bincount(y[chosen]).tolist() == seats(sizes, limit)
    assert (np.diff(chosen) > 0).all()


def test_subsets_are_nested_and_grow_to_all_examples() -> None:
    y, content = labels(9, 3, 30), digests(42)
    before: set[int] = set()
    for limit in range(1, 43):
        now = set(stratified_subset(y, content, limit).tolist())
        assert before < now and len(now) == limit
        before = now
    assert stratified_subset(y, content, 1000).tolist() == list(range(42))


def test_limit_below_the_class_count_prefers_large_classes() -> None:
    y = labels(5, 50, 20)
    assert y[stratified_subset(y, digests(75), 2)].tolist() == [1, 2]


def test_subset_does_not_depend_on_the_order_of_files() -> None:
    y, content, order = labels(9, 30), digests(39), np.random.default_rng(0).permutation(39)
    chosen = stratified_subset(y, content, 10)
    again = stratified_subset(y[order], [content[i] for i in order], 10)
    assert set(order[again].tolist()) == set(chosen.tolist())


def test_limit_must_be_positive() -> None:
    with pytest.raises(DatasetError, match="at least 1 image per split; got 0"):
        stratified_subset(labels(3), digests(3), 0)


def test_count_shared_images_counts_examples_of_the_first_argument() -> None:
    assert count_shared_images(["a", "a", "b", "c"], ["a", "c", "c", "d"]) == 3
