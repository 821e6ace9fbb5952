"""The path solver against scikit-learn in float64, by hand, and the laws of its objective."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bob.numerics.linear import hessian
from bob.numerics.linear.logistic_path import LogisticFit, fit_path, scores
from bob.numerics.linear.path_solver import prepare
from bob.numerics.linear.reference import objective
from tests.builders.linear import (
    DIFFICULT,
    clusters,
    difficult,
    relative_gap,
    sklearn_optimum,
    total_variance,
)

GRID = (1e-4, 1e-2, 1.0)
ROUNDING = 2e-7
"""Of an objective whose products are float32."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Problems this small gain nothing from threads, and lose much beside a busy process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def without_newton(monkeypatch):
    """Return a function that turns the full Hessian of small problems off."""
    return lambda: monkeypatch.setattr(hessian, "MAX_ENTRIES", 0)


@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("name", DIFFICULT)
def test_optimum_and_predictions_are_those_of_scikit_learn(name, newton, without_newton):
    if not newton:
        without_newton()
    x, y, classes = difficult(name)
    for fit in fit_path(x, y, classes, np.divide(GRID, total_variance(x)), tolerance=1e-6):
        weight, bias = sklearn_optimum(x, y, fit.c)
        optimum = objective((weight, bias), x, y, fit.c)
        assert fit.converged
        assert abs(relative_gap(fit, x, y, optimum)) <= 1e-6
        assert fit.objective == pytest.approx(
            objective((fit.weight, fit.bias), x, y, fit.c), rel=1e-6, abs=1e-9
        )
        logits = scores(fit, x)
        descending = np.sort(logits, 1)[:, ::-1]
        certain = descending[:, 0] - descending[:, 1] > 1e-2
        assert (logits.argmax(1) == (x @ weight.T + bias).argmax(1))[certain].all()


@pytest.mark.parametrize("name", DIFFICULT)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_certificate_is_never_below_the_true_gap(name, tolerance):
    x, y, classes = difficult(name)
    grid = np.divide(GRID, total_variance(x))
    loose = list(fit_path(x, y, classes, grid, tolerance=tolerance))
    for fit, best in zip(loose, fit_path(x, y, classes, grid, tolerance=1e-7), strict=True):
        assert fit.converged
        assert fit.gap <= tolerance
        optimum = objective((best.weight, best.bias), x, y, best.c)
        assert relative_gap(fit, x, y, optimum) <= fit.gap + ROUNDING


@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_certificate_holds_on_ill_conditioned_features(seed, newton, without_newton):
    if not newton:
        without_newton()
    rng = np.random.default_rng(seed)
    n, d, classes = int(rng.integers(20, 120)), int(rng.integers(2, 60)), int(rng.integers(2, 9))
    x, y = clusters(n, d, classes, seed)
    x *= np.logspace(0, -rng.uniform(1, 4), d).astype(np.float32)
    grid = 10.0 ** np.linspace(-2, 3, 4)
    for fit, best in zip(
        fit_path(x, y, classes, grid, tolerance=1e-2),
        fit_path(x, y, classes, grid, tolerance=1e-7),
        strict=True,
    ):
        optimum = objective((best.weight, best.bias), x, y, best.c)
        assert relative_gap(fit, x, y, optimum) <= fit.gap + ROUNDING


def test_features_of_zero_leave_the_bias_by_hand():
    # W = 0, and b alone makes p the class frequencies, 3/4 and 1/4: the loss is their entropy,
    # 0.75 ln(4/3) + 0.25 ln 4.
    (fit,) = fit_path(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1]), 2, [1.0])
    assert fit.weight == pytest.approx(0)
    assert fit.bias[0] - fit.bias[1] == pytest.approx(np.log(3))
    assert fit.objective == pytest.approx(0.75 * np.log(4 / 3) + 0.25 * np.log(4))
    assert fit.converged


