"""The outcomes of one classifier on the same images, clean and under several corruptions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles
from bob.outcomes.class_probabilities import ClassProbabilities
from bob.outcomes.classification import ClassPredictions
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class CorruptionResults(ArrayOutcome):
    """Correctness of the predictions on N images, clean and under K conditions.

    A condition is a corruption at a severity.
    """

    clean: Bools
    """(N,) whether the prediction for the clean image is right."""
    right: Bools
    """(N, K) whether the prediction under each condition is right."""

    def __post_init__(self) -> None:
        if (
            self.right.ndim != 2
            or self.clean.shape != self.right.shape[:1]
            or not self.right.shape[1]
        ):
            raise ValueError(
                "clean must have shape (N,) and right (N, K), K at least 1; "
                f"got {self.clean.shape} and {self.right.shape}."
            )

    def under(self, conditions: NDArray[Any]) -> "CorruptionResults":
        """Return the outcome under the conditions that the mask (K,), bool, selects."""
        return CorruptionResults(self.clean, self.right[:, conditions])


@dataclass(frozen=True, eq=False)
class CorruptionProbabilities(ArrayOutcome):
    """What calibration reads of the probabilities for N images under K conditions."""

    right: Bools
    """(N, K) whether the prediction is right."""
    log_prob: Doubles
    """(N, K) natural logarithm of the true class's probability."""
    confidence: Doubles
    """(N, K) probability of the predicted class."""
    squares: Doubles
    """(N, K) sum over classes of squared probabilities."""

    def __post_init__(self) -> None:
        shapes = {getattr(self, field.name).shape for field in fields(self)}
        if len(shapes) > 1 or self.right.ndim != 2 or not self.right.shape[1]:
            raise ValueError(
                "right, log_prob, confidence and squares must all have shape (N, K), K at least 1; "
                f"got {self.right.shape}, {self.log_prob.shape}, {self.confidence.shape} and "
                f"{self.squares.shape}."
            )

    @classmethod
    def from_logits(cls, logits: NDArray[Any], y: NDArray[Any]) -> "CorruptionProbabilities":
        """Return the outcome of one condition: logits (N, C), float, and true classes (N,), int."""
        predictions = ClassPredictions.from_logits(logits, y)
        p = ClassProbabilities.from_logits(logits, y).probabilities
        assert predictions.log_prob is not None and predictions.confidence is not None
        return cls(
            (predictions.rank == 0)[:, None],
            predictions.log_prob[:, None],
            predictions.confidence[:, None],
            np.einsum("ij,ij->i", p, p)[:, None],
        )

    @classmethod
    def side_by_side(
        cls, conditions: "Sequence[CorruptionProbabilities]"
    ) -> "CorruptionProbabilities":
        """Return the outcome under all conditions of several outcomes of the same images."""
        arrays = [condition.to_arrays() for condition in conditions]
        return cls(**{name: np.hstack([of[name] for of in arrays]) for name in arrays[0]})

    def under(self, conditions: NDArray[Any]) -> "CorruptionProbabilities":
        """Return the outcome under the conditions that the mask (K,), bool, selects."""
        return CorruptionProbabilities(
            **{name: values[:, conditions] for name, values in self.to_arrays().items()}
        )
