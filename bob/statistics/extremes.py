"""95 % confidence limits of the lowest of several accuracies, and of gaps between accuracies.

Noise moves them in one direction: of equally accurate groups the lowest observed accuracy is too
low, and the gap from the highest is above 0. By how much depends on the true accuracies. Where one
group is clearly the worst, the lowest is not moved at all; where all are equal, it is moved by the
expected minimum of their noise. The limits allow for every shift from none to that of groups whose
true accuracies are equal wherever the observed ones are not told apart: one limit is at the value,
the other at the value without the largest shift, both widened by the standard error.

Two groups are told apart if their accuracies differ by two standard errors or more, or by the
two-sided 5 % point with Bonferroni's correction for all pairs, if that is larger. The error of an
accuracy is that of Agresti & Coull 1998 (doi:10.2307/2685469), which is above 0 where all answers
are right. Noise is normal.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from bob.numerics.arrays import Doubles, Ints
from bob.statistics.limits import Limits, Z, wilson

DRAWS = 1000
"""Draws of the noise of all groups, from which shift and standard error are known to 2 %."""
MOST_NOISE = 4_000_000
"""Numbers drawn at most: 32 MB. Beyond, there are fewer draws."""
TOLD_APART = 2.0
"""Standard errors by which two groups differ at least that count as different."""
ADDED = 2.0
"""Right and wrong answers that Agresti & Coull add to those of a group."""


Function = Callable[[Doubles], Doubles]
"""Accuracies (..., G) → values (...,)."""


def lowest_limits(right: Doubles, count: Doubles) -> Limits:
    """Return the limits of the lowest accuracy of G groups.

    right (G,): sums of right answers, each from 0 to 1; count (G,): images. They are Wilson's of a
    share with the standard error of the lowest accuracy.
    """
    value, shift, error = _value_shift_and_error(_lowest, right, count, np.zeros(len(count), int))
    images = count[(right / count).argmin()]
    share = (value * images + ADDED) / (images + 2 * ADDED)
    size = np.asarray(share * (1 - share) / error**2)
    highest = min(value - min(shift, 0.0), 1.0)
    return wilson(value * size, size)[0], wilson(highest * size, size)[1]


def gap_limits(function: Function, right: Doubles, count: Doubles, compared: Ints) -> Limits:
    """Return the limits of a function of accuracies, such as the highest minus the lowest.

    right (G,) and count (G,) as in `lowest_limits`; compared (G,): groups with equal numbers are
    compared with each other by the function.
    """
    value, shift, error = _value_shift_and_error(function, right, count, compared)
    low, high = value - max(shift, 0.0), value - min(shift, 0.0)
    return np.asarray(low - Z * error), np.asarray(high + Z * error)


def _value_shift_and_error(
    function: Function, right: Doubles, count: Doubles, compared: Ints
) -> tuple[float, float, float]:
    """Return the value, the largest shift of it by noise (signed), and its standard error."""
    accuracy, errors = right / count, _errors(right, count)
    draws = min(DRAWS, max(2, MOST_NOISE // len(count)))
    noise = errors * np.random.default_rng(0).standard_normal((draws, len(count)))
    equal = _equal_where_not_told_apart(accuracy, errors, compared)
    shift = float(np.nanmean(function(equal + noise)) - function(equal))
    error = float(np.nanstd(function(accuracy + noise), ddof=1))
    return float(function(accuracy)), shift, error


def _errors(right: Doubles, count: Doubles) -> Doubles:
    """Return (G,) the standard errors of accuracies."""
    share = (right + ADDED) / (count + 2 * ADDED)
    return np.asarray(np.sqrt(share * (1 - share) / count))


def _equal_where_not_told_apart(accuracy: Doubles, error: Doubles, compared: Ints) -> Doubles:
    """Return (G,) accuracies: of those compared, the ones not told apart from the lowest are it.

    Of the others, the ones not told apart from the highest are the highest.
    """
    equal = accuracy.copy()
    for number in np.unique(compared):
        members = np.flatnonzero(compared == number)
        of_members, pairs = accuracy[members], len(members) * (len(members) - 1) / 2
        reach = max(TOLD_APART, float(-ndtri(0.025 / max(pairs, 1.0))))
        for extreme in (of_members.argmax(), of_members.argmin()):
            between = np.hypot(error[members], error[members[extreme]])
            near = np.abs(of_members - of_members[extreme]) <= reach * between
            equal[members[near]] = of_members[extreme]
    return equal


def _lowest(accuracy: Doubles) -> Doubles:
    return np.asarray(accuracy.min(-1))
