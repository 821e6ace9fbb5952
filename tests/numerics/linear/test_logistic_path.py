"""The path solver against scikit-learn in float64, by hand, and the laws of its objective."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from bob.numerics.linear import hessian
from bob.numerics.linear.duality_gap import DualPoint, best_shares, gap_bound
from bob.numerics.linear.logistic_path import LogisticFit, fit_path, scores
from bob.numerics.linear.path_solver import MIN_OBJECTIVE, prepare, start_solver
from bob.numerics.linear.selection import select_and_refit
from bob.numerics.matmul import MIN_SEPARATE_CALL, product, products

GRID = (1e-4, 1e-2, 1.0)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Problems this small gain nothing from threads, and lose much where another process keeps a core busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def clusters(n, d, classes, seed=0, apart=1.0):
    """Gaussian clusters, every class at least once, eigenvalues falling as 1 / rank."""
    rng = np.random.default_rng(seed)
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    x = apart * rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d))
    return (x / np.sqrt(1 + np.arange(d))).astype(np.float32), y


def hard(name):
    """Data that broke, or could break, a solver: rows, labels, classes."""
    x, y = clusters(150, 12, 4)
    match name:
        case "easy":
            return x, y, 4
        case "two classes":
            return *clusters(120, 10, 2), 2
        case "separable":
            return *clusters(90, 10, 3, apart=8), 3
        case "more features than rows":
            return *clusters(40, 90, 4), 4
        case "one example per class":
            return *clusters(5, 20, 5), 5
        case "a class with one example":
            return x, np.where((y == 3) & (np.arange(150) > 3), 0, y), 4
        case "constant and duplicated features":
            return (
                np.concatenate((x, x[:, :6], np.full((150, 1), 3.0), np.zeros((150, 2))), 1).astype(
                    np.float32
                ),
                y,
                4,
            )
        case "few distinct rows":
            return np.repeat(x[:10], 15, 0), np.repeat(y[:10], 15), 4
        case "large":
            return x * np.float32(1e4), y, 4
        case "small":
            return x * np.float32(1e-4), y, 4
        case "far from the origin":
            return x + np.float32(100), y, 4
        case "many classes":
            return *clusters(240, 16, 60), 60
    raise AssertionError(name)


HARD = (
    "easy", "two classes", "separable", "more features than rows", "one example per class", "a class with one example",
    "constant and duplicated features", "few distinct rows", "large", "small", "far from the origin", "many classes",
)  # fmt: skip


def objective(weight, bias, x, y, c):
    """In float64, from the definition."""
    logits = x.astype(np.float64) @ weight.T + bias
    penalty = (2 if len(bias) == 2 else 1) / (
        c * len(y)
    )  # two classes: scikit-learn's ‖w‖² is twice the softmax's ‖W‖²
    return -log_softmax(logits, 1)[np.arange(len(y)), y].mean() + penalty * (weight**2).sum() / 2


def optimum(x, y, c):
    """scikit-learn's weights and bias for the softmax objective, float64, on features it can handle: centred and of a common size."""
    classes = len(np.unique(y))
    centre, size = x.astype(np.float64).mean(0), float(np.abs(x - x.mean(0)).max())
    model = LogisticRegression(C=c * size**2, solver="newton-cg", tol=1e-11, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit((x - centre) / size, y)
    weight, bias = model.coef_ / size, model.intercept_
    if classes == 2:
        weight, bias = np.concatenate((-weight, weight)) / 2, np.concatenate((-bias, bias)) / 2
    return weight, bias - weight @ centre


def relative_gap(fit, x, y, best):
    value = objective(fit.weight, fit.bias, x, y, fit.c)
    return (value - best) / max(value, MIN_OBJECTIVE * np.log(len(fit.bias)))


@pytest.fixture
def limited(monkeypatch):
    """Turns the whole Hessian of small problems off."""
    return lambda: monkeypatch.setattr(hessian, "MAX_ENTRIES", 0)


@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("name", HARD)
def test_agrees_with_scikit_learn(name, newton, limited):
    if not newton:
        limited()
    x, y, classes = hard(name)
    scale = float((x - x.mean(0)).var(0).sum())
    for fit in fit_path(x, y, classes, np.divide(GRID, scale), tolerance=1e-6):
        weight, bias = optimum(x, y, fit.c)
        best = objective(weight, bias, x, y, fit.c)
        assert fit.converged
        assert abs(relative_gap(fit, x, y, best)) <= 1e-6
        assert fit.objective == pytest.approx(
            objective(fit.weight, fit.bias, x, y, fit.c), rel=1e-6, abs=1e-9
        )
        clear = np.sort(scores(fit, x), 1)
        sure = clear[:, -1] - clear[:, -2] > 1e-2
        assert (scores(fit, x).argmax(1) == (x @ weight.T + bias).argmax(1))[sure].all()


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_the_certificate_is_never_below_the_true_gap(name, tolerance):
    x, y, classes = hard(name)
    scale = float((x - x.mean(0)).var(0).sum())
    loose = list(fit_path(x, y, classes, np.divide(GRID, scale), tolerance=tolerance))
    for fit, best in zip(
        loose, fit_path(x, y, classes, np.divide(GRID, scale), tolerance=1e-7), strict=True
    ):
        assert fit.converged
        assert fit.gap <= tolerance
        rounding = 2e-7
        assert (
            relative_gap(fit, x, y, objective(best.weight, best.bias, x, y, best.c))
            <= fit.gap + rounding
        )


@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_the_certificate_holds_on_ill_conditioned_features(seed, newton, limited):
    if not newton:
        limited()
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
        assert (
            relative_gap(fit, x, y, objective(best.weight, best.bias, x, y, best.c))
            <= fit.gap + 2e-7
        )


def test_by_hand():
    # Features that are all zero: W = 0, and b alone makes p the classes' shares, 3/4 and 1/4: the loss is their entropy, 0.75 ln(4/3) + 0.25 ln 4.
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


def test_the_gradient_is_zero_at_the_answer():
    x, y = clusters(200, 15, 5)
    (fit,) = fit_path(x, y, 5, [0.1], tolerance=1e-9)
    p = torch.softmax(torch.from_numpy(scores(fit, x)), 1).numpy() - np.eye(5)[y]
    assert p.mean(0) == pytest.approx(0, abs=1e-5)
    assert p.T @ x / 200 + fit.weight / (0.1 * 200) == pytest.approx(0, abs=1e-5)


def answer(x, y, classes, c=0.1) -> LogisticFit:
    return next(iter(fit_path(x, y, classes, [c], tolerance=1e-8)))


def test_order_of_rows_and_names_of_classes_do_not_matter():
    x, y = clusters(150, 10, 5)
    fit = answer(x, y, 5)
    order, names = np.random.default_rng(1).permutation(150), np.array([3, 1, 4, 0, 2])
    assert scores(answer(x[order], y[order], 5), x) == pytest.approx(scores(fit, x), abs=1e-3)
    assert scores(answer(x, names[y], 5), x)[:, names] == pytest.approx(scores(fit, x), abs=1e-3)


def test_a_constant_feature_or_a_rotation_or_a_shift_leaves_the_objective():
    x, y = clusters(150, 10, 5)
    fit = answer(x, y, 5)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((10, 10)))[0]
    with_constant = np.concatenate((x, np.full((150, 1), 5, np.float32)), 1)
    for changed in (with_constant, (x @ rotation).astype(np.float32), x + np.float32(3)):
        assert answer(changed, y, 5).objective == pytest.approx(fit.objective, rel=1e-5)


