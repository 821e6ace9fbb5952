"""Fusions of backbones: laws of the average and the concatenation, and what chooses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from bob.numerics.arrays import Floats
from bob.protocols.classification import ClassificationProblem
from bob.protocols.fusion import Fusion, concatenated, fuse
from bob.protocols.linear import LinearSettings

SETTINGS = LinearSettings(log10_c=(-3.0, 3.0, 7), held_out=0.25, tolerance=1e-6)
N, CLASSES = 200, 4


def problem(seed: int, columns: slice = slice(0, 8)) -> ClassificationProblem:
    """Return noisy features of the same images, of which a backbone sees some columns."""
    rng = np.random.default_rng(0)
    y, test_y = np.arange(N) % CLASSES, np.arange(N) % CLASSES
    means = rng.normal(size=(CLASSES, 8))
    noise = np.random.default_rng(seed)

    def rows(labels: np.ndarray) -> Floats:
        x = means[labels] + 1.5 * noise.normal(size=(len(labels), 8))
        return np.asarray(x[:, columns], np.float32)

    return ClassificationProblem(
        rows(y), y, np.arange(N) // CLASSES % 4 == 0, rows(test_y), test_y, CLASSES
    )


def solve(**problems: ClassificationProblem) -> Fusion:
    return fuse(problems, SETTINGS, "cpu")


def test_a_backbone_with_itself_gains_nothing() -> None:
    fusion = solve(a=problem(1), again=problem(1))
    single = fusion.singles["a"]
    assert np.array_equal(fusion.fused["average"].right, single.right)
    assert fusion.oracle_gain == 0 and fusion.best_single == "a"
    assert fusion.fused["average"].held_out_top1 == single.held_out_top1


def test_independent_noise_averages_out() -> None:
    fusion = solve(a=problem(1), b=problem(2))
    gain = fusion.gain
    assert gain.value > 0.02 and gain.low is not None and gain.low < gain.value
    assert gain.value == fusion.fused[fusion.mode].top1 - fusion.singles[fusion.best_single].top1
    assert fusion.oracle_gain > gain.value


def test_the_average_is_that_of_log_probabilities() -> None:
    """scikit-learn's probabilities at the chosen C, which is the same for both here."""
    a, b = problem(1), problem(2)
    settings = LinearSettings(log10_c=(0.0, 0.0, 1), held_out=0.25, tolerance=1e-8)
    fusion = fuse({"a": a, "b": b}, settings, "cpu")
    logs = [
        np.log(
            softmax(
                LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
                .fit(one.x, one.y)
                .decision_function(one.test_x),
                axis=1,
            )
        )
        for one in (a, b)
    ]
    predicted = (logs[0] + logs[1]).argmax(1)
    assert (fusion.fused["average"].right == (predicted == a.test_y)).mean() > 0.99


def test_neither_order_nor_scale_nor_shift_of_a_block_matters() -> None:
    a, b = problem(1), problem(2)
    scaled = replace(b, x=1000 * b.x + 5, test_x=1000 * b.test_x + 5)
    first, second = solve(a=a, b=b), solve(b=scaled, a=a)
    agree = first.fused["concatenation"].right == second.fused["concatenation"].right
    assert agree.mean() > 0.99
    block = concatenated([a, scaled]).x[:, 8:]
    assert block.mean(0) == pytest.approx(np.zeros(8), abs=1e-5)
    assert (block**2).sum(1).mean() == pytest.approx(1, rel=1e-4)


def test_constant_features_add_nothing_and_do_not_fail() -> None:
    flat = replace(problem(2), x=np.ones((N, 3), np.float32), test_x=np.ones((N, 3), np.float32))
    fusion = solve(a=problem(1), flat=flat)
    assert fusion.best_single == "a"
    assert fusion.fused["concatenation"].top1 == pytest.approx(fusion.singles["a"].top1, abs=0.02)


def test_nothing_is_chosen_on_test_images() -> None:
    a, b = problem(1), problem(2)
    plain = solve(a=a, b=b)
    spoiled = [replace(one, test_x=one.test_x * 0 + 1) for one in (a, b)]
    other = solve(a=spoiled[0], b=spoiled[1])
    assert (plain.best_single, plain.mode) == (other.best_single, other.mode)
