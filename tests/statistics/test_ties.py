"""Holm's correction and tie groups."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bob.statistics.aggregate import z_scores
from bob.statistics.paired_tests import t_tests
from bob.statistics.ties import holm, tie_groups


def test_holm_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(3).random(20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm(np.array([])).size == 0


def test_groups_are_anchored_at_the_best_of_the_rest() -> None:
    """Only the first differs significantly, from the third and the fourth."""
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = p[0, 3] = p[3, 0] = 0.001
    assert tie_groups(p) == [1, 1, 2, 2]


def test_a_member_of_a_group_may_come_after_a_nonmember() -> None:
    p = np.ones((3, 3))
    p[0, 1] = p[1, 0] = 0.01  # adjusted 0.02
    assert tie_groups(p) == [1, 2, 1]


def test_holm_counts_all_other_backbones() -> None:
    p = np.ones((3, 3))
    p[0, 1] = p[1, 0] = 0.03  # two comparisons: 0.06
    assert tie_groups(p) == [1, 1, 1]


def test_no_backbones_have_no_groups() -> None:
    assert tie_groups(np.empty((0, 0))) == []


def test_equal_backbones_are_rarely_distinguished_over_datasets() -> None:
    """33 backbones that differ by luck alone, on 8 datasets.

    By the share of bootstrap draws, 13 % of the others would differ from the luckiest.
    """
    rng = np.random.default_rng(0)
    distinguished = []
    for _ in range(100):
        z = z_scores(rng.normal(size=(33, 8)), [True] * 8)
        best = int(z.mean(1).argmax())
        distinguished.append(np.mean(holm(np.delete(t_tests(z)[best], best)) < 0.05))
    assert np.mean(distinguished) < 0.02
