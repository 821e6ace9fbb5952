"""Outcomes of simulated backbones."""

import numpy as np

from bob.outcomes import ClassPredictions, FewShotCurves


def class_predictions(n: int, classes: int, seed: int, skill: float = 1.5) -> ClassPredictions:
    """Return predictions from normal logits, those of the true class being higher by `skill`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return ClassPredictions.from_logits(
        rng.normal(size=(n, classes)) + skill * np.eye(classes)[y], y
    )


def few_shot_curves(n: int, seed: int, spread: float = 0.05) -> FewShotCurves:
    """Return the accuracies of n draws at 5 shots: normal around 0.7 with this spread, clipped."""
    accuracies = 0.7 + spread * np.random.default_rng(seed).normal(size=(n, 1))
    return FewShotCurves(np.clip(accuracies, 0, 1), np.array([5]))
