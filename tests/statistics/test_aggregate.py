"""z-scores, ranks, wins and Borda counts: by hand, against scipy, and on a published table."""

import numpy as np
import pytest
from scipy import stats

from bob.statistics.aggregate import borda, ranks, scales, win_rate, wins, z_scores
from tests.builders.published_table import read_published_table

VALUES = np.array([[0.9, 10.0], [0.8, 30.0], [0.8, 20.0]])
"""Three backbones: higher is better in the first setting, lower in the second."""
HIGHER = (True, False)


def test_z_scores_by_hand() -> None:
    # first: mean 0.8333, deviations 1/15, -1/30, -1/30, sd sqrt(6/900 / 2) = 0.057735
    # second: mean 20, sd 10, lower is better
    expected = [
        [0.0666667 / 0.0577350, 1.0],
        [-0.0333333 / 0.0577350, -1.0],
        [-0.0333333 / 0.0577350, 0.0],
    ]
    assert z_scores(VALUES, HIGHER) == pytest.approx(np.array(expected), abs=1e-5)


def test_scales_turn_differences_of_values_into_those_of_z_scores() -> None:
    """The first setting has the standard deviation 1 / √300, the second 10, lower is better."""
    assert scales(VALUES, HIGHER) == pytest.approx([300**0.5, -0.1])
    assert scales(np.full((3, 1), 0.7), (True,)).tolist() == [0]


def test_z_scores_agree_with_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(9, 5))
    assert z_scores(values, [True] * 5) == pytest.approx(stats.zscore(values, axis=0, ddof=1))


def test_equal_values_have_z_scores_of_0() -> None:
    assert z_scores(np.full((3, 1), 0.7), (True,)).tolist() == [[0], [0], [0]]


def test_values_that_differ_by_rounding_are_equal() -> None:
    """The same class accuracies in another order: their means differ in the last digit."""
    means = np.array([[(0.1 + 0.2 + 0.3) / 3], [(0.3 + 0.2 + 0.1) / 3]])
    assert means[0, 0] != means[1, 0]
    assert z_scores(means, (True,)) == pytest.approx(np.zeros((2, 1)), abs=1e-9)
    assert ranks(means, (True,)).tolist() == [[1.5], [1.5]]
    assert ranks(1e-20 * np.array([[1.0], [2.0]]), (True,)).tolist() == [[2], [1]]


def test_a_pool_of_one_has_neither_z_scores_nor_a_win_rate() -> None:
    assert np.isnan(z_scores(VALUES[:1], HIGHER)).all()
    assert np.isnan(win_rate(VALUES[:1], HIGHER)).all()


def test_ranks_wins_and_borda_by_hand() -> None:
    assert ranks(VALUES, HIGHER).tolist() == [[1, 1], [2.5, 3], [2.5, 2]]
    assert wins(VALUES, HIGHER).tolist() == [[2, 2], [0.5, 0], [0.5, 1]]
    assert borda(VALUES, HIGHER).tolist() == [4, 0.5, 1.5]
    assert win_rate(VALUES, HIGHER).tolist() == [1, 0.125, 0.375]  # of 2 others in 2 settings


def test_a_pool_of_two_has_a_win_rate() -> None:
    assert win_rate(VALUES[:2], (True, True)).tolist() == [0.5, 0.5]
    assert win_rate(VALUES[:2], HIGHER).tolist() == [1, 0]


def test_ranks_agree_with_scipy() -> None:
    values = np.random.default_rng(1).integers(0, 5, size=(12, 6)).astype(float)
    assert ranks(values, [True] * 6) == pytest.approx(stats.rankdata(-values, axis=0))


def test_mean_z_scores_of_the_published_table() -> None:
    """The retrieval table of Battle of the Backbones."""
    names, values = read_published_table()
    z = z_scores(values, [True] * 8).mean(1)
    first = np.argsort(-z)[:3]
    assert [names[i] for i in first] == [
        "timm-swinv2_base_window12to24_192to384_22kft1k",
        "timm-convnext_xlarge_in22ft1k",
        "timm-convnext_base_in22ft1k",
    ]
    assert z[first].round(3).tolist() == [1.015, 0.978, 0.961]
    assert names[int(values.mean(1).argmax())] == "timm-convnext_xlarge_in22ft1k"
    assert sorted(values.mean(1).round(4))[-2:] == [0.7606, 0.7611]
