"""Outcomes of object detection: which predicted boxes or masks are right, image by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Floats, Ints
from bob.outcomes.outcome import ArrayOutcome


@dataclass(frozen=True, eq=False)
class ObjectMatches(ArrayOutcome):
    """Predicted objects of N test images, at most M each; C classes, A areas and T thresholds.

    Areas and thresholds are those of `bob.numerics.dense.box_matching`.
    """

    scores: Floats
    """(N, M)"""
    labels: Ints
    """(N, M) class index of each prediction; -1 where an image has fewer."""
    states: NDArray[np.uint8]
    """(N, M, A, T) wrong, right or neutral."""
    true: Ints
    """(N, C, A) true objects that count."""

    def __post_init__(self) -> None:
        shapes = {name: values.shape for name, values in self.to_arrays().items()}
        (n, m), areas = self.scores.shape, self.true.shape[2:]
        is_wrong = any(shapes[name] != (n, m) for name in shapes if name not in ("states", "true"))
        if is_wrong or self.states.shape[:3] != (n, m, *areas) or len(self.true) != n:
            raise ValueError(
                "states and true must have shapes (N, M, A, T) and (N, C, A), all else (N, M); got "
                f"{shapes}."
            )


@dataclass(frozen=True, eq=False)
class BoxMatches(ObjectMatches):
    """Predicted boxes."""

    voc: NDArray[np.uint8]
    """(N, M) wrong, right or neutral at an overlap of 0.5, by VOC's rule."""


@dataclass(frozen=True, eq=False)
class MaskMatches(ObjectMatches):
    """Predicted instance masks, of which the pixels overlap."""
