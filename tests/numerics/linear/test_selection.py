"""The choice of C by folds: against scikit-learn's own search, the drawing of folds, and the way from a task file to them."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from bob.datasets.dataset import Dataset
from bob.datasets.splits import stratified_folds
from bob.errors import ConfigError, DatasetError
from bob.numerics.linear.logistic_path import fit_path
from bob.numerics.linear.logistic_path import scores as logits_of
from bob.numerics.linear.selection import _RowsWithoutRange, select_and_refit, select_by_folds
from bob.protocols.linear import linear
from bob.protocols.protocol import Problem
from bob.specs import LinearSettings
from bob.specs.yaml import build
from bob.wiring.classification import problem
from tests.builders.classification import blobs, posed, sklearn_at
from tests.builders.splits import digests, labels, made_features, made_split

GRID = 10.0 ** np.linspace(-4, 2, 7)


def folds_of(x, y, count):
    fold = np.empty(len(y), np.int64)
    for number, (_, test) in enumerate(
        StratifiedKFold(count, shuffle=True, random_state=0).split(x, y)
    ):
        fold[test] = number
    return fold


@pytest.mark.parametrize(("classes", "count", "width"), [(4, 5, 12), (2, 3, 8), (3, 4, 200)])
def test_the_choice_is_that_of_a_search_by_scikit_learn(classes, count, width):
    """Every C on every fold by scikit-learn: highest mean top-1, then lowest mean log-loss. More features than rows included."""
    x, y, _, _ = blobs(n=150, d=width, classes=classes, spread=3.0)
    fold, found = folds_of(x, y, count), {}
    for c in GRID:
        top1, loss = [], []
        for number in range(count):
            train, test = fold != number, fold == number
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(
                    x[train].astype(np.float64), y[train]
                )
            top1.append(model.score(x[test], y[test]))
            loss.append(
                -model.predict_log_proba(x[test].astype(np.float64))[
                    np.arange(test.sum()), y[test]
                ].mean()
            )
        found[c] = (np.mean(top1), -np.mean(loss))
    chosen = select_by_folds(x, y, classes, GRID, fold)
    best = max(found, key=lambda c: found[c])
    assert chosen.c == pytest.approx(best)
    assert chosen.held_out_top1 == pytest.approx(found[best][0])
    tried = np.isfinite(chosen.curve)
    assert tried.sum() >= 5
    curve = dict(zip(chosen.grid, chosen.curve, strict=True))
    assert [curve[c] for c in GRID if np.isfinite(curve[c])] == pytest.approx(
        [found[c][0] for c in GRID if np.isfinite(curve[c])]
    )


def test_the_refit_is_of_all_rows():
    x, y, _, _ = blobs()
    chosen = select_by_folds(x, y, 4, GRID, folds_of(x, y, 5))
    (fit,) = fit_path(x, y, 4, [chosen.c], tolerance=1e-6)
    assert chosen.fit.converged
    assert chosen.fit.objective == pytest.approx(fit.objective, rel=1e-4)


def test_numbers_of_folds_mean_nothing_and_order_of_rows_does_not_matter():
    x, y, _, _ = blobs(spread=3.0)
    fold, order = folds_of(x, y, 3), np.random.default_rng(0).permutation(240)
    plain = select_by_folds(x, y, 4, GRID, fold)
    for other in (
        select_by_folds(x, y, 4, GRID, np.array([7, -2, 40])[fold]),
        select_by_folds(x[order], y[order], 4, GRID, fold[order]),
    ):
        assert other.c == plain.c
        assert other.held_out_top1 == pytest.approx(plain.held_out_top1)


def test_one_share_is_one_fold_held_out_and_the_others_never():
    """Held-out log-loss of the part without the share, by hand at one C."""
    x, y, _, _ = blobs(spread=3.0)
    held = np.arange(240) % 4 == 0
    chosen = select_and_refit(x, y, 4, [0.01], held)
    (fit,) = fit_path(x[~held], y[~held], 4, [0.01], tolerance=1e-6)
    logits = log_softmax(x[held] @ fit.weight.T + fit.bias, 1)
    assert chosen.held_out_top1 == pytest.approx((logits.argmax(1) == y[held]).mean())


def test_a_path_ends_where_every_train_row_is_certain():
    """Separable rows, whose held-out log-loss falls for ever with C: the path ends before it only scales weights; predictions are scikit-learn's."""
    x, y, test_x, _ = blobs(n=120, d=40, q=400, spread=0.7)
    chosen = select_and_refit(x, y, 4, 10.0 ** np.linspace(-6, 5, 45), np.arange(120) % 5 == 0)
    assert chosen.held_out_top1 == 1.0
    assert not chosen.widened and not chosen.at_edge
    tried = np.array(chosen.grid)[np.isfinite(chosen.curve)]
    first_certain = next(
        c
        for c in chosen.grid
        if sklearn_at(x, y, c).predict_proba(x)[np.arange(120), y].min() > 0.9999
    )
    assert (
        chosen.c == pytest.approx(tried[-1]) and first_certain / 10 < chosen.c < 10 * first_certain
    )
    peer = sklearn_at(x, y, chosen.c)
    assert (logits_of(chosen.fit, test_x).argmax(1) == peer.predict(test_x)).mean() >= 0.9975
    assert chosen.fit.converged


