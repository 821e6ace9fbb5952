"""Easy and hard images of the same classes, as in CounterAnimal (Wang et al. 2024,
arXiv:2403.11497).

The dataset's entry says which values of an attribute are easy and which are hard (`paired`). Their
accuracies are compared class by class, so that classes count equally and one that is rare among the
hard images does not hide its drop. Of the paper's code differs: classes with few images on either
side do not count.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from bob.numerics.arrays import Ints
from bob.outcomes import GroupResults
from bob.protocols.protocol import ResultPart

SIDES = ("easy", "hard")


def paired_results(results: GroupResults, sides: Ints, least: int) -> GroupResults:
    """Return the answers for easy (value 0) and hard (1) images of the classes that count.

    `sides` (V,) holds 0, 1 or -1 for each value. A class counts with `least` images of both.
    """
    side = sides[results.value]
    classes = int(results.y.max()) + 1 if len(results) else 0
    count = [np.bincount(results.y[side == i], minlength=classes) for i in (0, 1)]
    enough = np.minimum(*count) >= least
    rows = np.flatnonzero((side >= 0) & enough[results.y])
    return GroupResults(results.right[rows], results.y[rows], side[rows])


def paired_parts(
    results: GroupResults,
    sides: Ints,
    least: int,
    suffix: str,
    facets: Mapping[str, str | int | float],
) -> Iterator[ResultPart]:
    """Yield the drop from easy to hard images, and the mean over classes of either accuracy."""
    of_pairs, reason = paired_results(results, sides, least), None
    if not len(of_pairs):
        reason = f"no class has {least} easy and {least} hard test images"
    outcome = None if reason else of_pairs
    yield ResultPart(outcome, suffix, ("paired_drop",), {**facets}, undefined=reason)
    for value, name in enumerate(SIDES) if outcome else ():
        of_side = of_pairs.take(np.flatnonzero(of_pairs.value == value))
        yield ResultPart(of_side, f"{suffix}={name}", ("adjusted_top1",), {**facets, "side": name})
