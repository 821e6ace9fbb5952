"""Metrics of object detection: average precision as COCO's evaluation computes it (pycocotools).

Of a class, the predictions of all images are ordered by their scores; those that are neutral (of an
ignored object) are left out. Precision at a recall is the largest at that recall or above, and the
average precision (AP) is the mean of it at the recalls 0, 0.01, ..., 1, 0 where a recall is not
reached. AP is averaged over the classes that have true boxes, and over thresholds of intersection
over union. VOC 2007's has 11 recalls and VOC's rule of what is right.

Only the recalls at right predictions count: with weights of images in place of repeats, bootstrap
resamples are computed without repeating images. Predictions with equal scores of several images
then keep the order of the images.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.dense.box_matching import AREAS, NEUTRAL, RIGHT, THRESHOLDS, States
from bob.outcomes import BoxMatches, ObjectMatches

RECALLS, VOC07_RECALLS = np.linspace(0, 1, 101), np.linspace(0, 1, 11)
CHUNK_VALUES = 2**22
"""Weights of predictions in resamples that are held at once."""
EVERY = slice(None)
"""All thresholds."""


def box_ap(outcome: BoxMatches) -> float:
    """Return AP averaged over the thresholds 0.5, 0.55, ..., 0.95: COCO's mAP. Range [0, 1]."""
    return ap_value(outcome, "all", EVERY)


def box_ap_50(outcome: BoxMatches) -> float:
    """Return AP at an intersection over union of 0.5. Range [0, 1]."""
    return ap_value(outcome, "all", at_overlap(0.5))


def box_ap_75(outcome: BoxMatches) -> float:
    """Return AP at an intersection over union of 0.75. Range [0, 1]."""
    return ap_value(outcome, "all", at_overlap(0.75))


def box_ap_small(outcome: BoxMatches) -> float:
    """Return AP of objects of at most 32² pixels. Range [0, 1]."""
    return ap_value(outcome, "small", EVERY)


def box_ap_medium(outcome: BoxMatches) -> float:
    """Return AP of objects of 32² to 96² pixels. Range [0, 1]."""
    return ap_value(outcome, "medium", EVERY)


def box_ap_large(outcome: BoxMatches) -> float:
    """Return AP of objects of at least 96² pixels. Range [0, 1]."""
    return ap_value(outcome, "large", EVERY)


def box_ap_voc07(outcome: BoxMatches) -> float:
    """Return the mean average precision of VOC 2007's evaluation. Range [0, 1].

    Precision at 11 recalls, at an overlap of 0.5, with `match_as_voc`.
    """
    return _defined(voc07_average_precision(outcome, np.ones((1, len(outcome)))), "true boxes")


def at_overlap(threshold: float) -> slice:
    """Return which of the thresholds is this one."""
    position = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
    return slice(position, position + 1)


def ap_value(outcome: ObjectMatches, area: str, thresholds: slice) -> float:
    """Return the average precision; UndefinedError where no image has an object that counts."""
    objects = "true boxes" if area == "all" else f"true boxes of {area} objects"
    return _defined(
        average_precision(outcome, area, thresholds, np.ones((1, len(outcome)))), objects
    )


def _defined(values: Doubles, objects: str) -> float:
    """Return the one value; UndefinedError where no image has the `objects`."""
    (value,) = values.tolist()
    if np.isnan(value):
        raise UndefinedError(f"no test image has {objects}")
    return float(value)


def average_precision(
    outcome: ObjectMatches, area: str, thresholds: slice, weights: Doubles
) -> Doubles:
    """Return AP (R,) for each of R weightings (R, N) of the images, NaN without true boxes."""
    a = list(AREAS).index(area)
    states = outcome.states[:, :, a, thresholds]
    return _mean_of_classes(outcome, states, weights @ outcome.true[:, :, a], weights, RECALLS)


