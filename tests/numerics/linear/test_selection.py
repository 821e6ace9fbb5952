"""The choice of C on held-out rows and on folds: against scikit-learn's search, and its laws."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bob.numerics.linear import reference
from bob.numerics.linear.grid_search import GridSearch
from bob.numerics.linear.held_out import HeldOutScore
from bob.numerics.linear.logistic_path import fit_path, scores
from bob.numerics.linear.path_solver import prepare
from bob.numerics.linear.row_ranges import RowsWithoutRange
from bob.numerics.linear.selection import select_and_refit, select_by_folds
from tests.builders.linear import blobs, clusters, sklearn_at, stratified_fold_numbers

GRID = 10.0 ** np.linspace(-4, 2, 7)


def held_out_mask(n, seed=3):
    return np.random.default_rng(seed).random(n) < 0.25


# --- one held-out part


def test_the_chosen_c_is_the_best_of_the_path():
    x, y = clusters(400, 30, 4, apart=0.7)
    mask, grid = held_out_mask(400), 10.0 ** np.linspace(-6, 5, 23)
    chosen = select_and_refit(x, y, 4, grid, mask)
    ranks = []
    for fit in fit_path(x[~mask], y[~mask], 4, grid, tolerance=1e-5):
        logits = scores(fit, x[mask])
        loss = -log_softmax(logits, 1)[np.arange(mask.sum()), y[mask]].mean()
        ranks.append(((logits.argmax(1) == y[mask]).mean(), -loss, fit.c))
    assert chosen.held_out_top1 == pytest.approx(max(ranks)[0], abs=0.011)
    assert abs(np.log10(chosen.c / max(ranks)[2])) <= 0.51
    assert chosen.fit.c == chosen.c
    assert not chosen.at_edge
    assert len(chosen.curve) == len(chosen.grid) == 23


def test_the_refit_is_of_all_rows():
    x, y = clusters(300, 10, 4)
    positions = np.flatnonzero(held_out_mask(300))
    chosen = select_and_refit(x, y, 4, [1e-3, 1e-2, 1e-1, 1.0], positions)
    (fit,) = fit_path(x, y, 4, [chosen.c])
    assert chosen.fit.objective == pytest.approx(fit.objective, rel=1e-4)
    assert chosen.fit.converged


def test_the_held_out_top1_is_that_of_a_fit_without_the_held_out_rows():
    x, y, _, _ = blobs(spread=3.0)
    mask = np.arange(240) % 4 == 0
    chosen = select_and_refit(x, y, 4, [0.01], mask)
    (fit,) = fit_path(x[~mask], y[~mask], 4, [0.01], tolerance=1e-6)
    predicted = scores(fit, x[mask]).argmax(1)
    assert chosen.held_out_top1 == pytest.approx((predicted == y[mask]).mean())


def test_the_grid_is_extended_if_the_best_value_is_at_its_edge():
    x, y = clusters(300, 10, 4)
    low = select_and_refit(x, y, 4, [1e-5, 1e-4], held_out_mask(300))
    assert low.widened
    assert low.grid[:2] == (1e-5, 1e-4)
    assert low.c > 1e-4
    random_labels = np.random.default_rng(0).integers(0, 4, 300)
    high = select_and_refit(x, random_labels, 4, [1e3, 1e4], held_out_mask(300))
    assert high.widened
    assert high.c < 1e4


def test_a_choice_at_the_edge_of_the_extended_grid_is_flagged():
    x, y = clusters(300, 10, 4)
    chosen = select_and_refit(x, y, 4, [1e-9, 1e-8], held_out_mask(300))
    assert chosen.widened
    assert chosen.at_edge


def test_a_value_that_a_loose_solution_discarded_is_not_chosen(monkeypatch):
    """Losses that differ by rounding: 2, solved loosely, beats 1, and precisely is worse."""
    x, y = clusters(40, 2, 2)
    search = GridSearch(prepare(x, y, 2, "cpu"), [(0, 10)], [1.0, 2.0])
    right = [np.ones(10)]

    def score(c, loss, precise):
        search.scores[c] = HeldOutScore(c, right, [np.full(10, loss)], precise)
        search.theta[c] = [torch.zeros(2, 3)]

    score(1.0, 0.5, precise=True)
    score(2.0, 0.5 - 1e-9, precise=False)
    monkeypatch.setattr(search, "_solve", lambda c, *_, **__: score(c, 0.5 + 1e-9, precise=True))
    assert search._best().c in search.theta


def test_a_grid_of_one_value_is_not_extended():
    x, y = clusters(100, 5, 3)
    chosen = select_and_refit(x, y, 3, [0.1], held_out_mask(100))
    assert (chosen.c, chosen.widened, chosen.grid) == (0.1, False, (0.1,))


def test_a_class_may_occur_only_among_the_held_out_rows():
    x, y = clusters(200, 6, 3)
    mask = held_out_mask(200) | (y == 2)
    chosen = select_and_refit(x, y, 3, [1e-2, 1.0], mask)
    assert chosen.fit.converged
    assert chosen.held_out_top1 < 1


def test_a_path_ends_where_all_train_rows_are_certain():
    """On separable rows, whose held-out log-loss falls with C without end.

    The path ends before a larger C could only scale the weights; predictions are scikit-learn's.
    """
    x, y, test_x, _ = blobs(n=120, d=40, q=400, spread=0.7)
    chosen = select_and_refit(x, y, 4, 10.0 ** np.linspace(-6, 5, 45), np.arange(120) % 5 == 0)
    assert chosen.held_out_top1 == 1.0
    assert not chosen.widened and not chosen.at_edge
    scored = np.array(chosen.grid)[np.isfinite(chosen.curve)]
    first_certain = next(
        c
        for c in chosen.grid
        if sklearn_at(x, y, c).predict_proba(x)[np.arange(120), y].min() > 0.9999
    )
    assert chosen.c == pytest.approx(scored[-1])
    assert first_certain / 10 < chosen.c < 10 * first_certain
    expected = sklearn_at(x, y, chosen.c).predict(test_x)
    assert (scores(chosen.fit, test_x).argmax(1) == expected).mean() >= 0.9975
    assert chosen.fit.converged


# --- fewer solutions than values


@pytest.mark.parametrize(
    ("seed", "values"), [*((seed, 17) for seed in range(12)), (4, 33), (6, 33), (7, 33)]
)
def test_the_choice_is_that_of_all_values_or_within_one_standard_error(seed, values):
    """All values are solved by scipy; the error is that of the paired held-out outcomes.

    Of 33 values, one in two is solved first.
    """
    rng = np.random.default_rng(seed)
    n, width, classes = int(rng.integers(80, 250)), int(rng.integers(3, 20)), 2 + seed % 4
    x, y = clusters(n, width, classes, seed, apart=rng.choice([0.3, 0.6, 1.0]))
    mask, grid = held_out_mask(n, seed), 10.0 ** np.linspace(-5, 3, values)
    mask[:classes] = False
    chosen = select_and_refit(x, y, classes, grid, mask)
    right, ranks = {}, {}
    for c, model in zip(grid, reference.fit_path(x[~mask], y[~mask], classes, grid), strict=True):
        right[c] = (reference.logits(model, x[mask]).argmax(1) == y[mask]).astype(float)
        ranks[c] = (right[c].mean(), -reference.log_loss(model, x[mask], y[mask]), -c)
    best = max(ranks, key=lambda c: ranks[c])
    nearest = min(grid, key=lambda c: abs(np.log(c / chosen.c)))
    difference = right[best] - right[nearest]
    assert difference.sum() <= np.sqrt(np.square(difference).sum())
    assert 1 <= chosen.precise <= chosen.tried <= len(chosen.grid)


def test_the_rule_that_decided_is_stated():
    x, y = clusters(300, 10, 4)
    alone = select_and_refit(x, y, 4, [1e-2], held_out_mask(300))
    assert (alone.rule, alone.end, alone.precise, alone.tried) == ("top1", "grid", 1, 1)
    x, y, _, _ = blobs(n=120, d=40, spread=0.7)  # all rows are right at the last values
    certain = select_and_refit(x, y, 4, 10.0 ** np.linspace(-2, 5, 29), np.arange(120) % 5 == 0)
    assert (certain.held_out_top1, certain.end) == (1.0, "certain")
    assert certain.tried < 29


def test_values_of_equal_scores_leave_the_strongest_penalty():
    """Labels that no feature tells apart: at every C the optimum is no weights."""
    x, y = np.repeat(np.eye(4, dtype=np.float32), 20, 0), np.tile([0, 1], 40)
    chosen = select_and_refit(x, y, 2, [0.1, 1.0, 10.0], np.arange(80) % 20 < 4)
    assert (chosen.rule, chosen.c) == ("strongest_penalty", min(chosen.grid))


# --- folds


@pytest.mark.parametrize(("classes", "count", "width"), [(4, 5, 12), (2, 3, 8), (3, 4, 200)])
def test_the_choice_by_folds_is_that_of_a_search_by_scikit_learn(classes, count, width):
    """Every C on every fold: highest mean top-1, then lowest mean log-loss.

    More features than rows included.
    """
    x, y, _, _ = blobs(n=150, d=width, classes=classes, spread=3.0)
    fold, expected = stratified_fold_numbers(x, y, count), {}
    for c in GRID:
        top1, loss = [], []
        for number in range(count):
            train, test = fold != number, fold == number
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(
                    x[train].astype(np.float64), y[train]
                )
            log_p = model.predict_log_proba(x[test].astype(np.float64))
            top1.append(model.score(x[test], y[test]))
            loss.append(-log_p[np.arange(test.sum()), y[test]].mean())
        expected[c] = (np.mean(top1), -np.mean(loss))
    chosen = select_by_folds(x, y, classes, GRID, fold)
    best = max(expected, key=lambda c: expected[c])
    assert chosen.c == pytest.approx(best)
    assert chosen.held_out_top1 == pytest.approx(expected[best][0])
    curve = dict(zip(chosen.grid, chosen.curve, strict=True))
    scored = [c for c in GRID if np.isfinite(curve[c])]
    assert np.isfinite(chosen.curve).sum() >= 5
    # values behind the best are solved to a loose gap, which may decide rows
    assert [curve[c] for c in scored] == pytest.approx([expected[c][0] for c in scored], abs=0.014)


def test_the_refit_after_folds_is_of_all_rows():
    x, y, _, _ = blobs()
    chosen = select_by_folds(x, y, 4, GRID, stratified_fold_numbers(x, y, 5))
    (fit,) = fit_path(x, y, 4, [chosen.c], tolerance=1e-6)
    assert chosen.fit.converged
    assert chosen.fit.objective == pytest.approx(fit.objective, rel=1e-4)


def test_the_choice_does_not_depend_on_fold_numbers_or_order_of_rows():
    x, y, _, _ = blobs(spread=3.0)
    fold = stratified_fold_numbers(x, y, 3)
    order = np.random.default_rng(0).permutation(240)
    expected = select_by_folds(x, y, 4, GRID, fold)
    for chosen in (
        select_by_folds(x, y, 4, GRID, np.array([7, -2, 40])[fold]),
        select_by_folds(x[order], y[order], 4, GRID, fold[order]),
    ):
        assert chosen.c == expected.c
        assert chosen.held_out_top1 == pytest.approx(expected.held_out_top1)


def test_rows_without_a_range_are_those_of_numpy_delete():
    """For slices before the gap, after it and across it."""
    x = torch.arange(40.0).reshape(20, 2)
    for start, stop in ((0, 5), (7, 12), (15, 20)):
        expected = np.delete(x.numpy(), slice(start, stop), 0)
        for array in (x, x.numpy()):
            rows = RowsWithoutRange(array, start, stop)
            assert rows.shape == (15, 2)
            for cut in (slice(0, 15), slice(0, 3), slice(4, 9), slice(7, 15), slice(6, 8)):
                np.testing.assert_array_equal(rows[cut], expected[cut])


def test_rows_that_exceed_memory_lead_to_the_same_choice(monkeypatch):
    x, y, _, _ = blobs(spread=3.0)
    fold = stratified_fold_numbers(x, y, 3)
    resident = select_by_folds(x, y, 4, GRID, fold)
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 1 << 12)
    streamed = select_by_folds(x.astype(np.float16).astype(np.float32), y, 4, GRID, fold)
    assert streamed.c == resident.c


def test_a_single_fold_is_an_error():
    x, y, _, _ = blobs()
    with pytest.raises(ValueError, match=r"fold must hold at least 2 different numbers; got \[3\]"):
        select_by_folds(x, y, 4, GRID, np.full(240, 3))


def test_equal_features_are_fitted_once_by_the_shares_of_the_classes():
    """6, 4 and 2 of 12 rows: whatever C is, the weights are 0 and the biases log shares."""
    y = np.repeat([0, 1, 2], [6, 4, 2])
    chosen = select_and_refit(np.full((12, 3), 0.1, np.float32), y, 3, GRID, [0, 6, 10])
    probabilities = np.exp(log_softmax(chosen.fit.bias))
    np.testing.assert_allclose(probabilities, [1 / 2, 1 / 3, 1 / 6], atol=1e-5)
    assert not chosen.fit.weight.any()
    assert chosen.grid == (GRID[0],) and not chosen.widened and chosen.fit.converged