def test_rows_apart_are_those_of_numpy():
    """Whatever slice is read: before the gap, after it, across it."""
    x = torch.arange(40.0).reshape(20, 2)
    for start, stop in ((0, 5), (7, 12), (15, 20)):
        expected = np.delete(x.numpy(), slice(start, stop), 0)
        for one in (x, x.numpy()):
            apart = _RowsWithoutRange(one, start, stop)
            assert apart.shape == (15, 2)
            for cut in (slice(0, 15), slice(0, 3), slice(4, 9), slice(7, 15), slice(6, 8)):
                np.testing.assert_array_equal(apart[cut], expected[cut])


def test_rows_that_are_too_many_to_keep_are_read_fold_by_fold(monkeypatch):
    x, y, _, _ = blobs(spread=3.0)
    fold = folds_of(x, y, 3)
    plain = select_by_folds(x, y, 4, GRID, fold)
    monkeypatch.setattr("bob.numerics.linear.eigenbasis.RESIDENT_BYTES", 0)
    monkeypatch.setattr("bob.numerics.linear.feature_rows.BLOCK_BYTES", 1 << 12)
    streamed = select_by_folds(x.astype(np.float16).astype(np.float32), y, 4, GRID, fold)
    assert streamed.c == plain.c


def test_one_fold_is_refused():
    x, y, _, _ = blobs()
    with pytest.raises(ValueError, match=r"fold must hold at least 2 different numbers; got \[3\]"):
        select_by_folds(x, y, 4, GRID, np.full(240, 3))


# --- the drawing of folds


def test_each_class_is_spread_evenly():
    y = labels(10, 13, 3, 2, 7)
    fold = stratified_folds(y, digests(35), folds=4)
    counts = np.array([np.bincount(y[fold == f], minlength=5) for f in range(4)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 2


def test_linked_examples_stay_in_one_fold():
    rng = np.random.default_rng(1)
    for seed in range(20):
        n = 120
        y, groups = rng.integers(0, 3, n), [str(i) for i in rng.integers(0, 40, n)]
        content = [f"{i:x}" for i in rng.integers(0, 200, n)]
        fold = stratified_folds(y, content, groups, 5, seed)
        for linked in (groups, content):
            assert all(
                len({f for f, other in zip(fold.tolist(), linked, strict=True) if other == one})
                == 1
                for one in set(linked)
            )
        assert set(fold.tolist()) == set(range(5))


def test_folds_follow_content_and_seed_alone():
    y, content = labels(30, 40), digests(70)
    fold, order = stratified_folds(y, content), np.random.default_rng(0).permutation(70)
    np.testing.assert_array_equal(
        stratified_folds(1 - y[order], [content[i] for i in order])[np.argsort(order)], fold
    )
    assert (stratified_folds(y, content, seed=1) != fold).any()


def test_without_two_images_of_any_class_there_are_no_folds():
    with pytest.raises(DatasetError, match="every class has a single image"):
        stratified_folds(labels(1, 1, 1), digests(3))


# --- from a task file


def settings(**given):
    return build(
        LinearSettings, {"log10_c": [-3.0, 2.0, 6], "tolerance": 1e-4} | given, "tasks/t.yaml"
    )


def test_a_task_names_one_way_of_choosing():
    assert settings(folds=5).held_out is None
    with pytest.raises(
        ConfigError,
        match=r"share of train \('held_out', such as 0\.2\) or by 'folds' \(such as 5\): give one; got neither",
    ):
        settings()
    with pytest.raises(ConfigError, match=r"give one; got held_out 0\.2 and folds 5"):
        settings(held_out=0.2, folds=5)


def test_folds_reach_the_protocol_and_the_record():
    x, y, test_x, test_y = blobs(spread=3.0)
    asked = Problem(x, y, np.zeros(len(y), bool), test_x, test_y, 4, folds_of(x, y, 5))
    result = linear(asked, settings(folds=5), "cpu")
    assert result.detail["folds"] == 5 and result.detail["held_out_rows"] == 240
    assert "folds" not in linear(posed(x, y, test_x, test_y), settings(held_out=0.2), "cpu").detail
    spoilt = linear(
        Problem(x, y, asked.held_out, test_x, np.roll(test_y, 1), 4, asked.fold),
        settings(folds=5),
        "cpu",
    )
    assert spoilt.detail == result.detail, "no choice looks at test"


def test_folds_are_drawn_from_train_by_seed_and_a_val_split_goes_before():
    train, test = made_split("".join(map(chr, range(65, 105))), [0, 1] * 20), made_split("z", [0])
    found = {"train": made_features(40), "test": made_features(1), "val": made_features(2)}
    made = [
        problem(Dataset("d", ("a", "b"), {"train": train, "test": test}), found, 5, seed)
        for seed in (0, 0, 1)
    ]
    assert np.bincount(made[0].fold).tolist() == [8] * 5 and not made[0].held_out.any()
    assert (made[0].fold == made[1].fold).all() and (made[0].fold != made[2].fold).any()
    given = problem(
        Dataset("d", ("a", "b"), {"train": train, "val": made_split("de", [1, 0]), "test": test}),
        found,
        5,
        0,
    )
    assert given.fold is None and given.held_out.sum() == 2


def test_one_image_per_class_leaves_no_folds():
    splits = {"train": made_split("abc", [0, 1, 2]), "test": made_split("d", [0])}
    with pytest.raises(DatasetError, match="no train images can be held out to choose settings on"):
        problem(
            Dataset("d", ("a", "b", "c"), splits),
            {"train": made_features(3), "test": made_features(1)},
            3,
            0,
        )