def voc07_average_precision(outcome: BoxMatches, weights: Doubles) -> Doubles:
    """Return VOC 2007's AP (R,) for each of R weightings (R, N), NaN without true boxes."""
    true = weights @ outcome.true[:, :, list(AREAS).index("all")]
    return _mean_of_classes(outcome, outcome.voc[..., None], true, weights, VOC07_RECALLS)


def _mean_of_classes(
    outcome: ObjectMatches, states: States, true: Doubles, weights: Doubles, recalls: Doubles
) -> Doubles:
    """Return AP (R,) averaged over classes with `true` (R, C) boxes, and over T thresholds.

    `states` (N, M, T) are those of the predictions.
    """
    total, classes = np.zeros(len(weights)), (true > 0).sum(axis=1)
    for c in np.flatnonzero(true.any(axis=0)):
        images, ranked = _ranked(outcome, int(c), states)
        rows = max(1, CHUNK_VALUES // max(1, len(images)))
        for start in range(0, len(weights), rows):
            at = slice(start, start + rows)
            of_predictions = weights[at][:, images]
            precisions = [
                _class_ap(of_predictions, state, true[at, c], recalls) for state in ranked.T
            ]
            total[at] += np.mean(precisions, axis=0)
    return np.where(classes > 0, total / np.maximum(classes, 1), np.nan)


def _ranked(outcome: ObjectMatches, c: int, states: States) -> tuple[Ints, States]:
    """Return image (n,) and states (n, T) of the predictions of a class, by descending scores."""
    images, places = np.nonzero(outcome.labels == c)
    order = np.argsort(-outcome.scores[images, places], kind="stable")
    return images[order], states[images, places][order]


def _class_ap(weights: Doubles, states: States, true: Doubles, recalls: Doubles) -> Doubles:
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
    reached = np.searchsorted(recalls, recall, side="right")
    at_recalls = (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(recalls)
    return np.where(true > 0, at_recalls, 0.0)


OfWeights = Callable[[Any, Doubles], Doubles]
"""Outcome and weights (R, N) of images → AP (R,)."""


def of_range(area: str, thresholds: slice) -> OfWeights:
    """Return the function to AP of objects of a range of areas."""
    return lambda outcome, weights: average_precision(outcome, area, thresholds, weights)


def _redrawn(of_weights: OfWeights) -> Callable[[Any, np.random.Generator, int], Doubles]:
    """Return a function to (draws,) values of AP with resampled images."""

    def values(outcome: ObjectMatches, rng: np.random.Generator, draws: int) -> Doubles:
        n = len(outcome)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
        return of_weights(outcome, weights)

    return values


def ap_metric(
    function: Callable[[Any], float],
    of_weights: OfWeights,
    summary: str,
    outcome: type[ObjectMatches] = BoxMatches,
) -> Metric:
    """Return the definition of a metric whose values at weights of images `of_weights` gives."""
    return Metric(
        function,
        outcome,
        interval="bootstrap",
        higher_is_better=True,
        summary=summary,
        redrawn=_redrawn(of_weights),
    )


METRICS = (
    ap_metric(
        box_ap, of_range("all", EVERY), "average precision of boxes, over overlaps of 0.5 to 0.95"
    ),
    ap_metric(
        box_ap_50,
        of_range("all", at_overlap(0.5)),
        "average precision of boxes at an overlap of 0.5",
    ),
    ap_metric(
        box_ap_75,
        of_range("all", at_overlap(0.75)),
        "average precision of boxes at an overlap of 0.75",
    ),
    ap_metric(
        box_ap_small, of_range("small", EVERY), "average precision of objects of at most 32² pixels"
    ),
    ap_metric(
        box_ap_medium,
        of_range("medium", EVERY),
        "average precision of objects of 32² to 96² pixels",
    ),
    ap_metric(
        box_ap_large,
        of_range("large", EVERY),
        "average precision of objects of at least 96² pixels",
    ),
    ap_metric(box_ap_voc07, voc07_average_precision, "average precision of VOC 2007: 11 recalls"),
)
