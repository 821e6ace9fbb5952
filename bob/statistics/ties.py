"""Correction for multiple tests, and groups of statistically tied backbones."""

import numpy as np

from bob.numerics.arrays import Doubles

ALPHA = 0.05
"""Two backbones are statistically distinguishable if the adjusted p-value is below this."""


def holm(p: Doubles) -> Doubles:
    """Return (K,) p-values adjusted for K simultaneous tests (Holm 1979).

    If all K null hypotheses are true, the probability of any rejection stays below the level.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def tie_groups(p: Doubles) -> list[int]:
    """Return the tie group of each of R backbones, given best first; p (R, R) of each pair.

    Group 1 is the best and all that are statistically tied with it, after Holm over all others. The
    best of the rest anchors group 2, and so on. A group says nothing about its other members among
    themselves: being statistically tied is not an equivalence relation.
    """
    group = [0] * len(p)
    remaining, number = list(range(len(p))), 0
    while remaining:
        anchor, *others = remaining
        number += 1
        adjusted = holm(p[anchor, others])
        distinguishable = [
            other for other, value in zip(others, adjusted, strict=True) if value < ALPHA
        ]
        for member in set(remaining) - set(distinguishable):
            group[member] = number
        remaining = distinguishable
    return group
