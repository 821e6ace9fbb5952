"""Metrics of object detection: average precision as COCO's evaluation computes it (pycocotools).

Of a class, the predictions of all images are ordered by their scores; those that are neutral (of an
ignored object) are left out. Precision at a recall is the largest at that recall or above, and the
average precision (AP) is the mean of it at the recalls 0, 0.01, ..., 1, 0 where a recall is not
reached. AP is averaged over the classes that have true boxes, and over thresholds of intersection
over union.

Only the recalls at right predictions count: with weights of images in place of repeats, bootstrap
resamples are computed without repeating images. Predictions with equal scores of several images
then keep the order of the images.
"""

from collections.abc import Callable

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.dense.box_matching import AREAS, NEUTRAL, RIGHT, THRESHOLDS, States
from bob.outcomes import BoxMatches

RECALLS = np.linspace(0, 1, 101)
CHUNK_VALUES = 2**22
"""Weights of predictions in resamples that are held at once."""
_EVERY = slice(None)


def box_ap(outcome: BoxMatches) -> float:
    """Return AP averaged over the thresholds 0.5, 0.55, ..., 0.95: COCO's mAP. Range [0, 1]."""
    return _value(outcome, "all", _EVERY)


def box_ap_50(outcome: BoxMatches) -> float:
    """Return AP at an intersection over union of 0.5. Range [0, 1]."""
    return _value(outcome, "all", _at(0.5))


def box_ap_75(outcome: BoxMatches) -> float:
    """Return AP at an intersection over union of 0.75. Range [0, 1]."""
    return _value(outcome, "all", _at(0.75))


def box_ap_small(outcome: BoxMatches) -> float:
    """Return AP of objects of at most 32² pixels. Range [0, 1]."""
    return _value(outcome, "small", _EVERY)


def box_ap_medium(outcome: BoxMatches) -> float:
    """Return AP of objects of 32² to 96² pixels. Range [0, 1]."""
    return _value(outcome, "medium", _EVERY)


def box_ap_large(outcome: BoxMatches) -> float:
    """Return AP of objects of at least 96² pixels. Range [0, 1]."""
    return _value(outcome, "large", _EVERY)


def _at(threshold: float) -> slice:
    position = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
    return slice(position, position + 1)


def _value(outcome: BoxMatches, area: str, thresholds: slice) -> float:
    value = average_precision(outcome, area, thresholds, np.ones((1, len(outcome))))[0]
    if np.isnan(value):
        objects = "true boxes" if area == "all" else f"true boxes of {area} objects"
        raise UndefinedError(f"no test image has {objects}")
    return float(value)


def average_precision(
    outcome: BoxMatches, area: str, thresholds: slice, weights: Doubles
) -> Doubles:
    """Return AP (R,) for each of R weightings (R, N) of the images, NaN without true boxes."""
    a = list(AREAS).index(area)
    true = weights @ outcome.true[:, :, a]
    total, classes = np.zeros(len(weights)), (true > 0).sum(axis=1)
    for c in np.flatnonzero(true.any(axis=0)):
        images, states = _ranked(outcome, int(c), a)
        rows = max(1, CHUNK_VALUES // max(1, len(images)))
        for start in range(0, len(weights), rows):
            at = slice(start, start + rows)
            of_predictions = weights[at][:, images]
            precisions = [
                _class_ap(of_predictions, state, true[at, c]) for state in states[:, thresholds].T
            ]
            total[at] += np.mean(precisions, axis=0)
    return np.where(classes > 0, total / np.maximum(classes, 1), np.nan)


def _ranked(outcome: BoxMatches, c: int, a: int) -> tuple[Ints, States]:
    """Return image (n,) and states (n, T) of the predictions of a class, by descending scores."""
    images, places = np.nonzero(outcome.labels == c)
    order = np.argsort(-outcome.scores[images, places], kind="stable")
    return images[order], outcome.states[images, places, a][order]


def _class_ap(weights: Doubles, states: States, true: Doubles) -> Doubles:
    """Return AP (R,) of predictions with weights (R, n) and states (n,); 0 where `true` (R,) is."""
    right = np.flatnonzero(states == RIGHT)
    if not len(right):
        return np.zeros(len(weights))
    last = right[-1] + 1
    counted = weights[:, :last] * (states[:last] != NEUTRAL)
    found = np.cumsum(weights[:, right], axis=1)
    predicted = np.cumsum(np.add.reduceat(counted, [0, *(right[:-1] + 1)], axis=1), axis=1)
    precision = found / np.where(predicted > 0, predicted, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = found / np.where(true > 0, true, 1)[:, None]
    reached = np.searchsorted(RECALLS, recall, side="right")
    at_recalls = (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return np.where(true > 0, at_recalls, 0.0)


def _redrawn(
    area: str, thresholds: slice
) -> Callable[[BoxMatches, np.random.Generator, int], Doubles]:
    """Return a function to (draws,) values of AP with resampled images."""

    def values(outcome: BoxMatches, rng: np.random.Generator, draws: int) -> Doubles:
        n = len(outcome)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
        return average_precision(outcome, area, thresholds, weights)

    return values


def _metric(
    function: Callable[[BoxMatches], float], area: str, thresholds: slice, summary: str
) -> Metric:
    return Metric(
        function,
        BoxMatches,
        interval="bootstrap",
        higher_is_better=True,
        summary=summary,
        redrawn=_redrawn(area, thresholds),
    )


METRICS = (
    _metric(box_ap, "all", _EVERY, "average precision of boxes, over overlaps of 0.5 to 0.95"),
    _metric(box_ap_50, "all", _at(0.5), "average precision of boxes at an overlap of 0.5"),
    _metric(box_ap_75, "all", _at(0.75), "average precision of boxes at an overlap of 0.75"),
    _metric(box_ap_small, "small", _EVERY, "average precision of objects of at most 32² pixels"),
    _metric(box_ap_medium, "medium", _EVERY, "average precision of objects of 32² to 96² pixels"),
    _metric(box_ap_large, "large", _EVERY, "average precision of objects of at least 96² pixels"),
)
