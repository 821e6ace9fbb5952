"""Resampled datasets and normal sampling errors."""

import numpy as np
import pytest

from bob.statistics.aggregate import z_scores
from bob.statistics.resampling import (
    dataset_contributions,
    mean_interval,
    normal_draws,
    rank_interval,
    resampled_means,
    win_share,
)
from tests.builders.published_table import read_published_table


def test_the_best_backbone_of_the_published_table_wins_60_percent_of_resamples() -> None:
    names, values = read_published_table()
    z = z_scores(values, [True] * 8)
    share = win_share(resampled_means(z, [str(i) for i in range(8)]))
    best = names.index("timm-swinv2_base_window12to24_192to384_22kft1k")
    assert share[best] == pytest.approx(0.60, abs=0.02)
    assert share.sum() == pytest.approx(1)


def test_resampled_means_are_reproducible_and_centred_on_the_mean() -> None:
    values = np.random.default_rng(2).normal(size=(4, 6))
    units = list("aabbcd")
    means = resampled_means(values, units)
    assert np.array_equal(means, resampled_means(values, units))
    assert not np.array_equal(means, resampled_means(values, units, seed=1))
    assert means.shape == (10_000, 4)
    separate = resampled_means(values, list("abcdef"))
    assert separate.mean(0) == pytest.approx(values.mean(1), abs=0.02)


def test_settings_of_one_dataset_are_resampled_together() -> None:
    values = np.array([[0.0, 1.0, 10.0]])
    means = resampled_means(values, ["a", "a", "b"])[:, 0]
    # twice a: (0 + 1) / 2; once each: 11 / 3; twice b: 10
    assert set(means.round(6)) == {0.5, round(11 / 3, 6), 10.0}


def test_tied_backbones_share_a_win_and_have_the_best_of_their_ranks() -> None:
    drawn = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
    assert win_share(drawn).tolist() == [0.75, 0.25, 0]
    low, high = rank_interval(drawn)
    assert low.tolist() == [1, 1, 2] and high.tolist() == [1, 3, 3]


def test_contributions_of_datasets_average_to_the_mean_over_settings() -> None:
    values = np.random.default_rng(4).normal(size=(3, 5))
    contributions = dataset_contributions(values, list("aabcc"))
    assert contributions.shape == (3, 3)
    assert contributions.mean(1) == pytest.approx(values.mean(1))
    assert contributions[:, 1] == pytest.approx(values[:, 2] * 3 / 5)
    assert dataset_contributions(values, list("abcde")) == pytest.approx(values)


def test_normal_draws_have_the_given_means_and_covariance() -> None:
    means = np.array([1.0, 0.9, 0.0])
    covariance = np.array([[0.04, 0.03, 0.0], [0.03, 0.04, 0.0], [0.0, 0.0, 0.01]])
    drawn = normal_draws(means, covariance)
    assert drawn.mean(0) == pytest.approx(means, abs=0.01)
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=2e-3)


def test_rank_intervals_agree_with_counting_who_is_ahead() -> None:
    """With equal values, which share the best of their ranks."""
    drawn = np.random.default_rng(5).integers(0, 6, (300, 7)).astype(float)
    ranks = 1 + (drawn[:, None, :] > drawn[:, :, None]).sum(2)
    low, high = np.percentile(ranks, (2.5, 97.5), axis=0, method="nearest")
    assert [limits.tolist() for limits in rank_interval(drawn)] == [low.tolist(), high.tolist()]


def test_mean_intervals_are_percentiles_of_the_draws() -> None:
    low, high = mean_interval(np.arange(201.0)[:, None] * [1, -1])
    assert low.tolist() == [5, -195] and high.tolist() == [195, -5]
