"""Learning curves: nested parts of train, the same for all; the last is the ridge probe."""

import numpy as np

from bob.features.store import Features
from bob.outcomes import ClassPredictions, LearningCurve
from bob.protocols.learning_curve import PROTOCOL, LearningCurveSettings, nested_parts
from bob.protocols.protocol import Result
from bob.protocols.ridge import PROTOCOL as RIDGE
from bob.protocols.ridge import RidgeSettings
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

RIDGE_SETTINGS = {"log10_l2": (-3.0, 1.0, 5), "held_out": 0.25}
SETTINGS = LearningCurveSettings(**RIDGE_SETTINGS, halvings=3)
Y = np.arange(240) % 4


def features(seed: int) -> Features:
    noise = np.random.default_rng(seed).normal(size=(240, 20))
    return features_from((1.2 * np.eye(4, 20)[Y] + noise).astype(np.float32))


def solve(order: np.ndarray) -> Result:
    """Solve the task with the train images in some order."""
    content = digests(240, "train")
    train = make_split([content[i] for i in order], Y[order].tolist())
    test = make_split(digests(240, "test"), Y.tolist())
    dataset = make_dataset({"train": train, "test": test}, ("a", "b", "c", "d"))
    inputs = make_inputs({"train": features_from(features(0).rows[order]), "test": features(1)})
    needs = PROTOCOL.needs(SETTINGS, dataset, BASELINE)
    problem = PROTOCOL.build(SETTINGS, dataset, needs, inputs, 0)
    plain = RidgeSettings(**RIDGE_SETTINGS)
    ridge = RIDGE.solve(RIDGE.build(plain, dataset, needs, inputs, 0), plain, "cpu")
    result = PROTOCOL.solve(problem, SETTINGS, "cpu")
    largest, last = result.parts[-1].outcome, ridge.outcome
    assert isinstance(largest, ClassPredictions)
    np.testing.assert_array_equal(largest.predicted, last.predicted)
    return result


def test_the_largest_part_is_the_ridge_probe_and_more_images_help() -> None:
    """Of 60 images of a class, 15 are held out: 45 + 15, 23 + 8, 12 + 4, 6 + 2."""
    result = solve(np.arange(240))
    curve = result.outcome
    assert isinstance(curve, LearningCurve)
    assert curve.train_images.tolist() == [32, 64, 124, 240]
    accuracy = curve.right.mean(0)
    assert accuracy[0] < accuracy[-1]
    assert [part.suffix for part in result.parts] == ["", "n32", "n64", "n124", "n240"]
    for part, right in zip(result.parts[1:], curve.right.T, strict=True):
        assert isinstance(part.outcome, ClassPredictions)
        np.testing.assert_array_equal(part.outcome.rank == 0, right)


def test_the_order_of_files_changes_nothing() -> None:
    one = solve(np.arange(240)).outcome
    other = solve(np.random.default_rng(3).permutation(240)).outcome
    np.testing.assert_array_equal(one.right, other.right)


def test_parts_are_nested_and_keep_the_first_of_each_stratum() -> None:
    """Strata of 5, 2 and 1: halves are 3, 1 and 1, quarters 2, 1 and 1, eighths 1, 1 and 1."""
    strata = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    content = ["e", "d", "c", "b", "a", "y", "x", "z"]
    parts = nested_parts(strata, content, 3)
    assert [part.tolist() for part in parts] == [
        [4, 6, 7],
        [3, 4, 6, 7],
        [2, 3, 4, 6, 7],
        [0, 1, 2, 3, 4, 5, 6, 7],
    ]


def test_parts_that_do_not_shrink_are_left_out() -> None:
    assert [len(part) for part in nested_parts(np.array([0, 0, 1]), ["a", "b", "c"], 4)] == [2, 3]
