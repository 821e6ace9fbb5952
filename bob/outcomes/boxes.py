"""The outcome of object detection: which predicted boxes are right, image by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Floats, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class BoxMatches(ArrayOutcome):
    """Predicted boxes of N test images, at most M each; C classes, A areas and T thresholds.

    Areas and thresholds are those of `bob.numerics.dense.box_matching`.
    """

    scores: Floats
    """(N, M)"""
    labels: Ints
    """(N, M) class index of each prediction; -1 where an image has fewer."""
    states: NDArray[np.uint8]
    """(N, M, A, T) wrong, right or neutral."""
    true: Ints
    """(N, C, A) true boxes that count."""

    def __post_init__(self) -> None:
        shapes = (self.scores.shape, self.labels.shape, self.states.shape, self.true.shape)
        (n, m), areas = self.scores.shape, self.true.shape[2:]
        if shapes[1] != (n, m) or shapes[2][:3] != (n, m, *areas) or len(self.true) != n:
            raise ValueError(
                "scores, labels, states and true must have shapes (N, M), (N, M), (N, M, A, T) and "
                f"(N, C, A); got {', '.join(map(str, shapes))}."
            )
