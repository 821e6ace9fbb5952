"""Stratified folds of train, drawn by content and seed."""

import numpy as np
import pytest

from bob.datasets.splits import stratified_folds
from bob.errors import DatasetError
from tests.builders.splits import digests, labels


def test_folds_spread_each_class_evenly():
    y = labels(10, 13, 3, 2, 7)
    fold = stratified_folds(y, digests(35), folds=4)
    counts = np.array([np.bincount(y[fold == f], minlength=5) for f in range(4)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 2


def test_folds_keep_groups_and_identical_content_together():
    rng = np.random.default_rng(1)
    for seed in range(20):
        n = 120
        y, groups = rng.integers(0, 3, n), [str(i) for i in rng.integers(0, 40, n)]
        content = [f"{i:x}" for i in rng.integers(0, 200, n)]
        fold = stratified_folds(y, content, groups, 5, seed)
        for keys in (groups, content):
            for key in set(keys):
                members = [f for f, k in zip(fold.tolist(), keys, strict=True) if k == key]
                assert len(set(members)) == 1
        assert set(fold.tolist()) == set(range(5))


def test_folds_depend_on_content_and_seed_alone():
    y, content = labels(30, 40), digests(70)
    fold, order = stratified_folds(y, content), np.random.default_rng(0).permutation(70)
    reordered = stratified_folds(1 - y[order], [content[i] for i in order])
    np.testing.assert_array_equal(reordered[np.argsort(order)], fold)
    assert (stratified_folds(y, content, seed=1) != fold).any()


def test_folds_need_a_class_with_two_images():
    with pytest.raises(DatasetError, match="every class has a single image"):
        stratified_folds(labels(1, 1, 1), digests(3))
