"""The ridge probe against scikit-learn, by hand, and its laws."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.numerics.linear.ridge_path import fit_path, scores
from bob.protocols.protocol import Problem
from bob.protocols.ridge import ridge
from bob.specs.settings import RidgeSettings

STRENGTHS = (1e-2, 1.0, 1e3)


def rows(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    return (rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))).astype(
        np.float32
    ), y


def test_by_hand():
    # x = -1, -1, 1, 1 is standardised already. Targets of class 1: -1, -1, 1, 1, mean 0. Gram 4, product 4: w = 4 / (4 + l2) = 0.8 for l2 = 1.
    (fit,) = fit_path(
        np.array([[-1], [-1], [1], [1]], np.float32), np.array([0, 0, 1, 1]), 2, [1.0]
    )
    assert fit.weight == pytest.approx(np.array([[-0.8], [0.8]]))
    assert fit.bias == pytest.approx([0, 0])
    assert scores(fit, np.array([[2]], np.float32)) == pytest.approx(np.array([[-1.6, 1.6]]))


@pytest.mark.parametrize(
    ("n", "d", "classes"), [(200, 20, 5), (200, 20, 2), (30, 100, 3), (50, 50, 4), (3, 10, 3)]
)
@pytest.mark.parametrize("change", ["plain", "scaled", "shifted", "duplicated", "constant"])
def test_agrees_with_scikit_learn(n, d, classes, change):
    x, y = rows(n, d, classes)
    if change == "scaled":
        x *= np.float32(1e4)
    if change == "shifted":
        x += np.float32(100)
    if change == "duplicated":
        x[:, 1] = x[:, 0]
    if change == "constant":
        x[:, 2] = 7.1
    standard = StandardScaler().fit_transform(x.astype(np.float64))
    target = 2.0 * np.eye(classes)[y] - 1
    for strength, fit in zip(STRENGTHS, fit_path(x, y, classes, STRENGTHS), strict=True):
        expected = Ridge(alpha=strength, solver="svd").fit(standard, target).predict(standard)
        assert scores(fit, x) == pytest.approx(expected, abs=1e-6)


def test_a_class_without_rows_is_never_predicted():
    x, y = rows(60, 8, 3)
    fit = fit_path(x, y, 4, [1.0])[0]
    assert scores(fit, x)[:, 3] == pytest.approx(-1)
    assert (scores(fit, x).argmax(1) != 3).all()


def test_order_of_rows_and_units_of_features_do_not_matter():
    x, y = rows(80, 12, 4)
    order = np.random.default_rng(1).permutation(80)
    fit = fit_path(x, y, 4, [1.0])[0]
    assert scores(fit_path(x[order], y[order], 4, [1.0])[0], x) == pytest.approx(
        scores(fit, x), abs=1e-9
    )
    units = np.logspace(-3, 3, 12).astype(np.float32)
    assert scores(fit_path(x * units, y, 4, [1.0])[0], x * units) == pytest.approx(
        scores(fit, x), abs=1e-5
    )


def test_a_strength_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"every strength must be above 0; got \[1.0, 0.0\]"):
        fit_path(*rows(20, 3, 2), 2, [1.0, 0.0])


def posed(x, y, classes, test_x, test_y) -> Problem:
    return Problem(x, y, np.arange(len(y)) % 4 == 0, test_x, test_y, classes)


def test_the_penalty_is_chosen_on_held_out_rows_and_all_of_train_refitted():
    """Every penalty by scikit-learn: per example, so that alpha is penalty x rows in either fit."""
    x, y = rows(160, 60, 4)
    test_x, test_y = rows(80, 60, 4, seed=1)
    held, grid = np.arange(160) % 4 == 0, 10.0 ** np.linspace(-4, 2, 7)

    def peer(train, alpha, at):
        scaler = StandardScaler().fit(x[train].astype(np.float64))
        model = Ridge(alpha=alpha, solver="svd").fit(
            scaler.transform(x[train]), 2.0 * np.eye(4)[y[train]] - 1
        )
        return model.predict(scaler.transform(at)).argmax(1)

    top1 = [(peer(~held, value * 120, x[held]) == y[held]).mean() for value in grid]
    best = max(range(7), key=lambda i: (top1[i], grid[i]))
    result = ridge(
        posed(x, y, 4, test_x, test_y), RidgeSettings(log10_l2=(-4.0, 2.0, 7), held_out=0.25), "cpu"
    )
    assert result.detail["l2_per_example"] == pytest.approx(grid[best])
    assert result.detail["held_out_top1"] == pytest.approx(top1[best])
    assert result.detail["l2_at_edge"] == (best in (0, 6))
    assert (result.outcome.predicted == peer(np.full(160, True), grid[best] * 160, test_x)).all()
    assert result.outcome.log_prob is None, "outputs on targets of +-1 are no logits"


def test_no_choice_looks_at_test():
    x, y = rows(160, 20, 4)
    test_x, test_y = rows(80, 20, 4, seed=1)
    settings = RidgeSettings(log10_l2=(-4.0, 2.0, 7), held_out=0.25)
    honest, spoilt = (
        ridge(posed(x, y, 4, test_x, labels), settings, "cpu")
        for labels in (test_y, np.roll(test_y, 1))
    )
    assert honest.detail == spoilt.detail
