"""Random choices of images: uniform, distinct, and independent of file order."""

import numpy as np
import pytest
from scipy import stats

from bob.numerics.sampling import choose, generator, pools


def test_choices_are_distinct_below_the_size_and_all_equally_likely() -> None:
    chosen = choose(np.full(60_000, 4), 2, generator(0))
    assert (chosen[:, 0] != chosen[:, 1]).all() and chosen.min() == 0 and chosen.max() == 3
    ordered_pairs = [4 * i + j for i in range(4) for j in range(4) if i != j]
    counts = np.bincount(chosen[:, 0] * 4 + chosen[:, 1], minlength=16)[ordered_pairs]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_all_numbers_can_be_chosen() -> None:
    assert sorted(choose(np.array([5]), 5, generator(1))[0]) == [0, 1, 2, 3, 4]


def test_more_numbers_than_there_are_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="4 distinct numbers cannot be chosen below 3"):
        choose(np.array([9, 3]), 4, generator(0))


def test_seeds_and_streams_give_different_choices() -> None:
    sources = [generator(0), generator(0), generator(1), generator(0, 1)]
    first, same, seed, stream = (choose(np.full(20, 1000), 3, source) for source in sources)
    assert (first == same).all()
    assert (first != seed).any() and (first != stream).any() and (seed != stream).any()


def test_byte_identical_images_of_a_class_count_once() -> None:
    positions = pools(np.array([0, 0, 0, 1, 1]), ["b", "a", "b", "b", "c"], 2)
    assert [pool.tolist() for pool in positions] == [[1, 0], [3, 4]]


def test_a_class_without_images_has_an_empty_pool() -> None:
    positions = pools(np.array([2, 0]), ["a", "b"], 3)
    assert [pool.tolist() for pool in positions] == [[1], [], [0]]
