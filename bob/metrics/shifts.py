"""Metrics of generalisation to shifted test sets: accuracy there, what is lost against in distribution, and the worst group.

As in Taori et al. 2020 (arXiv:2007.00644) and WILDS (Koh et al. 2021, arXiv:2012.07421). Effective robustness is a property of a pool of backbones:
see `bob.statistics.effective_robustness`.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import Floats, Ints, ShiftResults


def shifted_top1(outcome: ShiftResults) -> float:
    """Top-1 on shifted test sets; of several, the mean, each weighing the same."""
    return float(_per_shift(outcome)[1:].mean())


def drop(outcome: ShiftResults) -> float:
    """Top-1 in distribution minus `shifted_top1`. Negative where the shifted images are easier."""
    top1 = _per_shift(outcome)
    return float(top1[0] - top1[1:].mean())


def relative_drop(outcome: ShiftResults) -> float:
    """`drop` as a share of top-1 in distribution."""
    top1 = _per_shift(outcome)
    if top1[0] == 0:
        raise UndefinedError("top-1 in distribution is 0, so that there is nothing to lose")
    return float((top1[0] - top1[1:].mean()) / top1[0])


def worst_group(outcome: ShiftResults) -> float:
    """Lowest top-1 of any group; the groups are all test sets, in distribution and shifted, or parts of them."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    return float(_shares(outcome, outcome.group).min())


def _per_shift(outcome: ShiftResults) -> Floats:
    """Top-1 in distribution, then per shift that has images."""
    if not (outcome.shift == 0).any() or not (outcome.shift > 0).any():
        raise UndefinedError(
            f"there are no {'shifted' if (outcome.shift == 0).any() else 'in-distribution'} test examples"
        )
    return _shares(outcome, outcome.shift)


def _shares_per_shift(outcome: ShiftResults) -> tuple[Floats, Floats]:
    """Images predicted right and all images (K,), in distribution, then per shift that has images."""
    return _counts(outcome, outcome.shift)


def _shifted_shares(outcome: ShiftResults) -> tuple[Floats, Floats]:
    """As `_shares_per_shift`, of the shifts alone."""
    right, count = _shares_per_shift(outcome)
    return right[1:], count[1:]


def _shares(outcome: ShiftResults, of: Ints) -> Floats:
    """Share predicted right of each value of `of` that occurs, ascending."""
    right, count = _counts(outcome, of)
    return right / count


def _counts(outcome: ShiftResults, of: Ints) -> tuple[Floats, Floats]:
    count = np.bincount(of)
    right = np.bincount(of, weights=outcome.right)[count > 0].astype(np.float64)
    return right, count[count > 0].astype(np.float64)


METRICS = (
    Metric(
        shifted_top1,
        ShiftResults,
        "score",
        1.0,
        True,
        "accuracy on shifted test sets",
        shares=_shifted_shares,
    ),
    Metric(
        drop,
        ShiftResults,
        "newcombe",
        1.0,
        False,
        "accuracy lost from in distribution to shifted",
        lowest=-1.0,
        shares=_shares_per_shift,
    ),
    Metric(
        relative_drop,
        ShiftResults,
        "ratio",
        1.0,
        False,
        "the same as a share of what there was",
        lowest=-float("inf"),
        shares=_shares_per_shift,
    ),
    Metric(
        worst_group,
        ShiftResults,
        "bootstrap",
        1.0,
        True,
        "accuracy on the worst group",
        strata=lambda outcome: outcome.group,
    ),
)
