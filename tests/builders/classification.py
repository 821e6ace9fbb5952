"""Problems of the classification protocols."""

import numpy as np

from bob.protocols.protocol import Problem


def posed(x, y, test_x, test_y, classes=4) -> Problem:
    held_out = np.zeros(len(y), bool)
    held_out[: len(y) // 5] = True
    return Problem(x, y, held_out, test_x, test_y, classes)