def test_data_twice_with_the_same_penalty_per_example_is_the_same_problem():
    x, y = clusters(150, 10, 5)
    once, twice = (
        answer(x, y, 5, c=0.1),
        answer(np.concatenate((x, x)), np.concatenate((y, y)), 5, c=0.05),
    )
    assert twice.objective == pytest.approx(once.objective, rel=1e-6)
    assert scores(twice, x) == pytest.approx(scores(once, x), abs=1e-3)


def test_a_class_without_rows_changes_nothing():
    x, y = clusters(150, 10, 4)
    fit, more = answer(x, y, 4), answer(x, np.where(y == 3, 5, y), 7)
    assert more.objective == pytest.approx(fit.objective, rel=1e-6)
    assert set(scores(more, x).argmax(1)) <= {0, 1, 2, 5}
    assert scores(more, x)[:, [0, 1, 2, 5]] - scores(more, x)[:, :1] == pytest.approx(
        scores(fit, x) - scores(fit, x)[:, :1], abs=1e-3
    )


@pytest.mark.parametrize("shape", [(200, 30), (90, 300), (60, 3)])
def test_classes_without_rows_cost_nothing_and_keep_the_certificate(shape):
    """As in a probe of known classes only. Their bounds used to be infinite, so that values went on to the pass limit."""
    x, y = clusters(*shape, 5, apart=1.0)
    scale = float((x - x.mean(0)).var(0).sum())
    fits, fewer = (
        list(fit_path(x, y, k, np.divide(np.logspace(-5, 3, 9), scale), tolerance=1e-5))
        for k in (9, 5)
    )
    assert sum(fit.passes for fit in fits) <= 1.2 * sum(fit.passes for fit in fewer)
    for fit in fits:
        weight, bias = optimum(x, y, fit.c)
        gap = relative_gap(fit, x, y, objective(weight, bias, x, y, fit.c))
        assert fit.converged
        assert -1e-6 <= gap <= fit.gap + 2e-7
        assert scores(fit, x).argmax(1).max() < 5


