"""PCK per image and per point, by hand."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.correspondence import pck, pck_per_point
from bob.metrics.intervals import interval
from bob.outcomes import PairHits

HAND = PairHits(np.array([1, 0, 4]), np.array([2, 3, 5]), np.array([0.1, 0.2, 0.3]))


def test_by_hand() -> None:
    assert pck(HAND) == pytest.approx((1 / 2 + 0 + 4 / 5) / 3)
    assert pck_per_point(HAND) == 5 / 10
    chance = {name: metric_named(name).chance for name in ("pck", "pck_per_point")}
    assert chance["pck"] is not None and chance["pck_per_point"] is not None
    assert chance["pck"](HAND) == pytest.approx(0.2)
    assert chance["pck_per_point"](HAND) == pytest.approx((0.2 + 0.6 + 1.5) / 10)


@pytest.mark.parametrize("name", ["pck", "pck_per_point"])
def test_intervals_hold_the_value(name: str) -> None:
    value, low, high, _ = interval(name, HAND, 0)
    assert low is not None and high is not None and low < value < high


@pytest.mark.parametrize("function", [pck, pck_per_point])
def test_no_pair_is_undefined(function: object) -> None:
    with pytest.raises(UndefinedError, match="there is no pair of images with corresponding"):
        function(HAND.take(np.zeros(0, np.int64)))  # type: ignore[operator]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"must all have shape \(N,\)"):
        PairHits(np.zeros(2, int), np.zeros(3, int), np.zeros(2))
