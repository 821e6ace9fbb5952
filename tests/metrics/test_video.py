"""J and F of objects by hand."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.intervals import interval
from bob.metrics.video import contour_f, j_and_f, region_j
from bob.outcomes import FollowedObjects

HAND = FollowedObjects(np.array([0.5, 1.0]), np.array([0.1, 0.6]))


def test_by_hand() -> None:
    assert region_j(HAND) == pytest.approx(0.75) and contour_f(HAND) == pytest.approx(0.35)
    assert j_and_f(HAND) == pytest.approx((0.75 + 0.35) / 2)


@pytest.mark.parametrize("name", ["j_and_f", "region_j", "contour_f"])
def test_intervals_hold_the_value(name: str) -> None:
    value, low, high, _ = interval(name, HAND, 0)
    assert low is not None and high is not None and low < value < high


def test_no_object_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="there is no video with an object"):
        j_and_f(HAND.take(np.zeros(0, np.int64)))
