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
    voc: NDArray[np.uint8]
    """(N, M) the same at an overlap of 0.5, by VOC's rule."""
    true: Ints
    """(N, C, A) true boxes that count."""

    def __post_init__(self) -> None:
        arrays = (self.scores, self.labels, self.voc, self.states, self.true)
        shapes = [array.shape for array in arrays]
        (n, m), areas = self.scores.shape, self.true.shape[2:]
        is_wrong = any(shape != (n, m) for shape in shapes[:3])
        if is_wrong or shapes[3][:3] != (n, m, *areas) or len(self.true) != n:
            raise ValueError(
                "scores, labels, voc, states and true must have shapes (N, M), (N, M), (N, M), "
                f"(N, M, A, T) and (N, C, A); got {', '.join(map(str, shapes))}."
            )
