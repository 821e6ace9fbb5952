"""Calibration of the probe: the temperature against scipy, its limits, what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from bob.datasets.dataset import Shift
from bob.metrics.classification import ece, log_loss
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.temperature import RANGE, best_temperature
from bob.outcomes import ClassPredictions
from bob.protocols.calibration import (
    PROTOCOL,
    CalibrationProblem,
    CalibrationSettings,
    CalibrationTest,
)
from bob.protocols.classification import ClassificationProblem
from bob.protocols.protocol import Result
from tests.builders.protocols import BASELINE
from tests.builders.splits import make_dataset, make_split

SETTINGS = CalibrationSettings(
    log10_c=(-4.0, 4.0, 9), held_out=0.25, tolerance=1e-4, coverages=(0.5, 1.0)
)


def problem(n: int = 200, classes: int = 3) -> CalibrationProblem:
    rng = np.random.default_rng(0)
    means = 0.8 * rng.normal(size=(classes, 10))

    def rows(y: Ints, noise: float) -> np.ndarray:
        return (means[y] + noise * rng.normal(size=(len(y), 10))).astype(np.float32)

    y, test_y = rng.integers(classes, size=n), rng.integers(classes, size=150)
    data = ClassificationProblem(
        rows(y, 1), y, np.arange(n) % 4 == 0, rows(test_y, 1), test_y, classes
    )
    return CalibrationProblem(data, {"noisy": CalibrationTest(rows(test_y, 3), test_y)})


def predictions(result: Result) -> dict[str, ClassPredictions]:
    return {
        part.suffix: part.outcome
        for part in result.parts
        if isinstance(part.outcome, ClassPredictions)
    }


def nll(logits: Doubles, y: Ints, t: float) -> float:
    return float(-log_softmax(logits / t, axis=1)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_the_temperature_is_the_minimum(scale: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=300)
    logits = scale * (rng.normal(size=(300, 4)) + np.eye(4)[y])
    expected = minimize_scalar(
        lambda log_t: nll(logits, y, np.exp(log_t)), bounds=(-4, 4), method="bounded"
    )
    temperature = best_temperature(logits, y)
    assert np.log(temperature) == pytest.approx(expected.x, abs=1e-4)
    assert nll(logits, y, temperature) <= nll(logits, y, 1.0)
    assert best_temperature(7 * logits, y) == pytest.approx(7 * temperature)


def test_the_temperature_by_hand() -> None:
    """Three of four rows with logits (2, 0) are of class 0: softmax is 3/4 where 2 / T = ln 3."""
    logits = np.tile([2.0, 0.0], (4, 1))
    assert best_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(2 / np.log(3))


def test_the_temperature_stays_in_its_range() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert best_temperature(logits, np.array([0, 1])) == pytest.approx(RANGE[0])
    assert best_temperature(logits, np.array([1, 0])) == pytest.approx(RANGE[1])


def test_no_prediction_changes_and_labels_decide_the_loss() -> None:
    result = PROTOCOL.solve(problem(), SETTINGS, "cpu")
    of = predictions(result)
    assert list(of) == ["", "raw", "noisy", "noisy_raw"]
    for calibrated, raw in (("", "raw"), ("noisy", "noisy_raw")):
        assert np.array_equal(of[calibrated].predicted, of[raw].predicted)
        assert np.array_equal(of[calibrated].rank, of[raw].rank)
        assert log_loss(of[calibrated]) != log_loss(of[raw])


def test_probes_without_noise_are_more_certain_and_shifts_less_calibrated() -> None:
    of = predictions(PROTOCOL.solve(problem(), SETTINGS, "cpu"))
    assert ece(of["noisy"]) > ece(of[""])


def test_names_of_scores_and_coverages() -> None:
    result = PROTOCOL.solve(problem(), SETTINGS, "cpu")
    curve = [part for part in result.parts if part.metrics == ("risk_at_coverage",)]
    assert [part.suffix for part in curve] == ["0.5", "1", "noisy_0.5", "noisy_1"]
    assert [part.facets["coverage"] for part in curve] == [0.5, 1.0, 0.5, 1.0]
    assert {part.facets["probabilities"] for part in result.parts if part not in curve} == {
        "calibrated",
        "raw",
    }


def test_shifted_sets_of_some_classes_are_scored_among_these() -> None:
    data = problem()
    noisy = replace(data.shifts["noisy"], classes=(0, 2))
    result = PROTOCOL.solve(CalibrationProblem(data.problem, {"noisy": noisy}), SETTINGS, "cpu")
    outcome = predictions(result)["noisy"]
    assert outcome.classes == 2 and len(outcome) == (noisy.y != 1).sum()


def test_no_choice_depends_on_test_images() -> None:
    data = problem()
    other = replace(data.problem, test_x=data.problem.test_x * 0 + 1)
    detail = PROTOCOL.solve(data, SETTINGS, "cpu").detail
    assert PROTOCOL.solve(CalibrationProblem(other, {}), SETTINGS, "cpu").detail == detail


def test_certain_held_out_rows_are_a_caveat() -> None:
    data = problem().problem
    certain = replace(data, x=(50 * np.eye(3, 10)[data.y]).astype(np.float32))
    result = PROTOCOL.solve(CalibrationProblem(certain, {}), SETTINGS, "cpu")
    assert any("the best temperature, 0.01, is the smallest" in text for text in result.caveats)


def test_needs_are_train_test_and_shifts() -> None:
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "test")}
    shifts = {
        "poly": Shift(make_split("c", [0]), "shift"),
        "far": Shift(make_split("d", [-1]), "far"),
    }
    needs = PROTOCOL.needs(SETTINGS, make_dataset(splits, shifts=shifts), BASELINE)
    assert [need.name for need in needs] == ["train", "test", "poly"]


def test_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="the temperature needs one held-out share"):
        CalibrationSettings(log10_c=(0, 0, 1), folds=5, tolerance=1e-4, coverages=(0.5,))
