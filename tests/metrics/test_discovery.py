"""CorLoc by hand."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.discovery import corloc
from bob.metrics.intervals import interval
from bob.outcomes import DiscoveredBoxes


def test_by_hand() -> None:
    """An overlap of exactly one half is enough."""
    found = DiscoveredBoxes(np.array([0.5, 0.49, 1.0, 0.0]))
    assert corloc(found) == 2 / 4
    value, low, high, _ = interval("corloc", found, 0)
    assert low is not None and high is not None and low < value < high


def test_no_image_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="there is no image with a box"):
        corloc(DiscoveredBoxes(np.zeros(0)))
