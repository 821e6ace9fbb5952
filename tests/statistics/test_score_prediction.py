"""Scores of one dataset predicted from those of others."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from bob.numerics.arrays import Doubles
from bob.statistics import score_prediction
from bob.statistics.score_prediction import held_out_columns, predict_scores

NAN = float("nan")
# Backbones of quality 0.3 to 0.8 on datasets that scale them by 1 to 0.6.
RANK_ONE = np.outer([0.3, 0.4, 0.5, 0.6, 0.8], [1.0, 0.9, 0.8, 0.7, 0.6])
FIVE = ["a", "b", "c", "d", "e"]


def test_a_table_of_rank_one_is_continued() -> None:
    """The new dataset halves every quality, so that 0.6 and 0.8 become 0.3 and 0.4."""
    prediction = predict_scores(RANK_ONE, FIVE, np.array([0.15, 0.2, 0.25, NAN, NAN]))
    assert prediction.values == pytest.approx([0.15, 0.2, 0.25, 0.3, 0.4], abs=1e-6)
    assert np.isinf(prediction.half_widths[:3]).all()
    assert prediction.half_widths[3:] == pytest.approx([0, 0], abs=1e-6)


def test_a_missing_entry_of_an_additive_table_changes_nothing() -> None:
    """Qualities plus levels: each backbone keeps its distance from the others, 0.1 or 0.2."""
    table = np.add.outer([0.1, 0.2, 0.3, 0.4, 0.6], [0.0, 0.1, 0.2, 0.3, 0.05])
    table[4, 3] = table[0, 1] = NAN
    prediction = predict_scores(table, FIVE, np.array([0.3, 0.4, 0.5, NAN, NAN]))
    assert prediction.values == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.8], abs=1e-6)


def test_predictions_are_those_of_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_prediction, "PENALTIES", (0.5,))
    rng = np.random.default_rng(1)
    table, y = rng.uniform(size=(9, 5)), rng.uniform(size=9)
    y[4:] = NAN
    mean = table.mean(axis=1)
    deviations = (table - mean[:, None]) / np.sqrt(5)
    seen = deviations[:4] - deviations[:4].mean(axis=0)
    model = Ridge(alpha=0.5 * np.square(seen).sum() / 4).fit(deviations[:4], y[:4] - mean[:4])
    expected = mean + model.predict(deviations)
    assert predict_scores(table, FIVE, y).values == pytest.approx(expected)


def test_all_columns_of_a_dataset_are_held_out_together() -> None:
    """A column is predicted as if a copy of it, of the same dataset, were not in the table."""
    rng = np.random.default_rng(2)
    table = rng.uniform(size=(12, 5))
    observed = np.arange(12) < 4
    alone = held_out_columns(table, FIVE, observed)[0]
    twin = np.concatenate([table, table[:, :1]], axis=1)
    for column in held_out_columns(twin, [*FIVE, "a"], observed):
        if column.column in (0, 5):
            assert column.values == pytest.approx(alone.values)
            assert column.means == pytest.approx(table[:, 1:].mean(axis=1))


def test_the_order_of_columns_and_backbones_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    table, y = rng.uniform(size=(8, 5)), rng.uniform(size=8)
    y[4:] = NAN
    rows, columns = rng.permutation(8), rng.permutation(5)
    plain = predict_scores(table, FIVE, y)
    permuted = predict_scores(table[rows][:, columns], [FIVE[c] for c in columns], y[rows])
    assert permuted.values == pytest.approx(plain.values[rows])
    assert permuted.half_widths == pytest.approx(plain.half_widths[rows])


def _dataset_like_others(seed: int) -> tuple[Doubles, Doubles]:
    """Return (20, 9) scores: three common factors, noise and a level; the last is to predict."""
    rng = np.random.default_rng(seed)
    loadings = np.abs(rng.normal(size=(3, 9))) * [[0.08], [0.04], [0.02]]
    scores = 0.5 + rng.normal(size=(20, 3)) @ loadings + rng.normal(size=(20, 9)) * 0.02
    return scores[:, :8], scores[:, 8]


def test_intervals_cover_and_scores_are_ordered_better_than_by_chance() -> None:
    """With 8 datasets the largest error is the bound, which a ninth exceeds in 1 of 9 cases.

    0.8 is nominal. The predictions of a dataset stand or fall together: 60 datasets have a
    standard error of about 0.03.
    """
    covered, rising = [], []
    for seed in range(60):
        table, truth = _dataset_like_others(seed)
        y = np.where(np.arange(20) < 4, truth, NAN)
        prediction = predict_scores(table, list("abcdefgh"), y)
        error = np.abs(prediction.values - truth)[4:]
        covered.append((error <= prediction.half_widths[4:]).mean())
        rising.append(np.corrcoef(prediction.values[4:], truth[4:])[0, 1])
    assert 0.8 <= np.mean(covered) <= 0.97
    assert np.mean(rising) > 0.7


def test_backbones_that_never_differ_are_predicted_without_a_warning() -> None:
    table = np.tile([0.5, 0.6, 0.7, 0.8], (5, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prediction = predict_scores(table, FIVE[:4], np.array([0.2, 0.2, 0.2, NAN, NAN]))
    assert prediction.values == pytest.approx([0.2] * 5)


@pytest.mark.parametrize(
    ("scores", "columns"),
    [((0.1, 0.2, NAN, NAN, NAN), 5), ((0.1, 0.2, 0.3, NAN, NAN), 3)],
    ids=["two scores", "three datasets"],
)
def test_too_little_is_refused(scores: tuple[float, ...], columns: int) -> None:
    with pytest.raises(ValueError, match="3 observed scores and 4 datasets are needed"):
        predict_scores(RANK_ONE[:, :columns], FIVE[:columns], np.array(scores))