def test_two_classes_are_scikit_learns_sigmoid_at_the_same_c():
    x, y = clusters(120, 10, 2)
    (fit,) = fit_path(x, y, 2, [0.3], tolerance=1e-8)
    model = LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000).fit(x.astype(np.float64), y)
    assert fit.weight[1] - fit.weight[0] == pytest.approx(model.coef_[0], abs=1e-3)
    assert scores(fit, x)[:, 1] - scores(fit, x)[:, 0] == pytest.approx(
        model.decision_function(x.astype(np.float64)), abs=1e-3
    )


def test_gradient_is_zero_at_the_optimum():
    x, y = clusters(200, 15, 5)
    (fit,) = fit_path(x, y, 5, [0.1], tolerance=1e-9)
    residual = torch.softmax(torch.from_numpy(scores(fit, x)), 1).numpy() - np.eye(5)[y]
    assert residual.mean(0) == pytest.approx(0, abs=1e-5)
    assert residual.T @ x / 200 + fit.weight / (0.1 * 200) == pytest.approx(0, abs=1e-5)


def fit_one(x, y, classes, c=0.1) -> LogisticFit:
    return next(iter(fit_path(x, y, classes, [c], tolerance=1e-8)))


def test_scores_follow_permutations_of_rows_and_of_classes():
    x, y = clusters(150, 10, 5)
    fit = fit_one(x, y, 5)
    order, names = np.random.default_rng(1).permutation(150), np.array([3, 1, 4, 0, 2])
    assert scores(fit_one(x[order], y[order], 5), x) == pytest.approx(scores(fit, x), abs=1e-3)
    assert scores(fit_one(x, names[y], 5), x)[:, names] == pytest.approx(scores(fit, x), abs=1e-3)


def test_objective_is_invariant_to_constant_features_rotations_and_shifts():
    x, y = clusters(150, 10, 5)
    fit = fit_one(x, y, 5)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((10, 10)))[0]
    with_constant = np.concatenate((x, np.full((150, 1), 5, np.float32)), 1)
    for changed in (with_constant, (x @ rotation).astype(np.float32), x + np.float32(3)):
        assert fit_one(changed, y, 5).objective == pytest.approx(fit.objective, rel=1e-5)


def test_repeated_data_at_the_same_penalty_per_example_are_the_same_problem():
    x, y = clusters(150, 10, 5)
    once = fit_one(x, y, 5, c=0.1)
    twice = fit_one(np.concatenate((x, x)), np.concatenate((y, y)), 5, c=0.05)
    assert twice.objective == pytest.approx(once.objective, rel=1e-6)
    assert scores(twice, x) == pytest.approx(scores(once, x), abs=1e-3)


def test_a_class_without_examples_changes_nothing():
    x, y = clusters(150, 10, 4)
    fit, wider = fit_one(x, y, 4), fit_one(x, np.where(y == 3, 5, y), 7)
    assert wider.objective == pytest.approx(fit.objective, rel=1e-6)
    assert set(scores(wider, x).argmax(1)) <= {0, 1, 2, 5}
    present = scores(wider, x)[:, [0, 1, 2, 5]]
    assert present - present[:, :1] == pytest.approx(
        scores(fit, x) - scores(fit, x)[:, :1], abs=1e-3
    )


@pytest.mark.parametrize("shape", [(200, 30), (90, 300), (60, 3)])
def test_classes_without_examples_cost_no_passes_and_keep_the_certificate(shape):
    """Four of nine classes have no examples, as where train has only some of the classes.

    A bound that such classes made infinite would send every value to the pass limit.
    """
    x, y = clusters(*shape, 5, apart=1.0)
    grid = np.divide(np.logspace(-5, 3, 9), total_variance(x))
    fits, without = (list(fit_path(x, y, k, grid, tolerance=1e-5)) for k in (9, 5))
    assert sum(fit.passes for fit in fits) <= 1.2 * sum(fit.passes for fit in without)
    for fit in fits:
        gap = relative_gap(fit, x, y, objective(sklearn_optimum(x, y, fit.c), x, y, fit.c))
        assert fit.converged
        assert -1e-6 <= gap <= fit.gap + ROUNDING
        assert scores(fit, x).argmax(1).max() < 5


