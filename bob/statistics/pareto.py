"""The Pareto front of quality and cost."""

import numpy as np

from bob.numerics.arrays import Bools, Doubles


def pareto_front(quality: Doubles, cost: Doubles) -> Bools:
    """Return (R,) whether each backbone is on the Pareto front of high quality and low cost.

    A backbone is on the front if no other has at least its quality at no more than its cost, and is
    strictly better in one of the two. Equal points are all on the front, or none is. A backbone
    with a NaN (not measured, no value) is never on the front and excludes no other. For a cost
    where more is better, such as images/s, pass its negative.
    """
    measured = ~(np.isnan(quality) | np.isnan(cost))
    no_worse = (quality[None] >= quality[:, None]) & (cost[None] <= cost[:, None])
    better = (quality[None] > quality[:, None]) | (cost[None] < cost[:, None])
    front: Bools = measured & ~(no_worse & better & measured[None]).any(1)
    return front
