"""The ridge probe against a search by scikit-learn, and its independence of test labels."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.protocols.classification import ClassificationProblem
from bob.protocols.ridge import PROTOCOL, RidgeSettings
from tests.builders.linear import isotropic_clusters

SETTINGS = RidgeSettings(log10_l2=(-4.0, 2.0, 7), held_out=0.25)


def ridge(x, y, test_x, test_y):
    """Solve a problem of four classes, of which every fourth train row is held out."""
    held_out = np.arange(len(y)) % 4 == 0
    problem = ClassificationProblem(x, y, held_out, test_x, test_y, 4)
    return PROTOCOL.solve(problem, SETTINGS, "cpu")


def test_the_penalty_is_chosen_on_held_out_rows_and_the_refit_is_of_all_train_rows():
    """Every penalty by scikit-learn: per example, so that alpha is penalty · rows in either fit."""
    x, y = isotropic_clusters(160, 60, 4)
    test_x, test_y = isotropic_clusters(80, 60, 4, seed=1)
    held_out, grid = np.arange(160) % 4 == 0, 10.0 ** np.linspace(-4, 2, 7)

    def predict(train, alpha, rows):
        scaler = StandardScaler().fit(x[train].astype(np.float64))
        model = Ridge(alpha=alpha, solver="svd").fit(
            scaler.transform(x[train]), 2.0 * np.eye(4)[y[train]] - 1
        )
        return model.predict(scaler.transform(rows)).argmax(1)

    top1 = [(predict(~held_out, value * 120, x[held_out]) == y[held_out]).mean() for value in grid]
    best = max(range(7), key=lambda i: (top1[i], grid[i]))
    result = ridge(x, y, test_x, test_y)
    assert result.detail["l2_per_example"] == pytest.approx(grid[best])
    assert result.detail["held_out_top1"] == pytest.approx(top1[best])
    assert result.detail["l2_at_edge"] == (best in (0, 6))
    expected = predict(np.full(160, True), grid[best] * 160, test_x)
    assert (result.outcome.predicted == expected).all()
    assert result.outcome.log_prob is None, "outputs on targets of ±1 are not logits"


def test_the_choice_does_not_depend_on_test_labels():
    x, y = isotropic_clusters(160, 20, 4)
    test_x, test_y = isotropic_clusters(80, 20, 4, seed=1)
    rolled = ridge(x, y, test_x, np.roll(test_y, 1))
    assert ridge(x, y, test_x, test_y).detail == rolled.detail
