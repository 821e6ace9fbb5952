"""Prediction of one dataset's scores from a table of scores on other datasets.

Let T (R, C) be scores of R backbones in C columns, and y the scores of a few of the R backbones on
a dataset that is not in T. With m the mean of each backbone over columns and D = (T - m) / sqrt(C),
a column of T is m + D w. The scores of the dataset are predicted as

    y = m + a + D w,    minimising over the observed backbones |y - m - a - D w|² + λ |w|²

with a free constant a, since datasets differ in difficulty. An infinite λ gives the mean over
columns, shifted; λ → 0 follows the other columns as closely as the observed scores determine. This
is ridge regression in the span of the table's principal components: D D^T is the covariance of
backbones over columns. λ is chosen by predicting each dataset of the table from the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from bob.numerics.arrays import Bools, Doubles

PENALTIES = (1e-6, 0.01, 0.1, 1.0, 10.0, np.inf)
"""λ, in units of the mean squared length of the rows of D of observed backbones."""
LEAST_OBSERVED = 3
"""Observed scores that a prediction needs: one more than determine a level and a slope."""
LEAST_DATASETS = 4
"""Datasets that a table needs: the fewest whose residuals give an interval at `COVERAGE`."""
COVERAGE = 0.8
FILL_ROUNDS = 100


@dataclass(frozen=True)
class ScorePrediction:
    """Predicted scores of R backbones on a dataset."""

    values: Doubles
    """(R,)"""
    half_widths: Doubles
    """(R,) half the width of the interval with a nominal coverage of 80 %; infinite where too few
    datasets have a score of the backbone."""
    penalty: float


@dataclass(frozen=True)
class HeldOutColumn:
    """A column of the table, predicted from the columns of other datasets."""

    column: int
    values: Doubles
    """(R,) predicted."""
    means: Doubles
    """(R,) means over the other columns, with missing entries filled."""
    is_scored: Bools
    """(R,) whether a backbone has a score in the column and was not observed."""


def predict_scores(table: Doubles, datasets: Sequence[str], y: Doubles) -> ScorePrediction:
    """Predict the scores of all backbones on a dataset.

    Parameters
    ----------
    table
        (R, C) scores in [0, 1], higher is better; NaN where missing. Each column has one.
    datasets
        (C,) the dataset of each column; the columns of a dataset are held out together.
    y
        (R,) scores on the new dataset; NaN where not observed.

    Returns
    -------
    ScorePrediction
        The half widths are order statistics of the absolute errors with which each dataset of the
        table is predicted from the others, given the same backbones (Barber et al. 2021,
        doi:10.1214/20-AOS1965, the jackknife): of n datasets with a score of the backbone the
        ceil(0.8 (n + 1))-th smallest. Of several columns of a dataset the largest error counts. It
        presumes that the new dataset is as similar to those of the table as they are to each other.

    Raises
    ------
    ValueError
        For fewer than 3 observed scores or 4 datasets.
    """
    observed = ~np.isnan(y)
    if observed.sum() < LEAST_OBSERVED or len(set(datasets)) < LEAST_DATASETS:
        raise ValueError(
            f"{LEAST_OBSERVED} observed scores and {LEAST_DATASETS} datasets are needed; got "
            f"{observed.sum()} and {len(set(datasets))}"
        )
    penalty = _chosen_penalty(table, datasets, observed)
    errors: dict[str, Doubles] = {}
    for held_out in held_out_columns(table, datasets, observed):
        name, column = datasets[held_out.column], table[:, held_out.column]
        error = np.where(held_out.is_scored, np.abs(held_out.values - column), np.nan)
        errors[name] = np.fmax(errors.get(name, error), error)
    values = _predicted(*_mean_and_deviations(table), y, (penalty,))[0]
    return ScorePrediction(values, _half_widths(list(errors.values()), len(y)), penalty)


def held_out_columns(
    table: Doubles, datasets: Sequence[str], observed: Bools
) -> list[HeldOutColumn]:
    """Predict each column from those of other datasets, with the same backbones observed.

    λ is chosen anew without the held-out dataset. Columns with scores of fewer than 3 observed
    backbones, or of none that is not observed, are absent. Arguments as for `predict_scores`, with
    observed (R,) in place of y.
    """
    names = np.asarray(datasets)
    columns = []
    for c, y, is_scored in _held_out(table, datasets, observed):
        others = names != datasets[c]
        penalty = _chosen_penalty(table[:, others], names[others].tolist(), observed)
        mean, deviations = _mean_and_deviations(table[:, others])
        values = _predicted(mean, deviations, y, (penalty,))[0]
        columns.append(HeldOutColumn(c, values, mean, is_scored))
    return columns


def _held_out(
    table: Doubles, datasets: Sequence[str], observed: Bools
) -> Iterator[tuple[int, Doubles, Bools]]:
    """Yield columns, with their observed scores (R,) and which others (R,) are to be predicted.

    A backbone counts only if it has a score on another dataset.
    """
    names, is_present = np.asarray(datasets), ~np.isnan(table)
    for c, name in enumerate(datasets):
        has_both = is_present[:, c] & is_present[:, names != name].any(axis=1)
        is_scored = has_both & ~observed
        if (has_both & observed).sum() >= LEAST_OBSERVED and is_scored.any():
            yield c, np.where(has_both & observed, table[:, c], np.nan), is_scored


def _chosen_penalty(table: Doubles, datasets: Sequence[str], observed: Bools) -> float:
    """Return the penalty that predicts each dataset best from the others: least squared error.

    Of penalties that do equally well the largest; the largest of all where nothing can be held out.
    """
    names = np.asarray(datasets)
    losses = np.zeros(len(PENALTIES))
    for c, y, is_scored in _held_out(table, datasets, observed):
        mean, deviations = _mean_and_deviations(table[:, names != datasets[c]])
        errors = _predicted(mean, deviations, y, PENALTIES) - table[:, c]
        losses += np.square(errors[:, is_scored]).mean(axis=1)
    best = np.flatnonzero(losses <= losses.min() * (1 + 1e-9))
    return float(PENALTIES[best[-1]])


def _predicted(
    mean: Doubles, deviations: Doubles, y: Doubles, penalties: Sequence[float]
) -> Doubles:
    """Return predictions (P, R), a row per penalty; mean (R,), deviations D (R, C), y (R,)."""
    at = ~np.isnan(y)
    gap = y[at] - mean[at]
    centre = deviations[at].mean(axis=0)
    u, s, vt = np.linalg.svd(deviations[at] - centre, full_matrices=False)
    along = u.T @ (gap - gap.mean())
    unit = np.square(s).sum() / at.sum()
    directions = (deviations - centre) @ vt.T
    predicted = np.empty((len(penalties), len(y)))
    for p, penalty in enumerate(penalties):
        denominator = np.square(s) + (penalty * unit if unit else 0.0)
        shrunk = np.divide(s, denominator, out=np.zeros_like(s), where=denominator > 0)
        predicted[p] = mean + gap.mean() + directions @ (shrunk * along)
    return predicted


def _mean_and_deviations(table: Doubles) -> tuple[Doubles, Doubles]:
    """Return m (R,) and D (R, C) of a table whose missing entries are filled."""
    filled = _filled(table)
    mean = filled.mean(axis=1)
    return mean, (filled - mean[:, None]) / np.sqrt(filled.shape[1])


def _filled(table: Doubles) -> Doubles:
    """Return the table with missing entries as a backbone's effect plus a column's effect.

    Both are fitted to the present entries by alternating means. A backbone without any entry has
    the mean effect.
    """
    missing = np.isnan(table)
    if not missing.any():
        return table
    weight = (~missing).astype(float)
    present = np.where(missing, 0.0, table)
    rows = np.zeros((len(table), 1))
    has_entry = weight.any(axis=1)
    per_row = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    per_column = np.maximum(weight.sum(axis=0), 1)
    for _ in range(FILL_ROUNDS):
        columns = ((present - rows) * weight).sum(axis=0) / per_column
        rows = ((present - columns) * weight).sum(axis=1, keepdims=True) / per_row
        rows[~has_entry] = rows[has_entry].mean()
    return np.where(missing, rows + columns, table)


def _half_widths(errors: Sequence[Doubles], backbones: int) -> Doubles:
    """Return (R,) order statistics of each backbone's errors; errors (R,) of each dataset.

    A backbone that is observed has no errors and an infinite width.
    """
    widths = np.full(backbones, np.inf)
    if not errors:
        return widths
    for i, values in enumerate(np.sort(np.stack(errors), axis=0).T):
        present = values[~np.isnan(values)]
        place = ceil(COVERAGE * (len(present) + 1) - 1e-9)
        if place <= len(present):
            widths[i] = present[place - 1]
    return widths
