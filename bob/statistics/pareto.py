"""Which backbones no other beats on quality and cost at once."""

import numpy as np
from numpy.typing import NDArray

from bob.statistics.aggregate import Floats


def pareto_front(quality: Floats, cost: Floats) -> NDArray[np.bool_]:
    """(R,) on the front: no other has at least the quality at no more cost, and one of the two strictly. More quality is better, less cost is better.

    Equal points stand or fall together. What has a NaN (not measured, no value) is never on the front, and beats nobody.
    For a cost where more is better, as images/s, pass its negative.
    """
    known = ~(np.isnan(quality) | np.isnan(cost))
    no_worse = (quality[None] >= quality[:, None]) & (cost[None] <= cost[:, None])
    better = (quality[None] > quality[:, None]) | (cost[None] < cost[:, None])
    front: NDArray[np.bool_] = known & ~(no_worse & better & known[None]).any(1)
    return front