def test_one_class_alone_is_certain():
    (fit,) = fit_path(clusters(20, 3, 2)[0], np.zeros(20, int), 1, [1.0])
    assert (fit.objective, fit.gap, fit.converged) == (0, 0, True)


def test_thousands_of_classes():
    x, y = clusters(3000, 8, 2000)
    for fit in fit_path(x, y, 2000, [1e-4, 1e-2]):
        assert fit.converged
        assert np.isfinite(fit.weight).all()


def test_a_value_that_is_given_up_says_so_and_its_certificate_still_holds(monkeypatch):
    x, y = clusters(300, 20, 5)
    x *= np.logspace(0, -2, 20).astype(np.float32)
    (best,) = fit_path(x, y, 5, [100.0], tolerance=1e-7)
    monkeypatch.setattr("bob.numerics.linear.path_solver.MAX_PASSES", 3)
    (fit,) = fit_path(x, y, 5, [100.0], tolerance=1e-7)
    assert not fit.converged
    assert fit.gap > 1e-7
    assert 0 < relative_gap(fit, x, y, objective(best.weight, best.bias, x, y, best.c)) <= fit.gap


def test_twenty_thousand_classes():
    """All logits of 40,000 rows would be 3.2 GB; a block of them stays in the processor's cache, whatever the number of classes."""
    y = np.arange(40_000) % 20_000
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((20_000, 16))[y] + 0.5 * rng.standard_normal((40_000, 16))).astype(
        np.float32
    )
    assert (
        max(cut.stop - cut.start for cut in prepare(x, y, 20_000, "cpu").fast.slices) * 20_000 * 4
        < 6 << 20
    )
    (fit,) = fit_path(x[:20_000], y[:20_000], 20_000, [1e-3], tolerance=1e-2)
    assert fit.converged
    assert fit.objective < np.log(20_000)


def test_the_same_twice():
    x, y = clusters(150, 10, 5)
    first, second = (list(fit_path(x, y, 5, GRID)) for _ in range(2))
    assert all(
        (a.weight == b.weight).all() and a.passes == b.passes
        for a, b in zip(first, second, strict=True)
    )


def test_the_path_comes_strongest_first_whatever_the_grid():
    x, y = clusters(60, 5, 3)
    assert [fit.c for fit in fit_path(x, y, 3, [1.0, 1e-3, 0.1])] == [1e-3, 0.1, 1.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_are_read_from_disk_block_by_block(tmp_path, monkeypatch, dtype):
    x, y = clusters(500, 20, 5)
    rows = np.memmap(tmp_path / "x", dtype, "w+", shape=x.shape)
    rows[:] = x
    rows.flush()
    rows = np.memmap(tmp_path / "x", dtype, "r", shape=x.shape)
    expected = [fit.objective for fit in fit_path(np.array(rows, np.float32), y, 5, GRID)]
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 1 << 13)
    assert [fit.objective for fit in fit_path(rows, y, 5, GRID)] == pytest.approx(
        expected, rel=1e-4
    )


def test_without_room_for_residuals_the_answer_is_the_same(monkeypatch):
    x, y = clusters(500, 20, 5)
    expected = [fit.objective for fit in fit_path(x, y, 5, GRID)]
    monkeypatch.setattr("bob.numerics.linear.softmax.RESIDUAL_BYTES", 0)
    assert [fit.objective for fit in fit_path(x, y, 5, GRID)] == pytest.approx(expected, rel=1e-4)


