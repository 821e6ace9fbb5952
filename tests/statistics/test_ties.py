"""Holm's correction and tie groups."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bob.statistics.aggregate import z_scores
from bob.statistics.paired_tests import t_tests
from bob.statistics.ties import holm, holm_below, tie_groups


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


def test_each_backbone_is_a_family_with_those_below_it() -> None:
    """Row by row against statsmodels; the matrix is symmetric."""
    p = np.random.default_rng(4).random((7, 7)) ** 4
    p = np.triu(p, 1) + np.triu(p, 1).T
    adjusted = holm_below(p)
    for i in range(6):
        below = multipletests(p[i, i + 1 :], method="holm")[1]
        assert adjusted[i, i + 1 :] == pytest.approx(below)
        assert adjusted[i + 1 :, i] == pytest.approx(below)
    assert np.diag(adjusted).tolist() == [1] * 7


def test_a_pair_that_was_not_tested_counts_in_no_family() -> None:
    """Of two comparisons with the first only one was made: 1 · .03; the other stays unknown."""
    p = np.array([[1, 0.03, np.nan], [0.03, 1, 0.2], [np.nan, 0.2, 1]])
    adjusted = holm_below(p)
    assert adjusted[0].tolist() == pytest.approx([1, 0.03, np.nan], nan_ok=True)
    assert adjusted[1, 2] == pytest.approx(0.2)
    assert tie_groups(p) == [1, 2, None]


def test_without_tests_against_the_best_there_are_no_groups() -> None:
    p = np.array([[np.nan] * 3, [np.nan, 1, 0.001], [np.nan, 0.001, 1]])
    assert tie_groups(p) == [None] * 3
    assert tie_groups(np.ones((1, 1))) == [1]


def test_a_p_value_of_exactly_5_percent_tells_nothing_apart() -> None:
    """Two backbones are distinguished below it, as in the definition of a test's level."""
    assert tie_groups(np.array([[1.0, 0.05], [0.05, 1.0]])) == [1, 1]
    assert tie_groups(np.array([[1.0, 0.0499], [0.0499, 1.0]])) == [1, 2]


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
