"""Heads from sums, against scikit-learn on explicit copies of examples."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear.class_sums import ABSENT, ClassSums, head_path

COPIES = 4
"""Shares are quarters, so that an example is at most four copies."""


def examples(classes: int = 3) -> tuple[Doubles, Doubles, Doubles, Ints]:
    """Return features (P, D) with shares (P, C), and their copies (N, D) with classes (N,)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, 6))
    quarters = rng.multinomial(COPIES, [1 / classes] * classes, 200)
    quarters[:20, 0] = 0  # a part of these examples has no class
    noise = rng.normal(size=(200, 6)) * [1, 2, 3, 1, 0.1, 50]
    x = 5 + quarters @ centres / COPIES + noise
    copies = np.repeat(x, quarters.sum(1), axis=0)
    y = np.concatenate([np.repeat(np.arange(classes), row) for row in quarters])
    return x, quarters / COPIES, copies, y


@pytest.mark.parametrize("shrinkage", [1e-4, 0.1, 1.0])
def test_the_discriminant_is_that_of_scikit_learn_on_copies(shrinkage: float) -> None:
    x, shares, copies, y = examples()
    (head,) = head_path("lda", ClassSums.of(x, shares), [shrinkage])
    scaler = StandardScaler().fit(copies)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    expected = lda.fit(scaler.transform(copies), y).decision_function(scaler.transform(x))
    np.testing.assert_allclose(head.logits(x), expected, rtol=1e-6, atol=1e-6)


def test_a_uniform_prior_is_that_of_scikit_learn() -> None:
    x, shares, copies, y = examples()
    (head,) = head_path("lda", ClassSums.of(x, shares), [0.2], "uniform")
    scaler = StandardScaler().fit(copies)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(scaler.transform(copies), y)
    train_prior = np.log(np.bincount(y) / len(y))
    expected = lda.decision_function(scaler.transform(x)) - train_prior
    np.testing.assert_allclose(head.logits(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 10.0])
def test_ridge_is_that_of_scikit_learn_on_copies(penalty: float) -> None:
    x, shares, copies, y = examples()
    (head,) = head_path("ridge", ClassSums.of(x, shares), [penalty])
    scaler = StandardScaler().fit(copies)
    ridge = Ridge(alpha=penalty * len(y)).fit(scaler.transform(copies), np.eye(3)[y])
    np.testing.assert_allclose(head.logits(x), ridge.predict(scaler.transform(x)), atol=1e-6)


def test_sums_are_the_normal_equations_of_all_pixels() -> None:
    """Maps of 3 x 3 cells of 4 x 4 pixels, a third of which do not count: every pixel has the
    features of its cell."""
    from bob.numerics.dense.cells import cell_shares

    rng = np.random.default_rng(2)
    grid = rng.normal(size=(3, 3, 5)).astype(np.float32)
    mask = rng.integers(-1, 2, (12, 12))
    pixels = np.kron(grid, np.ones((4, 4, 1))).reshape(-1, 5).astype(np.float64)
    kept, y = mask.ravel() >= 0, mask.ravel()
    one_hot = np.eye(2)[y[kept]]
    sums = ClassSums.of(grid.reshape(-1, 5), cell_shares(mask, (3, 3), 2).reshape(-1, 2))
    area = 16
    np.testing.assert_allclose(area * sums.gram, pixels[kept].T @ pixels[kept], rtol=1e-6)
    np.testing.assert_allclose(area * sums.sums, one_hot.T @ pixels[kept], rtol=1e-6)
    np.testing.assert_allclose(area * sums.counts, one_hot.sum(0), rtol=1e-12)


def test_sums_of_parts_add_up() -> None:
    x, shares, _, _ = examples()
    whole = ClassSums.of(x, shares)
    first, second = (ClassSums.of(x[at], shares[at]) for at in (slice(70), slice(70, None)))
    for name, values in vars(whole).items():
        parts = vars(first)[name] + vars(second)[name]
        np.testing.assert_allclose(parts, values, rtol=1e-12)


@pytest.mark.parametrize("kind", ["lda", "ridge"])
def test_classes_without_examples_and_constant_features_have_no_influence(kind: str) -> None:
    x, shares, _, _ = examples()
    wide = np.concatenate([x, np.full((len(x), 1), 7.0)], axis=1)
    more = np.insert(shares, 1, 0.0, axis=1)
    (head,) = head_path(kind, ClassSums.of(wide, more), [0.1])  # type: ignore[arg-type]
    (expected,) = head_path(kind, ClassSums.of(x, shares), [0.1])  # type: ignore[arg-type]
    kept = [0, 2, 3]
    if kind == "ridge":
        np.testing.assert_allclose(head.logits(wide)[:, kept], expected.logits(x), atol=1e-9)
    assert (head.weight[:, -1] == 0).all() and head.bias[1] == ABSENT
    assert (head.logits(wide).argmax(1) != 1).all()


def test_no_labelled_examples_are_undefined() -> None:
    sums = ClassSums.of(np.ones((3, 2)), np.zeros((3, 2)))
    with pytest.raises(UndefinedError, match="no labelled train pixels"):
        head_path("lda", sums, [0.1])