def test_a_single_class_is_certain():
    (fit,) = fit_path(clusters(20, 3, 2)[0], np.zeros(20, int), 1, [1.0])
    assert (fit.objective, fit.gap, fit.converged) == (0, 0, True)


def test_thousands_of_classes_converge():
    x, y = clusters(3000, 8, 2000)
    for fit in fit_path(x, y, 2000, [1e-4, 1e-2]):
        assert fit.converged
        assert np.isfinite(fit.weight).all()


def test_a_fit_stopped_by_the_pass_limit_says_so_and_keeps_its_certificate(monkeypatch):
    x, y = clusters(300, 20, 5)
    x *= np.logspace(0, -2, 20).astype(np.float32)
    (best,) = fit_path(x, y, 5, [100.0], tolerance=1e-7)
    monkeypatch.setattr("bob.numerics.linear.path_solver.MAX_PASSES", 3)
    (fit,) = fit_path(x, y, 5, [100.0], tolerance=1e-7)
    assert not fit.converged
    assert fit.gap > 1e-7
    optimum = objective((best.weight, best.bias), x, y, best.c)
    assert 0 < relative_gap(fit, x, y, optimum) <= fit.gap


def test_blocks_stay_small_with_twenty_thousand_classes():
    """All logits of 40,000 rows would be 3.2 GB; a block of them stays in cache."""
    y = np.arange(40_000) % 20_000
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20_000, 16))
    x = (centres[y] + 0.5 * rng.standard_normal((40_000, 16))).astype(np.float32)
    slices = prepare(x, y, 20_000, "cpu").fast.slices
    assert max(rows.stop - rows.start for rows in slices) * 20_000 * 4 < 6 << 20
    (fit,) = fit_path(x[:20_000], y[:20_000], 20_000, [1e-3], tolerance=1e-2)
    assert fit.converged
    assert fit.objective < np.log(20_000)


def test_repeated_fits_are_identical():
    x, y = clusters(150, 10, 5)
    first, second = (list(fit_path(x, y, 5, GRID)) for _ in range(2))
    assert all(
        (a.weight == b.weight).all() and a.passes == b.passes
        for a, b in zip(first, second, strict=True)
    )


def test_path_yields_the_strongest_penalty_first_in_any_order_of_the_grid():
    x, y = clusters(60, 5, 3)
    assert [fit.c for fit in fit_path(x, y, 3, [1.0, 1e-3, 0.1])] == [1e-3, 0.1, 1.0]


# --- limits of memory


def objectives(x, y):
    return [fit.objective for fit in fit_path(x, y, 5, GRID)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_streamed_from_disk_give_the_same_objectives(tmp_path, monkeypatch, dtype):
    x, y = clusters(500, 20, 5)
    rows = np.memmap(tmp_path / "x", dtype, "w+", shape=x.shape)
    rows[:] = x
    rows.flush()
    rows = np.memmap(tmp_path / "x", dtype, "r", shape=x.shape)
    expected = objectives(np.array(rows, np.float32), y)
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 1 << 13)
    assert objectives(rows, y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("setting", "value"), [("softmax.RESIDUAL_BYTES", 0), ("preconditioner.MAX_COUPLED_CLASSES", 4)]
)
def test_objectives_do_not_depend_on_stored_residuals_or_coupled_biases(
    monkeypatch, setting, value
):
    x, y = clusters(500, 20, 5)
    expected = objectives(x, y)
    monkeypatch.setattr(f"bob.numerics.linear.{setting}", value)
    assert objectives(x, y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "name",
    ["easy", "two classes", "more features than rows", "a class with one example", "many classes"],
)
def test_certificate_is_a_bound_without_stored_residuals(name, monkeypatch):
    x, y, classes = difficult(name)
    grid = np.divide(GRID, total_variance(x))
    monkeypatch.setattr("bob.numerics.linear.softmax.RESIDUAL_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    for fit in fit_path(x, y, classes, grid, tolerance=1e-3):
        optimum = objective(sklearn_optimum(x, y, fit.c), x, y, fit.c)
        assert fit.converged
        assert relative_gap(fit, x, y, optimum) <= fit.gap + ROUNDING
