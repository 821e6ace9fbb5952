"""Aggregation, resampling, ties, Pareto fronts and rank correlations: by hand, against scipy and statsmodels, and on a published table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bob.statistics.aggregate import wins, borda, ranks, win_rate, z_scores
from bob.statistics.correlation import kendall, spearman
from bob.statistics.paired_tests import t_tests
from bob.statistics.pareto import pareto_front
from bob.statistics.resampling import (
    dataset_contributions,
    resampled_means,
    normal_draws,
    normal_p_values,
    rank_interval,
    win_share,
)
from bob.statistics.ties import holm, tie_groups

MRR = Path(__file__).parents[1] / "data" / "bob_retrieval_mrr.csv"
HAND = np.array([[0.9, 10.0], [0.8, 30.0], [0.8, 20.0]])
"""Three backbones: more is better in the first setting, less in the second."""
BOTH = (True, False)


def published() -> tuple[list[str], np.ndarray]:
    frame = pd.read_csv(MRR, index_col=0)
    return frame.index.tolist(), frame.to_numpy()


# ---- aggregation


def test_z_scores_by_hand() -> None:
    # first: mean 0.8333, deviations 1/15, -1/30, -1/30, sd sqrt(6/900 / 2) = 0.057735; second: mean 20, sd 10, less is better
    expected = [
        [0.0666667 / 0.0577350, 1.0],
        [-0.0333333 / 0.0577350, -1.0],
        [-0.0333333 / 0.0577350, 0.0],
    ]
    assert z_scores(HAND, BOTH) == pytest.approx(np.array(expected), abs=1e-5)


def test_z_scores_against_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(9, 5))
    assert z_scores(values, [True] * 5) == pytest.approx(stats.zscore(values, axis=0, ddof=1))


def test_a_setting_where_all_are_equal_tells_nobody_apart() -> None:
    assert z_scores(np.full((3, 1), 0.7), (True,)).tolist() == [[0], [0], [0]]


def test_a_pool_of_one_has_neither_z_nor_duels() -> None:
    assert np.isnan(z_scores(HAND[:1], BOTH)).all() and np.isnan(win_rate(HAND[:1], BOTH)).all()


def test_ranks_duels_and_borda_by_hand() -> None:
    assert ranks(HAND, BOTH).tolist() == [[1, 1], [2.5, 3], [2.5, 2]]
    assert wins(HAND, BOTH).tolist() == [[2, 2], [0.5, 0], [0.5, 1]]
    assert borda(HAND, BOTH).tolist() == [4, 0.5, 1.5]
    assert win_rate(HAND, BOTH).tolist() == [1, 0.125, 0.375]  # of 2 others in 2 settings


def test_ranks_against_scipy() -> None:
    values = np.random.default_rng(1).integers(0, 5, size=(12, 6)).astype(float)
    assert ranks(values, [True] * 6) == pytest.approx(stats.rankdata(-values, axis=0))


def test_the_published_table() -> None:
    """Mean z-scores of the retrieval table of Battle of the Backbones."""
    names, values = published()
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


# ---- resampling of datasets


def test_the_published_table_does_not_separate_its_top() -> None:
    names, values = published()
    z = z_scores(values, [True] * 8)
    share = win_share(resampled_means(z, [str(i) for i in range(8)]))
    assert share[names.index("timm-swinv2_base_window12to24_192to384_22kft1k")] == pytest.approx(
        0.60, abs=0.02
    )
    assert share.sum() == pytest.approx(1)


def test_drawn_means_follow_their_seed_and_centre_on_the_mean() -> None:
    values = np.random.default_rng(2).normal(size=(4, 6))
    units = list("aabbcd")
    drawn = resampled_means(values, units)
    assert np.array_equal(drawn, resampled_means(values, units)) and not np.array_equal(
        drawn, resampled_means(values, units, seed=1)
    )
    assert drawn.shape == (10_000, 4)
    assert resampled_means(values, list("abcdef")).mean(0) == pytest.approx(values.mean(1), abs=0.02)


def test_settings_of_one_dataset_are_drawn_together() -> None:
    values = np.array([[0.0, 1.0, 10.0]])
    assert set(resampled_means(values, ["a", "a", "b"])[:, 0].round(6)) == {0.5, round(11 / 3, 6), 10.0}
    # twice a: (0 + 1) / 2; once each: 11 / 3; twice b: 10


def test_equals_share_a_win_and_a_place() -> None:
    drawn = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
    assert win_share(drawn).tolist() == [0.75, 0.25, 0]
    low, high = rank_interval(drawn)
    assert low.tolist() == [1, 1, 2] and high.tolist() == [1, 3, 3]


def test_the_shares_of_datasets_average_to_the_mean_over_settings() -> None:
    values = np.random.default_rng(4).normal(size=(3, 5))
    shared = dataset_contributions(values, list("aabcc"))
    assert shared.shape == (3, 3) and shared.mean(1) == pytest.approx(values.mean(1))
    assert shared[:, 1] == pytest.approx(values[:, 2] * 3 / 5)
    assert dataset_contributions(values, list("abcde")) == pytest.approx(values)


def test_normal_draws_against_numpy() -> None:
    means, covariance = (
        np.array([1.0, 0.9, 0.0]),
        np.array([[0.04, 0.03, 0.0], [0.03, 0.04, 0.0], [0.0, 0.0, 0.01]]),
    )
    drawn = normal_draws(means, covariance)
    assert drawn.mean(0) == pytest.approx(means, abs=0.01) and np.cov(drawn.T) == pytest.approx(
        covariance, abs=2e-3
    )
    p = normal_p_values(means, covariance)
    # var(first - second) = 0.04 + 0.04 - 2 * 0.03 = 0.02
    assert p[0, 1] == pytest.approx(2 * stats.norm.sf(0.1 / np.sqrt(0.02))) and p[0, 0] == 1
    assert normal_p_values(np.array([1.0, 1.0]), np.full((2, 2), 0.04))[0, 1] == 1  # copies
    assert (
        normal_p_values(np.array([1.0, 0.5]), np.full((2, 2), 0.04))[0, 1] == 0
    )  # better on every example


def test_equal_backbones_are_rarely_told_apart_over_datasets() -> None:
    """33 that differ by luck alone, on 8 datasets. From the share of bootstrap draws, 13 % of the others would be told apart from the luckiest."""
    rng = np.random.default_rng(0)
    told = []
    for _ in range(100):
        z = z_scores(rng.normal(size=(33, 8)), [True] * 8)
        best = int(z.mean(1).argmax())
        told.append(np.mean(holm(np.delete(t_tests(z)[best], best)) < 0.05))
    assert np.mean(told) < 0.02


# ---- several tests, and ties


def test_holm_against_statsmodels() -> None:
    p = np.random.default_rng(3).random(20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm(np.array([])).size == 0


def test_groups_are_anchored_at_the_best_of_the_rest() -> None:
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = p[0, 3] = p[3, 0] = (
        0.001  # the first is told from the third and the fourth, nobody else from anybody
    )
    assert tie_groups(p) == [1, 1, 2, 2]


def test_a_member_of_a_group_may_come_after_one_that_is_not() -> None:
    p = np.ones((3, 3))
    p[0, 1] = p[1, 0] = 0.01  # adjusted 0.02
    assert tie_groups(p) == [1, 2, 1]


def test_holm_counts_everyone_else() -> None:
    p = np.ones((3, 3))
    p[0, 1] = p[1, 0] = 0.03  # two comparisons: 0.06
    assert tie_groups(p) == [1, 1, 1]


def test_no_backbones_no_groups() -> None:
    assert tie_groups(np.empty((0, 0))) == []


# ---- quality against cost


def test_front_by_hand() -> None:
    quality = np.array([0.9, 0.8, 0.8, 0.7, np.nan, 0.95])
    cost = np.array([100.0, 50.0, 50.0, 60.0, 1.0, np.nan])
    assert pareto_front(quality, cost).tolist() == [True, True, True, False, False, False]
    assert pareto_front(np.array([0.9, 0.9]), np.array([2.0, 1.0])).tolist() == [False, True]


def test_front_against_the_definition() -> None:
    rng = np.random.default_rng(4)
    quality, cost = rng.integers(0, 9, (2, 60)).astype(float)
    points = list(zip(quality, cost, strict=True))
    expected = [
        not any(p >= q and c <= d and (p, c) != (q, d) for p, c in points) for q, d in points
    ]
    assert pareto_front(quality, cost).tolist() == expected


# ---- correlation


@pytest.mark.parametrize("seed", range(3))
def test_correlations_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 8, (2, 15)).astype(float)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


def test_correlations_that_say_nothing() -> None:
    flat, short = np.ones(5), np.array([1.0, 2.0])
    for correlation in (spearman, kendall):
        assert correlation(flat, np.arange(5.0)) is None and correlation(short, short) is None