def test_with_too_many_classes_to_couple_their_biases_the_answer_is_the_same(monkeypatch):
    x, y = clusters(500, 20, 5)
    expected = [fit.objective for fit in fit_path(x, y, 5, GRID)]
    monkeypatch.setattr("bob.numerics.linear.preconditioner.MAX_COUPLED_CLASSES", 4)
    assert [fit.objective for fit in fit_path(x, y, 5, GRID)] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "name",
    ["easy", "two classes", "more features than rows", "a class with one example", "many classes"],
)
def test_without_room_for_residuals_the_certificate_is_still_a_bound(name, monkeypatch):
    x, y, classes = hard(name)
    grid = np.divide(GRID, float((x - x.mean(0)).var(0).sum()))
    monkeypatch.setattr("bob.numerics.linear.softmax.RESIDUAL_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    for fit in fit_path(x, y, classes, grid, tolerance=1e-3):
        weight, bias = optimum(x, y, fit.c)
        assert fit.converged
        assert relative_gap(fit, x, y, objective(weight, bias, x, y, fit.c)) <= fit.gap + 2e-7


def test_a_mixture_of_points_gives_a_true_bound_and_often_a_nearer_one():
    """Along the way to an ill-conditioned optimum: the bound of the last point alone, and mixed with those before it."""
    x, y = clusters(600, 40, 6)
    x *= np.logspace(0, -1, 40).astype(np.float32)
    problem, penalty = prepare(x, y, 6, "cpu"), 1e-5
    solver = start_solver(problem, problem.evaluate_origin())
    solver.change_penalty(penalty)
    (best,) = fit_path(x, y, 6, [1 / (penalty * 600)], tolerance=1e-8)
    nearer = 0
    for i in range(40):
        solver.curvature = None if i == 20 else solver.curvature
        assert solver._step(exact=False)
        gap = solver.current.objective(penalty) - best.objective
        mixture = solver.iterates.mixture(solver.current, penalty, solver.curvature.shift)
        alone, mixed = (
            tightest(problem, solver, penalty, one)
            for one in (DualPoint(solver.current.loss_gradient), mixture)
        )
        assert min(alone, mixed) >= gap - 1e-7
        nearer += mixed < 0.7 * alone
    assert nearer >= 5


def tightest(problem, solver, penalty, mixture):
    return gap_bound(problem.fast, solver.current, problem.y, penalty, 0.0, mixture, final=True)


def test_best_shares_by_hand():
    # ½ (4a² + b²) with a + b = 1: a = 1/5, b = 4/5. With the last share at least 1/10 and the last point far worse: 9/10 and 1/10.
    assert best_shares(np.array([[4.0, 0], [0, 1]]), np.zeros(2)) == pytest.approx(
        [0.2, 0.8], abs=1e-3
    )
    assert best_shares(np.array([[1.0, 0], [0, 1]]), np.array([0.0, 100.0])) == pytest.approx(
        [0.9, 0.1]
    )


@pytest.mark.parametrize("transposed", [False, True])
def test_products_are_those_of_numpy(transposed):
    rng = np.random.default_rng(0)
    a, b = (
        rng.standard_normal((7, 33), np.float32),
        rng.standard_normal((33, 5) if transposed else (5, 33), np.float32),
    )
    second = torch.from_numpy(b).T if transposed else torch.from_numpy(b)
    expected = a.astype(np.float64) @ (b if transposed else b.T).astype(np.float64)
    assert product(torch.from_numpy(a), second).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rows", [3, 200])
def test_products_of_a_batch_are_those_of_each(rows):
    """Small ones together, large ones one by one."""
    rng = np.random.default_rng(0)
    a, b = (
        rng.standard_normal((4, rows, 65), np.float32),
        rng.standard_normal((4, 100, 65), np.float32),
    )
    assert (rows * 65 * 100 >= MIN_SEPARATE_CALL) == (rows == 200)
    assert products(torch.from_numpy(a), torch.from_numpy(b)).numpy() == pytest.approx(
        np.matmul(a, b.transpose(0, 2, 1), dtype=np.float64), abs=1e-4
    )


def held(n, seed=3):
    return np.random.default_rng(seed).random(n) < 0.25


def test_the_chosen_c_is_the_best_of_the_whole_path():
    x, y = clusters(400, 30, 4, apart=0.7)
    mask, grid = held(400), 10.0 ** np.linspace(-6, 5, 23)
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


def test_the_refit_is_a_fit_of_all_rows():
    x, y = clusters(300, 10, 4)
    chosen = select_and_refit(x, y, 4, [1e-3, 1e-2, 1e-1, 1.0], np.flatnonzero(held(300)))
    (fit,) = fit_path(x, y, 4, [chosen.c])
    assert chosen.fit.objective == pytest.approx(fit.objective, rel=1e-4)
    assert chosen.fit.converged


def test_the_grid_is_widened_where_the_best_lies_on_its_edge():
    x, y = clusters(300, 10, 4)
    low = select_and_refit(x, y, 4, [1e-5, 1e-4], held(300))
    assert low.widened
    assert low.grid[:2] == (1e-5, 1e-4)
    assert low.c > 1e-4
    high = select_and_refit(
        x, np.random.default_rng(0).integers(0, 4, 300), 4, [1e3, 1e4], held(300)
    )
    assert high.widened
    assert high.c < 1e4


def test_a_choice_on_the_edge_of_the_widened_grid_is_flagged():
    x, y = clusters(300, 10, 4)
    chosen = select_and_refit(x, y, 4, [1e-14, 1e-13], held(300))
    assert chosen.widened
    assert chosen.at_edge


def test_a_grid_of_one_value_is_taken_as_given():
    x, y = clusters(100, 5, 3)
    chosen = select_and_refit(x, y, 3, [0.1], held(100))
    assert (chosen.c, chosen.widened, chosen.grid) == (0.1, False, (0.1,))


def test_a_class_seen_only_among_the_held_out_rows():
    x, y = clusters(200, 6, 3)
    mask = held(200) | (y == 2)
    chosen = select_and_refit(x, y, 3, [1e-2, 1.0], mask)
    assert chosen.fit.converged
    assert chosen.held_out_top1 < 1
