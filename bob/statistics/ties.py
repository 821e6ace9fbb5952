"""Who is not told apart from whom, and how many tests that took."""

import numpy as np

from bob.statistics.aggregate import Floats

ALPHA = 0.05
"""Two backbones are told apart where the adjusted p is below this."""


def holm(p: Floats) -> Floats:
    """(K,) p-values adjusted for K tests at once (Holm 1979): with all K hypotheses true, the chance of any false finding stays below the level."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def tie_groups(p: Floats) -> list[int]:
    """The group (R,) of each backbone, in order, best first; p (R, R) of each pair.

    Group 1 is the best and all that are not told apart from it after Holm over everyone else. The best of the rest anchors group 2, and so on.
    A group says nothing about its other members among themselves: "not told apart" is no equivalence.
    """
    group = [0] * len(p)
    left, number = list(range(len(p))), 0
    while left:
        anchor, *others = left
        number += 1
        told_apart = [
            other
            for other, adjusted in zip(others, holm(p[anchor, others]), strict=True)
            if adjusted < ALPHA
        ]
        for member in set(left) - set(told_apart):
            group[member] = number
        left = told_apart
    return group
