"""Which predicted boxes or masks of an image are right, as COCO's evaluation (pycocotools) says.

In descending order of scores, each prediction takes the true box of its class with which it has the
largest intersection over union, of those that no earlier prediction has taken, if that is at least
a threshold. There are ten thresholds, and four ranges of areas: of all, small, medium and large
objects. True boxes outside of the range are ignored: whoever takes them is neither right nor wrong;
neither is a prediction outside of the range that takes none. A prediction takes an ignored box only
where no other is left. Ignored objects of the dataset (crowds, difficult ones) can be taken any
number of times. `match_as_voc` is VOC's rule.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.dense.boxes import box_areas, box_overlaps

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which a prediction is right."""
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Range → least and most area of its objects, in pixels, both included."""
WRONG, RIGHT, NEUTRAL = 0, 1, 2
States = NDArray[np.uint8]
"""(n, A, T) whether n predictions are WRONG, RIGHT or NEUTRAL in each range, at each threshold."""


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The m true boxes of one class in an image; see `bob.datasets.boxes`."""

    xyxy: Doubles
    areas: Doubles
    ignored: Bools
    crowds: Bools

    def only(self, chosen: Bools) -> "TrueBoxes":
        """Return some of the boxes."""
        return TrueBoxes(**{name: values[chosen] for name, values in vars(self).items()})

    def ignored_by_range(self) -> Bools:
        """Return which boxes do not count in each range of areas, (A, m)."""
        return self.ignored | outside_ranges(self.areas)


def outside_ranges(areas: Doubles) -> Bools:
    """Return which areas (m,) are outside of each range, (A, m)."""
    least, most = np.array(list(AREAS.values())).T[..., None]
    return np.asarray((areas < least) | (areas > most))


def match_boxes(found: Doubles, true: TrueBoxes) -> States:
    """Return the states of predictions (n, 4) of one class, whose scores descend."""
    overlaps = box_overlaps(found, true.xyxy, true.crowds)
    return match_objects(overlaps, box_areas(found), true)


def match_objects(overlaps: Doubles, areas: Doubles, true: TrueBoxes) -> States:
    """Return the states of predictions of one class, whose scores descend.

    `overlaps` (n, m) with the true objects, of boxes or of masks; `areas` (n,) of the predictions.
    """
    outside = outside_ranges(areas)
    states = np.where(outside.T[:, :, None], NEUTRAL, WRONG).astype(np.uint8)
    states = np.repeat(states, len(THRESHOLDS), axis=2)
    ignored = true.ignored_by_range()
    taken = np.zeros((len(AREAS), len(THRESHOLDS), len(true.xyxy)), bool)
    needed = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    for n in np.flatnonzero((overlaps >= needed[0]).any(axis=1)):
        can_take = (overlaps[n] >= needed) & (~taken | true.ignored)
        counted = can_take & ~ignored[:, None]
        can_take = np.where(counted.any(axis=2, keepdims=True), counted, can_take)
        ranges, thresholds = np.nonzero(can_take.any(axis=2))
        best = _last_largest(np.where(can_take, overlaps[n], -1.0))[ranges, thresholds]
        taken[ranges, thresholds, best] = True
        states[n, ranges, thresholds] = np.where(ignored[ranges, best], NEUTRAL, RIGHT)
    return states


def match_as_voc(found: Doubles, true: TrueBoxes) -> NDArray[np.uint8]:
    """Return the states (n,) of predictions (n, 4) of one class, whose scores descend, as VOC's
    evaluation (VOCevaldet.m) decides them at an overlap of 0.5.

    A prediction is right or wrong by the object which it overlaps most, also where that one is
    taken and another overlaps it enough. It is neutral where that object is ignored.
    """
    states = np.full(len(found), WRONG, np.uint8)
    if not len(true.xyxy):
        return states
    overlaps = box_overlaps(found, true.xyxy, np.zeros(len(true.xyxy), bool))
    best = overlaps.argmax(axis=1)
    taken: set[int] = set()
    for n in np.flatnonzero(overlaps.max(axis=1) >= THRESHOLDS[0]).tolist():
        k = int(best[n])
        if true.ignored[k]:
            states[n] = NEUTRAL
        elif k not in taken:
            states[n] = RIGHT
            taken.add(k)
    return states


def _last_largest(values: Doubles) -> Ints:
    """Return the positions of the largest values along the last axis, the last of equal ones."""
    last = values.shape[-1] - 1
    return np.asarray(last - values[..., ::-1].argmax(axis=-1), np.int64)
