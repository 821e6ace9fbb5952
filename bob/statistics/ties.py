"""Correction for multiple tests, and groups of statistically tied backbones.

Backbones are given best first. A family of tests belongs to one backbone: its comparisons with all
backbones below it (docs/decisions/011-one-verdict.md). The p-value of a pair is the one in the
family of the better backbone, so that it depends neither on who asks nor on what a reader filters.
"""

import numpy as np

from bob.numerics.arrays import Doubles

ALPHA = 0.05
"""Two backbones are statistically distinguishable if the adjusted p-value is below this."""


def holm(p: Doubles) -> Doubles:
    """Return (K,) p-values adjusted for K simultaneous tests (Holm 1979).

    If all K null hypotheses are true, the probability of any rejection stays below the level.
    """
    (adjusted,) = _holm_rows(p[None])
    return np.asarray(adjusted)


def holm_below(p: Doubles) -> Doubles:
    """Return (R, R) adjusted p-values of all pairs, given those of each pair p (R, R), best first.

    Holm's correction in one family per backbone, its comparisons with those below it. The result is
    symmetric with 1 on the diagonal. A pair that was not tested is NaN and counts in no family.
    """
    below = np.triu(np.ones(p.shape, bool), 1)
    adjusted = _holm_rows(np.where(below, p, np.nan))
    symmetric: Doubles = np.where(below, adjusted, adjusted.T)
    np.fill_diagonal(symmetric, 1.0)
    return symmetric


def _holm_rows(p: Doubles) -> Doubles:
    """Adjust each row of p (F, K) as a family of its own; NaN is no test and stays NaN."""
    order = np.argsort(p, axis=1, kind="stable")  # NaN last
    tests = np.isfinite(p).sum(1, keepdims=True)
    weight = np.maximum(tests - np.arange(p.shape[1]), 1)
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, 1) * weight, axis=1)
    adjusted = np.empty(p.shape)
    np.put_along_axis(adjusted, order, np.minimum(1.0, stepped), 1)
    return adjusted


def tie_groups(p: Doubles) -> list[int | None]:
    """Return the tie group of each of R backbones, given best first; p (R, R) of each pair.

    Group 1 is the best and all that are statistically tied with it. The best of the rest anchors
    group 2, and so on. A group says nothing about its other members among themselves: being
    statistically tied is not an equivalence relation. None: not tested against its group's anchor;
    so are all if nothing was tested against the best.
    """
    return groups_of(holm_below(p))


def groups_of(adjusted: Doubles) -> list[int | None]:
    """Return the tie groups that adjusted p-values (R, R) of `holm_below` imply."""
    group: list[int | None] = [None] * len(adjusted)
    remaining, number = list(range(len(adjusted))), 0
    while remaining:
        anchor, *others = remaining
        tested = [other for other in others if not np.isnan(adjusted[anchor, other])]
        if number == 0 and others and not tested:
            break
        number += 1
        tied = [other for other in tested if adjusted[anchor, other] >= ALPHA]
        for member in (anchor, *tied):
            group[member] = number
        remaining = [other for other in tested if other not in tied]
    return group
