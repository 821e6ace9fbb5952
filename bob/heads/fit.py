"""The probe of a recorded cell, fitted again to the same features to keep its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bob.datasets.dataset import Dataset, SplitName
from bob.errors import ConfigError
from bob.features.store import Features
from bob.numerics.arrays import Doubles
from bob.outcomes import ClassPredictions
from bob.protocols.calibration import held_out_temperature, temperature_of
from bob.protocols.classification import (
    ClassificationProblem,
    classification_problem,
    held_out_of,
)
from bob.protocols.linear import LinearSettings, fit_probe
from bob.protocols.ridge import RidgeSettings, fit_ridge

LARGEST_DIFFERENCE = 1e-6
"""Of a predicted class's probability between a probe and the recorded outcome."""


@dataclass(frozen=True, eq=False)
class KeptProbe:
    """A fitted probe, and what it predicts for the test images."""

    weight: Doubles
    """(C, D)"""
    bias: Doubles
    """(C,)"""
    penalty: float
    """scikit-learn's C of a linear probe; the penalty per train example of a ridge probe."""
    temperature: float | None
    """None where settings were chosen by folds, which leave no held-out rows, and where the best
    one is an end of the range that is searched: then every held-out row is right, or none."""
    test: ClassPredictions


def fit_to_keep(
    dataset: Dataset,
    features: Mapping[SplitName, Features],
    settings: LinearSettings | RidgeSettings,
    seed: int,
    device: str,
) -> KeptProbe:
    """Return a probe of the protocol `linear` or `ridge`, with a temperature chosen on its held-out
    rows.

    The predictions of a ridge probe have no probabilities without a temperature: its outputs are no
    logits.
    """
    problem = classification_problem(dataset, features, held_out_of(settings), seed)
    if isinstance(settings, RidgeSettings):
        return _ridge_to_keep(problem, settings, device)
    probe = fit_probe(problem, settings, device)
    fit = probe.fit
    temperature = None
    if problem.fold is None:
        temperature = _within_range(held_out_temperature(problem, probe, settings, device))
    test = _test_predictions(problem, fit.weight, fit.bias)
    return KeptProbe(fit.weight, fit.bias, fit.c, temperature, test)


def _ridge_to_keep(
    problem: ClassificationProblem, settings: RidgeSettings, device: str
) -> KeptProbe:
    from bob.numerics.linear.ridge_path import scores

    chosen = fit_ridge(problem, settings, device)
    held_out = scores(chosen.held_out_fit, problem.x[problem.held_out])
    temperature = _within_range(temperature_of(problem, held_out))
    test = _test_predictions(problem, chosen.fit.weight, chosen.fit.bias)
    test = replace(test, log_prob=None, confidence=None)
    penalty = float(chosen.grid[chosen.best])
    return KeptProbe(chosen.fit.weight, chosen.fit.bias, penalty, temperature, test)


def _test_predictions(
    problem: ClassificationProblem, weight: Doubles, bias: Doubles
) -> ClassPredictions:
    from bob.numerics.linear.feature_rows import linear_scores

    return ClassPredictions.from_logits_in_blocks(
        lambda rows: linear_scores(weight, bias, problem.test_x[rows]),
        problem.test_y,
        problem.classes,
    )


def _within_range(temperature: float) -> float | None:
    """Return the temperature; None at an end of the range, where it calibrates nothing."""
    from bob.numerics.temperature import RANGE

    lowest, highest = RANGE
    return temperature if lowest * 1.01 < temperature < highest / 1.01 else None


def require_recorded(predictions: ClassPredictions, recorded: ClassPredictions) -> float | None:
    """Return the largest difference of confidence from the recorded outcome; None without any.

    ConfigError where it exceeds `LARGEST_DIFFERENCE`, or where another class is predicted: the
    probe would not be the one whose score is recorded.
    """
    if (predictions.confidence is None) != (recorded.confidence is None):
        raise ConfigError("the recorded outcome has no probabilities; run with --fresh.")
    same_images = len(predictions) == len(recorded) and np.array_equal(predictions.y, recorded.y)
    if not same_images:
        raise ConfigError("the recorded outcome is that of other images; run with --fresh.")
    difference = None
    if predictions.confidence is not None and recorded.confidence is not None:
        difference = float(np.abs(predictions.confidence - recorded.confidence).max(initial=0))
    others = int((predictions.predicted != recorded.predicted).sum())
    if (difference or 0) > LARGEST_DIFFERENCE or others:
        raise ConfigError(
            f"the probe differs from the recorded outcome: by up to {difference or 0:.2g} in "
            f"probability, and in the class of {others} images. Was the record computed with "
            "another version or device? Run again with --fresh."
        )
    return difference
